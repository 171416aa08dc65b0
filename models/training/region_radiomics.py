"""What ``mammonode train radiomics-...`` does with one model: tumours in, a fitted recipe in a bundle out."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import binary_dilation, binary_erosion, shift

from models.errors import TrainingRefused
from models.metadata import folder_name
from models.radiomics.features import FEATURES_OF, FeatureExtractor, settings_text
from models.radiomics.fitted import FittedRecipe, to_bytes
from models.radiomics.recipes import fallbacks, fit, machine_of, recipe, selected_columns, takes_two_outlines
from models.regions.contract import LesionView, RegionTask, View
from models.training.card import write_card
from models.training.fold_bundles import fold_metadata, weights_dir_of
from models.training.loop import training_dir
from models.training.provenance import digest_of_images
from models.training.radiomics_table import FEATURES_FILE, Measured, Outline, Outlined, features_of_all
from models.training.tumours import Tumour
from models.weights import write_weights_file

Floats = NDArray[np.float64]
WEIGHTS_FILE: Final = "model.skops"
OTHER_OUTLINE: Final = 0.02
"""A made second outline differs by this share of the lesion's diameter, and a pixel at least."""

PACKAGES: Final = ("pyradiomics", "scikit-learn", "imbalanced-learn", "simpleitk", "skops", "numpy")


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """Rows of features.

    Attributes
    ----------
    rows : numpy.ndarray
        Shape ``(n, columns)``.
    labels : numpy.ndarray
        Number of the class of each row.
    patients : numpy.ndarray
        Number of the patient of each row.
    left_out : tuple of str
        Tumours of a known class without features, or without a view that is needed.
    """

    rows: Floats
    labels: NDArray[np.intp]
    patients: NDArray[np.intp]
    left_out: tuple[str, ...]


def train(
    tumours: Sequence[Tumour],
    directory: Path,
    *,
    model: str,
    task: RegionTask,
    fold: int | None,
    note: str,
    described: Mapping[str, Any],
    seed: int = 1,
    workers: int = 1,
    tell: Callable[[int, int], None] = lambda done, total: None,
) -> Path:
    """Fit the recipe of `model` to tumours, and write the bundle.

    Features are kept in ``DIR/NAME-training/features.jsonl``, which all folds share.

    Parameters
    ----------
    directory : pathlib.Path
        See `models.training.fold_bundles`.
    model : str
        A key of `FEATURES_OF`.
    task : RegionTask
        What is told apart: the model's own, or another outcome with as many classes.
    fold : int or None
        That was left out, for the place of the bundle.
    note : str
        What it is trained on, in words.
    described : mapping
        The bundle's metadata, all but what the training adds.
    workers : int
        Processes that compute features.
    tell : callable
        Called with how many outlines have features, and how many there are.

    Returns
    -------
    pathlib.Path
        Folder of weights and metadata.

    Raises
    ------
    TrainingRefused
        A package is missing, or a class has too few lesions.
    """
    settings = settings_text(FEATURES_OF[model])
    try:
        names = FeatureExtractor(settings).names
    except ModuleNotFoundError as error:
        raise TrainingRefused(str(error)) from error
    twice = takes_two_outlines(model)
    outlines = _outlines(tumours, task, twice=twice, seed=seed)
    path = training_dir(directory, model) / FEATURES_FILE
    found = features_of_all(outlines, settings, path, workers=workers, tell=tell)
    table = _table(tumours, task, outlines, found, twice=twice)
    try:
        pipeline = fit(recipe(model, seed), table.rows, table.labels, table.patients)
    except ValueError as error:
        raise TrainingRefused(f"{model}: {error}") from error
    fitted = FittedRecipe(pipeline=pipeline, settings=settings, names=names)
    metadata = fold_metadata(
        model,
        fold,
        note=note,
        training=_training(fitted, table, tumours, task, seed),
        measured=None,
        described=described,
    )
    metadata["features"] = {"names": list(names), "settings": settings}
    metadata["required_packages_version"] = {package: version(package) for package in PACKAGES}
    target = weights_dir_of(directory, fold) / folder_name(model)
    write_weights_file(to_bytes(fitted), WEIGHTS_FILE, target, metadata, trained_on=metadata["training_data"])
    write_card(target, chosen_by_figures=False)
    return target


