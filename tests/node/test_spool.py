"""Received bytes are durable and whole, or refused; and a UID never names a place outside the spool."""

from __future__ import annotations

import errno
import hashlib
import os
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from pydicom.filewriter import write_file_meta_info
from pydicom.uid import DigitalMammographyXRayImageStorageForPresentation, ExplicitVRLittleEndian
from pynetdicom.dsutils import create_file_meta

from node.errors import LowDiskSpace, SpoolError
from node.spool import IncomingFile, Spool, write_durably

DATA_SET = bytes(range(256)) * 40
UID = "1.2.3.4"


def file_head() -> bytes:
    """Preamble and file meta, as pynetdicom writes them in front of a data set."""
    buffer = BytesIO(b"\0" * 128 + b"DICM")
    buffer.seek(132)
    meta = create_file_meta(
        sop_class_uid=DigitalMammographyXRayImageStorageForPresentation,
        sop_instance_uid=UID,
        transfer_syntax=ExplicitVRLittleEndian,
    )
    write_file_meta_info(buffer, meta)
    return buffer.getvalue()


@pytest.fixture
def spool(tmp_path: Path) -> Spool:
    return Spool(tmp_path / "spool")


def pieces(content: bytes, size: int) -> Iterator[bytes]:
    return (content[start : start + size] for start in range(0, len(content), size))


def receive(spool: Spool, content: bytes, size: int = 4096) -> IncomingFile:
    incoming = spool.receive()
    for piece in pieces(content, size):
        assert incoming.write(piece) == len(piece)
    return incoming


# -- whole and durable -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [1, 7, 131, 144, 4096, 10**6])
def test_the_hash_is_that_of_the_data_set_however_it_is_cut(spool: Spool, size: int) -> None:
    incoming = receive(spool, file_head() + DATA_SET, size)
    assert incoming.sync() == hashlib.sha256(DATA_SET).hexdigest()
    assert incoming.tell() == incoming.size_bytes == len(file_head() + DATA_SET)
    assert Path(incoming.name).read_bytes() == file_head() + DATA_SET


def test_a_data_set_of_nothing_has_a_hash_too(spool: Spool) -> None:
    assert receive(spool, file_head()).sync() == hashlib.sha256(b"").hexdigest()


def test_bytes_and_names_are_forced_to_disk_in_this_order(spool: Spool, monkeypatch: pytest.MonkeyPatch) -> None:
    """A power cut after Success must find the bytes, their name, and the new folder's name."""
    done: list[str] = []
    fsync, replace = os.fsync, os.replace

    def note_fsync(descriptor: int) -> None:
        done.append(f"sync {Path(f'/proc/self/fd/{descriptor}').readlink().name}")
        fsync(descriptor)

    def note_replace(source: Path, target: Path) -> None:
        done.append("rename")
        replace(source, target)

    incoming = receive(spool, file_head() + DATA_SET)
    monkeypatch.setattr(os, "fsync", note_fsync)
    monkeypatch.setattr(os, "replace", note_replace)
    digest = incoming.sync()
    spool.store(incoming, spool.path_of("1.2", UID, digest))
    assert done == [f"sync {Path(incoming.name).name}", "rename", "sync 1.2", "sync spool"]


def test_a_stored_file_has_its_place_and_nothing_is_left_in_incoming(spool: Spool) -> None:
    incoming = receive(spool, file_head() + DATA_SET)
    digest = incoming.sync()
    path = spool.path_of("1.2", UID, digest)
    spool.store(incoming, path)
    incoming.discard()
    assert path == spool.directory / "1.2" / f"{UID}.{digest[:16]}.dcm"
    assert path.read_bytes() == file_head() + DATA_SET
    assert list((spool.directory / "incoming").iterdir()) == []
    assert list(spool.files()) == [(UID, path)]


def test_other_bytes_under_the_same_uid_get_a_place_of_their_own(spool: Spool) -> None:
    assert spool.path_of("1.2", UID, "a" * 64) != spool.path_of("1.2", UID, "b" * 64)


def test_written_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "new" / "result.dcm"
    write_durably(path, b"first")

    def fail(_descriptor: int) -> None:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OSError, match="Input/output"):
        write_durably(path, b"second")
    assert path.read_bytes() == b"first"


