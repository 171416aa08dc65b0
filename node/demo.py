"""``mammonode demo``: the whole way of a study on this machine, with nothing but Python."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import typer
from PIL import Image
from pydicom import dcmread
from pynetdicom import AE, AllStoragePresentationContexts, evt
from pynetdicom.sop_class import Verification  # type: ignore[attr-defined] # made at import time

from node.errors import NodeUnavailable
from pipelines.phantom import write_study
from sr_templates.explaining import explain

NODE_TITLE: Final = "MAMMONODE"
PACS_TITLE: Final = "DEMOPACS"
ANSWER_WITHIN_S: Final = 90.0
QUIET_S: Final = 3.0


def free_port() -> int:
    """Return a loopback port that is free now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


@contextmanager
def small_pacs(folder: Path, port: int) -> Iterator[None]:
    """A Storage SCP that keeps every instance as a file named for its SOP Instance UID."""
    folder.mkdir(parents=True, exist_ok=True)

    def store(event: evt.Event) -> int:
        path = folder / f"{event.request.AffectedSOPInstanceUID}.dcm"  # type: ignore[union-attr] # bound to C-STORE only
        path.with_suffix(".part").write_bytes(event.encoded_dataset())
        path.with_suffix(".part").replace(path)
        return 0x0000

    ae = AE(ae_title=PACS_TITLE)
    ae.supported_contexts = AllStoragePresentationContexts
    ae.add_supported_context(Verification)
    server = ae.start_server(("127.0.0.1", port), block=False, evt_handlers=[(evt.EVT_C_STORE, store)])
    assert server is not None  # block=False
    try:
        yield
    finally:
        server.shutdown()


@contextmanager
def running_node(config: Path, log_path: Path) -> Iterator[None]:
    """``mammonode serve`` as a child process, from its ready line until SIGTERM."""
    with log_path.open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "node.cli", "serve", "--config", str(config)],
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
            env={key: value for key, value in os.environ.items() if not key.startswith("MAMMONODE_")},
        )
        assert process.stdout is not None  # PIPE above
        line = process.stdout.readline()
        if not line:
            raise NodeUnavailable(f"the node did not start; its log is {log_path}")
        typer.echo(line.strip())
        try:
            yield
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(timeout=30)


def settings_text(state_dir: Path, node_port: int, pacs_port: int) -> str:
    """The settings of the demo: one destination, everything else by default."""
    return f"""[node]
ae_title = "{NODE_TITLE}"
host = "127.0.0.1"
port = {node_port}
state_dir = "{state_dir}"

[retention]
min_free_gb = 0.5

[[destination]]
name = "demo pacs"
ae_title = "{PACS_TITLE}"
host = "127.0.0.1"
port = {pacs_port}
"""


def demo(out: Path) -> None:
    """Start a PACS and the node, send a generated study, wait for the answer, print it and save it below `out`.

    Raises
    ------
    NodeUnavailable
        When no answer comes.
    """
    if out.exists():
        shutil.rmtree(out)
    out.mkdir(parents=True)
    node_port, pacs_port = free_port(), free_port()
    study = write_study(out / "study", 1)
    typer.echo(f"a generated study of {len(study)} mammograms is in {out / 'study'}")
    with tempfile.TemporaryDirectory(prefix="mammonode-demo-") as temporary:
        config = out / "mammonode.toml"
        config.write_text(settings_text(Path(temporary) / "state", node_port, pacs_port), encoding="utf-8")
        with small_pacs(out / "results", pacs_port), running_node(config, out / "node.log"):
            sent_at = time.monotonic()
            command = [sys.executable, "-m", "node.cli", "send", str(out / "study")]
            subprocess.run([*command, "--to", f"{NODE_TITLE}@127.0.0.1:{node_port}"], check=True)
            results = wait_for_results(out / "results")
            typer.echo(
                f"{len(results)} results came back to the PACS {time.monotonic() - sent_at:.1f} s after the start"
            )
            subprocess.run([sys.executable, "-m", "node.cli", "studies", "--config", str(config)], check=True)
    for path in results:
        show(path, out)
    typer.echo(f"\nDICOM results in {out / 'results'}, pictures in {out}, the node's log in {out / 'node.log'}")


def wait_for_results(folder: Path) -> list[Path]:
    """Wait until something arrived and then nothing more for a while.

    Raises
    ------
    NodeUnavailable
        When nothing arrives in time.
    """
    until = time.monotonic() + ANSWER_WITHIN_S
    seen: list[Path] = []
    since = time.monotonic()
    while time.monotonic() < until:
        now = sorted(folder.glob("*.dcm"))
        if now != seen:
            seen, since = now, time.monotonic()
        if seen and time.monotonic() - since > QUIET_S:
            return seen
        time.sleep(0.2)
    raise NodeUnavailable(f"no answer within {ANSWER_WITHIN_S:.0f} s; the node's log is {folder.parent / 'node.log'}")


def show(path: Path, out: Path) -> None:
    """Print what a structured report says, save a capture as PNG."""
    dataset = dcmread(path)
    if "ContentSequence" in dataset:
        typer.echo("\n" + "\n".join(explain(dataset)))
    elif "PixelData" in dataset:
        name = f"{dataset.get('ImageLaterality', '')}{dataset.get('ViewPosition', '')}"
        picture = out / (f"heatmap_{name}.png" if name else "summary.png")
        Image.fromarray(dataset.pixel_array).save(picture)
        typer.echo(f"\n{dataset.SOPClassUID.name}: {picture}")
