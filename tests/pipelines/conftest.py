"""Small mammograms on disk, stand-ins for the networks, and how a study is handed to a pipeline."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from models.contract import ClassificationOutput, Detection, DetectionOutput, ModelIdentity, ModelImage
from models.errors import WeightsMissing
from pipelines.contract import AnalysisOptions, InstanceFile, Reason, StudyInput
from pipelines.headers import describe_mammogram, read_header
from pipelines.phantom import PhantomPatient, mammogram

WEIGHTS = "ab" * 32
IDENTITIES = {
    name: ModelIdentity(name=name, version="0.0", weights_sha256=WEIGHTS, operating_point={"score_threshold": 0.3})
    for name in ("FPNNet", "SPPNet")
}


@dataclass
class FakeDetector:
    """Finds what is brighter than `threshold`: one malignant box around all of it."""

    device: str = "cpu"
    canonical_spacing_mm: float = 0.1
    threshold: float = 0.9
    score: float = 0.8
    malignancy: float = 0.6
    label: Any = "malignant"
    raises: Sequence[Exception | None] = ()
    seen: list[ModelImage] = field(default_factory=list)
    asked_for_heat: list[bool] = field(default_factory=list)
    warm: bool = False

    @property
    def identity(self) -> ModelIdentity:
        return IDENTITIES["FPNNet"]

    def identity_at(self, min_score: float | None) -> ModelIdentity:
        in_force = {} if min_score is None else {"score_threshold": min_score}
        known = IDENTITIES["FPNNet"]
        return replace(known, operating_point={**known.operating_point, **in_force})

    def warm_up(self) -> None:
        self.warm = True

    def predict(
        self, image: ModelImage, *, min_score: float | None = None, with_activation: bool = True
    ) -> DetectionOutput:
        self.seen.append(image)
        self.asked_for_heat.append(with_activation)
        error = self.raises[len(self.seen) - 1] if len(self.seen) <= len(self.raises) else None
        if error is not None:
            raise error
        box = bright_box(image.pixels, self.threshold)
        found = (
            ()
            if box is None
            else (Detection(box_px=box, label=self.label, score=self.score, malignancy=self.malignancy),)
        )
        heat = (image.pixels > self.threshold).astype(np.float32) if with_activation else None
        return DetectionOutput(
            detections=tuple(item for item in found if min_score is None or item.score >= min_score),
            activation=heat,
            device="cpu",
        )


@dataclass
class FakeClassifier:
    device: str = "cpu"
    canonical_spacing_mm: float = 0.2
    warm: bool = False

    @property
    def identity(self) -> ModelIdentity:
        return IDENTITIES["SPPNet"]

    def warm_up(self) -> None:
        self.warm = True

    def predict(self, image: ModelImage) -> ClassificationOutput:
        return ClassificationOutput(malignancy=0.25, device="cpu")


@dataclass
class FakeModels:
    """In place of `models.registry`; a network that is an exception is raised when it is loaded."""

    detector: Any = field(default_factory=FakeDetector)
    classifier: Any = field(default_factory=FakeClassifier)
    region_models: dict[str, Any] = field(default_factory=dict)

    @property
    def REGION_MODELS(self) -> tuple[str, ...]:  # noqa: N802  as the registry calls it
        return tuple(self.region_models)

    def load_region_classifier(self, name: str, device: str, weights_dir: Path | None) -> Any:
        return self._found(self.region_models[name])

    def load_detector(self, name: str, device: str, weights_dir: Path | None) -> Any:
        return self._found(self.detector)

    def load_classifier(self, name: str, device: str, weights_dir: Path | None) -> Any:
        return self._found(self.classifier)

    def describe_model(self, name: str, weights_dir: Path | None) -> Any:
        if name not in self.region_models:
            return SimpleNamespace(identity=IDENTITIES[name])
        network = self.region_models[name]
        missing = ModelIdentity(name=name, version="0.0", weights_sha256=None)
        return SimpleNamespace(identity=missing if isinstance(network, Exception) else network.identity)

    def _found(self, network: Any) -> Any:
        if isinstance(network, Exception):
            raise network
        return network


def no_weights() -> FakeModels:
    return FakeModels(detector=WeightsMissing("FPNNet"), classifier=WeightsMissing("SPPNet"))


def bright_box(pixels: NDArray[np.float32], threshold: float) -> tuple[float, float, float, float] | None:
    """Corner-based box around everything brighter than `threshold`."""
    rows, columns = np.nonzero(pixels > threshold)
    if rows.size == 0:
        return None
    return float(columns.min()), float(rows.min()), float(columns.max() + 1), float(rows.max() + 1)


def breast_pixels(
    laterality: str, rows: int = 240, columns: int = 200, square: tuple[int, int, int, int] | None = None
) -> NDArray[np.float32]:
    """Half an ellipse of grey tissue at the chest wall, air at exactly 0, a white square ``(x0, y0, x1, y1)``."""
    y, x = np.mgrid[0:rows, 0:columns]
    from_wall = x if laterality == "L" else columns - 1 - x
    inside = (from_wall / (0.7 * columns)) ** 2 + ((y - rows / 2) / (0.45 * rows)) ** 2 < 1
    pixels = np.where(inside, 0.4, 0.0).astype(np.float32)
    if square is not None:
        x0, y0, x1, y1 = square
        pixels[y0:y1, x0:x1] = 1.0
    return pixels


MakeMammogram = Callable[..., InstanceFile]


@pytest.fixture
def make_mammogram(tmp_path: Path) -> MakeMammogram:
    """Write a mammogram and return it as a received instance; keywords not known here are DICOM keywords to set."""
    count = iter(range(1, 1000))

    def make(
        name: str = "L-CC",
        *,
        pixels: NDArray[np.float32] | None = None,
        spacing_mm: float = 0.1,
        monochrome1: bool = False,
        magnification: float = 1.0,
        edit: Callable[[Any], None] | None = None,
        **attributes: Any,
    ) -> InstanceFile:
        number = next(count)
        dataset = mammogram(
            np.rint((breast_pixels(name[0]) if pixels is None else pixels) * 4095).astype(np.uint16),
            name,
            number=number,
            spacing_mm=spacing_mm,
            monochrome1=monochrome1,
            magnification=magnification,
            patient=PhantomPatient(),
            study_instance_uid="2.25.1",
            series_instance_uid="2.25.2",
        )
        for keyword, value in attributes.items():
            if value is None:
                del dataset[keyword]
            else:
                setattr(dataset, keyword, value)
        if edit is not None:
            edit(dataset)
        path = tmp_path / f"{number:03d}.dcm"
        dataset.save_as(path)
        return received(path)

    return make


def received(path: Path) -> InstanceFile:
    header = describe_mammogram(read_header(path))
    return InstanceFile(
        path=path,
        sop_instance_uid=header.sop_instance_uid,
        sop_class_uid=header.sop_class_uid,
        transfer_syntax_uid=header.transfer_syntax_uid,
    )


def a_study(*instances: InstanceFile, not_routed: Sequence[tuple[InstanceFile, Reason]] = ()) -> StudyInput:
    return StudyInput(study_instance_uid="2.25.1", revision=1, instances=instances, not_routed=tuple(not_routed))


def some_options(**changes: Any) -> AnalysisOptions:
    return AnalysisOptions(**{"created_at": datetime(2024, 1, 2, tzinfo=UTC), **changes})


@pytest.fixture
def tools() -> SimpleNamespace:
    """The helpers above, as conftest modules cannot be imported in importlib mode."""
    return SimpleNamespace(
        FakeDetector=FakeDetector,
        FakeClassifier=FakeClassifier,
        FakeModels=FakeModels,
        no_weights=no_weights,
        bright_box=bright_box,
        breast_pixels=breast_pixels,
        received=received,
        study=a_study,
        options=some_options,
    )
