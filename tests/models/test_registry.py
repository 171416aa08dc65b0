"""What models there are is known without torch; which of them can run is said, not raised."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from models import registry
from models.metadata import bundle_dir, bundle_metadata
from models.regions.outcomes import OUTCOMES
from models.registry import MODELS, REGION_MODELS, describe
from tests.models.builders import NETWORKS

WITHOUT_TORCH = """
import sys
from pathlib import Path
from models.errors import WeightsMissing
from models.registry import MODELS, describe, load
describe()
for name in MODELS:
    try:
        load(name, "cpu", Path(sys.argv[1]))
    except WeightsMissing:
        pass
    else:
        sys.exit("loaded")
sys.exit(", ".join(sorted({"torch", "torchvision", "monai", "safetensors.torch"} & set(sys.modules))) or None)
"""


def test_describing_models_and_missing_one_import_no_torch(tmp_path: Path) -> None:
    for name in MODELS:
        (tmp_path / name.lower()).mkdir()
    command = [sys.executable, "-c", WITHOUT_TORCH, str(tmp_path)]
    run = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert run.returncode == 0, run.stderr


def test_every_model_is_listed_with_its_operating_point_and_whether_it_has_weights() -> None:
    detector, classifier, *others = cards = describe()
    of_ultrasound, of_regions = others[:3], others[3:]
    assert (detector.name, detector.task, detector.canonical_spacing_mm) == ("FPNNet", "detection", 0.1)
    assert (classifier.name, classifier.task, classifier.canonical_spacing_mm) == ("SPPNet", "classification", 0.1)
    assert [(card.name, card.task, card.canonical_spacing_mm) for card in of_ultrasound] == [
        ("us-segmentation", "segmentation", None),
        ("us-malignancy", "roi_classification", None),
        ("us-her2", "roi_classification", None),
    ]
    assert [card.name for card in of_regions] == list(REGION_MODELS)
    for card in of_regions:
        assert card.task == "region_classification" and card.region is not None
        assert card.region.classes == OUTCOMES[card.region.outcome]
    trained_on = {"FPNNet": "mini-MIAS", "us-segmentation": "BUSI", "us-malignancy": "BUSI"}
    for card in cards:
        if card.name in trained_on:
            assert card.installed and card.problem is None and trained_on[card.name] in card.measured_on
        else:
            assert not card.installed and card.weights_sha256 is None
            nothing = "no trained weights yet" if card.region is None else "no weights ship"
            assert card.problem == "no weights installed" and card.measured_on.startswith(nothing)
    for card in cards:
        assert card.identity.operating_point == card.operating_point


def test_installed_weights_are_described_with_their_digest(random_weights_dir: Path) -> None:
    installed = [card for card in describe(random_weights_dir) if card.name in NETWORKS]
    assert len(installed) == len(NETWORKS)
    for card in installed:
        named = json.loads((random_weights_dir / card.name.lower() / "metadata.json").read_text())
        assert card.installed and card.problem is None
        assert card.weights_sha256 == card.identity.weights_sha256 == named["weights"]["sha256"]
        assert card.measured_on == "random weights: nothing measured"


def test_tampered_weights_are_a_problem_that_is_told(random_weights_dir: Path, tmp_path: Path) -> None:
    folder = tmp_path / "sppnet"
    folder.mkdir()
    (folder / "metadata.json").write_text((random_weights_dir / "sppnet" / "metadata.json").read_text())
    (folder / "model.safetensors").write_bytes(b"tampered")
    card = next(card for card in describe(tmp_path) if card.name == "SPPNet")
    assert not card.installed and card.weights_sha256 is None and "SHA-256" in str(card.problem)


def test_figures_name_the_data_that_they_were_measured_on(tmp_path: Path) -> None:
    metadata = bundle_metadata("SPPNet")
    metadata["measured"]["figures"] = [
        {"figure": "AUC", "value": 0.5, "on": "cohort A"},
        {"figure": "AUC", "value": 0.5, "on": "cohort B"},
        {"figure": "accuracy", "value": 0.5, "on": "cohort A"},
    ]
    folder = tmp_path / "sppnet"
    folder.mkdir()
    (folder / "metadata.json").write_text(json.dumps(metadata))
    (folder / "model.safetensors").write_bytes(b"")
    assert registry.find_weights("SPPNet", tmp_path).metadata.measured_on == "cohort A; cohort B"


@pytest.mark.parametrize("name", MODELS)
def test_a_bundle_has_its_parts_and_its_card_says_which_weights_there_are(name: str) -> None:
    folder, metadata = bundle_dir(name), bundle_metadata(name)
    of_network = () if folder.name == "radiomics" else ("configs/inference.yaml", "network.py")
    for part in ("configs/metadata.json", "predict.py", "README.md", *of_network):
        assert (folder / part).is_file(), part
    assert metadata["name"] == name
    assert metadata["weights"]["file"] == ("model.safetensors" if of_network else "model.skops")
    card = (folder / "README.md").read_text()
    digest = metadata["weights"]["sha256"]
    assert (digest or "No weights ship") in card and metadata["version"] in card
    assert (folder / "models" / metadata["weights"]["file"]).exists() is (digest is not None)


def test_an_unknown_model_and_a_wrong_task_are_refused() -> None:
    with pytest.raises(KeyError, match="FPNNet, SPPNet"):
        registry.load("ResNet")
    with pytest.raises(ValueError, match="FPNNet does detection"):
        registry.load_classifier("FPNNet")
    with pytest.raises(ValueError, match="us-segmentation does segmentation"):
        registry.load_lesion_classifier("us-segmentation")
    with pytest.raises(ValueError, match="us-her2 does roi_classification"):
        registry.load_segmenter("us-her2")


@pytest.mark.parametrize("name", ["FPNNet", "SPPNet"])
def test_a_network_of_mammography_without_a_spacing_is_refused(name: str, tmp_path: Path) -> None:
    metadata = bundle_metadata(name) | {"canonical_spacing_mm": None}
    folder = tmp_path / name.lower()
    folder.mkdir()
    (folder / "metadata.json").write_text(json.dumps(metadata))
    (folder / "model.safetensors").write_bytes(b"")
    card = registry.describe_model(name, tmp_path)
    assert not card.installed and "metadata.json lacks or misstates" in str(card.problem)
