"""Crops and whole images with calcifications of a known class: what SPPNet learns from and is validated on.

Each planted sample has clusters of one class, both classes are equally frequent, and distractors are drawn regardless
of the class: nothing but the calcifications tells them apart.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

import numpy as np

from models.contract import Label
from models.errors import TrainingRefused
from models.resampling import resample
from models.training.breast import breast_places
from models.training.contract import TrainingImage, TruthBox
from models.training.crops import cut, within
from models.training.planted_views import plant_whole, planted_pairs
from models.training.samples import Batch, Sample, varied
from models.training.validation import view_of

LABELS: Final[tuple[Label, Label]] = ("benign", "malignant")

SIDE_STEP_PX: Final = 32
"""Sides of crops are multiples of it: the last feature map then has whole cells."""

TRIES: Final = 50
"""Places looked at for one sample; at some nothing can be planted, or there is no breast."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SamplePlan:
    """How samples are drawn.

    Attributes
    ----------
    sides_px : tuple of int
        Least and greatest side of a crop at `spacing_mm`.
    large_from : float
        Share of all steps after which crops of more than the least side begin. From random weights nothing is learned
        on large ones: what tells the classes apart is a hundredth of the picture, and a step has but two of them.
    spacing_mm : float
        The network's canonical spacing.
    whole : float
        Share of steps that see whole images, once these have begun.
    whole_from : float
        Share of all steps after which they begin. Statistics of normalisation are those of crops.
    whole_images : int
        In a step that sees whole images.
    real : float
        Probability that a sample is of a labelled image, when there is one of the class.
    scales : tuple of float
        A crop is taken larger than its side by a factor between these, and shrunk; a whole image is shrunk likewise.
    """

    sides_px: tuple[int, int] = (128, 640)
    large_from: float = 0.6
    spacing_mm: float = 0.1
    whole: float = 0.1
    whole_from: float = 0.7
    whole_images: int = 2
    real: float = 0.5
    scales: tuple[float, float] = (0.87, 1.15)


