"""A cohort of simulated tumours as files: to find out whether a model, or a radiomics signature, learns what is there.

The best AUC is known by construction (`models.phantom.observer`), and is written beside the manifest with the latents
of each patient, so that what the best observer reaches on any subset can be computed.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from types import MappingProxyType
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from models.phantom.observer import best_auc, best_one_vs_rest, best_score, draw_latents
from models.phantom.tumours import SPACING_MM, make_tumour_view
from models.regions.contract import VIEWS, View
from models.regions.outcomes import OUTCOMES
from models.regions.pathology import Pathology, outcomes
from models.training.contract import Split
from pipelines.datasets.rows import Laterality
from pipelines.datasets.splits import assign_splits
from pipelines.datasets.tumour_manifest import TumourEntry, ViewEntry, write_tumours
from pipelines.datasets.tumour_rows import ONLY_LESION, Mark
from pipelines.training import Progress

MANIFEST: Final = "manifest.csv"
TRUTH: Final = "truth.json"
SHARES: Final[Mapping[Split, float]] = MappingProxyType({"train": 0.6, "val": 0.1, "test": 0.3})
PNG_LEVEL: Final = 1
"""Noise hardly compresses: the default level takes six times as long for a sixth of the size."""

LABEL_STREAM, LATENT_STREAM, PATIENT_STREAM, PICTURE_STREAM = range(4)
"""Which random numbers: labels dealt anew leave every picture as it was."""

_NEGATIVE: Final = Pathology(er="negative", pr="negative", her2_ihc="0", node="negative", pathotype="dcis")
_POSITIVE: Final = Pathology(er="positive", pr="positive", her2_ihc="3+", node="positive", pathotype="invasive")
_LUMINAL_A: Final = Pathology(
    er="positive", pr="positive", her2_ihc="0", ki67=10, grade=1, node="negative", pathotype="invasive"
)
_LUMINAL_B: Final = Pathology(
    er="positive", pr="negative", her2_ihc="1+", ki67=30, grade=2, node="negative", pathotype="invasive"
)
_HER2_HR_POSITIVE: Final = Pathology(
    er="positive", pr="positive", her2_ihc="3+", ki67=30, grade=2, node="positive", pathotype="invasive"
)
_HER2_HR_NEGATIVE: Final = Pathology(
    er="negative", pr="negative", her2_ihc="2+", her2_fish="positive", ki67=40, grade=3, node="positive",
    pathotype="invasive",
)  # fmt: skip
_TRIPLE_NEGATIVE: Final = Pathology(
    er="negative", pr="negative", her2_ihc="0", ki67=60, grade=3, node="positive", pathotype="invasive"
)

FINDINGS: Final[Mapping[str, tuple[Pathology, ...]]] = MappingProxyType(
    {
        **dict.fromkeys(("er", "pr", "her2", "node", "invasive"), (_NEGATIVE, _POSITIVE)),
        "invasive_or_microinvasive": (_NEGATIVE, _POSITIVE),
        "her2_level": (
            Pathology(her2_ihc="0"),
            Pathology(her2_ihc="2+", her2_fish="negative"),
            Pathology(her2_ihc="3+"),
        ),
        "luminal": (_HER2_HR_NEGATIVE, _LUMINAL_A),
        "triple_negative": (_LUMINAL_A, _TRIPLE_NEGATIVE),
        "subtype": (_LUMINAL_A, _LUMINAL_B, _HER2_HR_POSITIVE, _HER2_HR_NEGATIVE, _TRIPLE_NEGATIVE),
    }
)
"""By outcome: what pathology says of each of its classes. Where it does not matter, other outcomes follow the class."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cohort:
    """What is simulated.

    Attributes
    ----------
    patients : int
        Each has one lesion; the classes are equally frequent, to one patient.
    distances : mapping of str to float
        ``d`` by view: what the view tells of the class, `models.phantom.observer`.
    outcome : str
        A key of `models.regions.outcomes.OUTCOMES`.
    seed : int
        The same seed gives the same files.
    shuffled : bool
        Whether the classes are dealt anew once the pictures are drawn: then nothing can be learned.
    """

    patients: int
    distances: Mapping[View, float]
    outcome: str = "er"
    seed: int = 0
    shuffled: bool = False

    @property
    def classes(self) -> tuple[str, ...]:
        """Of the outcome."""
        return OUTCOMES[self.outcome]


