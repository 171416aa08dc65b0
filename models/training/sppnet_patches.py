"""What ``mammonode train sppnet-patches`` does: SPPNet on patches of malignant calcifications, for their subtype.

The paper's own test AUC for these tasks is 0.54 to 0.57, hardly better than chance: judge what is trained here by the
figures in its own card.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from models.errors import TrainingRefused
from models.metadata import bundle_metadata, folder_name
from models.resampling import resample
from models.sppnet_patches.patch import GREATEST_SIDE_PX, LEAST_SIDE_PX, MARGIN_PX
from models.training.classifier import ClassifierPlan, ClassifierTraining
from models.training.crops import cut
from models.training.loop import training_dir
from models.training.patches import (
    JITTER_PX,
    REGION_PX,
    SCALES,
    TASKS,
    Patch,
    PatchTask,
    class_of,
    digest_of_patches,
)
from models.training.provenance import digest_of_file
from models.training.samples import Batch, Sample, varied
from models.training.sppnet import new_network, write_bundle
from models.training.steps import Tell

CALCIFICATIONS: Final = "patches of malignant calcifications"
SIDE_STEP_PX: Final = 32
"""Sides in training are multiples of it: the last feature map then has whole cells."""


@dataclass(slots=True)
class PatchSamples:
    """Draws patches of the training split, both classes equally often.

    Patches of a step are of one size, that of the largest among them: the others get more of their surround.

    Raises
    ------
    TrainingRefused
        A class has no patch.
    """

    patches: Sequence[Patch]
    task: PatchTask
    seed: int
    batch: int
    _by_class: dict[bool, list[Patch]] = field(init=False)

    def __post_init__(self) -> None:
        self._by_class = {
            wanted: [patch for patch in self.patches if class_of(patch, self.task) is wanted]
            for wanted in (False, True)
        }
        _require_both(self._by_class, self.task, "training")

    def draw(self, step: int) -> Batch:
        """Make the samples of step `step`; classes alternate, the first by lot."""
        rng = np.random.default_rng([self.seed, step])
        first = int(rng.integers(2))
        drawn = []
        for place in range(self.batch):
            positive = (first + place) % 2 == 1
            patches = self._by_class[positive]
            drawn.append((patches[int(rng.integers(len(patches)))], positive))
        largest = max(patch.side_px for patch, _ in drawn)
        side = min(-(-largest // SIDE_STEP_PX) * SIDE_STEP_PX, GREATEST_SIDE_PX)
        samples = (
            Sample(pixels=varied(rng, self._cut(rng, patch, side)), positive=positive) for patch, positive in drawn
        )
        return Batch(samples=tuple(samples), alone=False)

    def _cut(self, rng: np.random.Generator, patch: Patch, side: int) -> NDArray[np.float32]:
        taken = round(side * rng.uniform(*SCALES))
        left, top = ((REGION_PX - taken) // 2 + rng.integers(-JITTER_PX, JITTER_PX + 1, size=2)).tolist()
        return resample(cut(patch.pixels, left, top, taken), (side, side))


def views_of_patches(patches: Sequence[Patch], task: PatchTask) -> tuple[Sample, ...]:
    """Patches to validate on: each of its own size, as a network is given it after training."""
    views: dict[bool, list[Sample]] = {False: [], True: []}
    for patch in patches:
        positive = class_of(patch, task)
        if positive is not None:
            corner = (REGION_PX - patch.side_px) // 2
            pixels = cut(patch.pixels, corner, corner, patch.side_px)
            views[positive].append(Sample(pixels=pixels, positive=positive))
    _require_both(views, task, "validation")
    return (*views[False], *views[True])


def train_patches(
    patches: Sequence[Patch],
    directory: Path,
    *,
    task: PatchTask,
    plan: ClassifierPlan,
    note: str,
    what: str = CALCIFICATIONS,
    start: Path | None = None,
    tell: Tell = lambda step, losses: None,
    until: Callable[[], bool] = lambda: False,
) -> Path | None:
    """Train on the split train, or go on with a run that is in `directory`; at its end write the bundle.

    Parameters
    ----------
    note : str
        What it is trained on.
    what : str
        What a patch is, for the card.

    Returns
    -------
    pathlib.Path or None
        The folder of weights and metadata in `directory`; None when `until` stopped the run early.

    Raises
    ------
    TrainingRefused
        A split lacks a class, `start` is no such file, or the run in `directory` was begun with another plan.
    """
    source = PatchSamples([patch for patch in patches if patch.split == "train"], task, plan.seed, plan.batch)
    views = views_of_patches([patch for patch in patches if patch.split == "val"], task)
    name = TASKS[task].model
    run = ClassifierTraining(
        new_network(plan.seed, start),
        source,
        views=views,
        plan=plan,
        fixed={"model": name, "task": task, "patches": digest_of_patches(patches), "start": digest_of_file(start)},
        directory=training_dir(directory, name),
    )
    if not run.run(tell, until):
        return None
    return write_bundle(
        run,
        directory / folder_name(name),
        _metadata(task),
        note=note,
        recipe={},
        views=what,
        positive=TASKS[task].positive,
    )


def _metadata(task: PatchTask) -> dict[str, Any]:
    return bundle_metadata(TASKS[task].model) | {
        "licence": "that of the images it was trained on; see training_data",
        "patch": {
            "margin_px": MARGIN_PX,
            "least_side_px": LEAST_SIDE_PX,
            "greatest_side_px": GREATEST_SIDE_PX,
        },
    }


def _require_both(by_class: Mapping[bool, Sequence[object]], task: PatchTask, use: str) -> None:
    words = {False: TASKS[task].negative, True: TASKS[task].positive}
    missing = [words[wanted] for wanted in (False, True) if not by_class[wanted]]
    if missing:
        raise TrainingRefused(f"no patch for {use} is {', and none is '.join(missing)}")
