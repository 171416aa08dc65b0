"""Screens of a scanner as arrays (speckle in a black screen, with text and callipers), and objects made of arrays."""

from __future__ import annotations

import io
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from pydicom import Dataset
from pydicom.encaps import encapsulate
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    JPEGBaseline8Bit,
    UltrasoundMultiFrameImageStorage,
)
from scipy import ndimage

from pipelines.headers import read_header
from pipelines.ultrasound.header import UltrasoundHeader, describe_ultrasound
from tests.factories import small_ultrasound

Pixels = NDArray[np.uint8]
PICTURE = (120, 60, 520, 420)
"""Where `screen` shows its picture, ``(x0, y0, x1, y1)``."""


def speckle(rows: int, columns: int, *, seed: int = 1, brightness: float = 90.0) -> Pixels:
    """Fully developed speckle, log-compressed: finer along the beam (rows) than across it, no pixel black."""
    random = np.random.default_rng(seed)
    waves = [
        ndimage.gaussian_filter(random.standard_normal((rows, columns)), (1.0, 2.5), mode="wrap") for _ in range(2)
    ]
    amplitude = np.hypot(*(wave / wave.std() for wave in waves))
    return np.clip(brightness + 20 * np.log(amplitude + 0.05), 12, 200).astype(np.uint8)


def screen(*, seed: int = 1, brightness: float = 90.0, decorated: bool = True) -> Pixels:
    """480 rows of 640 pixels: a linear picture at `PICTURE`; around it text, a grey bar and a depth scale."""
    grey = np.zeros((480, 640), dtype=np.uint8)
    x0, y0, x1, y1 = PICTURE
    grey[y0:y1, x0:x1] = speckle(y1 - y0, x1 - x0, seed=seed, brightness=brightness)
    if decorated:
        grey[80:240, 20:36] = np.linspace(255, 0, 160, dtype=np.uint8)[:, None]
        image = Image.fromarray(grey)
        draw = ImageDraw.Draw(image)
        for line in range(8):
            draw.text((540, 60 + 14 * line), f"FR {line} 27Hz", fill=200)
        draw.text((8, 6), "HOSPITAL OF TESTS  BREAST  MI 0.9", fill=255)
        for depth in range(y0, y1, 40):
            draw.line([(106, depth), (112, depth)], fill=220)
        grey = np.array(image)
    return grey


def sector() -> Pixels:
    """A sector of speckle, apex up, in a black screen."""
    grey = np.zeros((480, 640), dtype=np.uint8)
    row, column = np.mgrid[:480, :640]
    radius, angle = np.hypot(row - 20, column - 320), np.arctan2(column - 320, row - 20)
    inside = (radius > 60) & (radius < 420) & (np.abs(angle) < 0.7)
    grey[inside] = speckle(480, 640)[inside]
    return grey


def with_callipers(grey: Pixels, *, value: int = 255) -> tuple[Pixels, NDArray[np.bool_]]:
    """Two crosses with a dotted line between them and a word, and where they were drawn."""
    image = Image.fromarray(grey)
    draw = ImageDraw.Draw(image)
    for x, y in ((220, 200), (340, 240)):
        draw.line([(x - 6, y), (x + 6, y)], fill=value)
        draw.line([(x, y - 6), (x, y + 6)], fill=value)
    for step in range(1, 15):
        draw.point((220 + 8 * step, round(200 + 40 * 8 * step / 120)), fill=value)
    draw.text((200, 380), "L BREAST 3H", fill=value)
    drawn = np.array(image)
    return drawn, drawn != grey


def with_flow(grey: Pixels) -> Pixels:
    """RGB: the same with blobs of flow, red to yellow and blue, in the middle of the picture."""
    rgb = np.repeat(grey[..., None], 3, axis=2)
    row, column = np.mgrid[: grey.shape[0], : grey.shape[1]]
    for x, y, colour in ((280, 220, (220, 40, 0)), (310, 240, (250, 200, 30)), (340, 250, (20, 60, 230))):
        rgb[np.hypot(row - y, column - x) < 14] = colour
    return rgb


def region(
    box: tuple[int, int, int, int],
    *,
    data_type: int = 1,
    spatial_format: int = 1,
    flags: int = 0,
    delta_cm: tuple[float, float] = (0.01, 0.01),
    units: tuple[int, int] = (3, 3),
) -> Dataset:
    """An item of the Sequence of Ultrasound Regions; `box` with its end exclusive, deltas and units ``(x, y)``."""
    item = Dataset()
    item.RegionSpatialFormat, item.RegionDataType, item.RegionFlags = spatial_format, data_type, flags
    item.RegionLocationMinX0, item.RegionLocationMinY0 = box[0], box[1]
    item.RegionLocationMaxX1, item.RegionLocationMaxY1 = box[2] - 1, box[3] - 1
    item.PhysicalUnitsXDirection, item.PhysicalUnitsYDirection = units
    item.PhysicalDeltaX, item.PhysicalDeltaY = delta_cm
    return item