@dataclass(slots=True)
class CalcifiedSamples:
    """Draws samples.

    A step has crops of one side: of the least about `batch`, of greater ones fewer, so that steps cost alike; always an
    even number, half of either class.

    Parameters
    ----------
    groups : mapping of str to (share, images)
        Which images, and how often a planted sample comes from the group; labelled images may be in any group.
    plan : SamplePlan
    seed : int
    batch : int
        Crops of the least side in a step.
    steps : int
        Of the run, to know when whole images begin.

    Raises
    ------
    TrainingRefused
        A class can neither be planted nor has a labelled image.
    """

    groups: Mapping[str, tuple[float, Sequence[TrainingImage]]]
    plan: SamplePlan
    seed: int
    batch: int
    steps: int
    _plantable: list[Sequence[TrainingImage]] = field(init=False)
    _shares: list[float] = field(init=False)
    _real: dict[Label, list[tuple[TrainingImage, TruthBox]]] = field(init=False)

    def __post_init__(self) -> None:
        of_group = [(share, [image for image in images if image.plantable]) for share, images in self.groups.values()]
        filled = [(share, images) for share, images in of_group if images and share > 0]
        self._plantable = [images for _, images in filled]
        self._shares = [share / sum(share for share, _ in filled) for share, _ in filled]
        lesions = [(image, box) for _, images in self.groups.values() for image in images for box in image.lesions]
        self._real = {label: [(image, box) for image, box in lesions if box.label == label] for label in LABELS}
        missing = [label for label in LABELS if not self._plantable and not self._real[label]]
        if missing:
            what = " and no ".join(missing)
            raise TrainingRefused(f"no {what} lesion to train on, and no image to plant one in: see plantable")

    def draw(self, step: int) -> Batch:
        """Make the samples of step `step`; classes alternate, the first by lot."""
        rng = np.random.default_rng([self.seed, step])
        plan, first = self.plan, int(rng.integers(2))
        if step >= plan.whole_from * self.steps and rng.random() < plan.whole:
            whole = (self._sample(rng, LABELS[(first + place) % 2], None) for place in range(plan.whole_images))
            return Batch(samples=tuple(whole), alone=True)
        least, greatest = plan.sides_px
        greatest = greatest if step >= plan.large_from * self.steps else least
        side = least + SIDE_STEP_PX * int(rng.integers((greatest - least) // SIDE_STEP_PX + 1))
        count = max(2, 2 * round(self.batch * (least / side) ** 2 / 2))
        crops = (self._sample(rng, LABELS[(first + place) % 2], side) for place in range(count))
        return Batch(samples=tuple(crops), alone=False)

    def _sample(self, rng: np.random.Generator, label: Label, side_px: int | None) -> Sample:
        """Make a crop, or with None a whole image."""
        scale = rng.uniform(*self.plan.scales)
        if self._real[label] and (not self._plantable or rng.random() < self.plan.real):
            image, lesion = self._real[label][int(rng.integers(len(self._real[label])))]
            if side_px is not None:
                image = self._cropped(rng, image, lesion, side_px * scale)
        else:
            image = self._planted(rng, label, None if side_px is None else side_px * scale)
        return Sample(
            pixels=varied(rng, resample(image.pixels, self._shape(image, scale, side_px))),
            positive=any(lesion.label == "malignant" for lesion in image.lesions),
        )

    def _planted(self, rng: np.random.Generator, label: Label, side_px: float | None) -> TrainingImage:
        for _ in range(TRIES):
            images = self._plantable[int(rng.choice(len(self._shares), p=self._shares))]
            image = images[int(rng.integers(len(images)))]
            planted = plant_whole(image if side_px is None else self._cropped(rng, image, None, side_px), rng, label)
            if planted.lesions:
                return planted
        raise TrainingRefused("no calcifications could be planted anywhere: do the images show breasts?")

    def _cropped(
        self, rng: np.random.Generator, image: TrainingImage, lesion: TruthBox | None, side_px: float
    ) -> TrainingImage:
        """A square around a lesion, or around a place in the breast, with the lesions that reach into it."""
        side = round(side_px * self.plan.spacing_mm / image.spacing_mm)
        if lesion is None:
            places = breast_places(image.pixels)
            place = places[int(rng.integers(len(places)))].astype(float) if len(places) else np.zeros(2)
        else:
            x0, y0, x1, y1 = lesion.box_px
            place = np.array([x0 + x1, y0 + y1]) / 2
        left, top = within(place + rng.uniform(-0.25, 0.25, size=2) * side, side, image.pixels.shape)
        reaching = tuple(
            box
            for box in image.lesions
            if box.box_px[0] < left + side
            and box.box_px[2] > left
            and box.box_px[1] < top + side
            and box.box_px[3] > top
        )
        return replace(image, pixels=cut(image.pixels, left, top, side), lesions=reaching)

    def _shape(self, image: TrainingImage, scale: float, side_px: int | None) -> tuple[int, int]:
        """Rows and columns at the network's spacing."""
        if side_px is not None:
            return side_px, side_px
        rows, columns = (max(1, round(n * image.spacing_mm / self.plan.spacing_mm / scale)) for n in image.pixels.shape)
        return rows, columns


def views_of_classes(images: Iterable[TrainingImage], seed: int, spacing_mm: float) -> tuple[Sample, ...]:
    """Whole images to validate on: each plantable one with clusters of either class, each labelled one as it is."""
    of_val = tuple(images)
    planted = [pair.planted for label in LABELS for pair in planted_pairs(of_val, seed, label=label)]
    labelled = [image for image in of_val if image.lesions]
    return tuple(
        Sample(
            pixels=view_of(image, spacing_mm, normal=False).pixels,
            positive=any(lesion.label == "malignant" for lesion in image.lesions),
        )
        for image in (*planted, *labelled)
    )
