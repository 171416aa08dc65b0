"""What every training run does alike: its learning rate, its running average, its checkpoints and its log."""

from __future__ import annotations

import csv
import math
import os
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any, Final, Literal

import torch
from torch import Tensor

from models.errors import TrainingRefused
from models.metadata import folder_name

CHECKPOINT: Final = "checkpoint.pt"
BEST: Final = "best.pt"
LOG: Final = "log.csv"

Precision = Literal["float32", "bfloat16"]


def training_dir(directory: Path, name: str) -> Path:
    """Return where the checkpoints and logs of the model `name` are, so that several models may share `directory`."""
    return directory / f"{folder_name(name)}-training"


def learning_rate(step: int, *, steps: int, highest: float, warm_up_steps: int) -> float:
    """Rate of `step`, from 0: it rises evenly over `warm_up_steps`, and falls to 0 at `steps` as half a cosine."""
    rise = min(1.0, (step + 1) / max(warm_up_steps, 1))
    return highest * rise * 0.5 * (1.0 + math.cos(math.pi * step / steps))


def add_to_average(average: Mapping[str, Tensor], current: Mapping[str, Tensor], *, share: float, step: int) -> None:
    """Move a running average of weights towards `current`, in place; counters are copied.

    Parameters
    ----------
    share : float
        Share of the old in the new; less in the first steps, when the average still holds the weights of the start.
    """
    kept = min(share, (1.0 + step) / (10.0 + step))
    floating = [name for name, value in current.items() if value.is_floating_point()]
    with torch.no_grad():
        torch._foreach_lerp_([average[name] for name in floating], [current[name] for name in floating], 1 - kept)
        for name in current.keys() - set(floating):
            average[name].copy_(current[name])


def arithmetic(device: torch.device, precision: Precision) -> AbstractContextManager[Any]:
    """Context in which a network computes in `precision`; its weights stay float32."""
    if precision == "float32":
        return nullcontext()
    return torch.autocast(device.type, dtype=torch.bfloat16)


def refuse_other_plan(directory: Path, begun: Mapping[str, Any], wanted: Mapping[str, Any]) -> None:
    """Raise TrainingRefused when a run that is taken up again was begun with something else than is wanted now."""
    differing = sorted(name for name in begun.keys() | wanted.keys() if begun.get(name) != wanted.get(name))
    if differing:
        raise TrainingRefused(
            f"the run in {directory} was begun with another {' and '.join(differing)}; "
            "go on with what it was begun with, or give another folder"
        )


def write_checkpoint(path: Path, content: Mapping[str, Any]) -> None:
    """Write a checkpoint so that a crash leaves the old one or the new one."""
    partial = path.with_name(path.name + ".part")
    torch.save(content, partial)
    with partial.open("rb") as file:
        os.fsync(file.fileno())
    partial.replace(path)


def append_row(path: Path, row: Mapping[str, Any]) -> None:
    """Append the row of a step to a CSV file; a new file begins with the names of the columns.

    Rows of this step and later ones go: they are from before the run was taken up again at an earlier checkpoint.

    Parameters
    ----------
    row : mapping
        Holds the number of the ``step``.
    """
    kept: list[Mapping[str, Any]] = []
    if path.exists():
        with path.open(encoding="utf-8", newline="") as file:
            kept = [old for old in csv.DictReader(file) if int(old["step"]) < row["step"]]
    partial = path.with_name(path.name + ".part")
    with partial.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(row))
        writer.writeheader()
        writer.writerows([*kept, row])
    partial.replace(path)
