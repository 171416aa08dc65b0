"""Mammograms with one bright cluster at a known place of the stored pixels, stored in many ways."""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path
from typing import Final, Literal

import gdcm
import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset
from scipy import ndimage

from models.phantom import make_view
from pipelines.phantom import PATIENT_ORIENTATION, PhantomPatient, mammogram

Brightness = NDArray[np.float32]

VIEWS: Final = ("L-CC", "L-MLO", "R-CC", "R-MLO")
ROWS, COLUMNS = 600, 480
FULL_SCALE = 4095
TISSUE = 0.25
"""The phantom is dimmed to this, so that the cluster is brighter than anything else and nothing of it is cut off."""

GRAINS_MM: Final = ((0.0, 0.0), *((0.5 * np.cos(turn), 0.5 * np.sin(turn)) for turn in np.arange(6) * np.pi / 3))
"""A grain in the middle and six around it: the cluster's centre of mass is its centre."""
GRAIN_SIGMA_MM = 0.2
GRAIN_BRIGHTNESS = 0.5
WELL_INSIDE_MM = 3.0
"""A box of 4.8 by 3.2 mm around the cluster lies within the breast."""
CLUSTER_RADIUS_MM = 0.5 + 2 * GRAIN_SIGMA_MM

OPPOSITE: Final = str.maketrans("APLRHF", "PARLFH")


@dataclass(frozen=True, slots=True, kw_only=True)
class Variant:
    """One way to store a mammogram.

    Attributes
    ----------
    turned : {"no", "mirrored", "rotated"}
        As the phantom has it; mirrored left to right, which puts the chest wall to the other edge; or by 180 degrees.
    imager_spacing_mm : tuple of float
        Imager Pixel Spacing, ``(row, column)``, at the detector.
    air_px : tuple of int
        Columns of nothing at the left and at the right edge.
    air_noise : float
        Mean and standard deviation of noise, of full brightness.
    labelled : bool
        Whether white labels are burned into the background, one beside the breast and one below it.
    pixels : {"12 bit", "16 bit", "signed"}
        16 bit pixels and signed ones come with a rescale to the same 12 bit.
    jpeg : bool
        Whether the pixels are in JPEG Lossless, Process 14, Selection Value 1.
    planted : bool
        False leaves the cluster out.
    """

    turned: Literal["no", "mirrored", "rotated"] = "no"
    monochrome1: bool = False
    magnification: float = 1.0
    imager_spacing_mm: tuple[float, float] = (0.1, 0.1)
    air_px: tuple[int, int] = (0, 0)
    air_noise: float = 0.0
    labelled: bool = False
    pixels: Literal["12 bit", "16 bit", "signed"] = "12 bit"
    jpeg: bool = False
    planted: bool = True

    def __str__(self) -> str:
        """What is not as usual."""
        unusual = [f for f in fields(self) if getattr(self, f.name) != f.default]
        return ", ".join(f"{f.name} {getattr(self, f.name)}" for f in unusual) or "plain"

    @property
    def spacing_mm(self) -> tuple[float, float]:
        """``(row, column)`` in the plane of the breast."""
        row_mm, column_mm = self.imager_spacing_mm
        return row_mm / self.magnification, column_mm / self.magnification


@dataclass(frozen=True, slots=True, kw_only=True)
class Planted:
    """A stored mammogram and the truth about it: `at_px` is ``(x, y)``, (0, 0) the corner of the first stored pixel."""

    path: Path
    sop_instance_uid: str
    name: str
    at_px: tuple[float, float]
    brightness: Brightness
    patient_orientation: tuple[str, str]
    variant: Variant


def write_planted_study(directory: Path, seed: int, variant: Variant, views: tuple[str, ...] = VIEWS) -> list[Planted]:
    """Write one file a view; every view has its own place, which depends on `seed`."""
    return [_write(directory, seed, variant, name, number) for number, name in enumerate(views, start=1)]


def _write(directory: Path, seed: int, variant: Variant, name: str, number: int) -> Planted:
    rng = np.random.default_rng([seed, number])
    tissue, at_px = _tissue(seed, variant, name, rng)
    brightness = tissue + (_cluster(at_px, variant) if variant.planted else 0)
    brightness = np.clip(brightness, 0, 1).astype(np.float32)
    dataset = mammogram(
        np.rint(brightness * FULL_SCALE).astype(np.uint16),
        name,
        number=number,
        monochrome1=variant.monochrome1,
        magnification=variant.magnification,
        patient=PhantomPatient(),
        study_instance_uid="2.25.1",
        series_instance_uid="2.25.2",
    )
    row, column = PATIENT_ORIENTATION[name]
    if variant.turned != "no":
        row = row.translate(OPPOSITE)
    if variant.turned == "rotated":
        column = column.translate(OPPOSITE)
    dataset.PatientOrientation = [row, column]
    dataset.ImagerPixelSpacing = list(variant.imager_spacing_mm)
    if variant.magnification == 1.0:
        del dataset.EstimatedRadiographicMagnificationFactor
    _restore(dataset, variant)
    path = directory / f"{number}.dcm"
    dataset.save_as(path)
    if variant.jpeg:
        _to_jpeg_lossless(path)
    return Planted(
        path=path,
        sop_instance_uid=dataset.SOPInstanceUID,
        name=name,
        at_px=at_px,
        brightness=brightness,
        patient_orientation=(row, column),
        variant=variant,
    )


