"""Patches for subtypes from the manifest of tumours, so that one table serves all models of regions."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from models.errors import TrainingRefused
from models.regions.contract import LesionView
from models.resampling import cut_out, resample
from models.sppnet_patches.patch import SPACING_MM, side_of
from models.training.patches import REGION_PX, Patch, Pathology, Receptor
from models.training.tumours import Tumour
from pipelines.datasets.patches import COLUMNS as PATCH_COLUMNS
from pipelines.datasets.tables import columns_of
from pipelines.datasets.tumour_rows import COLUMNS

ONLY_OF_TUMOURS = frozenset(COLUMNS) - frozenset(PATCH_COLUMNS)


def is_of_tumours(path: Path) -> bool:
    """Whether a table is a manifest of tumours: it has a column that a manifest of patches cannot have."""
    return bool(ONLY_OF_TUMOURS & set(columns_of(path)))


def patches_of_tumours(tumours: Iterable[Tumour]) -> tuple[Patch, ...]:
    """Cut a patch out of every mammogram of tumours.

    Parameters
    ----------
    tumours : iterable of Tumour
        Of the splits train and val; others are passed over, as are tumours on ultrasound alone.

    Raises
    ------
    TrainingRefused
        Tumours are in no split, or the spacing of a view is not known.
    """
    kept = tuple(tumours)
    if undecided := sum(one.split is None for one in kept):
        raise TrainingRefused(
            f"{undecided} tumours are in no split: mammonode manifest tumours --val --test puts them in"
        )
    return tuple(
        _patch(tumour, view)
        for tumour in kept
        if tumour.split in ("train", "val")
        for name, view in tumour.views.items()
        if name != "US"
    )


def _patch(tumour: Tumour, view: LesionView) -> Patch:
    if view.spacing_mm is None:
        raise TrainingRefused(f"tumour {tumour.name}: a view without spacing_mm; patches are cut by their size in mm")
    assert tumour.split is not None  # refused before
    x0, y0, x1, y1 = view.box_px
    down_mm, across_mm = view.spacing_mm
    rows, columns = (round(REGION_PX * SPACING_MM / spacing_mm) for spacing_mm in view.spacing_mm)
    left, top = round((x0 + x1 - columns) / 2), round((y0 + y1 - rows) / 2)
    return Patch(
        patient=tumour.patient,
        split=tumour.split,
        pixels=resample(cut_out(view.pixels, left, top, (rows, columns)), (REGION_PX, REGION_PX)),
        side_px=side_of((x0 * across_mm, y0 * down_mm, x1 * across_mm, y1 * down_mm), 1.0),
        pathology=_pathology(tumour),
        er=_receptor(tumour),
    )


def _pathology(tumour: Tumour) -> Pathology | None:
    """What both splits of the paper say of it together."""
    strict, wide = tumour.outcomes.get("invasive"), tumour.outcomes.get("invasive_or_microinvasive")
    if strict is None or wide is None:
        return None
    if strict == "invasive":
        return "invasive"
    return "microinvasive" if wide == "invasive" else "dcis"


def _receptor(tumour: Tumour) -> Receptor | None:
    found = tumour.outcomes.get("er")
    if found == "positive":
        return "positive"
    return "negative" if found == "negative" else None
