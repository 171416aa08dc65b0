"""Where the networks of a cross-validation are, and how their bundles are written.

::

    DIR/us-segmentation/                 trained on all folds: the bundle; DIR is the node's weights_dir
    DIR/folds/2/us-segmentation/         trained without fold 2, which it is measured on; DIR/folds/2 is a weights_dir
    DIR/us-segmentation-training/all/    checkpoint and log of the former
    DIR/us-segmentation-training/fold-2/ of the latter
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from torch import Tensor

from models.errors import TrainingRefused
from models.metadata import bundle_metadata, folder_name
from models.training.card import write_card
from models.training.frames import TrainingFrame
from models.training.loop import training_dir
from models.training.provenance import digest_of_images
from models.weights import amend_metadata, write_weights

FOLDS_DIR: Final = "folds"
NOT_MEASURED: Final[Mapping[str, Any]] = {
    "note": "trained on all folds: not measured on anything unseen",
    "figures": [],
}


def weights_dir_of(directory: Path, fold: int | None) -> Path:
    """Return the weights_dir of the network that was trained without `fold`; None: on all folds."""
    return directory if fold is None else directory / FOLDS_DIR / str(fold)


def run_dir_of(directory: Path, name: str, fold: int | None) -> Path:
    """Return where checkpoint and log of that network are."""
    return training_dir(directory, name) / ("all" if fold is None else f"fold-{fold}")


def without_fold(frames: Sequence[TrainingFrame], fold: int | None) -> list[TrainingFrame]:
    """Frames to train on.

    Raises
    ------
    TrainingRefused
        There is no such fold, or nothing else.
    """
    kept = [frame for frame in frames if frame.fold != fold]
    if not kept or (fold is not None and len(kept) == len(frames)):
        folds = ", ".join(map(str, sorted({frame.fold for frame in frames})))
        raise TrainingRefused(f"cannot leave out fold {fold}: the frames are in folds {folds or 'none'}")
    return kept


def digest_of(frames: Sequence[TrainingFrame]) -> str:
    """Say in 16 digits which frames these are, whatever their order: a run is not taken up on others."""
    return digest_of_images(frames)[:16]


def write_bundle(
    weights: Mapping[str, Tensor],
    directory: Path,
    name: str,
    fold: int | None,
    *,
    frames: Sequence[TrainingFrame],
    note: str,
    training: Mapping[str, Any],
    measured: Mapping[str, Any] | None,
) -> Path:
    """Write the bundle of a network, in half precision as given, and return its folder.

    Parameters
    ----------
    frames : sequence of TrainingFrame
        What it was trained on; their digest is kept, for `was_trained_on`.
    note : str
        That in words.
    training : mapping
        How.
    measured : mapping or None
        The card's member ``measured``; None: nothing was measured.
    """
    described = {**training, "frames": digest_of(frames)}
    metadata = fold_metadata(name, fold, note=note, training=described, measured=measured)
    return write_network(weights, directory, name, fold, metadata=metadata)


def write_network(
    weights: Mapping[str, Tensor], directory: Path, name: str, fold: int | None, *, metadata: Mapping[str, Any]
) -> Path:
    """Write weights in half precision as given, with their metadata and card, and return their folder."""
    target = weights_dir_of(directory, fold) / folder_name(name)
    write_weights(weights, target, metadata, trained_on=metadata["training_data"])
    write_card(target, chosen_by_figures=False)
    return target


def fold_metadata(
    name: str,
    fold: int | None,
    *,
    note: str,
    training: Mapping[str, Any],
    measured: Mapping[str, Any] | None,
    described: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Return the metadata of a bundle; see `write_bundle`.

    Parameters
    ----------
    described : mapping or None
        What the bundle says without what training adds; None: what the model's own bundle says.
    """
    said = measured or (NOT_MEASURED if fold is None else {"note": f"to be measured on fold {fold}", "figures": []})
    return dict(described or bundle_metadata(name)) | {
        "training_data": note if fold is None else f"{note}, without fold {fold}",
        "licence": "that of the images it was trained on; see training_data",
        "training": dict(training),
        "measured": dict(said),
    }


def note_measured(bundle: Path, measured: Mapping[str, Any], *, chosen_by_figures: bool) -> None:
    """Write into the metadata and the card of a bundle what was measured with it.

    Parameters
    ----------
    bundle : pathlib.Path
        The folder of its weights.
    measured : mapping
        The card's member ``measured``.
    chosen_by_figures : bool
        Whether the checkpoint was chosen on what it was measured on.
    """
    amend_metadata(bundle, {"measured": dict(measured)})
    write_card(bundle, chosen_by_figures=chosen_by_figures)


def was_trained_on(directory: Path, name: str, fold: int | None, frames: Sequence[TrainingFrame]) -> bool:
    """Whether the bundle of a network was trained on exactly these frames; False when there is none."""
    path = weights_dir_of(directory, fold) / folder_name(name) / "metadata.json"
    if not path.is_file():
        return False
    metadata = json.loads(path.read_text(encoding="utf-8"))
    return bool(metadata.get("training", {}).get("frames") == digest_of(frames))
