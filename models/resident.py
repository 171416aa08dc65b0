"""A network that stays on its device, and what happens when an image does not fit there."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from copy import deepcopy
from typing import Any, Generic, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray

from models.contract import ModelImage
from models.errors import DeviceOutOfMemory

Network = TypeVar("Network", bound=torch.nn.Module)
Result = TypeVar("Result")

SPACING_TOLERANCE = 0.02
"""Far less than between any two spacings that detectors have (0.05, 0.07, 0.085, 0.1 mm). A resampled image has a whole
number of pixels, so half a pixel in its length comes on top."""

OUT_OF_MEMORY_TEXTS = (
    "out of memory",  # CUDA, when it is not raised as torch.OutOfMemoryError
    "can't allocate memory",  # torch's DefaultCPUAllocator
    "ALLOC_FAILED",  # CUBLAS_STATUS_ALLOC_FAILED, CUDNN_STATUS_ALLOC_FAILED
)
"""What a RuntimeError says when it means that memory ran out; torch has no class of its own for these."""


def resolve_device(device: str, index: int = 0) -> str:
    """Return the device that `device` means here; see `models.registry.resolve_device`."""
    if device == "auto":
        return f"cuda:{index % max(torch.cuda.device_count(), 1)}" if torch.cuda.is_available() else "cpu"
    return str(torch.device(device, 0) if device == "cuda" else torch.device(device))


def device_problem(device: str) -> str | None:
    """Say why `device` cannot be used here, None when it can; see `models.registry.device_problem`."""
    try:
        found = torch.device(resolve_device(device))
    except RuntimeError:
        return "no such device; auto, cpu, cuda or cuda:N"
    if found.type == "cuda" and (not torch.cuda.is_available() or (found.index or 0) >= torch.cuda.device_count()):
        return "this machine has no such GPU, or torch cannot use it"
    return None if found.type in ("cpu", "cuda") else "no such device; auto, cpu, cuda or cuda:N"


def checked_pixels(image: ModelImage, canonical_spacing_mm: float) -> torch.Tensor:
    """Return the pixels as a float32 tensor on the CPU, shape ``(rows, columns)``.

    Raises
    ------
    ValueError
        The image is empty, not two-dimensional, not finite, or not at `canonical_spacing_mm`: a network would answer
        all the same, and most likely "nothing found".
    """
    pixels = checked_grey(image.pixels)
    if any(
        abs(spacing_mm / canonical_spacing_mm - 1) > SPACING_TOLERANCE + 0.5 / length_px
        for spacing_mm, length_px in zip(image.spacing_mm, image.pixels.shape, strict=True)
    ):
        raise ValueError(f"the image is at {image.spacing_mm} mm, the network wants {canonical_spacing_mm} mm")
    return torch.from_numpy(np.array(pixels, dtype=np.float32))


def checked_grey(pixels: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the pixels of a grey image, shape ``(rows, columns)``, as they are.

    Raises
    ------
    ValueError
        The image is empty, not two-dimensional, or not finite.
    """
    if pixels.ndim != 2 or pixels.size == 0:
        raise ValueError(f"the image has shape {pixels.shape}, not (rows, columns)")
    if not np.isfinite(pixels).all():
        raise ValueError("the image holds values that are not finite")
    return pixels


def quick_arithmetic(device: torch.device) -> AbstractContextManager[Any]:
    """Bfloat16 where the device multiplies it faster than float32: it halves the time, and moves a score a little."""
    if device.type == "cuda":
        quick = bool(torch.cuda.is_bf16_supported(including_emulation=False))
    else:
        able = torch.cpu.get_capabilities()
        quick = device.type == "cpu" and bool(able.get("avx512_bf16") or able.get("amx_bf16"))
    return torch.autocast(device.type, dtype=torch.bfloat16) if quick else nullcontext()


class Resident(Generic[Network]):
    """A network in evaluation mode on a device, with a copy on the CPU for what does not fit.

    One call runs at a time: two images at once would need twice the memory and finish no sooner. The network goes to
    its device with the first call; when it finds no room there, that call runs on the CPU and the next one tries again.

    Parameters
    ----------
    network : torch.nn.Module
        On the CPU.
    device : str
        As `models.registry.resolve_device` returns it.
    """

    def __init__(self, network: Network, device: str) -> None:
        self._on_cpu = network.eval().requires_grad_(False)
        self._on_device: Network | None = None
        self._turn = threading.Lock()
        self.device = device

    def run(self, attempt: Callable[[Network, torch.device], Result]) -> tuple[Result, str]:
        """Run `attempt` with the network on its device; once more on the CPU when memory runs out there.

        Returns
        -------
        tuple
            What `attempt` returned, and where it ran.

        Raises
        ------
        DeviceOutOfMemory
            Memory ran out on the CPU.
        """
        with self._turn, torch.inference_mode():
            if self.device != "cpu":
                try:
                    if self._on_device is None:
                        self._on_device = deepcopy(self._on_cpu).to(self.device)
                    return attempt(self._on_device, torch.device(self.device)), self.device
                except (RuntimeError, MemoryError) as error:
                    if not _is_out_of_memory(error):
                        raise
                _release(self.device)  # outside the handler: a caught error keeps its frames' tensors alive
            try:
                return attempt(self._on_cpu, torch.device("cpu")), "cpu"
            except (RuntimeError, MemoryError) as error:
                if not _is_out_of_memory(error):
                    raise
                raise DeviceOutOfMemory(f"the image does not fit on {_places(self.device)}") from None


def _is_out_of_memory(error: RuntimeError | MemoryError) -> bool:
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    return any(text in str(error) for text in OUT_OF_MEMORY_TEXTS)


def _release(device: str) -> None:
    """Give the freed blocks back, so that the next image finds the device as empty as it can be."""
    if torch.device(device).type == "cuda":
        torch.cuda.empty_cache()


def _places(device: str) -> str:
    return "the CPU" if device == "cpu" else f"{device}, nor on the CPU"
