"""Random networks, built once; what is resident is forgotten where a test asks for it."""

from __future__ import annotations

from pathlib import Path

import pytest

from models import registry
from models.fpnnet.network import FPNNet
from models.fpnnet.predict import FPNNetPredictor
from models.fpnnet.search import GatedFPNNet
from models.sppnet.network import SPPNet
from models.sppnet.predict import SPPNetPredictor
from tests.models.builders import NETWORKS, install_random_weights, own_metadata, random_network


@pytest.fixture(scope="session")
def gated() -> GatedFPNNet:
    network = random_network("FPNNet")
    assert isinstance(network, GatedFPNNet)
    return network


@pytest.fixture(scope="session")
def fpnnet(gated: GatedFPNNet) -> FPNNet:
    return gated.detector


@pytest.fixture(scope="session")
def sppnet() -> SPPNet:
    network = random_network("SPPNet")
    assert isinstance(network, SPPNet)
    return network


@pytest.fixture(scope="session")
def detector(gated: GatedFPNNet) -> FPNNetPredictor:
    return FPNNetPredictor(gated, own_metadata("FPNNet"), weights_sha256=None, device="cpu")


@pytest.fixture(scope="session")
def classifier(sppnet: SPPNet) -> SPPNetPredictor:
    return SPPNetPredictor(sppnet, own_metadata("SPPNet"), weights_sha256=None, device="cpu")


@pytest.fixture(scope="session")
def random_weights_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A weights_dir with every model; no test may change it."""
    weights_dir = tmp_path_factory.mktemp("weights")
    for name in NETWORKS:
        install_random_weights(weights_dir, name)
    return weights_dir


@pytest.fixture
def nothing_resident(monkeypatch: pytest.MonkeyPatch) -> None:
    """A registry that has loaded nothing, as in a new process."""
    monkeypatch.setattr(registry, "_resident", {})
