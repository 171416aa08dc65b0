"""What each part of FPNNet's training is good for: short runs from random weights, one thing changed in each.

    python -m tests.benchmarks.ablations --data MANIFEST --out DIR

Every run has the same steps, seed and test images (split test: real lesions as they are, and clusters planted in the
plantable images; phantoms likewise). No gate, whole images, the averaged weights of the last step: nothing is chosen.
A run that is in DIR is taken up again, one that has been measured is not run again.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

import torch
from tqdm import tqdm

from models.fpnnet.network import FPNNet
from models.metadata import bundle_dir, read_metadata
from models.training.backbone import train_backbone
from models.training.classifier import ClassifierPlan
from models.training.contract import Medium, TrainingImage
from models.training.crops import CropPlan, CropSampler
from models.training.data import TrainingData, image_groups
from models.training.detector import DetectorTraining, TrainPlan
from models.training.fpnnet import NAME, new_network
from models.training.loop import arithmetic
from models.training.phantoms import phantom_images
from models.training.planted_views import planted_pairs
from models.training.validation import ValidationView, all_scores, lesion_scores, score_above, view_of, views_of
from node.commands_train import training_data
from pipelines.datasets.images import load_image
from pipelines.datasets.manifest import read_manifest

PHANTOMS: Final = 10
TEST_PHANTOMS: Final = 4
RATES: Final = (1.0, 2.0)
"""False positives per normal image."""

SEED: Final = 1
TEST_SEED: Final = 20231118


@dataclass(frozen=True, slots=True, kw_only=True)
class Variant:
    """What differs in a run."""

    medium: Medium | None = None
    distractors: bool = True
    pretrained: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class _TestSet:
    """Images in which false positives are counted, and by name those whose lesions are looked for."""

    normals: tuple[ValidationView, ...]
    lesions: dict[str, tuple[ValidationView, ...]]


VARIANTS: Final = {
    "everything, random weights": Variant(),
    "no distractors": Variant(distractors=False),
    "film only": Variant(medium="film"),
    "digital only": Variant(medium="digital"),
    "everything, backbone trained on patches": Variant(pretrained=True),
}


def main() -> None:
    """Run what has not been measured yet and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--batch", type=int, default=6)
    parser.add_argument("--backbone-steps", type=int, default=300)
    parser.add_argument("--device", default="cpu")
    options = parser.parse_args()
    sets = _test_sets(options.data)
    rows = {}
    for name, variant in VARIANTS.items():
        folder = options.out / name.replace(",", "").replace(" ", "-")
        rows[name] = _measured(variant, folder, options, sets)
        print(f"{name}: {json.dumps(rows[name])}", flush=True)
    heads = list(next(iter(rows.values()))["found"])
    print(
        f"\n{options.steps} steps of {options.batch} crops; lesions found at 1 and at 2 false positives a normal image"
    )
    print("| run | " + " | ".join(heads) + " |")
    print("| --- |" + " --- |" * len(heads))
    for name, row in rows.items():
        cells = [f"{found['at_1']} and {found['at_2']} of {found['lesions']}" for found in row["found"].values()]
        print(f"| {name} | " + " | ".join(cells) + " |")


def _test_sets(manifest: Path) -> tuple[_TestSet, ...]:
    """Views of the split test by kind; normal images are those that clusters are planted in."""
    spacing_mm = read_metadata(bundle_dir(NAME) / "configs" / "metadata.json").canonical_spacing_mm
    entries = [entry for entry in read_manifest(manifest) if entry.split == "test"]
    films = [load_image(entry) for entry in entries if entry.medium == "film"]
    normals = [image for image in films if image.plantable]
    phantoms = phantom_images(TEST_PHANTOMS, "test")
    return (
        _TestSet(
            normals=tuple(view_of(image, spacing_mm, normal=True) for image in normals),
            lesions={
                "real clusters on film": tuple(
                    view_of(image, spacing_mm, normal=False) for image in films if image.lesions
                ),
                "planted, film": views_of(planted_pairs(normals, TEST_SEED), spacing_mm, normals=False),
            },
        ),
        _TestSet(
            normals=tuple(view_of(image, spacing_mm, normal=True) for image in phantoms),
            lesions={"planted, phantoms": views_of(planted_pairs(phantoms, TEST_SEED), spacing_mm, normals=False)},
        ),
    )


def _found(network: FPNNet, of: _TestSet, device: torch.device) -> dict[str, dict[str, int]]:
    """How many lesions a network finds at either rate."""
    false = all_scores(network, of.normals, device)
    at_1, at_2 = (score_above(false, rate * len(of.normals)) for rate in RATES)
    found = {}
    for name, views in of.lesions.items():
        scores = [score for view in views for score in lesion_scores(network, view, device)]
        found[name] = {
            "at_1": sum(score > at_1 for score in scores),
            "at_2": sum(score > at_2 for score in scores),
            "lesions": len(scores),
        }
    return found


def _measured(
    variant: Variant, folder: Path, options: argparse.Namespace, sets: Sequence[_TestSet]
) -> dict[str, object]:
    result = folder / "result.json"
    if result.exists():
        return dict(json.loads(result.read_text()))
    folder.mkdir(parents=True, exist_ok=True)
    data = training_data(options.data, folder, variant.medium, PHANTOMS)
    network = _run(variant, data, folder, options).averaged()
    device = torch.device(options.device)
    with arithmetic(device, "bfloat16"):
        found = {name: row for of in sets for name, row in _found(network, of, device).items()}
    row = {**asdict(variant), "found": found}
    result.write_text(json.dumps(row))
    return row


def _run(variant: Variant, data: TrainingData, folder: Path, options: argparse.Namespace) -> DetectorTraining:
    crops = CropPlan() if variant.distractors else CropPlan(distractors=0.0)
    backbone = None
    if variant.pretrained:
        plan = ClassifierPlan(
            steps=options.backbone_steps, batch=16, seed=SEED, device=options.device, validate_every=150
        )
        with tqdm(total=plan.steps, desc="backbone") as bar:
            backbone = train_backbone(data, folder / "backbone", plan=plan, tell=lambda step, losses: _tell(bar, step))
    plantable = [image for image in data.train if image.plantable]
    run = DetectorTraining(
        new_network(SEED, backbone),
        CropSampler(image_groups(data.train, data.phantoms), crops, SEED),
        normals=plantable,
        views=_a_few(data),
        plan=TrainPlan(
            steps=options.steps,
            batch=options.batch,
            seed=SEED,
            device=options.device,
            warm_up_steps=50,
            validate_every=options.steps,
            mine_every=0,
            average=0.98,
        ),
        fixed={},
        directory=folder,
    )
    with tqdm(total=options.steps, desc="detector") as bar:
        run.run(lambda step, losses: _tell(bar, step))
    return run


def _a_few(data: TrainingData) -> tuple[ValidationView, ...]:
    """A run validates at its end, but nothing is chosen here: two views will do."""
    images: Sequence[TrainingImage] = [image for image in (*data.val, *data.val_phantoms) if image.plantable][:1]
    return views_of(planted_pairs(images, SEED), 0.1, normals=True)


def _tell(bar: tqdm, step: int) -> None:  # type: ignore[type-arg]  # tqdm's items do not matter here
    bar.n = step
    bar.refresh()


if __name__ == "__main__":
    sys.exit(main())
