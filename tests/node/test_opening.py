"""How a part begins: with which settings, alone or not, and what it says when it cannot; never a traceback."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError
from typer.testing import CliRunner

from node.cli import app
from node.database import open_engine
from node.errors import NodeUnavailable, SettingsInvalid
from node.ledger import Ledger
from node.parts import only_dispatcher, open_ledger
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


def test_the_environment_names_the_settings_file(tmp_path: Path) -> None:
    file = tmp_path / "mammonode.toml"
    file.write_text("[node]\nprot = 1\n")
    told = CliRunner().invoke(app, ["studies"], env={"MAMMONODE_CONFIG": str(file)})
    assert isinstance(told.exception, SettingsInvalid)
    assert "did you mean node.port?" in str(told.exception)


def test_a_second_dispatcher_waits_for_the_first(ledger: Ledger, tmp_path: Path) -> None:
    settings, stop, is_second = settings_in(tmp_path), threading.Event(), threading.Event()

    def wait_in_line() -> None:
        other = Ledger(open_engine(ledger.engine.url.render_as_string(hide_password=False)))
        with only_dispatcher(settings, other, stop):
            is_second.set()
        other.engine.dispose()

    second = threading.Thread(target=wait_in_line)
    with only_dispatcher(settings, ledger, stop) as still_alone:
        second.start()
        assert not is_second.wait(0.5)
        still_alone()
    ledger.engine.dispose()  # as when its process ends: the pool would keep the connection, and the lock with it
    assert is_second.wait(5)
    second.join()


@pytest.mark.peer
def test_a_dispatcher_whose_lock_went_with_its_connection_ends(postgres_url: str, tmp_path: Path) -> None:
    ledger = Ledger(open_engine(postgres_url))
    with only_dispatcher(settings_in(tmp_path), ledger, threading.Event()) as still_alone:
        still_alone()
        with ledger.engine.begin() as other:
            others = "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory'"
            other.execute(text(others))
        with pytest.raises(SQLAlchemyError):
            still_alone()
    ledger.engine.dispose()
