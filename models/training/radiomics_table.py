"""Features of many lesions, kept on disk as they come: a run that was stopped goes on where it was.

``features.jsonl`` holds a line an outline of a lesion on an image: the lesion's name, the view, which outline, a digest
of pixels, mask and settings, and the values; or why there are none. A line of another digest is not used, half a line
(the process was killed) neither. Nothing here imports torch: a worker process starts in seconds.
"""

from __future__ import annotations

import hashlib
import json
import multiprocessing
import os
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final, Literal

import numpy as np
from numpy.typing import NDArray

from models.radiomics.features import FeatureExtractor
from models.regions.contract import LesionView, View

Floats = NDArray[np.float64]
Outline = Literal["first", "second"]
FEATURES_FILE: Final = "features.jsonl"
AHEAD: Final = 4
"""Outlines that wait for each worker: enough to keep it busy, few enough not to hold every image twice."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outlined:
    """One outline of a lesion on one image.

    Attributes
    ----------
    tumour : str
        `Tumour.name`.
    view : str
    outline : {"first", "second"}
    lesion : LesionView
    """

    tumour: str
    view: View
    outline: Outline
    lesion: LesionView


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """What was computed: values, or why there are none."""

    values: Floats | None
    problem: str | None = None


def digest_of_outline(outlined: Outlined, settings: str) -> str:
    """Tell apart what values belong to: pixels, mask, settings and the version of pyradiomics."""
    digest = hashlib.sha256(f"{version('pyradiomics')}\n{settings}\n{outlined.lesion.pixels.shape}".encode())
    digest.update(np.ascontiguousarray(outlined.lesion.pixels).tobytes())
    digest.update(np.ascontiguousarray(outlined.lesion.mask).tobytes())
    return digest.hexdigest()[:32]


def features_of_all(
    outlines: Sequence[Outlined],
    settings: str,
    path: Path,
    *,
    workers: int = 1,
    tell: Callable[[int, int], None] = lambda done, total: None,
) -> list[Measured]:
    """Return the features of every outline, in order; those that `path` already holds are read from it.

    Parameters
    ----------
    path : pathlib.Path
        The file; made when it does not exist. One process at a time may write it.
    workers : int
        Processes that compute; 1: this one.
    tell : callable
        Called with how many are done, and how many there are.
    """
    known = _read(path)
    keys = [(one.tumour, one.view, one.outline, digest_of_outline(one, settings)) for one in outlines]
    wanted = [index for index, key in enumerate(keys) if key not in known]
    done = len(outlines) - len(wanted)
    tell(done, len(outlines))
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a", encoding="utf-8") as file:
        if not _ends_with_a_line(path):
            file.write("\n")  # after half a line
        lesions = (outlines[index].lesion for index in wanted)
        for index, measured in zip(wanted, _computed(lesions, settings, workers), strict=True):
            known[keys[index]] = measured
            file.write(json.dumps(_line(keys[index], measured)) + "\n")
            file.flush()
            done += 1
            tell(done, len(outlines))
    return [known[key] for key in keys]


def _ends_with_a_line(path: Path) -> bool:
    with path.open("rb") as file:
        if not file.seek(0, os.SEEK_END):
            return True
        file.seek(-1, os.SEEK_END)
        return file.read() == b"\n"


def _computed(lesions: Iterator[LesionView], settings: str, workers: int) -> Iterator[Measured]:
    if workers <= 1:
        yield from (_measure(lesion, settings) for lesion in lesions)
        return
    with ProcessPoolExecutor(workers, mp_context=multiprocessing.get_context("spawn")) as pool:
        waiting: deque[Future[Measured]] = deque()
        try:
            for lesion in lesions:
                waiting.append(pool.submit(_measure, lesion, settings))
                if len(waiting) >= AHEAD * workers:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:  # a run that is stopped does not wait for what nobody will keep
            pool.shutdown(cancel_futures=True)


@lru_cache(maxsize=1)
def _extractor(settings: str) -> FeatureExtractor:
    return FeatureExtractor(settings)


def _measure(lesion: LesionView, settings: str) -> Measured:
    try:
        return Measured(values=_extractor(settings).features(lesion))
    except ValueError as error:
        return Measured(values=None, problem=str(error))


def _line(key: tuple[str, str, str, str], measured: Measured) -> dict[str, Any]:
    tumour, view, outline, digest = key
    values = None if measured.values is None else [None if np.isnan(one) else float(one) for one in measured.values]
    return {
        "tumour": tumour,
        "view": view,
        "outline": outline,
        "digest": digest,
        "problem": measured.problem,
        "values": values,
    }


def _read(path: Path) -> dict[tuple[str, str, str, str], Measured]:
    found: dict[tuple[str, str, str, str], Measured] = {}
    if not path.is_file():
        return found
    with path.open(encoding="utf-8") as file:
        for line in file:
            try:
                said = json.loads(line)
            except ValueError:
                continue  # half a line
            values = None if said["values"] is None else np.array(said["values"], dtype=np.float64)  # None becomes NaN
            key = said["tumour"], said["view"], said["outline"], said["digest"]
            found[key] = Measured(values=values, problem=said["problem"])
    return found
