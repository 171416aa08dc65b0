"""What a part says when it cannot begin: one message that names the setting, never a traceback."""

from __future__ import annotations

from pathlib import Path

import pytest

from node.errors import NodeUnavailable
from node.parts import open_ledger
from tests.node.builders import settings_in


def test_a_database_that_is_away_is_named_without_its_password(tmp_path: Path) -> None:
    settings = settings_in(tmp_path, database={"url": "postgresql://user:secret@127.0.0.1:1/ledger"})
    with pytest.raises(NodeUnavailable, match=r"127\.0\.0\.1:1/ledger cannot be opened") as caught:
        open_ledger(settings)
    assert "secret" not in str(caught.value)


def test_a_state_folder_that_cannot_be_one_is_named(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.touch()
    with pytest.raises(NodeUnavailable, match=r"node\.state_dir"):
        open_ledger(settings_in(file))