# -- full disks --------------------------------------------------------------------------------------------------------


def test_with_too_little_space_not_a_byte_is_written(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "spool", min_free_bytes=1 << 60)
    incoming = receive(spool, file_head() + DATA_SET)
    assert isinstance(incoming.error, LowDiskSpace)
    assert Path(incoming.name).stat().st_size == 0
    with pytest.raises(LowDiskSpace, match="are kept free"):
        incoming.sync()


class FaultyFile:
    """A file on a disk that has room for so many bytes; like a real one, it takes what fits before it fails."""

    def __init__(self, file: Any, room_bytes: int) -> None:
        self._file = file
        self._room_bytes = room_bytes

    def write(self, data: bytes) -> int:
        fits = min(len(data), self._room_bytes)
        if not fits:
            raise OSError(errno.ENOSPC, "No space left on device")
        self._room_bytes -= fits
        written: int = self._file.write(data[:fits])
        return written

    def fileno(self) -> int:
        number: int = self._file.fileno()
        return number

    def close(self) -> None:
        self._file.close()


@pytest.mark.parametrize("room_bytes", [0, 100, 5000, len(DATA_SET)])
def test_a_disk_that_fills_up_on_the_way_is_told_at_the_end(
    spool: Spool, room_bytes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing raises while bytes come in: that would be in the thread that reads the network."""
    real = os.fdopen
    monkeypatch.setattr(os, "fdopen", lambda *words, **more: FaultyFile(real(*words, **more), room_bytes))
    incoming = receive(spool, file_head() + DATA_SET)
    with pytest.raises(LowDiskSpace, match="No space left"):
        incoming.sync()
    with pytest.raises(LowDiskSpace):
        incoming.sync()
    incoming.discard()
    assert list((spool.directory / "incoming").iterdir()) == []


def test_the_last_bytes_that_do_not_fit_are_missed(spool: Spool, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that takes a part of the last piece raises nothing; only what it returns tells."""
    content = file_head() + DATA_SET
    real = os.fdopen
    monkeypatch.setattr(os, "fdopen", lambda *words, **more: FaultyFile(real(*words, **more), len(content) - 1))
    with pytest.raises(LowDiskSpace):
        receive(spool, content, size=len(content)).sync()


def test_a_disk_that_fails_to_sync_is_an_error_that_may_pass(spool: Spool, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_descriptor: int) -> None:
        raise OSError(errno.EIO, "Input/output error")

    incoming = receive(spool, file_head() + DATA_SET)
    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(SpoolError, match="Input/output") as caught:
        incoming.sync()
    assert caught.value.retryable
    assert not isinstance(caught.value, LowDiskSpace)


# -- hostile names -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "uid",
    ["../../etc", "..", "", ".", "1.2/3", "/etc/passwd", "1.2\n", "1.2\0", "incoming", "1" * 65, "\uff11.2", " 1.2"],
)
def test_a_uid_that_is_none_never_becomes_a_path(spool: Spool, uid: str) -> None:
    for study_uid, sop_uid in ((uid, "1.2"), ("1.2", uid)):
        with pytest.raises(SpoolError) as caught:
            spool.path_of(study_uid, sop_uid, "0" * 64)
        assert uid not in str(caught.value) or uid in ("", "."), "nothing that a stranger chose is repeated"


def test_the_longest_uid_fits(spool: Spool) -> None:
    longest = "1." + "2" * 62
    incoming = receive(spool, file_head())
    path = spool.path_of(longest, longest, incoming.sync())
    spool.store(incoming, path)
    assert list(spool.files()) == [(longest, path)]


# -- starting again ----------------------------------------------------------------------------------------------------


def test_what_an_earlier_run_left_half_received_is_swept_and_nothing_else(spool: Spool) -> None:
    kept = receive(spool, file_head() + DATA_SET)
    path = spool.path_of("1.2", UID, kept.sync())
    spool.store(kept, path)
    for _ in range(3):
        receive(spool, file_head())
    again = Spool(spool.directory)
    assert again.sweep_incoming() == 3
    assert again.sweep_incoming() == 0
    assert list(again.files()) == [(UID, path)]
