"""Which device a worker gets, and what a device that is full from the start, or refused weights, cost."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
import torch

from models import registry
from models.contract import ModelImage
from models.errors import DeviceOutOfMemory, WeightsMismatch
from models.metadata import bundle_metadata
from models.resident import Resident, checked_pixels
from models.weights import write_weights


@pytest.mark.parametrize(("index", "device"), [(0, "cuda:0"), (1, "cuda:1"), (2, "cuda:0"), (5, "cuda:1")])
def test_workers_take_the_accelerators_in_turn(monkeypatch: pytest.MonkeyPatch, index: int, device: str) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert registry.resolve_device("auto", index) == device
    assert registry.resolve_device("cpu", index) == "cpu"
    assert registry.resolve_device("cuda:1", index) == "cuda:1"


def test_without_an_accelerator_every_worker_computes_on_the_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert {registry.resolve_device("auto", index) for index in range(3)} == {"cpu"}


class Filling(torch.nn.Linear):
    """A network that finds no room on any device but the CPU, as often as `refusals` says."""

    refusals = 1

    def to(self, *args: object, **kwargs: object) -> Filling:
        if type(self).refusals > 0:
            type(self).refusals -= 1
            raise torch.OutOfMemoryError("CUDA out of memory")
        return super().to(*args, **kwargs)  # type: ignore[arg-type, return-value]  # passed on as they came


def where(_network: Filling, device: torch.device) -> str:
    return device.type


def test_a_device_that_is_full_when_the_network_comes_is_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Filling, "refusals", 1)
    resident = Resident(Filling(2, 2), "meta")
    assert resident.run(where) == ("cpu", "cpu")
    assert resident.run(where) == ("meta", "meta")


def test_a_full_device_and_a_full_cpu_are_one_error_of_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Filling, "refusals", 1)

    def attempt(_network: Filling, _device: torch.device) -> None:
        raise MemoryError

    with pytest.raises(DeviceOutOfMemory):
        Resident(Filling(2, 2), "meta").run(attempt)


def test_refused_weights_are_hashed_once_however_many_studies_ask(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_weights({"a": torch.ones(3)}, tmp_path / "sppnet", bundle_metadata("SPPNet"))
    (tmp_path / "sppnet" / "model.safetensors").write_bytes(b"tampered")
    with pytest.raises(WeightsMismatch, match="SHA-256"):
        registry.load("SPPNet", "cpu", tmp_path)
    monkeypatch.setattr(hashlib, "file_digest", lambda *_: pytest.fail("hashed again"))
    with pytest.raises(WeightsMismatch, match="SHA-256"):
        registry.load("SPPNet", "cpu", tmp_path)


@pytest.mark.parametrize(("rows", "columns", "spacing_mm"), [(10, 10, 0.104), (2300, 1000, 0.101)])
def test_rounding_to_whole_pixels_is_not_taken_for_another_spacing(rows: int, columns: int, spacing_mm: float) -> None:
    pixels = torch.zeros(rows, columns).numpy()
    checked_pixels(ModelImage(pixels=pixels, spacing_mm=(spacing_mm, spacing_mm)), 0.1)


@pytest.mark.parametrize("spacing_mm", [0.05, 0.07, 0.085, 0.103, 0.2])
def test_an_image_at_another_spacing_is_refused(spacing_mm: float) -> None:
    pixels = torch.zeros(2300, 1000).numpy()
    with pytest.raises(ValueError, match=r"the network wants 0\.1 mm"):
        checked_pixels(ModelImage(pixels=pixels, spacing_mm=(0.1, spacing_mm)), 0.1)
