"""The command train: a manifest in, a bundle of weights out; broken off at any time and taken up again."""

from __future__ import annotations

import signal
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Final, Literal, NoReturn, TypeVar

import typer
from tqdm import tqdm

from models.errors import TrainingRefused
from models.registry import device_problem, resolve_device
from models.training.calcified import SamplePlan
from models.training.contract import Medium
from models.training.crops import CropPlan
from models.training.data import TrainingData
from models.training.detector import TrainPlan
from models.training.fpnnet import train
from models.training.gate import GatePlan
from models.training.loop import Precision, append_row, training_dir
from models.training.patches import TASKS, Patch, PatchTask
from models.training.phantoms import phantom_images
from models.training.run import RunPlan
from pipelines.datasets.patches import by_image, load_patches, note_of, read_patches
from pipelines.datasets.tumour_patches import SURROUND_MM, entries_for_patches, is_of_tumours, patches_of_tumours
from pipelines.datasets.tumours import load_tumours, read_tumours
from pipelines.errors import MammonodeError
from pipelines.training import load_splits

if TYPE_CHECKING:  # at run time where it is used: it needs scikit-learn, without which a detector can be trained
    from models.training.classifier import ClassifierPlan

LOSSES: Final = "losses.csv"
GATE_SHARE: Final = 0.7
"""Steps of the gate for one of the detector; they cost a tenth."""

OF_TUMOURS: Final = "patches of tumours, calcified or not: the manifest does not say"

LOSSES_EVERY: Final = 20
"""Steps whose mean is one row."""

Item = TypeVar("Item")
Plan = TypeVar("Plan", bound=RunPlan)


class CannotTrain(MammonodeError):
    """A run cannot begin, or go on, with what it was given; the message says what is wrong with it."""


def train_fpnnet(
    manifest: Path,
    out: Path,
    *,
    plan: TrainPlan,
    medium: Medium | None,
    phantoms: int,
    distractors: bool,
    backbone: Path | None,
    minutes: float | None,
) -> None:
    """Train FPNNet and say where its bundle is; ends with status 3 when it was stopped before its last step."""
    out.mkdir(parents=True, exist_ok=True)
    data = training_data(manifest, out, medium, phantoms)
    crops = CropPlan() if distractors else CropPlan(distractors=0.0)
    gate_plan = GatePlan(steps=max(1, round(GATE_SHARE * plan.steps)))
    with (
        stopping(minutes) as stop,
        tqdm(total=plan.steps, unit="step", desc="detector", smoothing=0.05) as bar,
        tqdm(total=gate_plan.steps, unit="step", desc="gate    ", smoothing=0.05) as gate_bar,
    ):
        bundle = _trained(
            lambda: train(
                data,
                out,
                plan=plan,
                crops=crops,
                gate_plan=gate_plan,
                backbone=backbone,
                tell_gate=lambda step, loss: _advance(gate_bar, step, loss, stop),
                tell=_Log(out / LOSSES, bar),
                until=stop,
            )
        )
    if bundle is None:
        typer.echo(f"stopped before the end; the same command goes on from the checkpoint in {out}")
        raise typer.Exit(3)
    typer.echo(f"weights and metadata: {bundle}")
    typer.echo(
        f"the node runs them with weights_dir = {out} in its settings; what they can do: mammonode evaluate fpnnet"
    )


