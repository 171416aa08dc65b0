"""The commands that work on manifests of tumours: check and share out, and simulate."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

import typer
from tqdm import tqdm

from models.regions.contract import View
from models.regions.outcomes import OUTCOMES
from models.training.contract import SPLITS, Split
from node.errors import SettingsInvalid
from pipelines.datasets import simulated_tumours as simulation
from pipelines.datasets.parquet import is_parquet
from pipelines.datasets.tumour_manifest import TumourEntry, read_tumours, write_tumours
from pipelines.datasets.tumour_shares import with_folds, with_splits

NONE_YET: Final = "none yet"
DEFAULT_DISTANCES: Final[Mapping[View, float]] = {"CC": 1.8, "MLO": 1.8}
DEFAULT_VAL, DEFAULT_TEST = 0.10, 0.30


def tumours(
    path: Path,
    *,
    out: Path | None,
    folds: int | None,
    val: float | None,
    test: float | None,
    by: str | None,
    seed: int,
) -> None:
    """Check a manifest, print its counts, and write it with a split or a fold for each patient.

    Raises
    ------
    ManifestInvalid
        With every problem of the rows.
    SettingsInvalid
        Options that do not go together.
    """
    shared = folds is not None or val is not None or test is not None
    _require(shared == (out is not None), "--out: goes with --folds, or --val and --test, and they with it")
    _require(by is None or by in OUTCOMES, f"--by: must be one of {', '.join(OUTCOMES)}")
    _require(out is None or not is_parquet(out), "--out: is written as CSV; name the file so")
    entries = read_tumours(path)
    if val is not None or test is not None:
        shares = _shares(DEFAULT_VAL if val is None else val, DEFAULT_TEST if test is None else test)
        entries = with_splits(entries, shares, by=by, seed=seed)
    if folds is not None:
        entries = with_folds(entries, folds, by=by, seed=seed)
    typer.echo(counts(entries))
    if out is not None:
        write_tumours(out, entries)
        typer.echo(f"wrote {out}")


def simulated_tumours(
    out: Path, *, patients: int, distances: Mapping[View, float | None], outcome: str, seed: int, shuffle: bool
) -> None:
    """Write a simulated cohort, and print how well it can be read at best.

    Raises
    ------
    SettingsInvalid
        The outcome is not known, or the folder holds something.
    """
    _require(outcome in OUTCOMES, f"--outcome: must be one of {', '.join(OUTCOMES)}")
    _require(not out.exists() or (out.is_dir() and not any(out.iterdir())), "--out: must be empty, or not there yet")
    given = {view: distance for view, distance in distances.items() if distance is not None}
    cohort = simulation.Cohort(
        patients=patients, distances=given or DEFAULT_DISTANCES, outcome=outcome, seed=seed, shuffled=shuffle
    )
    entries = simulation.simulate(cohort, out, _shown)
    typer.echo(counts(entries))
    for views, best in simulation.best_aucs(cohort).items():
        each = (
            f"{best:.4f}" if isinstance(best, float) else ", ".join(f"{name} {auc:.4f}" for name, auc in best.items())
        )
        typer.echo(f"best possible AUC, {views}: {each}")
    typer.echo(f"wrote {out / simulation.MANIFEST} and {simulation.TRUTH}: simulated, for research use")


def counts(entries: Sequence[TumourEntry]) -> str:
    """A table by split, or by fold: patients, lesions, views, and lesions by class of each outcome that is known."""
    parts = _parts(entries)
    columns = ["", *parts]
    rows = [columns]
    rows += [["patients", *(str(len({entry.patient for entry in some})) for some in parts.values())]]
    rows += [["lesions", *(str(len(some)) for some in parts.values())]]
    for view in ("CC", "MLO", "US"):
        rows += [[f"with {view}", *(str(sum(view in entry.views for entry in some)) for some in parts.values())]]
    found = {part: Counter(pair for entry in some for pair in entry.outcomes.items()) for part, some in parts.items()}
    for outcome, classes in OUTCOMES.items():
        if any((outcome, name) in counted for counted in found.values() for name in classes):
            rows += [
                [f"{outcome} {name}", *(str(counted[outcome, name]) for counted in found.values())] for name in classes
            ]
    widths = [max(len(row[column]) for row in rows) for column in range(len(columns))]
    return "\n".join("  ".join(_aligned(row, widths)) for row in rows)


def _aligned(row: Sequence[str], widths: Sequence[int]) -> Iterator[str]:
    yield row[0].ljust(widths[0])
    yield from (cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True))


def _shown(numbers: Iterable[int], count: int, doing: str) -> Iterable[int]:
    return tqdm(numbers, total=count, desc=doing, unit="patient", leave=False, disable=None)


def _parts(entries: Iterable[TumourEntry]) -> dict[str, list[TumourEntry]]:
    """Lesions by split; where no lesion has one, by fold."""
    kept = tuple(entries)
    by_fold = all(entry.split is None for entry in kept) and any(entry.fold is not None for entry in kept)
    if by_fold:
        folds = sorted({entry.fold for entry in kept if entry.fold is not None})
        parts = {f"fold {fold}": [entry for entry in kept if entry.fold == fold] for fold in folds}
        rest = [entry for entry in kept if entry.fold is None]
    else:
        parts = {split: [entry for entry in kept if entry.split == split] for split in SPLITS}
        rest = [entry for entry in kept if entry.split is None]
    return {name: some for name, some in {**parts, NONE_YET: rest}.items() if some}


def _shares(val: float, test: float) -> dict[Split, float]:
    _require(val + test < 1, "--val and --test: must be less than 1 together")
    return {"train": 1 - val - test, "val": val, "test": test}


def _require(fine: bool, problem: str) -> None:
    if not fine:
        raise SettingsInvalid((problem,), origin="command line")
