"""What the pipelines call: a predictor that stays resident, by task. Nothing here imports torch."""

from __future__ import annotations

from typing import Protocol

from models.contract import BoxPx, ClassificationOutput, DetectionOutput, ModelIdentity, ModelImage
from models.lesions import GreyFrame, RoiOutput, SegmentationOutput
from models.regions.contract import Lesion, RegionOutput, RegionTask


class LoadedModel(Protocol):
    """A model with its weights, on a device, ready to run. Safe to call from several threads, one at a time runs."""

    @property
    def identity(self) -> ModelIdentity:
        """Which model this is, at its own operating point."""
        ...

    @property
    def device(self) -> str:
        """Where it runs, e.g. ``"cpu"`` or ``"cuda:0"``."""
        ...

    def warm_up(self) -> None:
        """Run once on a small image, so that the first study does not wait for the device."""
        ...


class Predictor(LoadedModel, Protocol):
    """A model of mammography: its images have a known spacing."""

    @property
    def canonical_spacing_mm(self) -> float:
        """Pixel spacing that `predict` wants, rows and columns alike."""
        ...


class Detector(Predictor, Protocol):
    """Finds boxes on one image."""

    def identity_at(self, min_score: float | None) -> ModelIdentity:
        """Say which model this is when `min_score` takes the place of its own score threshold."""
        ...

    def predict(
        self, image: ModelImage, *, min_score: float | None = None, with_activation: bool = True
    ) -> DetectionOutput:
        """Find boxes on `image`.

        Parameters
        ----------
        image : ModelImage
            At `canonical_spacing_mm`.
        min_score : float or None
            Score threshold in place of the operating point's, 0 to 1.
        with_activation : bool
            Whether to compute the class activation map.

        Returns
        -------
        DetectionOutput
            Boxes in the frame of `image`, clipped to it, highest score first.

        Raises
        ------
        ValueError
            `image` is empty, not finite, or not at `canonical_spacing_mm`; or `min_score` is not in 0 to 1.
        DeviceOutOfMemory
            It fits neither the device nor the CPU.
        """
        ...


class Classifier(Predictor, Protocol):
    """Gives one probability for a whole image."""

    def predict(self, image: ModelImage) -> ClassificationOutput:
        """Return the probability that `image` is malignant.

        Raises
        ------
        ValueError
            `image` is empty, not finite, or not at `canonical_spacing_mm`.
        DeviceOutOfMemory
            It fits neither the device nor the CPU.
        """
        ...


class Segmenter(LoadedModel, Protocol):
    """Outlines the lesions of one ultrasound frame."""

    def identity_at(self, min_score: float | None) -> ModelIdentity:
        """Say which model this is when `min_score` takes the place of its own threshold of the lesion score."""
        ...

    def predict(self, frame: GreyFrame, *, min_score: float | None = None) -> SegmentationOutput:
        """Outline the lesions of `frame`, which may have any size.

        Parameters
        ----------
        frame : GreyFrame
            Tissue only: without the margins and writing around the region that shows the breast.
        min_score : float or None
            Threshold of the lesion score in place of the operating point's, 0 to 1.

        Returns
        -------
        SegmentationOutput
            In the frame of `frame`; without regions when its lesion score is below the threshold.

        Raises
        ------
        ValueError
            `frame` is empty or not finite, or `min_score` is not in 0 to 1.
        DeviceOutOfMemory
            It fits neither the device nor the CPU.
        """
        ...


class LesionClassifier(LoadedModel, Protocol):
    """Gives the probability of the second of two classes for one region of an ultrasound frame."""

    @property
    def classes(self) -> tuple[str, str]:
        """What the two classes are, e.g. ``("benign", "malignant")``."""
        ...

    def predict(self, frame: GreyFrame, box_px: BoxPx) -> RoiOutput:
        """Classify the lesion in `box_px`.

        Parameters
        ----------
        frame : GreyFrame
            Tissue only, of any size; the surround of the box is taken out of it.
        box_px : tuple of float
            The smallest box around the lesion: `LesionRegion.box_px`, or that of a radiologist's region. The model
            grows it to hold the border.

        Raises
        ------
        ValueError
            `frame` is empty or not finite, or `box_px` is not within it.
        DeviceOutOfMemory
            It fits neither the device nor the CPU.
        """
        ...


class RegionClassifier(LoadedModel, Protocol):
    """Predicts a receptor, a subtype or the node from a lesion in one or two views."""

    @property
    def task(self) -> RegionTask:
        """What it tells apart, and from which views."""
        ...

    def predict(self, lesion: Lesion) -> RegionOutput:
        """Give the probability of each class.

        Parameters
        ----------
        lesion : mapping of str to LesionView
            At least the views that `RegionTask.missing` asks for; others are not looked at.

        Raises
        ------
        ValueError
            A view that is needed is not there; pixels are empty or not finite; or a region is too small to say
            anything of.
        DeviceOutOfMemory
            It fits neither the device nor the CPU.
        """
        ...
