"""A bundle is installed whole or not at all, at whatever instant the installation is killed."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from models import installation, registry
from models.errors import InstallationRefused
from models.installation import install
from models.metadata import bundle_dir
from models.weights import WeightsPlace, find_weights, verify_weights
from tests.models.builders import install_random_weights

NAME = "us-malignancy"
FOLDER = "us-malignancy"


def killed_at(step: int, source: Path, weights_dir: Path) -> bool:
    """Install in a child process that kills itself at the `step`-th change on disk; False when there were fewer."""
    child = os.fork()
    if child:
        ended = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        assert ended in {0, -signal.SIGKILL}
        return ended != 0
    left = [step]

    def counting(call: Callable[..., Any]) -> Callable[..., Any]:
        def counted(*arguments: Any) -> Any:
            left[0] -= 1
            if not left[0]:
                os.kill(os.getpid(), signal.SIGKILL)
            return call(*arguments)

        return counted

    try:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(installation, "_try_out", lambda *_: None)  # torch and forks; it changes nothing on disk
            for place, name in ((Path, "replace"), (Path, "rename"), (Path, "unlink"), (os, "fsync")):
                patch.setattr(place, name, counting(getattr(place, name)))
            installation.install(source, weights_dir)
        os._exit(0)
    finally:
        os._exit(1)  # a child never goes on with the tests


@pytest.fixture(scope="module")
def bundles(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Two trainings of one model."""
    folders = []
    for seed in (1, 2):
        root = tmp_path_factory.mktemp(f"trained{seed}")
        install_random_weights(root, NAME, seed)
        folders.append(root / FOLDER)
    return folders[0], folders[1]


def digest_in(weights_dir: Path) -> str:
    return verify_weights(find_weights(NAME, weights_dir))


def test_what_is_installed_is_checked_tried_out_and_replaced_by_the_next(
    bundles: tuple[Path, Path], tmp_path: Path
) -> None:
    first = install(bundles[0], tmp_path)
    assert (first.name, first.replaced, digest_in(tmp_path)) == (NAME, None, first.weights_sha256)
    second = install(bundles[1], tmp_path)
    assert (second.replaced, digest_in(tmp_path)) == (first.version, second.weights_sha256)
    assert second.weights_sha256 != first.weights_sha256
    assert len(list((tmp_path / FOLDER).iterdir())) == 2, "the old weights are gone"


def test_weights_that_are_replaced_while_they_are_looked_up_are_looked_up_again(
    bundles: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(installation, "_try_out", lambda *_: None)
    install(bundles[0], tmp_path)
    new = []

    def late(place: WeightsPlace) -> str:
        if not new:
            new.append(install(bundles[1], tmp_path).weights_sha256)
        return verify_weights(place)

    monkeypatch.setattr(registry, "verify_weights", late)
    assert registry.describe_model(NAME, tmp_path).weights_sha256 == new[0]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"name": "no-such-model"}, "no model 'no-such-model'"),
        ({"task": "detection", "canonical_spacing_mm": 0.1}, "does roi_classification"),
        ({"weights": {"file": "model.safetensors", "sha256": "0" * 64}}, "SHA-256"),
        ({"weights": {"file": "absent.safetensors", "sha256": "0" * 64}}, "no absent.safetensors"),
        ({"weights": {"file": "../model.safetensors", "sha256": "0" * 64}}, "bare file name"),
    ],
)
def test_what_is_not_this_nodes_model_is_refused_and_changes_nothing(
    change: dict[str, object], words: str, bundles: tuple[Path, Path], tmp_path: Path
) -> None:
    source, weights_dir = tmp_path / "source", tmp_path / "weights"
    source.mkdir()
    content = json.loads((bundles[0] / "metadata.json").read_text())
    (source / "metadata.json").write_text(json.dumps(content | change))
    (source / "model.safetensors").write_bytes((bundles[0] / "model.safetensors").read_bytes())
    with pytest.raises(InstallationRefused, match=words):
        install(source, weights_dir)
    assert not (weights_dir / FOLDER).exists()
    with pytest.raises(InstallationRefused, match=r"no metadata\.json"):
        install(bundle_dir("ip-se-dresnet-c").parent, weights_dir)


def test_killed_at_any_step_there_is_the_old_version_or_the_new_one(bundles: tuple[Path, Path], tmp_path: Path) -> None:
    old = install(bundles[0], tmp_path).weights_sha256
    found, step = [], 1
    while killed_at(step, bundles[1], tmp_path):
        found.append(digest_in(tmp_path))
        step += 1
    new = digest_in(tmp_path)
    assert new != old
    assert found[0] == old
    assert set(found) == {old, new}
    assert found == sorted(found, key=[old, new].index), "once in force, it stays"
    assert list(tmp_path.glob(".install-*")) == []


def test_killed_at_any_step_of_the_first_installation_there_is_none_or_a_whole_one(
    bundles: tuple[Path, Path], tmp_path: Path
) -> None:
    step = 1
    while killed_at(step, bundles[0], tmp_path / str(step)):
        if (tmp_path / str(step) / FOLDER).exists():
            assert digest_in(tmp_path / str(step))
        step += 1
    assert step > 3
