"""INbreast's outlines: property lists of OsiriX, and the boxes of calcifications made from them."""

from __future__ import annotations

import plistlib
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from xml.parsers.expat import ExpatError

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from scipy.spatial import KDTree

from models.contract import BoxPx
from pipelines.errors import LayoutUnreadable

CLUSTER: Final = "cluster"
CALCIFICATIONS: Final = frozenset({"calcification", "calcifications"})

LINK_MM: Final = 5.0
"""Calcifications nearer to each other than this are of one group. BI-RADS calls at least five within 1 cm grouped; half
of that links neighbours, and keeps apart what lies a group's width from each other."""

MIN_GROUP: Final = 3
"""Fewer single calcifications are no group, and no lesion: isolated ones are common and mean nothing."""

MARGIN_MM: Final = 0.5
"""Around a group, as annotators leave it around what they outline; and a marked point is the middle of its grain."""

POINT: Final = re.compile(r"\(\s*([-+.\deE]+)\s*,\s*([-+.\deE]+)\s*\)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Region:
    """An outline or a point: its name in lower case, and the box around its points in pixels."""

    name: str
    box_px: BoxPx

    @property
    def centre_px(self) -> tuple[float, float]:
        """Middle of the box, ``(x, y)``."""
        x0, y0, x1, y1 = self.box_px
        return (x0 + x1) / 2, (y0 + y1) / 2


def read_regions(path: Path) -> tuple[Region, ...]:
    """Read the regions of one image, of whatever name; those without points are left out.

    Raises
    ------
    LayoutUnreadable
        The file is no property list of OsiriX.
    """
    try:
        with path.open("rb") as file:
            content = plistlib.load(file)
        regions = [roi for image in content["Images"] for roi in image["ROIs"]]
        found = [(str(roi.get("Name", "")), [str(point) for point in roi["Point_px"]]) for roi in regions]
    except (OSError, ExpatError, ValueError, LookupError, TypeError, AttributeError) as error:
        raise LayoutUnreadable(f"AllXML/{path.name}: no list of regions of OsiriX ({type(error).__name__})") from error
    return tuple(_regions(path, found))


def calcification_boxes_px(regions: Sequence[Region], shape: tuple[int, int], spacing_mm: float) -> tuple[BoxPx, ...]:
    """Boxes of the calcification lesions among the regions of an image.

    Each outlined cluster is one. Calcifications marked singly outside all clusters are linked to those nearer than
    `LINK_MM`; a group of at least `MIN_GROUP` is one, with `MARGIN_MM` around it. Masses and all else are passed over.

    Parameters
    ----------
    regions : sequence of Region
    shape : tuple of int
        ``(rows, columns)`` of the image, at whose edges boxes are cut.
    spacing_mm : float
    """
    clusters = [region.box_px for region in regions if region.name == CLUSTER]
    single = [
        region
        for region in regions
        if region.name in CALCIFICATIONS and not any(_holds(cluster, region.centre_px) for cluster in clusters)
    ]
    margin_px = MARGIN_MM / spacing_mm
    grouped = [_around(group, margin_px) for group in _groups(single, LINK_MM / spacing_mm) if len(group) >= MIN_GROUP]
    rows, columns = shape
    cut = [
        (max(x0, 0.0), max(y0, 0.0), min(x1, float(columns)), min(y1, float(rows)))
        for x0, y0, x1, y1 in (*clusters, *grouped)
    ]
    return tuple(dict.fromkeys(box_px for box_px in cut if box_px[0] < box_px[2] and box_px[1] < box_px[3]))


def _regions(path: Path, found: Iterable[tuple[str, Sequence[str]]]) -> Iterator[Region]:
    for name, texts in found:
        matches = [POINT.fullmatch(text.strip()) for text in texts]
        if not matches:
            continue
        try:
            points = np.array([[float(match[1]), float(match[2])] for match in matches if match is not None])
        except ValueError as error:
            raise LayoutUnreadable(f"AllXML/{path.name}: a point that is none") from error
        if len(points) < len(matches):
            raise LayoutUnreadable(f"AllXML/{path.name}: a point that is none")
        (x0, y0), (x1, y1) = points.min(axis=0), points.max(axis=0)
        yield Region(name=name.strip().lower(), box_px=(float(x0), float(y0), float(x1), float(y1)))


def _holds(box_px: BoxPx, point_px: tuple[float, float]) -> bool:
    x0, y0, x1, y1 = box_px
    return x0 <= point_px[0] <= x1 and y0 <= point_px[1] <= y1


def _groups(regions: Sequence[Region], link_px: float) -> Iterator[Sequence[Region]]:
    """Connected components, each region linked to those whose centre is nearer than `link_px`."""
    if not regions:
        return
    pairs = KDTree([region.centre_px for region in regions]).query_pairs(link_px, output_type="ndarray")
    links = coo_array((np.ones(len(pairs)), (pairs[:, 0], pairs[:, 1])), shape=(len(regions), len(regions)))
    count, of_region = connected_components(links, directed=False)
    for number in range(count):
        yield [region for region, group in zip(regions, of_region, strict=True) if group == number]


def _around(regions: Iterable[Region], margin_px: float) -> BoxPx:
    corners = np.array([region.box_px for region in regions])
    (x0, y0), (x1, y1) = corners[:, :2].min(axis=0) - margin_px, corners[:, 2:].max(axis=0) + margin_px
    return float(x0), float(y0), float(x1), float(y1)
