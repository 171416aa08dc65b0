"""What the region objects of a study ask for: regions on its images, and a word on each object.

A region is accepted when it lies on an image whose pixels are analysed. Each object is listed among the instances of
the study with what became of it, so that whoever sent it finds it in the answer in any case.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from pipelines import reasons
from pipelines.contract import Reason, RegionOfInterest, StudyInput
from pipelines.headers import describe_mammogram, unfit_reason
from pipelines.image_result import ImageResult
from pipelines.instances import ImageHeader, Instance, read_instances
from pipelines.region_objects.contract import MAX_POINTS, NotARegion
from pipelines.region_objects.shapes import TOO_MANY_POINTS, area_px, clipped
from pipelines.regions import MarkedRegion, Marks, examine_file

MAX_REGIONS: Final = 40
"""Of all objects of a study together."""

MAX_NAMED: Final = 5
"""Refused marks of an object that the answer names one by one: it has to fit on a picture."""

MIN_SIDE_PX: Final = 3.0
"""Of the box around a region: under a third of a millimetre on every detector."""

MIN_SHARE_INSIDE: Final = 0.5
"""Of the area of a region; what little reaches over the edge of the image is cut off."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RegionRequests:
    """What is asked.

    Attributes
    ----------
    regions : tuple of RegionOfInterest
        Each on an analysed image of the study and within it; those of an object one after another.
    said_of : mapping of str to Reason
        By SOP Instance UID of the object: that regions were taken from it, or why none was, and each refused mark.
    """

    regions: tuple[RegionOfInterest, ...]
    said_of: Mapping[str, Reason]

    def on(self, sop_instance_uid: str) -> tuple[RegionOfInterest, ...]:
        """Regions on one image."""
        return tuple(region for region in self.regions if region.sop_instance_uid == sop_instance_uid)


def read_requests(study: StudyInput, instances: Sequence[Instance[ImageHeader]]) -> RegionRequests:
    """Read the region objects of a study, whose images are `instances`."""
    images = {instance.sop_instance_uid: instance for instance in instances if instance.routed}
    accepted: dict[RegionOfInterest, None] = {}
    said_of: dict[str, Reason] = {}
    for file in sorted(study.region_objects, key=lambda item: item.sop_instance_uid):
        marks = examine_file(file.path)
        refused = _refusals(marks)
        taken = False
        for marked in marks.regions:
            # Its own word on its UID may differ from the receipt's, by which the study knows it.
            region = replace(marked.region, object_uid=file.sop_instance_uid)
            try:
                fitted = _fitted(replace(marked, region=region), images.get(region.sop_instance_uid))
                if len(accepted) >= MAX_REGIONS:
                    raise NotARegion(reasons.TOO_MANY_REGIONS)
            except NotARegion as why:
                refused.append(reasons.about_region(region.label, why.reason))
            else:
                accepted[fitted] = None
                taken = True
        said_of[file.sop_instance_uid] = _said(reasons.REGIONS_TAKEN if taken else None, refused)
    return RegionRequests(regions=tuple(accepted), said_of=said_of)


def unanswered_requests(study: StudyInput, why: Reason) -> RegionRequests:
    """What is said of the region objects where no model of regions is at hand: their own faults, or `why`."""
    said_of = {}
    for file in study.region_objects:
        marks = examine_file(file.path)
        said_of[file.sop_instance_uid] = _said(why if marks.regions else None, _refusals(marks))
    return RegionRequests(regions=(), said_of=said_of)


def requests_left(study: StudyInput, why: Reason) -> RegionRequests:
    """The same of a study that could not be finished: the objects are not opened."""
    return RegionRequests(regions=(), said_of={file.sop_instance_uid: why for file in study.region_objects})


def object_results(study: StudyInput, requests: RegionRequests) -> tuple[ImageResult, ...]:
    """The region objects as instances of the study, each with what is said of it."""
    listed = tuple((file, requests.said_of[file.sop_instance_uid]) for file in study.region_objects)
    found = read_instances(replace(study, instances=(), not_routed=listed), describe_mammogram, unfit_reason)
    said = ((instance, requests.said_of[instance.sop_instance_uid]) for instance in found)
    return tuple(ImageResult(instance=instance, outcome="not_analysed", reason=reason) for instance, reason in said)


def _refusals(marks: Marks) -> list[Reason]:
    return [reasons.about_region(mark.label, mark.reason) for mark in marks.refused]


def _said(first: Reason | None, refused: Sequence[Reason]) -> Reason:
    """One reason of what is said of an object; of very many refused marks only the first are named."""
    different = list(dict.fromkeys(refused))
    more = len(different) - MAX_NAMED
    named = [*different[:MAX_NAMED], *([reasons.more_marks(more)] if more > 0 else [])]
    return reasons.joined([first, *named] if first is not None else named)


def _fitted(marked: MarkedRegion, image: Instance[ImageHeader] | None) -> RegionOfInterest:
    """The region, cut at the edges of its image.

    Raises
    ------
    NotARegion
        It is not on an image that is analysed, or not enough of it.
    """
    region = marked.region
    if image is None:
        raise NotARegion(reasons.REGION_OF_UNKNOWN_IMAGE)
    if image.unfit is not None:
        raise NotARegion(reasons.region_image_not_analysed(image.unfit))
    if region.frame != 1:
        raise NotARegion(reasons.region_unsupported("it is on a frame that the image does not have"))
    rows, columns = image.header.rows, image.header.columns
    if marked.frame_shape is not None and marked.frame_shape != (rows, columns):
        raise NotARegion(reasons.region_unsupported("the segmentation has other rows and columns than its image"))
    whole = sum(area_px(polygon) for polygon in region.polygons_px)
    parts = [clipped(polygon, rows, columns) for polygon in region.polygons_px]
    inside = tuple(part for part in parts if area_px(part) > 0)
    if sum(area_px(part) for part in inside) < MIN_SHARE_INSIDE * whole or not inside:
        raise NotARegion(reasons.REGION_OUTSIDE if whole > 0 else reasons.REGION_TOO_SMALL)
    if any(len(part) > MAX_POINTS for part in inside):
        raise NotARegion(reasons.region_unsupported(TOO_MANY_POINTS))
    xs, ys = zip(*(point for part in inside for point in part), strict=True)
    if min(max(xs) - min(xs), max(ys) - min(ys)) < MIN_SIDE_PX:
        raise NotARegion(reasons.REGION_TOO_SMALL)
    return replace(region, polygons_px=inside)