def simulate(cohort: Cohort, folder: Path, progress: Progress[int]) -> tuple[TumourEntry, ...]:
    """Write pictures, masks of two readers, `MANIFEST` and `TRUTH` to a folder, which is made.

    Parameters
    ----------
    progress : callable
        Is given the numbers of the patients, how many they are, and what is done.
    """
    drawn, named = _classes(cohort)
    rng = np.random.default_rng([cohort.seed, LATENT_STREAM])
    latents = draw_latents(drawn, len(cohort.classes), cohort.distances, rng)
    folder.mkdir(parents=True, exist_ok=True)
    names = [f"p{number:0{len(str(cohort.patients))}}" for number in range(1, cohort.patients + 1)]
    strata = {name: cohort.classes[label] for name, label in zip(names, named, strict=True)}
    splits = assign_splits(strata, {}, cohort.classes, SHARES, cohort.seed)
    entries = tuple(
        _patient(
            cohort,
            number,
            folder / "images",
            name=names[number],
            split=splits[names[number]],
            pathology=FINDINGS[cohort.outcome][named[number]],
            latents={view: float(values[number]) for view, values in latents.items()},
        )
        for number in progress(range(cohort.patients), cohort.patients, "simulating")
    )
    write_tumours(folder / MANIFEST, entries)
    _write_truth(cohort, folder / TRUTH, names, drawn=drawn, named=named, latents=latents)
    return entries


def best_aucs(cohort: Cohort) -> dict[str, float | dict[str, float]]:
    """By view, and for several views together (``"CC+MLO"``): of two classes the AUC, of more that of each class."""
    views = [view for view in VIEWS if view in cohort.distances]
    together = [some for count in range(1, len(views) + 1) for some in combinations(views, count)]
    return {"+".join(some): _best(cohort, [cohort.distances[view] for view in some]) for some in together}


def _best(cohort: Cohort, distances: list[float]) -> float | dict[str, float]:
    known = [0.0] * len(distances) if cohort.shuffled else distances
    if len(cohort.classes) == 2:
        return round(best_auc(known), 6)
    each = best_one_vs_rest(known, len(cohort.classes))
    return {name: round(value, 6) for name, value in zip(cohort.classes, each, strict=True)}


def _classes(cohort: Cohort) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """What the patients are drawn as, and what the manifest calls them."""
    rng = np.random.default_rng([cohort.seed, LABEL_STREAM])
    drawn = rng.permutation(np.arange(cohort.patients) % len(cohort.classes))
    return drawn, rng.permutation(drawn) if cohort.shuffled else drawn


def _patient(
    cohort: Cohort,
    number: int,
    folder: Path,
    *,
    name: str,
    split: Split,
    pathology: Pathology,
    latents: Mapping[View, float],
) -> TumourEntry:
    """Draw the views of one patient; nothing but `latents` reaches them from the class."""
    rng = np.random.default_rng([cohort.seed, PATIENT_STREAM, number])
    laterality: Laterality = "L" if rng.random() < 0.5 else "R"
    age = round(float(np.clip(rng.normal(55.0, 11.0), 25.0, 90.0)))
    folder.mkdir(exist_ok=True)
    return TumourEntry(
        patient=name,
        lesion=ONLY_LESION,
        laterality=laterality,
        split=split,
        fold=None,
        views={view: _view(cohort, number, folder / f"{name}-{view}", view, latents[view]) for view in latents},
        pathology=pathology,
        clinical={"age": float(age)},
    )


def _view(cohort: Cohort, number: int, stem: Path, view: View, latent: float) -> ViewEntry:
    rng = np.random.default_rng([cohort.seed, PICTURE_STREAM, number, VIEWS.index(view)])
    drawn = make_tumour_view(latent, view, rng)
    paths = [stem.with_name(f"{stem.name}{suffix}.png").absolute() for suffix in ("", "-mask", "-mask2")]
    pictures = (drawn.pixels, *(np.where(mask, 255, 0).astype(np.uint8) for mask in (drawn.mask, drawn.second_mask)))
    for path, pixels in zip(paths, pictures, strict=True):
        Image.fromarray(pixels).save(path, compress_level=PNG_LEVEL)
    return ViewEntry(path=paths[0], mark=Mark(mask=paths[1]), spacing_mm=SPACING_MM, second_mask=paths[2])


def _write_truth(
    cohort: Cohort,
    path: Path,
    names: list[str],
    *,
    drawn: NDArray[np.intp],
    named: NDArray[np.intp],
    latents: Mapping[View, NDArray[np.float64]],
) -> None:
    patients = {}
    for number, name in enumerate(names):
        of_one = {view: float(values[number]) for view, values in latents.items()}
        patients[name] = {
            "class": cohort.classes[named[number]],
            "drawn_as": cohort.classes[drawn[number]],
            "latents": of_one,
            "best_score": best_score(of_one, cohort.distances),
        }
    truth = {
        "note": "Simulated tumours, nobody's: for the test of models, not of medicine. Research use.",
        "outcome": cohort.outcome,
        "classes": list(cohort.classes),
        "classes_by_outcome": [outcomes(found) for found in FINDINGS[cohort.outcome]],
        "seed": cohort.seed,
        "shuffled": cohort.shuffled,
        "distances": dict(cohort.distances),
        "best_auc": best_aucs(cohort),
        "patients": patients,
    }
    path.write_text(json.dumps(truth, indent=1) + "\n", encoding="utf-8")
