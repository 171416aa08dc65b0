"""Weights are loaded once, and only when they are the ones that the metadata names."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
import torch

from models import registry, weights
from models.errors import WeightsMismatch, WeightsMissing
from models.fpnnet.predict import FPNNetPredictor
from models.metadata import bundle_metadata, read_metadata
from models.sppnet.predict import SPPNetPredictor
from models.weights import find_weights, read_weights, verify_weights, write_weights
from tests.models.builders import install_random_weights, noise_image, random_network

pytestmark = pytest.mark.usefixtures("nothing_resident")


@pytest.fixture
def tiny(tmp_path: Path) -> Path:
    """A weights_dir with a well-formed file that no network fits."""
    write_weights({"a": torch.ones(3)}, tmp_path / "sppnet", bundle_metadata("SPPNet"))
    return tmp_path


def rewrite_metadata(weights_dir: Path, **changes: Any) -> None:
    path = weights_dir / "sppnet" / "metadata.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def test_sppnet_ships_without_weights_yet() -> None:
    with pytest.raises(WeightsMissing, match="no weights installed"):
        registry.load("SPPNet")


def test_an_empty_weights_dir_leaves_the_bundles_own_in_place(tmp_path: Path) -> None:
    with pytest.raises(WeightsMissing):
        find_weights("SPPNet", tmp_path)
    (tmp_path / "sppnet").mkdir()
    with pytest.raises(WeightsMissing):
        find_weights("SPPNet", tmp_path)


def test_installed_weights_load_and_predict(random_weights_dir: Path) -> None:
    detector = registry.load_detector("FPNNet", "cpu", random_weights_dir)
    classifier = registry.load_classifier("SPPNet", "cpu", random_weights_dir)
    assert isinstance(detector, FPNNetPredictor) and isinstance(classifier, SPPNetPredictor)
    for predictor, folder in ((detector, "fpnnet"), (classifier, "sppnet")):
        file = (random_weights_dir / folder / "model.safetensors").read_bytes()
        assert predictor.identity.weights_sha256 == hashlib.sha256(file).hexdigest()
    assert detector.predict(noise_image(), with_activation=False).device == "cpu"
    assert 0 <= classifier.predict(noise_image()).malignancy <= 1


def test_what_was_written_is_what_computes(random_weights_dir: Path) -> None:
    predictor = registry.load_classifier("SPPNet", "cpu", random_weights_dir)
    image = noise_image()
    with torch.inference_mode():
        expected = random_network("SPPNet")(torch.from_numpy(image.pixels)[None]).softmax(dim=1)[0, 1]
    assert predictor.predict(image).malignancy == pytest.approx(float(expected))


def test_a_loaded_model_stays_resident_and_its_file_is_read_once(
    random_weights_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reads: list[weights.WeightsPlace] = []

    def counted(place: weights.WeightsPlace) -> weights.VerifiedWeights:
        reads.append(place)
        return read_weights(place)

    monkeypatch.setattr(registry, "read_weights", counted)
    first = registry.load("SPPNet", "cpu", random_weights_dir)
    assert registry.load("SPPNet", "cpu", random_weights_dir) is first
    assert len(reads) == 1


def test_auto_and_the_device_that_it_means_share_one_model(random_weights_dir: Path) -> None:
    first = registry.load("SPPNet", "auto", random_weights_dir)
    assert registry.load("SPPNet", first.device, random_weights_dir) is first


def test_a_tampered_file_is_refused_before_it_is_parsed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install_random_weights(tmp_path, "SPPNet")
    path = tmp_path / "sppnet" / "model.safetensors"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    monkeypatch.setattr(weights.VerifiedWeights, "state_dict", lambda self: pytest.fail("parsed"))
    with pytest.raises(WeightsMismatch, match="SHA-256"):
        registry.load("SPPNet", "cpu", tmp_path)


def test_a_file_that_changes_after_it_was_verified_is_hashed_again(tiny: Path) -> None:
    place = find_weights("SPPNet", tiny)
    verify_weights(place)
    place.path.write_bytes(b"something else")
    with pytest.raises(WeightsMismatch):
        verify_weights(place)


def test_an_unchanged_file_is_hashed_once(tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = find_weights("SPPNet", tiny)
    digest = verify_weights(place)
    monkeypatch.setattr(hashlib, "file_digest", lambda *_: pytest.fail("hashed again"))
    assert verify_weights(place) == digest


def test_weights_of_another_architecture_are_refused(tiny: Path) -> None:
    with pytest.raises(WeightsMismatch, match="not those of this network"):
        registry.load("SPPNet", "cpu", tiny)


def test_a_file_that_is_not_safetensors_is_refused(tiny: Path) -> None:
    content = b"pickle, say"
    (tiny / "sppnet" / "model.safetensors").write_bytes(content)
    sha256 = hashlib.sha256(content).hexdigest()
    rewrite_metadata(tiny, weights={"file": "model.safetensors", "sha256": sha256})
    with pytest.raises(WeightsMismatch, match="not safetensors"):
        registry.load("SPPNet", "cpu", tiny)


def test_weights_that_are_not_finite_are_refused(tmp_path: Path) -> None:
    state = random_network("SPPNet").state_dict()
    state["fc.bias"] = torch.tensor([0.0, float("nan")])
    write_weights(state, tmp_path / "sppnet", bundle_metadata("SPPNet"))
    with pytest.raises(WeightsMismatch, match="not finite"):
        registry.load("SPPNet", "cpu", tmp_path)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"weights": {"file": "model.safetensors", "sha256": None}}, "names no SHA-256"),
        ({"weights": {"file": "../model.safetensors", "sha256": "0" * 64}}, "bare file name"),
        ({"name": "FPNNet"}, "that of FPNNet"),
        ({"task": "guessing"}, "guessing"),
        ({"canonical_spacing_mm": -0.1}, "not a length"),
        ({"operating_point": {"malignancy_threshold": "$__import__('os')"}}, "could not convert"),
        ({"operating_point": None}, "metadata.json"),
        ({"measured": {}}, "figures"),
    ],
)
def test_metadata_that_cannot_vouch_for_the_weights_is_refused(tiny: Path, changes: dict[str, Any], says: str) -> None:
    rewrite_metadata(tiny, **changes)
    with pytest.raises(WeightsMismatch, match=says):
        read_weights(find_weights("SPPNet", tiny))


@pytest.mark.parametrize("text", [None, "{", "[]"])
def test_weights_without_readable_metadata_are_refused(tiny: Path, text: str | None) -> None:
    path = tiny / "sppnet" / "metadata.json"
    path.unlink()
    if text is not None:
        path.write_text(text)
    with pytest.raises(WeightsMismatch, match=r"metadata\.json"):
        find_weights("SPPNet", tiny)


def test_an_operating_point_that_lacks_a_threshold_is_refused(tmp_path: Path) -> None:
    metadata = bundle_metadata("FPNNet")
    del metadata["operating_point"]["nms_threshold"]
    write_weights({"a": torch.ones(1)}, tmp_path / "fpnnet", metadata)
    with pytest.raises(WeightsMismatch, match="operating point"):
        registry.load("FPNNet", "cpu", tmp_path)


def test_a_sites_operating_point_is_the_one_in_force(tmp_path: Path) -> None:
    metadata = bundle_metadata("FPNNet")
    metadata["operating_point"] |= {"score_threshold": 0.6, "gate_threshold": 0.0}
    write_weights(random_network("FPNNet").state_dict(), tmp_path / "fpnnet", metadata)
    predictor = registry.load_detector("FPNNet", "cpu", tmp_path)
    found = predictor.predict(noise_image(), with_activation=False).detections
    assert predictor.identity.operating_point["score_threshold"] == 0.6
    assert found and min(detection.score for detection in found) > 0.6


def test_metadata_that_is_written_names_the_weights_beside_it(tiny: Path) -> None:
    metadata = read_metadata(tiny / "sppnet" / "metadata.json")
    content = (tiny / "sppnet" / "model.safetensors").read_bytes()
    assert metadata.weights_sha256 == hashlib.sha256(content).hexdigest()
    assert {path.name for path in (tiny / "sppnet").iterdir()} == {"metadata.json", "model.safetensors"}