def training_data(manifest: Path, out: Path, medium: Medium | None, phantoms: int) -> TrainingData:
    """Images of a manifest, and phantoms; with films only no phantoms, which are images of a digital detector.

    Images that are too many for the memory are kept in ``out/images``.
    """
    wanted = 0 if medium == "film" else phantoms
    splits = load_splits(manifest, medium=medium, cache=out / "images", phantoms=wanted > 0, progress=shown)
    if not any(image.plantable for image in splits.val):
        typer.echo(
            "no image of the split val is known to be normal (plantable): false positives are counted on phantoms"
        )
    return TrainingData(
        train=splits.train,
        val=splits.val,
        phantoms=phantom_images(wanted, "train"),
        val_phantoms=phantom_images(max(1, wanted // 5) if wanted else 0, "val"),
        note=splits.note + (f"; {wanted} phantom views" if wanted else ""),
    )


def plan_of(
    kind: type[Plan],
    *,
    steps: int,
    batch: int,
    seed: int,
    device: str,
    precision: Literal["auto"] | Precision,
    workers: int,
) -> Plan:
    """Fill in what the command line leaves to the machine: the device, and half precision where it is quick."""
    return kind(
        steps=steps,
        batch=batch,
        seed=seed,
        device=device_of(device),
        precision="bfloat16" if precision == "auto" else precision,
        workers=workers,
    )


def device_of(wanted: str) -> str:
    """Resolve a device before anything is read.

    Raises
    ------
    CannotTrain
        It cannot be used here.
    """
    problem = device_problem(wanted)
    if problem is not None:
        raise CannotTrain(f"--device {wanted}: {problem}")
    return resolve_device(wanted)


def shown(items: Iterable[Item], count: int, doing: str) -> Iterable[Item]:
    """Pass items on with a progress bar."""
    return tqdm(items, total=count, desc=doing, unit="image")


class _Log:
    """Mean losses to the progress bar and to a table."""

    def __init__(self, path: Path, bar: tqdm[NoReturn]) -> None:
        self._path, self._bar = path, bar
        self._sums: dict[str, float] = defaultdict(float)
        self._count = 0

    def __call__(self, step: int, losses: Mapping[str, float]) -> None:
        self._bar.n = step
        self._bar.refresh()
        for name, value in losses.items():
            self._sums[name] += value
        self._count += 1
        if step % LOSSES_EVERY:
            return
        means = {name: round(value / self._count, 5) for name, value in self._sums.items()}
        self._bar.set_postfix(loss=f"{sum(means.values()):.3f}")
        append_row(self._path, {"step": step, **means})
        self._sums.clear()
        self._count = 0


def _advance(bar: tqdm[NoReturn], step: int, loss: float, stop: _Stop) -> None:
    bar.n = step
    bar.set_postfix(loss=f"{loss:.3f}")
    if stop.asked:
        raise _GateStopped


def _trained(run: Callable[[], Path | None]) -> Path | None:
    try:
        return run()
    except _GateStopped:
        return None
    except TrainingRefused as error:
        raise CannotTrain(str(error)) from error


class _GateStopped(Exception):
    """The gate takes minutes and has no checkpoint: it is begun anew."""


@dataclass(slots=True)
class _Stop:
    """True from the first SIGINT or SIGTERM on, or when the time is up."""

    end_s: float | None
    asked: bool = False

    def __call__(self) -> bool:
        return self.asked or (self.end_s is not None and time.monotonic() > self.end_s)

    def ask(self, _number: int, _frame: FrameType | None) -> None:
        self.asked = True
        signal.signal(signal.SIGINT, signal.default_int_handler)  # a second one ends at once
        signal.signal(signal.SIGTERM, signal.SIG_DFL)


@contextmanager
def stopping(minutes: float | None) -> Iterator[_Stop]:
    """Take signals as a wish to stop, as long as it lasts."""
    stop = _Stop(end_s=None if minutes is None else time.monotonic() + 60.0 * minutes)
    before = {number: signal.signal(number, stop.ask) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def train_fpnnet_backbone(
    manifest: Path,
    out: Path,
    *,
    plan: ClassifierPlan,
    medium: Medium | None,
    phantoms: int,
    distractors: bool,
    minutes: float | None,
) -> None:
    """Train FPNNet's backbone on patches and say where it is; likewise."""
    from models.training.backbone import NAME, WEIGHTS_FILE, train_backbone  # noqa: PLC0415  needs scikit-learn

    data = training_data(manifest, out, medium, phantoms)
    _run_classifier(
        lambda tell, until: train_backbone(data, out, plan=plan, distractors=distractors, tell=tell, until=until),
        out,
        NAME,
        steps=plan.steps,
        minutes=minutes,
    )
    typer.echo(f"mammonode train fpnnet takes it with --backbone {out / WEIGHTS_FILE}")


def train_sppnet(
    manifest: Path,
    out: Path,
    *,
    plan: ClassifierPlan,
    whole: float,
    medium: Medium | None,
    phantoms: int,
    start: Path | None,
    minutes: float | None,
) -> None:
    """Train SPPNet and say where its bundle is; ends with status 3 when it was stopped before its last step."""
    from models.training.sppnet import train as train_classifier  # noqa: PLC0415  needs scikit-learn

    data = training_data(manifest, out, medium, phantoms)
    _run_classifier(
        lambda tell, until: train_classifier(
            data, out, plan=plan, samples=SamplePlan(whole=whole), start=start, tell=tell, until=until
        ),
        out,
        "SPPNet",
        steps=plan.steps,
        minutes=minutes,
    )
    typer.echo(f"the node runs them with weights_dir = {out} in its settings")


def train_sppnet_patches(
    manifest: Path, out: Path, *, task: PatchTask, plan: ClassifierPlan, start: Path | None, minutes: float | None
) -> None:
    """Train SPPNet for a subtype and say where its bundle is; likewise."""
    from models.training.sppnet_patches import CALCIFICATIONS, train_patches  # noqa: PLC0415  needs scikit-learn

    of_tumours = is_of_tumours(manifest)
    patches = _patches_of_tumours(manifest, task) if of_tumours else _patches(manifest)
    _run_classifier(
        lambda tell, until: train_patches(
            patches,
            out,
            task=task,
            plan=plan,
            note=note_of(manifest, patches),
            what=OF_TUMOURS if of_tumours else CALCIFICATIONS,
            start=start,
            tell=tell,
            until=until,
        ),
        out,
        TASKS[task].model,
        steps=plan.steps,
        minutes=minutes,
    )
    typer.echo(f"the node runs them with weights_dir = {out} in its settings")


def _patches_of_tumours(manifest: Path, task: PatchTask) -> Sequence[Patch]:
    try:
        entries = entries_for_patches(read_tumours(manifest), task)
        return patches_of_tumours(load_tumours(entries, shown, surround_mm=SURROUND_MM))
    except TrainingRefused as error:
        raise CannotTrain(str(error)) from error


def _patches(manifest: Path) -> Sequence[Patch]:
    rows = [one for one in read_patches(manifest) if one.row.split in ("train", "val")]
    images = shown(load_patches(rows), len(by_image(rows)), "reading patches")
    return [patch for of_image in images for patch in of_image]


def _run_classifier(
    run: Callable[[_Log, _Stop], Path | None], out: Path, model: str, *, steps: int, minutes: float | None
) -> None:
    """Train until the last step, or until it is to stop; then the command ends with status 3."""
    log = training_dir(out, model) / LOSSES
    log.parent.mkdir(parents=True, exist_ok=True)
    with stopping(minutes) as stop, tqdm(total=steps, unit="step", desc="classifier", smoothing=0.05) as bar:
        bundle = _trained(lambda: run(_Log(log, bar), stop))
    if bundle is None:
        typer.echo(f"stopped before the end; the same command goes on from the checkpoint in {log.parent}")
        raise typer.Exit(3)
    typer.echo(f"weights and metadata: {bundle}")
