"""Patches for subtypes from the manifest of tumours, so that one table serves all models of regions."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Final

from models.errors import TrainingRefused
from models.metadata import own_metadata
from models.regions.contract import LesionView
from models.sppnet_patches.patch import SPACING_MM, side_of_view, square_about
from models.training.patches import RECEPTORS, REGION_PX, TASKS, Patch, PatchTask, Pathology
from models.training.tumours import Tumour
from pipelines.datasets.patches import COLUMNS as PATCH_COLUMNS
from pipelines.datasets.tables import columns_of
from pipelines.datasets.tumour_rows import CLINICAL_PREFIX, COLUMNS
from pipelines.datasets.tumours import TumourEntry

ONLY_OF_TUMOURS: Final = frozenset(COLUMNS) - frozenset(PATCH_COLUMNS)
ONLY_OF_PATCHES: Final = frozenset(PATCH_COLUMNS) - frozenset(COLUMNS)

SURROUND_MM: Final = REGION_PX * SPACING_MM / 2
"""Kept around a lesion: patches of a step are of one size, so that of a small lesion may reach that far."""


def is_of_tumours(path: Path) -> bool:
    """Whether a table is a manifest of tumours: a column is theirs alone, and none is of patches alone."""
    names = set(columns_of(path))
    named = bool(ONLY_OF_TUMOURS & names) or any(name.startswith(CLINICAL_PREFIX) for name in names)
    return named and not ONLY_OF_PATCHES & names


def entries_for_patches(entries: Iterable[TumourEntry], task: PatchTask) -> tuple[TumourEntry, ...]:
    """Return what patches are learned from: mammograms of the splits train and val whose class is known.

    Raises
    ------
    TrainingRefused
        Tumours are in no split.
    """
    outcome = own_metadata(TASKS[task].model).region_task.outcome
    known = [one for one in entries if outcome in one.outcomes and any(view != "US" for view in one.views)]
    if undecided := sum(one.split is None for one in known):
        raise TrainingRefused(
            f"{undecided} tumours are in no split: mammonode manifest tumours --val --test --out puts them into one"
        )
    return tuple(
        replace(one, views={name: view for name, view in one.views.items() if name != "US"})
        for one in known
        if one.split in ("train", "val")
    )


def patches_of_tumours(tumours: Iterable[Tumour]) -> tuple[Patch, ...]:
    """Cut a patch out of every view.

    Parameters
    ----------
    tumours : iterable of Tumour
        Loaded with `SURROUND_MM` around each lesion; each is in a split.

    Raises
    ------
    TrainingRefused
        The spacing of views is not known.
    """
    views = [(tumour, view) for tumour in tumours for view in tumour.views.values()]
    if bare := sum(view.spacing_mm is None for _, view in views):
        raise TrainingRefused(f"{bare} of {len(views)} views have no spacing_mm: patches are cut by their size in mm")
    return tuple(_patch(tumour, view) for tumour, view in views)


def _patch(tumour: Tumour, view: LesionView) -> Patch:
    assert tumour.split is not None and view.spacing_mm is not None  # refused before
    return Patch(
        patient=tumour.patient,
        split=tumour.split,
        pixels=square_about(view.pixels, view.box_px, view.spacing_mm, REGION_PX),
        side_px=side_of_view(view),
        pathology=_pathology(tumour),
        er=next((one for one in RECEPTORS if one == tumour.outcomes.get("er")), None),
    )


def _pathology(tumour: Tumour) -> Pathology | None:
    """What both splits of the paper say of it together."""
    strict, wide = tumour.outcomes.get("invasive"), tumour.outcomes.get("invasive_or_microinvasive")
    if strict is None or wide is None:
        return None
    if strict == "invasive":
        return "invasive"
    return "microinvasive" if wide == "invasive" else "dcis"