def write(
    path: Path,
    pixels: NDArray[Any],
    *,
    photometric: str | None = None,
    planar: int = 0,
    multi_frame: bool = False,
    regions: list[Dataset] | None = None,
    syntax: str = ExplicitVRLittleEndian,
    edit: Callable[[Dataset], None] | None = None,
    **elements: Any,
) -> Path:
    """Write stored values as an ultrasound object.

    Parameters
    ----------
    pixels : numpy.ndarray
        ``(rows, columns)``, ``(rows, columns, 3)``, or with a first axis of frames and `multi_frame`.
    syntax : str
        What pydicom can write; an `edit` may do more.
    """
    stack = pixels if multi_frame else pixels[None]
    samples = 3 if stack.ndim == 4 else 1
    rows, columns = stack.shape[1:3]
    stored = stack.transpose(0, 3, 1, 2) if samples == 3 and planar else stack
    content = np.ascontiguousarray(stored).astype(stored.dtype.newbyteorder("<")).tobytes()
    defaults: dict[str, Any] = {
        "SamplesPerPixel": samples,
        "PhotometricInterpretation": photometric or ("RGB" if samples == 3 else "MONOCHROME2"),
        "PlanarConfiguration": planar if samples == 3 else None,
        "BitsAllocated": 8 * stack.itemsize,
        "BitsStored": 8 * stack.itemsize,
        "HighBit": 8 * stack.itemsize - 1,
        "NumberOfFrames": len(stack) if multi_frame else None,
        "SequenceOfUltrasoundRegions": regions,
        "PixelData": content + b"\0" * (len(content) % 2),
    }
    if multi_frame:
        defaults["SOPClassUID"] = UltrasoundMultiFrameImageStorage
    dataset = small_ultrasound(rows=rows, columns=columns, **{**defaults, **elements})
    dataset["PixelData"].VR = "OW" if stack.itemsize > 1 else "OB"
    if edit is not None:
        edit(dataset)
    if syntax == ExplicitVRBigEndian:
        big_endian(dataset)
    elif syntax == DeflatedExplicitVRLittleEndian:
        dataset.file_meta.TransferSyntaxUID = syntax
    elif syntax != ExplicitVRLittleEndian:
        dataset.compress(syntax, generate_instance_uid=False)
    dataset.save_as(path, enforce_file_format=True)
    return path


def big_endian(dataset: Dataset) -> None:
    """Make an object Explicit VR Big Endian, its 8-bit pixels swapped within words of OW (PS3.5 8.1.1)."""
    dataset.file_meta.TransferSyntaxUID = ExplicitVRBigEndian
    dataset.PixelData = np.frombuffer(dataset.PixelData, dtype="<u2").byteswap().tobytes()
    dataset["PixelData"].VR = "OW"
    dataset.set_original_encoding(None, None)


def as_jpeg(dataset: Dataset, frames: list[bytes], syntax: str = JPEGBaseline8Bit) -> None:
    """Put compressed frames in place of the pixel data."""
    dataset.file_meta.TransferSyntaxUID = syntax
    dataset.PixelData = encapsulate(frames)
    dataset["PixelData"].VR = "OB"
    dataset["PixelData"].is_undefined_length = True


def jpeg(rgb: Pixels, **options: Any) -> bytes:
    """A baseline JPEG by another encoder than pydicom's."""
    out = io.BytesIO()
    Image.fromarray(rgb).save(out, "JPEG", quality=95, **options)
    return out.getvalue()


def encapsulated(fragments: list[bytes], table: list[int] | None = None) -> bytes:
    """Encapsulated pixel data of these fragments with this Basic Offset Table (PS3.5 A.4)."""
    entries = struct.pack(f"<{len(table or [])}I", *(table or []))
    items = b"".join(b"\xfe\xff\x00\xe0" + struct.pack("<I", len(part)) + part for part in (entries, *fragments))
    return items + b"\xfe\xff\xdd\xe0\0\0\0\0"


def ybr_full(rgb: Pixels) -> Pixels:
    """PS3.3 C.7.6.3.1.2, by its own equations."""
    matrix = np.array([[0.299, 0.587, 0.114], [-0.168736, -0.331264, 0.5], [0.5, -0.418688, -0.081312]])
    return np.clip(np.rint(rgb @ matrix.T + np.array([0, 128, 128])), 0, 255).astype(np.uint8)


def described(path: Path) -> UltrasoundHeader:
    return describe_ultrasound(read_header(path))
