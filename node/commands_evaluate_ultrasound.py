"""The commands ``evaluate us-...``: models of ultrasound over a manifest, and the report of what they can do."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

import typer

from models import registry
from models.contract import ModelIdentity
from models.errors import ModelError
from models.evaluation.contract import NotDefined
from models.evaluation.frame_figures import FrameEvaluation, classification_figures, segmentation_figures
from models.evaluation.frame_report import mean_words, write_frame_report
from models.evaluation.frames import EvaluatedFrame
from models.evaluation.page import figure_words, share_words
from models.predictor import LesionClassifier, Segmenter
from models.training.fold_bundles import was_trained_on, weights_dir_of
from models.training.us_rois import CLASSES_OF, RoiModel
from node.commands_evaluate import ModelUnavailable, require_device, require_writable
from node.commands_train import shown
from pipelines.datasets.frame_images import LoadedFrames, load_frames
from pipelines.errors import ManifestInvalid
from pipelines.frame_evaluation import (
    NOT_TRAINED,
    Comparators,
    Outlined,
    compare,
    labelled_frames,
    outline_frames,
    score_frames,
)

SEGMENTER: Final = "us-segmentation"
THRESHOLDS: Final = ("malignancy_threshold", "positive_threshold")
CROSS_VALIDATION: Final = "cross-validation by groups: each frame is measured by a network that has not seen its fold"
INSTALLED: Final = "the installed weights on every frame; those that they were trained on flatter"


@dataclass(frozen=True, slots=True, kw_only=True)
class Folds:
    """Where the networks come from.

    Attributes
    ----------
    run : pathlib.Path or None
        Folder of a training of all folds; each frame is given to the network that has not seen its fold.
    weights_dir : pathlib.Path or None
        Without `run`: a weights_dir for every frame; None for the weights that ship.
    device : str
        ``"auto"``, ``"cpu"`` or ``"cuda:N"``.
    """

    run: Path | None
    weights_dir: Path | None
    device: str

    @property
    def protocol(self) -> str:
        """How it is measured, in words."""
        return INSTALLED if self.run is None else CROSS_VALIDATION

    def segmenter(self, fold: int) -> Segmenter:
        """The segmenter for frames of a fold."""
        try:
            return registry.load_segmenter(SEGMENTER, self.device, self._weights_dir(SEGMENTER, fold))
        except ModelError as error:
            raise self._unavailable(SEGMENTER, fold, error) from error

    def classifier(self, model: RoiModel, fold: int) -> LesionClassifier:
        """The classifier for lesions of a fold."""
        try:
            return registry.load_lesion_classifier(model, self.device, self._weights_dir(model, fold))
        except ModelError as error:
            raise self._unavailable(model, fold, error) from error

    def identities(self, name: str, folds: tuple[int, ...]) -> tuple[ModelIdentity, ...]:
        """Which models these are; those that every fold shares once."""
        cards = (registry.describe_model(name, self._weights_dir(name, fold)) for fold in folds)
        return tuple({card.weights_sha256: card.identity for card in cards}.values())

    def require_unseen(self, name: str, data: LoadedFrames) -> None:
        """Make sure that each network of a cross-validation was trained on all frames but those of its fold.

        Raises
        ------
        ModelUnavailable
            One was trained on others: the manifest, or the seed that shares out its folds, has changed since.
        """
        for fold in data.folds if self.run is not None else ():
            self._weights_dir(name, fold)
            others = [frame for frame in data.frames if frame.fold != fold]
            if self.run is not None and not was_trained_on(self.run, name, fold, others):
                raise ModelUnavailable(
                    f"{name} without fold {fold} was trained on other frames than this manifest has outside that "
                    "fold: evaluate with the manifest and the seed of the training"
                )

    def _weights_dir(self, name: str, fold: int) -> Path | None:
        if self.run is None:
            return self.weights_dir
        weights_dir = weights_dir_of(self.run, fold)
        if not (weights_dir / name).is_dir():  # else the weights that ship would stand in, which have seen the fold
            raise ModelUnavailable(f"{name}: no network without fold {fold}; mammonode train {name} --fold {fold}")
        return weights_dir

    def _unavailable(self, name: str, fold: int, error: ModelError) -> ModelUnavailable:
        which = "" if self.run is None else f" without fold {fold}"
        return ModelUnavailable(f"{name}{which}: {error}; train it with mammonode train {name}, or give --weights")


def evaluate_segmentation(
    manifest: Path, out: Path, *, run: Path | None, weights_dir: Path | None, device: str, seed: int
) -> None:
    """Evaluate us-segmentation, write the report and print its main figures."""
    require_device(device)
    require_writable(out)
    data = load_frames(manifest, seed=seed, progress=shown)
    folds = Folds(run=run, weights_dir=weights_dir, device=device)
    _write(*segmentation_evaluation(data, folds), out)


def evaluate_rois(
    model: RoiModel,
    manifest: Path,
    out: Path,
    *,
    run: Path | None,
    weights_dir: Path | None,
    outlines: bool,
    device: str,
    seed: int,
) -> None:
    """Evaluate us-malignancy or us-her2, write the report and print its main figures."""
    require_device(device)
    require_writable(out)
    data = load_frames(manifest, seed=seed, progress=shown)
    folds = Folds(run=run, weights_dir=weights_dir, device=device)
    _write(*roi_evaluation(model, data, folds, outlines=outlines, compared=run is not None, seed=seed), out)


def segmentation_evaluation(data: LoadedFrames, folds: Folds) -> tuple[FrameEvaluation, tuple[EvaluatedFrame, ...]]:
    """Compute all figures of outlines, and what they were computed from.

    Raises
    ------
    ModelUnavailable
        A network is not there.
    ManifestInvalid
        A lesion has no mask.
    """
    outlined = _outlined(data, folds)
    frames = tuple(one.evaluated for one in outlined)
    evaluation = FrameEvaluation(
        title="Evaluation of us-segmentation",
        models=folds.identities(SEGMENTER, data.folds),
        protocol=folds.protocol,
        data=data.note,
        segmentation=segmentation_figures(frames),
        classification=None,
    )
    return evaluation, frames


def roi_evaluation(
    model: RoiModel, data: LoadedFrames, folds: Folds, *, outlines: bool, compared: bool, seed: int
) -> tuple[FrameEvaluation, tuple[EvaluatedFrame, ...]]:
    """Compute all figures of classes, and those of outlines where `outlines` says so.

    Parameters
    ----------
    compared : bool
        Whether to train the comparators fold by fold.

    Raises
    ------
    ModelUnavailable
        A network is not there.
    ManifestInvalid
        No lesion has a class, or, with `outlines`, a lesion has no mask.
    """
    if not labelled_frames(data.frames, model):
        raise ManifestInvalid((f"no lesion has a class for {model}; see docs/MANIFEST_ULTRASOUND.md",))
    folds.require_unseen(model, data)
    for fold in data.folds:  # what is missing is told before anything is computed
        folds.classifier(model, fold)
    outlined = _outlined(data, folds) if outlines else ()
    comparators = (
        compare(data.frames, model, seed=seed, progress=shown)
        if compared
        else Comparators(radiomics={}, clinical={}, words=NOT_TRAINED)
    )
    scored = score_frames(
        data.frames,
        model,
        lambda fold: folds.classifier(model, fold),
        boxes_px={one.evaluated.name: one.boxes_px for one in outlined},
        comparators=comparators,
        progress=shown,
    )
    identities = folds.identities(model, data.folds)
    point = identities[0].operating_point
    frames = tuple(one.evaluated for one in outlined)
    evaluation = FrameEvaluation(
        title=f"Evaluation of {model}",
        models=(*identities, *(folds.identities(SEGMENTER, data.folds) if outlines else ())),
        protocol=folds.protocol,
        data=data.note,
        segmentation=segmentation_figures(frames) if frames else None,
        classification=classification_figures(
            scored,
            classes=CLASSES_OF[model],
            threshold=next(point[name] for name in THRESHOLDS if name in point),
            with_outlines=outlines,
            comparators=comparators.words,
        ),
    )
    return evaluation, frames


def _outlined(data: LoadedFrames, folds: Folds) -> tuple[Outlined, ...]:
    if any(lesion.mask is None for frame in data.frames for lesion in frame.lesions):
        raise ManifestInvalid(("outlines are measured against masks: a lesion has a box only",))
    folds.require_unseen(SEGMENTER, data)
    for fold in data.folds:
        folds.segmenter(fold)
    return outline_frames(data.frames, folds.segmenter, shown)


def _write(evaluation: FrameEvaluation, frames: tuple[EvaluatedFrame, ...], out: Path) -> None:
    paths = write_frame_report(evaluation, frames, out)
    for line in summary(evaluation):
        typer.echo(line)
    typer.echo(f"report: {next(path for path in paths if path.suffix == '.html')}")


def summary(evaluation: FrameEvaluation) -> list[str]:
    """The figures that one asks for first."""
    lines = [evaluation.data, evaluation.protocol]
    if (outlines := evaluation.segmentation) is not None:
        lines += [f"  Dice, {name}: {mean_words(value)}" for name, value in outlines.dice.items()]
        lines += [f"  {name} found: {share_words(value)}" for name, value in outlines.found.items()]
        lines.append(f"  normal frames without a region: {share_words(outlines.normals_without_region)}")
    if (classes := evaluation.classification) is not None:
        lines += [f"  AUC by {name}: {figure_words(curve)}" for name, curve in classes.roc.items()]
        for name, test in classes.tests.items():
            if not isinstance(test, NotDefined):
                lines.append(f"  {name}: {test.difference:+.3f}, p = {test.p_value:.3g}")
    return [line.replace("\N{WORD JOINER}", "") for line in lines]
