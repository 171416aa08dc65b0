"""DCMTK's storescp, storescu, echoscu and dsrdump."""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from pydicom.filereader import read_file_meta_info

from tests.peers.processes import (
    LOOPBACK,
    ServerProcess,
    find_program,
    free_port,
    own_folder,
    wait_for_port,
    wait_until,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreScp:
    """A running storescp; `directory` holds what it received, one file a C-STORE, bytes as sent."""

    port: int
    ae_title: str
    directory: Path
    process: ServerProcess
    host: str = LOOPBACK

    def files(self) -> list[Path]:
        """Return what has been received, sorted by name."""
        return sorted(path for path in self.directory.rglob("*") if path.is_file())

    def wait_for(self, count: int, timeout_s: float = 30) -> list[Path]:
        """Wait until `count` files have begun to arrive, and return them.

        Raises
        ------
        TimeoutError
            They did not come.
        """
        wait_until(lambda: len(self.files()) >= count, timeout_s=timeout_s, what=f"{count} files at {self.ae_title}")
        return self.files()

    def stop(self) -> None:
        """Go away; connections are refused until `start`."""
        self.process.stop()

    def start(self) -> None:
        """Come (back) on the same port."""
        self.process.start()
        wait_for_port(self.port, process=self.process)


@contextmanager
def storescp(
    directory: Path | None = None, port: int | None = None, ae_title: str = "STORESCP", extra: Sequence[str] = ()
) -> Iterator[StoreScp]:
    """Run storescp: any SOP class, any transfer syntax, several associations at once.

    Parameters
    ----------
    directory : pathlib.Path or None
        Where received files go; None: a temporary folder.
    port : int or None
        None: a free one.
    ae_title : str
        It answers to any called title; this is its own.
    extra : sequence of str
        More options, for example ``("--abort-during",)`` or ``("--sleep-after", "2")``.

    Yields
    ------
    StoreScp

    Raises
    ------
    ProgramMissing, StartFailed
    """
    program = find_program("storescp")
    port = free_port() if port is None else port
    with own_folder(directory, "storescp") as received, own_folder(None, "storescp-log") as logs:
        # -pm and +xa: any class in its own syntax; +B: bytes as sent; +uf: a resend is a second file.
        options = ["-v", "--fork", "-pm", "+xa", "+B", "+uf", "-dhl", "-aet", ae_title, "-od", str(received)]
        process = ServerProcess([program, *options, *extra, str(port)], log=logs / "storescp.log")
        peer = StoreScp(port=port, ae_title=ae_title, directory=received, process=process)
        try:
            peer.start()
            yield peer
        finally:
            process.stop()


def association_profile(paths: Iterable[Path]) -> str:
    """Return a DCMTK association profile ``Own`` that proposes each file's SOP class in its own transfer syntax.

    The format is that of DCMTK's ``docs/asconfig.txt``, which takes UIDs as well as names.

    Raises
    ------
    ValueError
        More than 128 different combinations (PS3.8 9.3.2.2: an odd byte numbers them).
    """
    metas = [read_file_meta_info(path) for path in paths]
    pairs = sorted({(str(meta.MediaStorageSOPClassUID), str(meta.TransferSyntaxUID)) for meta in metas})
    if len(pairs) > 128:
        raise ValueError(f"{len(pairs)} presentation contexts; an association has at most 128")
    syntaxes = sorted({syntax for _, syntax in pairs})
    lines = ["[[TransferSyntaxes]]"]
    for number, syntax in enumerate(syntaxes, 1):
        lines += [f"[Syntax{number}]", f"TransferSyntax1 = {syntax}"]
    lines += ["[[PresentationContexts]]", "[Files]"]
    for number, (sop_class, syntax) in enumerate(pairs, 1):
        lines.append(f"PresentationContext{number} = {sop_class}\\Syntax{syntaxes.index(syntax) + 1}")
    lines += ["[[Profiles]]", "[Own]", "PresentationContexts = Files"]
    return "\n".join(lines) + "\n"


def storescu(
    paths: Path | Sequence[Path],
    host: str = LOOPBACK,
    port: int = 104,
    *,
    calling: str = "STORESCU",
    called: str = "MAMMONODE",
    extra: Sequence[str] = (),
    timeout_s: float = 60,
) -> subprocess.CompletedProcess[str]:
    """Send files with storescu, each in its own transfer syntax, in one association.

    Parameters
    ----------
    paths : pathlib.Path or sequence of pathlib.Path
        DICOM files with file meta information.
    host, port
        The receiver.
    calling, called : str
        AE titles.
    extra : sequence of str
        More options; ``("-nh",)`` goes on after a refused instance.
    timeout_s : float
        It is killed after that.

    Returns
    -------
    subprocess.CompletedProcess
        `returncode` is 0 when every instance was accepted; `stdout` holds what ``-v`` says.
    """
    program = find_program("storescu")
    files = [paths] if isinstance(paths, Path) else list(paths)
    with tempfile.TemporaryDirectory(prefix="mammonode-storescu-") as folder:
        profile = Path(folder) / "profile.cfg"
        profile.write_text(association_profile(files), encoding="ascii")
        options = ["-v", "-to", "10", "-aet", calling, "-aec", called, "-xf", str(profile), "Own"]
        return _run([program, *options, *extra, host, str(port), *map(str, files)], timeout_s)


def echoscu(
    host: str = LOOPBACK,
    port: int = 104,
    *,
    calling: str = "ECHOSCU",
    called: str = "MAMMONODE",
    extra: Sequence[str] = (),
    timeout_s: float = 20,
) -> subprocess.CompletedProcess[str]:
    """Verify a peer with C-ECHO; `returncode` is 0 when it answered."""
    program = find_program("echoscu")
    return _run([program, "-v", "-to", "5", "-aet", calling, "-aec", called, *extra, host, str(port)], timeout_s)


def dsrdump(path: Path, extra: Sequence[str] = (), timeout_s: float = 20) -> str:
    """Return a structured report as text.

    Raises
    ------
    ValueError
        dsrdump does not accept the file; the message is what it says.
    """
    done = _run([find_program("dsrdump"), *extra, str(path)], timeout_s)
    if done.returncode != 0:
        raise ValueError(f"dsrdump refuses {path.name}: {done.stdout.strip()}")
    return done.stdout


def _run(arguments: list[str], timeout_s: float) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        arguments,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        timeout=timeout_s,
        check=False,
    )