def _tissue(seed: int, variant: Variant, name: str, rng: np.random.Generator) -> tuple[Brightness, tuple[float, float]]:
    """Return the mammogram without its cluster, turned and with its air, and where the cluster is to be."""
    left, right = variant.air_px
    laterality, view = name.split("-")
    columns = COLUMNS - left - right
    phantom = make_view(
        seed, laterality=laterality, view=view, rows=ROWS, columns=columns, spacing_mm=0.1, lesions=()
    ).pixels
    shown = TISSUE * phantom.astype(np.float32) / FULL_SCALE
    depth_mm = ndimage.distance_transform_edt(np.pad(phantom > 0, 1), sampling=variant.spacing_mm)
    inside = depth_mm[1:-1, 1:-1] > WELL_INSIDE_MM
    if variant.labelled:
        _burn_labels(shown, laterality)
    if variant.turned != "no":
        shown, inside = shown[:, ::-1], inside[:, ::-1]
    if variant.turned == "rotated":
        shown, inside = shown[::-1], inside[::-1]
    shown, inside = (np.pad(image, ((0, 0), (left, right))) for image in (shown, inside))
    if variant.air_noise:
        shown = shown + np.abs(rng.normal(variant.air_noise, variant.air_noise, shown.shape))
    return shown.astype(np.float32), _place(inside, rng)


def _burn_labels(shown: Brightness, laterality: str) -> None:
    columns = np.arange(20, 60) if laterality == "R" else shown.shape[1] - 1 - np.arange(20, 60)
    shown[15:35, columns] = 1.0
    below = 180 if laterality == "L" else shown.shape[1] - 220
    shown[575:590, below : below + 40] = 1.0


def _place(inside: NDArray[np.bool_], rng: np.random.Generator) -> tuple[float, float]:
    """Choose a place well inside the breast that no mirroring, turning or exchange of axes brings onto itself."""
    rows, columns = inside.shape
    for _ in range(1000):
        x, y = rng.uniform(0, columns), rng.uniform(0, rows)
        apart = min(abs(2 * x - columns), abs(2 * y - rows), abs(x - y))
        if inside[int(y), int(x)] and apart > 0.08 * columns:
            return x, y
    raise AssertionError("the breast has no such place")


def _cluster(at_px: tuple[float, float], variant: Variant) -> Brightness:
    row_mm, column_mm = variant.spacing_mm
    y, x = np.mgrid[0:ROWS, 0:COLUMNS] + 0.5
    cluster = np.zeros((ROWS, COLUMNS))
    for right_mm, down_mm in GRAINS_MM:
        squared = ((x - at_px[0]) * column_mm - right_mm) ** 2 + ((y - at_px[1]) * row_mm - down_mm) ** 2
        cluster += GRAIN_BRIGHTNESS * np.exp(-0.5 * squared / GRAIN_SIGMA_MM**2)
    return cluster.astype(np.float32)


def _restore(dataset: Dataset, variant: Variant) -> None:
    """Store the same picture in other bits."""
    stored = np.frombuffer(dataset.PixelData, "<u2").astype(np.int64)
    if variant.pixels == "16 bit":
        dataset.BitsStored, dataset.HighBit, dataset.RescaleSlope = 16, 15, 0.0625
        dataset.PixelData = (stored * 16).astype("<u2").tobytes()
    elif variant.pixels == "signed":
        dataset.PixelRepresentation, dataset.RescaleIntercept = 1, 2048
        dataset.PixelData = (stored - 2048).astype("<i2").tobytes()


def _to_jpeg_lossless(path: Path) -> None:
    """Compress a file in place; pydicom has no encoder for this one."""
    reader, change, writer = gdcm.ImageReader(), gdcm.ImageChangeTransferSyntax(), gdcm.ImageWriter()
    reader.SetFileName(str(path))
    assert reader.Read()
    change.SetTransferSyntax(gdcm.TransferSyntax(gdcm.TransferSyntax.JPEGLosslessProcess14_1))
    change.SetInput(reader.GetImage())
    assert change.Change()
    writer.SetFileName(str(path))
    writer.SetFile(reader.GetFile())
    writer.SetImage(change.GetOutput())
    assert writer.Write()
