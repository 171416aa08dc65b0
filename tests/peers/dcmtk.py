"""DCMTK's sender, receiver, echo and structured report reader, as a modality and a PACS would use them."""

from __future__ import annotations

import subprocess
import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from pydicom import dcmread
from pydicom.uid import ImplicitVRLittleEndian

from tests.peers.processes import LOOPBACK, ServerProcess, find_program, free_port, is_listening, own_folder, wait_until


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreScp:
    """A running storescp.

    Attributes
    ----------
    directory : pathlib.Path
        What it received, one file an instance, as it came (bit preserving).
    process : ServerProcess
        Its log tells what it was asked.
    """

    port: int
    ae_title: str
    directory: Path
    process: ServerProcess

    def start(self) -> None:
        """Listen (again)."""
        self.process.start().wait_ready(lambda: is_listening(self.port))

    def stop(self) -> None:
        """End; connections are refused until `start`, and what was received stays."""
        self.process.stop()

    def received(self) -> dict[str, Path]:
        """Files by SOP Instance UID; one that is just being received is there too."""
        # named MODALITY.UID by storescp
        return {path.name.partition(".")[2]: path for path in sorted(self.directory.iterdir())}

    def store_counts(self) -> Counter[str]:
        """How often each SOP Instance UID was stored (needs the log level "debug")."""
        lines = self._log_lines("D: Affected SOP Instance UID")
        return Counter(line.partition(":")[2].partition(":")[2].strip() for line in lines)

    def is_idle(self) -> bool:
        """Whether every association that began has ended."""
        ended = len(self._log_lines("I: Association Release")) + len(self._log_lines("I: Association Abort"))
        ended += len(self._log_lines("I: Peer Aborted Association")) + len(self._log_lines("E: DIMSE failure"))
        return ended >= len(self._log_lines("I: Association Acknowledged"))

    def wait_for(self, number_or_uids: int | Iterable[str], *, timeout_s: float = 30) -> dict[str, Path]:
        """Wait until so many instances, or these, are there and no association is open; return `received()`.

        Raises
        ------
        TimeoutError
            After `timeout_s`.
        """

        def arrived() -> bool:
            uids = self.received().keys()
            if isinstance(number_or_uids, int):
                return len(uids) >= number_or_uids and self.is_idle()
            return uids >= wanted and self.is_idle()

        wanted = set() if isinstance(number_or_uids, int) else set(number_or_uids)
        wait_until(arrived, timeout_s=timeout_s, what=f"instances at storescp (there: {sorted(self.received())})")
        return self.received()

    def _log_lines(self, start: str) -> list[str]:
        text = self.process.log.read_text(errors="replace")
        return [line for line in text.splitlines() if line.startswith(start)]


@contextmanager
def storescp(
    directory: Path | None = None,
    port: int | None = None,
    ae_title: str = "STORESCP",
    extra: Sequence[str] = (),
    *,
    log_level: str = "debug",
    bit_preserving: bool = True,
) -> Iterator[StoreScp]:
    """Run DCMTK's storescp: every SOP class, every transfer syntax that it knows.

    Parameters
    ----------
    directory : pathlib.Path, optional
        Where instances go; the log lies beside it. A temporary folder by default.
    port : int, optional
        A free one by default.
    ae_title : str
        Its own; it answers to any called AE title.
    extra : sequence of str
        More options: ``--fork`` for several associations at once, ``--refuse``, ``--abort-after``, ``--abort-during``,
        ``--sleep-after SECONDS``, ``--ignore``.
    log_level : str
        "debug" for `StoreScp.store_counts`; "warn" where speed is measured, `StoreScp.wait_for` needs "info".
    bit_preserving : bool
        Write the data set exactly as read; else DCMTK parses it and writes it again.

    Raises
    ------
    ProgramMissing, StartFailed
    """
    port = free_port() if port is None else port
    command = [find_program("storescp"), "--log-level", log_level, "--promiscuous", "--accept-all"]
    command += ["--bit-preserving"] if bit_preserving else []
    with own_folder(directory, "storescp") as received:
        command += ["--disable-host-lookup", "--output-directory", str(received), "--aetitle", ae_title]
        log = received.with_name(f"{received.name}.log")
        peer = StoreScp(
            port=port,
            ae_title=ae_title,
            directory=received,
            process=ServerProcess([*command, *extra, str(port)], log=log),
        )
        try:
            peer.start()
            yield peer
        finally:
            peer.stop()
            if directory is None:
                log.unlink(missing_ok=True)


