"""An image that does not fit on the accelerator is computed on the CPU, and says so.

The accelerator here is torch's ``meta`` device, which every machine has: it holds no data, and runs out when told to.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

from models.errors import DeviceOutOfMemory
from models.fpnnet.predict import FPNNetPredictor
from models.fpnnet.search import GatedFPNNet
from models.resident import Resident, resolve_device
from models.sppnet.network import SPPNet
from models.sppnet.predict import SPPNetPredictor
from tests.models.builders import noise_image, own_metadata

IMAGE = noise_image(64, 64)


def full(device: str, error: Exception, forward: Callable[..., Any]) -> Callable[..., Any]:
    """`forward`, raising `error` for tensors on `device`."""

    def raising(self: Any, values: torch.Tensor, *args: Any, **kwargs: Any) -> Any:
        if values.device.type == device:
            raise error
        return forward(self, values, *args, **kwargs)

    return raising


OUT_OF_MEMORY = [
    torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB"),
    RuntimeError("[enforce fail at alloc_cpu.cpp:127] err == 0. DefaultCPUAllocator: can't allocate memory"),
    RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
]


@pytest.mark.parametrize("error", OUT_OF_MEMORY)
def test_detection_that_does_not_fit_runs_on_the_cpu_and_finds_the_same(
    gated: GatedFPNNet, detector: FPNNetPredictor, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    expected = detector.predict(IMAGE)
    predictor = FPNNetPredictor(gated, own_metadata("FPNNet"), weights_sha256=None, device="meta")
    monkeypatch.setattr(GatedFPNNet, "detect", full("meta", error, GatedFPNNet.detect))
    output = predictor.predict(IMAGE)
    assert predictor.device == "meta" and output.device == "cpu"
    assert output.detections == expected.detections


def test_classification_that_does_not_fit_runs_on_the_cpu(
    sppnet: SPPNet, classifier: SPPNetPredictor, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = classifier.predict(IMAGE)
    predictor = SPPNetPredictor(sppnet, own_metadata("SPPNet"), weights_sha256=None, device="meta")
    monkeypatch.setattr(SPPNet, "forward", full("meta", OUT_OF_MEMORY[0], SPPNet.forward))
    assert predictor.predict(IMAGE) == expected


def test_the_next_image_is_tried_on_the_device_again(sppnet: SPPNet) -> None:
    resident = Resident(sppnet, "meta")
    tried: list[str] = []

    def attempt(_network: SPPNet, device: torch.device) -> None:
        tried.append(device.type)
        if tried == ["meta"]:
            raise OUT_OF_MEMORY[0]

    assert resident.run(attempt) == (None, "cpu")
    assert resident.run(attempt) == (None, "meta")
    assert tried == ["meta", "cpu", "meta"]


@pytest.mark.parametrize("device", ["cpu", "meta"])
@pytest.mark.parametrize("error", [*OUT_OF_MEMORY, MemoryError()])
def test_what_fits_nowhere_is_said_to_fit_nowhere(sppnet: SPPNet, device: str, error: Exception) -> None:
    resident, tried = Resident(sppnet, device), []

    def attempt(_network: SPPNet, where: torch.device) -> None:
        tried.append(where.type)
        raise error

    with pytest.raises(DeviceOutOfMemory, match="does not fit"):
        resident.run(attempt)
    assert tried == (["cpu"] if device == "cpu" else ["meta", "cpu"])


@pytest.mark.parametrize("device", ["cpu", "meta"])
def test_any_other_error_is_not_taken_for_memory(sppnet: SPPNet, device: str) -> None:
    def attempt(_network: SPPNet, where: torch.device) -> None:
        raise RuntimeError("mat1 and mat2 shapes cannot be multiplied")

    with pytest.raises(RuntimeError, match="mat1"):
        Resident(sppnet, device).run(attempt)


def test_networks_run_in_evaluation_and_inference_mode(sppnet: SPPNet) -> None:
    sppnet.train()

    def attempt(network: SPPNet, _device: torch.device) -> tuple[bool, bool]:
        return network.training, torch.is_inference_mode_enabled()

    assert Resident(sppnet, "cpu").run(attempt) == ((False, True), "cpu")


def test_auto_is_the_first_accelerator_else_the_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert resolve_device("auto") == resolve_device("cuda") == "cuda:0"
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert resolve_device("auto") == "cpu"
    assert resolve_device("cuda:1") == "cuda:1"
