"""Networks with a known answer in place of those of ultrasound, and studies of screens with a disc of known size."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.contract import BoxPx, ModelIdentity
from models.errors import WeightsMissing
from models.lesions import GreyFrame, RoiOutput, SegmentationOutput
from models.us_malignancy.roi import grown
from models.us_segmentation.regions import regions_of
from pipelines.contract import AnalysisOptions, InstanceFile, Reason, StudyInput
from tests.pipelines.ultrasound.screens import described, screen

DISC_GREY = 6
"""Darker than any speckle of `screens.speckle`, brighter than what is masked."""

POINTS = {
    "us-segmentation": {"mask_threshold": 0.5, "lesion_threshold": 0.5},
    "us-malignancy": {"malignancy_threshold": 0.5},
    "us-her2": {"positive_threshold": 0.5},
}
IDENTITIES = {
    name: ModelIdentity(name=name, version="0.0", weights_sha256="cd" * 32, operating_point=point)
    for name, point in POINTS.items()
}


@dataclass
class DarkSegmenter:
    """Outlines what has the grey of a disc; raises what it is told to at a call."""

    device: str = "cpu"
    raises: Sequence[Exception | None] = ()
    seen: list[GreyFrame] = field(default_factory=list)
    warm: bool = False

    @property
    def identity(self) -> ModelIdentity:
        return IDENTITIES["us-segmentation"]

    def identity_at(self, min_score: float | None) -> ModelIdentity:
        in_force = {} if min_score is None else {"lesion_threshold": min_score}
        known = self.identity
        return replace(known, operating_point={**known.operating_point, **in_force})

    def warm_up(self) -> None:
        self.warm = True

    def predict(self, frame: GreyFrame, *, min_score: float | None = None) -> SegmentationOutput:
        self.seen.append(frame)
        error = self.raises[len(self.seen) - 1] if len(self.seen) <= len(self.raises) else None
        if error is not None:
            raise error
        grey = frame.pixels * 255
        probability = np.where((grey > DISC_GREY - 2) & (grey < DISC_GREY + 2), 0.875, 0.0).astype(np.float32)
        regions, mask = regions_of(probability, 0.5, frame.spacing_mm)
        if min_score is not None and min_score > 0.875:
            regions, mask = (), np.zeros_like(mask)
        return SegmentationOutput(
            regions=regions, lesion_score=0.875 if regions else 0.0, mask=mask, probability=probability, device="cpu"
        )


@dataclass
class KnownClassifier:
    """Says the same probability of every region, and that it comes from its lower right quarter."""

    name: str = "us-malignancy"
    probability: float = 0.75
    device: str = "cpu"
    boxes_px: list[BoxPx] = field(default_factory=list)
    warm: bool = False

    @property
    def identity(self) -> ModelIdentity:
        return IDENTITIES[self.name]

    @property
    def classes(self) -> tuple[str, str]:
        return "first", "second"

    def warm_up(self) -> None:
        self.warm = True

    def predict(self, frame: GreyFrame, box_px: BoxPx) -> RoiOutput:
        self.boxes_px.append(box_px)
        cells = np.full((16, 16), -3.0, dtype=np.float32)
        cells[8:, 8:] = 4.0
        features = np.zeros(4, dtype=np.float32)
        return RoiOutput(
            probability=self.probability, roi_px=grown(box_px), activation=cells, features=features, device="cpu"
        )


@dataclass
class KnownModels:
    """In place of `models.registry`; a network that is an exception is raised when it is loaded."""

    segmenter: Any = field(default_factory=DarkSegmenter)
    malignancy: Any = field(default_factory=KnownClassifier)
    her2: Any = field(default_factory=lambda: WeightsMissing("us-her2"))

    def load_segmenter(self, name: str, device: str, weights_dir: Path | None) -> Any:
        return self._found(self.segmenter)

    def load_lesion_classifier(self, name: str, device: str, weights_dir: Path | None) -> Any:
        return self._found({"us-malignancy": self.malignancy, "us-her2": self.her2}[name])

    def describe_model(self, name: str, weights_dir: Path | None) -> Any:
        return SimpleNamespace(identity=IDENTITIES[name])

    def _found(self, network: Any) -> Any:
        if isinstance(network, Exception):
            raise network
        return network


def no_weights() -> KnownModels:
    return KnownModels(segmenter=WeightsMissing("x"), malignancy=WeightsMissing("x"))


def with_disc(
    grey: NDArray[np.uint8] | None = None, at_px: tuple[float, float] = (300.0, 250.0), radius_px: float = 40.0
) -> NDArray[np.uint8]:
    """A screen with a dark disc about ``(x, y)``, (0, 0) the outer corner of the first pixel."""
    drawn = screen() if grey is None else grey.copy()
    y, x = np.mgrid[: drawn.shape[0], : drawn.shape[1]] + 0.5
    drawn[np.hypot(x - at_px[0], y - at_px[1]) < radius_px] = DISC_GREY
    return drawn


def received(path: Path) -> InstanceFile:
    header = described(path)
    return InstanceFile(
        path=path,
        sop_instance_uid=header.sop_instance_uid,
        sop_class_uid=header.sop_class_uid,
        transfer_syntax_uid=header.transfer_syntax_uid,
    )


def a_study(*paths: Path, not_routed: Sequence[tuple[InstanceFile, Reason]] = ()) -> StudyInput:
    return StudyInput(
        study_instance_uid=described(paths[0]).study_instance_uid if paths else "2.25.1",
        revision=1,
        instances=tuple(received(path) for path in paths),
        not_routed=tuple(not_routed),
    )


def some_options(**changes: Any) -> AnalysisOptions:
    return AnalysisOptions(**{"created_at": datetime(2024, 1, 2, tzinfo=UTC), **changes})


@dataclass
class MiddleSegmenter(DarkSegmenter):
    """Outlines an ellipse in the middle of every frame, whatever it shows: of real pictures nothing is known."""

    def predict(self, frame: GreyFrame, *, min_score: float | None = None) -> SegmentationOutput:
        self.seen.append(frame)
        rows, columns = frame.pixels.shape
        y, x = np.mgrid[:rows, :columns] + 0.5
        inside = np.hypot((x - columns / 2) / (columns / 8), (y - rows / 2) / (rows / 12)) < 1
        probability = np.where(inside, 0.75, 0.0).astype(np.float32)
        regions, mask = regions_of(probability, 0.5, frame.spacing_mm)
        return SegmentationOutput(regions=regions, lesion_score=0.75, mask=mask, probability=probability, device="cpu")
