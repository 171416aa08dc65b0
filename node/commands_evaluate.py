"""The command evaluate: a model over a manifest, and the report of what it can do."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Final

import typer

from models import registry
from models.errors import ModelError
from models.evaluation.contract import EvaluatedImage, NotDefined
from models.evaluation.evaluate import Evaluation, evaluate
from models.evaluation.hits import HIT_RULES
from models.evaluation.marks import FalsePositivesOn
from models.evaluation.report import write_report
from models.predictor import Classifier, Detector
from models.training.contract import Split
from node.commands_train import shown
from pipelines.datasets.manifest import ManifestImage, read_manifest
from pipelines.errors import MammonodeError, ManifestInvalid
from pipelines.evaluation import judge_breasts, manifest_cases, planted_cases, run

FALSE_POSITIVES_ON: Final[Mapping[str, FalsePositivesOn]] = {
    "normal": "normal images",
    "unmarked": "images without a lesion",
    "all": "all images",
}
DETECTOR: Final = "FPNNet"
CLASSIFIER: Final = "SPPNet"
SCORE_THRESHOLD: Final = "score_threshold"


class ModelUnavailable(MammonodeError):
    """A model that is to be evaluated cannot run; the message says why and what to do."""


def evaluate_fpnnet(
    manifest: Path,
    out: Path,
    *,
    split: Split | None,
    planted: bool,
    phantoms: int,
    hit_rule: str,
    weights_dir: Path | None,
    device: str,
    seed: int,
    second_opinion: bool,
    false_positives_on: str,
) -> None:
    """Evaluate FPNNet, write the report and print its main figures."""
    if phantoms and not planted:
        raise ManifestInvalid(("--phantoms are there to plant clusters in: give --planted as well",))
    require_device(device)
    entries = [entry for entry in read_manifest(manifest) if split is None or entry.split == split]
    cases = planted_cases(entries, seed, phantoms) if planted else manifest_cases(entries)
    if not cases:
        what = "no image that lesions may be planted in (plantable)" if planted else "no image"
        raise ManifestInvalid((f"{what} is in {_of_split(split)}; see docs/MANIFEST.md",))
    detector = _detector(device, weights_dir)
    require_writable(out)
    classifier = _classifier(device, weights_dir) if second_opinion else None
    images = _named_apart(run(cases, detector, classifier, shown))
    threshold = detector.identity.operating_point[SCORE_THRESHOLD]
    evaluation = evaluate(
        images,
        judge_breasts(images, threshold),
        model=detector.identity,
        score_threshold=threshold,
        dataset_note=_note(manifest, entries, split, planted=planted, phantoms=phantoms),
        simulated=planted,
        hit_rule=HIT_RULES[hit_rule],
        false_positives_on=FALSE_POSITIVES_ON[false_positives_on],
        seed=seed,
    )
    paths = write_report(evaluation, out)
    for line in _summary(evaluation):
        typer.echo(line)
    typer.echo(f"report: {next(path for path in paths if path.suffix == '.html')}")


def require_device(device: str) -> None:
    """Find out before the work, not after it, that there is no such device.

    Raises
    ------
    ModelUnavailable
        There is none.
    """
    problem = registry.device_problem(device)
    if problem is not None:
        raise ModelUnavailable(f"--device {device}: {problem}")


def require_writable(out: Path) -> None:
    """Find out before the work, not after it, that nothing can be written to `out`; it is made when it is not there.

    Raises
    ------
    ModelUnavailable
        It cannot be made, or not be written to.
    """
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ModelUnavailable(f"--out {out} cannot be made: {error.strerror}") from error
    if not os.access(out, os.W_OK):
        raise ModelUnavailable(f"--out {out} cannot be written to")


def _detector(device: str, weights_dir: Path | None) -> Detector:
    try:
        return registry.load_detector(DETECTOR, device, weights_dir)
    except ModelError as error:
        raise ModelUnavailable(
            f"{DETECTOR}: {error}; train it with mammonode train fpnnet, or give --weights"
        ) from error


def _classifier(device: str, weights_dir: Path | None) -> Classifier:
    try:
        return registry.load_classifier(CLASSIFIER, device, weights_dir)
    except ModelError as error:
        raise ModelUnavailable(f"{CLASSIFIER}: {error}; train it, or leave --second-opinion out") from error


def _named_apart(images: tuple[EvaluatedImage, ...]) -> list[EvaluatedImage]:
    """Number images of one content: a report wants each to have a name of its own."""
    seen: dict[str, int] = {}
    named = []
    for image in images:
        seen[image.name] = seen.get(image.name, 0) + 1
        number = seen[image.name]
        named.append(image if number == 1 else replace(image, name=f"{image.name} ({number})"))
    return named


def _note(manifest: Path, entries: list[ManifestImage], split: Split | None, *, planted: bool, phantoms: int) -> str:
    count = sum(entry.plantable for entry in entries) if planted else len(entries)
    kind = (
        "each normal image as it is, with distractors, and with simulated calcifications among these"
        if planted
        else "as labelled"
    )
    of_phantoms = f"; {phantoms} phantoms likewise" if planted and phantoms else ""
    return f"{manifest.name}, {_of_split(split)}, {count} images, {kind}{of_phantoms}"


def _of_split(split: Split | None) -> str:
    return "all splits" if split is None else f"split {split}"


def _summary(evaluation: Evaluation) -> list[str]:
    """The figures that one asks for first."""
    curve = evaluation.froc["all lesions"]
    lines = [f"{evaluation.data.images} images, hit: {evaluation.hit_rule_description}"]
    if isinstance(curve, NotDefined):
        return [*lines, f"FROC: not defined: {curve.reason}; see --false-positives-on"]
    lines.append(f"{curve.lesions} lesions; false positives on {curve.images} {curve.false_positives_on}")
    for point in curve.points:
        interval = point.interval
        spread = "" if isinstance(interval, NotDefined) else f"  95 % {interval.lower:.2f} to {interval.upper:.2f}"
        threshold = "" if point.score_threshold is None else f"  score {point.score_threshold:.3f}"
        found = round(point.sensitivity * curve.lesions)
        ends = "  (the scores end here)" if point.complete else ""
        lines.append(f"  {point.rate:5.2f} an image: {found} found, {point.sensitivity:.3f}{spread}{threshold}{ends}")
    return lines