def storescu(
    paths: Path | Sequence[Path],
    port: int,
    *,
    host: str = LOOPBACK,
    calling: str = "STORESCU",
    called: str = "ANY-SCP",
    own_syntax: bool = True,
    extra: Sequence[str] = (),
    timeout_s: float = 120,
) -> subprocess.CompletedProcess[str]:
    """Send files with DCMTK's storescu; the caller looks at ``returncode`` and ``stderr``.

    Parameters
    ----------
    paths : path or sequence of paths
        Files; folders are searched with all below.
    own_syntax : bool
        Propose for each SOP class just the transfer syntaxes of its files, as a modality that sends them as they are;
        else what storescu proposes by itself (`extra` may say it: ``-xs``, ``-xt``, ``-xv``, ...).
    extra : sequence of str
        More options, for instance ``--repeat 3``, ``--abort``, ``--no-halt``, ``--max-send-pdu 4096``.

    Raises
    ------
    ProgramMissing
    subprocess.TimeoutExpired
        After `timeout_s`.
    """
    given = [paths] if isinstance(paths, Path) else paths
    files = [
        file for path in given for file in ([path] if path.is_file() else sorted(path.rglob("*"))) if file.is_file()
    ]
    with tempfile.TemporaryDirectory(prefix="storescu-") as folder:
        options = ["--verbose", "--aetitle", calling, "--call", called, *extra]
        if own_syntax:
            profile = Path(folder) / "profile.cfg"
            profile.write_text(_profile(files))
            options += ["--config-file", str(profile), "Own"]
        return subprocess.run(
            [find_program("storescu"), *options, host, str(port), *map(str, files)],
            capture_output=True,
            text=True,
            errors="replace",
            timeout=timeout_s,
            check=False,
        )


def _profile(files: Iterable[Path]) -> str:
    """Association profile in DCMTK's format (its asconfig.txt): one context for each class and syntax."""
    contexts = sorted({_class_and_syntax(file) for file in files})
    names = {syntax: f"Syntax{number}" for number, syntax in enumerate(sorted({syntax for _, syntax in contexts}))}
    lines = ["[[TransferSyntaxes]]"]
    lines += [f"[{name}]\nTransferSyntax1 = {syntax}" for syntax, name in names.items()]
    lines += ["[[PresentationContexts]]", "[Contexts]"]
    lines += [f"PresentationContext{n} = {c}\\{names[s]}" for n, (c, s) in enumerate(contexts, start=1)]
    lines += ["[[Profiles]]", "[Own]", "PresentationContexts = Contexts"]
    return "\n".join(lines) + "\n"


def _class_and_syntax(path: Path) -> tuple[str, str]:
    header = dcmread(path, force=True, specific_tags=["SOPClassUID"], stop_before_pixels=True)
    syntax = getattr(header.file_meta, "TransferSyntaxUID", ImplicitVRLittleEndian)
    return str(header.SOPClassUID), str(syntax)


def echoscu(
    port: int, *, host: str = LOOPBACK, calling: str = "ECHOSCU", called: str = "ANY-SCP", extra: Sequence[str] = ()
) -> subprocess.CompletedProcess[str]:
    """Verify with DCMTK's echoscu; ``returncode`` 0 is Success."""
    command = [find_program("echoscu"), "--verbose", "--aetitle", calling, "--call", called, *extra, host, str(port)]
    return subprocess.run(command, capture_output=True, text=True, errors="replace", timeout=60, check=False)


def dsrdump(path: Path, *, extra: Sequence[str] = ("+Pc",)) -> str:
    """Print a structured report's tree as DCMTK reads it.

    Raises
    ------
    subprocess.CalledProcessError
        When it is not a valid report to DCMTK.
    """
    done = subprocess.run(
        [find_program("dsrdump"), *extra, str(path)],
        capture_output=True,
        text=True,
        errors="replace",
        timeout=60,
        check=True,
    )
    return done.stdout