def other_outline(mask: NDArray[np.bool_], rng: np.random.Generator) -> NDArray[np.bool_]:
    """Make a second outline of a lesion that has one: a little wider or narrower, and a little beside it.

    After Zwanenburg et al., Scientific Reports 9:614 (2019), who grow, shrink and shift outlines to tell which features
    hold. The first one again where nothing would be left.
    """
    step = max(1, round(OTHER_OUTLINE * 2.0 * float(np.sqrt(mask.sum() / np.pi))))
    change = binary_dilation if rng.random() < 0.5 else binary_erosion
    angle = rng.uniform(0.0, 2.0 * np.pi)
    moved = shift(mask.astype(np.uint8), (round(step * np.sin(angle)), round(step * np.cos(angle))), order=0)
    other = np.asarray(change(moved.astype(bool), iterations=step), dtype=bool)
    return other if other.any() else mask


def _outlines(tumours: Sequence[Tumour], task: RegionTask, *, twice: bool, seed: int) -> list[Outlined]:
    found = []
    for tumour in tumours:
        if task.missing(tumour.views):
            continue
        for view in (view for view in task.views if view in tumour.views):
            lesion = tumour.views[view]
            found.append(Outlined(tumour=tumour.name, view=view, outline="first", lesion=lesion))
            if twice:
                second = _second(tumour, view, lesion, seed)
                found.append(Outlined(tumour=tumour.name, view=view, outline="second", lesion=second))
    return found


def _second(tumour: Tumour, view: View, lesion: LesionView, seed: int) -> LesionView:
    mask = tumour.second_masks.get(view)
    if mask is None:
        drawn_for = [seed, *f"{tumour.name} {view}".encode()]  # whatever the order of the tumours
        mask = other_outline(lesion.mask, np.random.default_rng(drawn_for))
    return LesionView(pixels=lesion.pixels, mask=mask, spacing_mm=lesion.spacing_mm)


def _table(
    tumours: Sequence[Tumour],
    task: RegionTask,
    outlines: Sequence[Outlined],
    found: Sequence[Measured],
    *,
    twice: bool,
) -> Table:
    values: dict[tuple[str, View, Outline], Floats | None] = {
        (one.tumour, one.view, one.outline): measured.values for one, measured in zip(outlines, found, strict=True)
    }
    patients = {name: number for number, name in enumerate(sorted({tumour.patient for tumour in tumours}))}
    rows: list[Floats] = []
    labels: list[int] = []
    groups: list[int] = []
    left_out = []
    for tumour in tumours:
        of_tumour = _rows_of(tumour, task, values, twice=twice)
        rows += of_tumour
        labels += [task.classes.index(tumour.outcomes[task.outcome])] * len(of_tumour)
        groups += [patients[tumour.patient]] * len(of_tumour)
        if not of_tumour:
            left_out.append(tumour.name)
    if len(set(labels)) < len(task.classes):
        raise TrainingRefused(f"{len(left_out)} tumours have no features or lack a view, and a class has none left")
    return Table(rows=np.array(rows), labels=np.array(labels), patients=np.array(groups), left_out=tuple(left_out))


def _rows_of(
    tumour: Tumour, task: RegionTask, values: Mapping[tuple[str, View, Outline], Floats | None], *, twice: bool
) -> list[Floats]:
    """Rows of a tumour: one of all views together, or one a view, with a second outline's behind."""
    of_views = [values.get((tumour.name, view, "first")) for view in task.views]
    if task.combination == "joint":
        known = [one for one in of_views if one is not None]
        return [np.concatenate(known)] if len(known) == len(task.views) else []
    rows = []
    for view, first in zip(task.views, of_views, strict=True):
        if first is None:
            continue
        second = values.get((tumour.name, view, "second")) if twice else None
        missing = np.full_like(first, np.nan)
        rows.append(np.concatenate([first, missing if second is None else second]) if twice else first)
    return rows


def _training(
    fitted: FittedRecipe, table: Table, tumours: Sequence[Tumour], task: RegionTask, seed: int
) -> dict[str, Any]:
    """What the metadata says of the run."""
    views = task.views if task.combination == "joint" else (None,)
    columns = [name if view is None else f"{view} {name}" for view in views for name in fitted.names]
    return {
        "recipe": [name for name, _ in fitted.pipeline.steps],
        "selected": [columns[column] for column in selected_columns(fitted.pipeline, len(columns)).tolist()],
        "single_best_after": list(fallbacks(fitted.pipeline)),
        **machine_of(fitted.pipeline),
        "rows": {name: int((table.labels == number).sum()) for number, name in enumerate(task.classes)},
        "left_out": len(table.left_out),
        "seed": seed,
        "frames": digest_of_images(tumours)[:16],
    }
