"""What a training run is told and leaves behind, for tests of runs of every kind."""

from __future__ import annotations

import csv
import itertools
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from models.training.loop import CHECKPOINT, LOG


def silent(step: int, losses: Mapping[str, float]) -> None:
    """Take what a run tells of its steps."""
    assert step > 0 and all(np.isfinite(list(losses.values())))


def after(steps: int) -> Callable[[], bool]:
    """Say to stop once it was asked `steps` times."""
    asked = itertools.count(1)
    return lambda: next(asked) >= steps


def state(directory: Path) -> dict[str, Any]:
    """Read the checkpoint of a run."""
    content: dict[str, Any] = torch.load(directory / CHECKPOINT, weights_only=True)
    return content


def rows(directory: Path) -> list[dict[str, str]]:
    """Read the log of a run: a row a validation."""
    with (directory / LOG).open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))
