"""Lesions that models of regions are asked about: a radiologist's regions, and the detector's most malignant boxes.

A lesion is seen in CC, in MLO, or in both. Regions are taken for the same lesion when they have the same Tracking UID,
or when an object marks one region on each of the two views of a breast; there is nothing else to tell it by.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from operator import attrgetter
from typing import Final, cast

from models.contract import BoxPx, Detection
from models.regions.contract import LesionView, View, lesion_view
from pipelines import reasons
from pipelines.contract import Reason, RegionOfInterest
from pipelines.image_result import ImageResult
from pipelines.mammography.breasts import SIDES, Side
from pipelines.pixels import StandardImage
from pipelines.region_masks import mask_of

DETECTED: Final = "malignant calcifications"
"""What the node calls a region of its own."""

MAX_CUT_PX: Final = 64_000_000
"""Of all lesions of a study together, kept until the last image is read: 5 bytes each."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MarkedLesion:
    """One lesion; `regions` has CC before MLO, and `laterality` is that of its images."""

    regions: Mapping[View, RegionOfInterest]
    laterality: Side | None

    @property
    def is_detected(self) -> bool:
        """Whether the detector marked it, not a radiologist."""
        return any(region.source == "detector" for region in self.regions.values())


@dataclass(frozen=True, slots=True, kw_only=True)
class Cut:
    """A lesion's surround; `origin_px` is where its first pixel lies in the image, ``(x, y)``."""

    view: LesionView
    origin_px: tuple[int, int]


class LesionCuts:
    """What is kept of the images for the lesions on them, so that no image is held or decoded twice.

    Parameters
    ----------
    with_detected : bool
        Whether a model is there that the detector's boxes are shown to.
    """

    def __init__(self, *, with_detected: bool) -> None:
        self.with_detected = with_detected
        self._cuts: dict[RegionOfInterest, Cut | Reason] = {}
        self._left_px = MAX_CUT_PX

    def take(self, standard: StandardImage, regions: Iterable[RegionOfInterest]) -> None:
        """Cut regions out of the image that they are on."""
        for region in regions:
            try:
                self._cuts[region] = self._cut(standard, region)
            except MemoryError:  # the image itself may well be analysed
                self._cuts[region] = reasons.OUT_OF_MEMORY

    def take_detected(self, standard: StandardImage, sop_instance_uid: str, detections: Sequence[Detection]) -> None:
        """Cut the most malignant box out of an image, if it is wanted."""
        region = detected_region(sop_instance_uid, detections) if self.with_detected else None
        if region is not None:
            self.take(standard, [region])

    def of(self, region: RegionOfInterest) -> Cut | Reason | None:
        """The cut, or why there is none; None when the image was never decoded."""
        return self._cuts.get(region)

    def _cut(self, standard: StandardImage, region: RegionOfInterest) -> Cut | Reason:
        rows, columns = standard.pixels.shape
        mask = mask_of(region.polygons_px, (rows, columns))
        if not mask.any():
            return reasons.REGION_TOO_SMALL
        view, origin_px = lesion_view(standard.pixels, mask, standard.spacing_mm)
        if view.pixels.size > self._left_px:
            return reasons.TOO_MANY_REGIONS
        self._left_px -= view.pixels.size
        return Cut(view=view, origin_px=origin_px)


def detected_region(sop_instance_uid: str, detections: Sequence[Detection]) -> RegionOfInterest | None:
    """The box that is most likely malignant, among those that are called so at the operating point."""
    malignant = [found for found in detections if found.label == "malignant"]
    if not malignant:
        return None
    worst = max(malignant, key=lambda found: (found.malignancy, found.score))
    return RegionOfInterest(
        sop_instance_uid=sop_instance_uid,
        polygons_px=(_corners(worst.box_px),),
        source="detector",
        label=DETECTED,
    )


def marked_lesions(regions: Sequence[RegionOfInterest], images: Sequence[ImageResult]) -> tuple[MarkedLesion, ...]:
    """Put a radiologist's regions together, in their order.

    Parameters
    ----------
    regions : sequence of RegionOfInterest
        As accepted, on `images`.
    images : sequence of ImageResult
        Which say what view and which breast it is.
    """
    shown = {image.instance.sop_instance_uid: image.instance.header for image in images}
    sides = {region: shown[region.sop_instance_uid].laterality for region in regions}
    views = {region: cast("View", shown[region.sop_instance_uid].view) for region in regions}
    alone = dict.fromkeys(regions)
    groups: list[Sequence[RegionOfInterest]] = []
    for key in (attrgetter("tracking_uid"), attrgetter("object_uid")):
        by_key: dict[tuple[str | None, Side | None], list[RegionOfInterest]] = {}
        for region in alone:
            by_key.setdefault((key(region), sides[region]), []).append(region)
        for (name, side), found in by_key.items():
            if name and side and sorted(views[region] for region in found) == ["CC", "MLO"]:
                groups.append(found)
                for region in found:
                    del alone[region]
    groups += [[region] for region in alone]
    ordered = sorted(groups, key=lambda group: min(regions.index(region) for region in group))
    return tuple(
        MarkedLesion(
            regions={views[region]: region for region in sorted(group, key=lambda one: views[one])},
            laterality=sides[group[0]],
        )
        for group in ordered
    )


def detected_lesions(images: Sequence[ImageResult]) -> tuple[MarkedLesion, ...]:
    """Of each breast the most malignant box in CC and that in MLO, taken for one lesion."""
    found = []
    for side in SIDES:
        worst = {
            view: _worst([image for image in images if _shows(image, side, view)])
            for view in cast("tuple[View, ...]", ("CC", "MLO"))
        }
        regions = {view: region for view, region in worst.items() if region is not None}
        if regions:
            found.append(MarkedLesion(regions=regions, laterality=side))
    return tuple(found)


def _worst(images: Sequence[ImageResult]) -> RegionOfInterest | None:
    """Of several images of one view, the box of the one whose box is the most malignant."""
    marked = [image for image in images if any(found.label == "malignant" for found in image.detections)]
    if not marked:
        return None
    worst = max(marked, key=lambda image: max(f.malignancy for f in image.detections if f.label == "malignant"))
    return detected_region(worst.instance.sop_instance_uid, worst.detections)


def _shows(image: ImageResult, side: Side, view: View) -> bool:
    return image.instance.header.laterality == side and image.instance.header.view == view


def _corners(box_px: BoxPx) -> tuple[tuple[float, float], ...]:
    x0, y0, x1, y1 = box_px
    return ((x0, y0), (x1, y0), (x1, y1), (x0, y1))
