"""The spool: received bytes, made durable before anybody is told so.

``incoming/`` holds what is still being received, under random names; a rename on the same file system moves a whole
instance to its place, named for its SOP Instance UID and its content, so that two senders of the same UID never
overwrite each other.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import shutil
import struct
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from node.errors import LowDiskSpace, SpoolError

PREAMBLE_BYTES = 132  # PS3.10 section 7.1: 128 bytes and "DICM"
GROUP_LENGTH_BYTES = 12  # (0002,0000) UL in Explicit VR Little Endian
UID_PATTERN = re.compile(r"[0-9][0-9.]{0,63}")


class IncomingFile:
    """A file that an instance is received into; takes bytes in any number of pieces, hashes them on the way.

    It stands in for the temporary file that pynetdicom's chunked receive writes to, so a full disk must not raise here,
    in the thread that reads the network: the failure is kept in `error`, further bytes are dropped, and the C-STORE
    handler turns it into a status.

    Parameters
    ----------
    directory : pathlib.Path
        ``incoming/`` of the spool.
    min_free_bytes : int
        With less free space than this nothing is written at all.
    """

    def __init__(self, directory: Path, min_free_bytes: int) -> None:
        self.error: SpoolError | None = None
        self.size_bytes = 0
        self._digest = hashlib.sha256()
        self._head: bytearray | None = bytearray()
        descriptor, self.name = tempfile.mkstemp(dir=directory, suffix=".part")
        self._file = os.fdopen(descriptor, "wb", buffering=0)
        self.file = self  # pynetdicom flushes `file.file`
        free_bytes = shutil.disk_usage(directory).free
        if free_bytes < min_free_bytes:
            self.error = LowDiskSpace(f"{free_bytes} bytes free, {min_free_bytes} are kept free")

    def write(self, data: bytes) -> int:
        """Take the next bytes."""
        if self.error is None:
            try:
                self._write_all(data)
            except OSError as error:
                self.error = LowDiskSpace(f"cannot write to the spool: {error.strerror}")
            self.size_bytes += len(data)
            if self._head is None:
                self._digest.update(data)
            else:
                self._head += data
                self._hash_past_file_meta()
        return len(data)

    def _write_all(self, data: bytes) -> None:
        # An unbuffered file may take less than it is given: on a disk that fills up, it takes what fits, and says so.
        left = memoryview(data)
        while left:
            left = left[self._file.write(left) :]

    def _hash_past_file_meta(self) -> None:
        # The file meta is this node's own and changes with its version; only the data set says what was received.
        assert self._head is not None  # the caller has just checked
        start = PREAMBLE_BYTES + GROUP_LENGTH_BYTES
        if len(self._head) < start:
            return
        start += struct.unpack_from("<L", self._head, start - 4)[0]
        if len(self._head) >= start:
            self._digest.update(self._head[start:])
            self._head = None

    def flush(self) -> None:
        """Do nothing: writes are unbuffered."""

    def tell(self) -> int:
        """Return the number of bytes taken."""
        return self.size_bytes

    def sync(self) -> str:
        """Force the bytes to disk; return the SHA-256 of the data set in hex.

        Raises
        ------
        SpoolError
            When any of them could not be written.
        """
        if self.error is None:
            try:
                os.fsync(self._file.fileno())
            except OSError as error:
                self.error = SpoolError(f"cannot sync the spool: {error.strerror}")
        if self.error is not None:
            raise self.error
        return self._digest.hexdigest()

    def close(self) -> None:
        """Close the file; it stays where it is."""
        self._file.close()

    def discard(self) -> None:
        """Close and remove the file."""
        self.close()
        Path(self.name).unlink(missing_ok=True)


class Spool:
    """Folder of received instances.

    Parameters
    ----------
    directory : pathlib.Path
        Root; made when absent. Workers on other machines must see it under the same path.
    min_free_bytes : int
        Free space that is left alone.
    """

    def __init__(self, directory: Path, min_free_bytes: int = 0) -> None:
        self.directory = directory
        self._min_free_bytes = min_free_bytes
        self._incoming = directory / "incoming"
        self._incoming.mkdir(parents=True, exist_ok=True)

    def receive(self) -> IncomingFile:
        """Open a file for an instance that starts to arrive."""
        return IncomingFile(self._incoming, self._min_free_bytes)

    def path_of(self, study_instance_uid: str, sop_instance_uid: str, sha256: str) -> Path:
        """Where an instance belongs. Raises SpoolError for a UID that is not one (it would name a path)."""
        for uid in (study_instance_uid, sop_instance_uid):
            if not UID_PATTERN.fullmatch(uid):
                raise SpoolError("a UID holds characters other than digits and dots")
        return self.directory / study_instance_uid / f"{sop_instance_uid}.{sha256[:16]}.dcm"

    def store(self, incoming: IncomingFile, destination: Path) -> None:
        """Move a synced file to its place, durably."""
        move_durably(Path(incoming.name), destination)

    @contextmanager
    def shared(self, sweep: Callable[[], int]) -> Iterator[int]:
        """Use the spool as one of perhaps several receivers; yield what `sweep` removed.

        Only who finds nobody else here sweeps: what another receiver has not recorded yet looks like a leftover.
        """
        with (self.directory / "receivers.lock").open("w") as lock:
            removed = sweep() if _locked(lock.fileno()) else 0
            fcntl.flock(lock, fcntl.LOCK_SH)  # waits while another one sweeps; the kernel lets go when a process dies
            yield removed

    def sweep_incoming(self) -> int:
        """Remove what an earlier run left half received (never acknowledged); return how many files."""
        leftovers = list(self._incoming.glob("*.part"))
        for path in leftovers:
            path.unlink(missing_ok=True)
        return len(leftovers)

    def files(self) -> Iterator[tuple[str, Path]]:
        """Every stored instance: its SOP Instance UID and its path."""
        for path in self.directory.glob("*/*.dcm"):
            yield path.name.rsplit(".", 2)[0], path


def write_durably(path: Path, content: bytes) -> None:
    """Write a file so that it is either whole and on disk, or not there."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".part")
    with partial.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    move_durably(partial, path)


def move_durably(source: Path, destination: Path) -> None:
    """Rename on one file system and sync the folders, so that the new name survives a power cut."""
    folder = destination.parent
    is_new = not folder.is_dir()
    folder.mkdir(parents=True, exist_ok=True)
    source.replace(destination)
    _sync_directory(folder)
    if is_new:
        _sync_directory(folder.parent)


def _locked(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _sync_directory(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
