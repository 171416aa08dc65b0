"""How fast mammograms are taken in: this node, DCMTK's storescp and Orthanc, side by side in one run."""

from __future__ import annotations

import shutil
import statistics
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tests.e2e.harness import node_under_test
from tests.factories import small_mammogram
from tests.peers.servers import ServerProcess, find_program, free_port, orthanc, wait_for_port

ROWS, COLUMNS = 3328, 2560  # 12 bits in 16: 17 MB


@dataclass(frozen=True, slots=True, kw_only=True)
class Receiver:
    """A Storage SCP that was started for one run."""

    port: int
    ae_title: str
    stored: Callable[[], int]


def write_mammograms(folder: Path, count: int) -> list[Path]:
    """Write `count` mammograms of 17 MB with noise for pixels, four a study."""
    folder.mkdir(parents=True)
    rng = np.random.default_rng(0)
    views = [("L", "CC"), ("L", "MLO"), ("R", "CC"), ("R", "MLO")]
    paths = []
    for number in range(count):
        laterality, view = views[number % 4]
        study = f"1.2.826.0.1.3680043.8.498.9.{number // 4}"
        path = folder / f"{number:03}.dcm"
        small_mammogram(
            path,
            laterality=laterality,
            view=view,
            study_instance_uid=study,
            sop_instance_uid=f"{study}.{number}",
            pixels=rng.integers(0, 4096, (ROWS, COLUMNS), dtype=np.uint16),
        )
        paths.append(path)
    return paths


@contextmanager
def this_node(folder: Path) -> Iterator[Receiver]:
    """The node's receiver alone, durable: fsync of file and folder, committed ledger row, then Success."""
    with node_under_test(folder, []) as node:
        node.start_parts(parts=("scp",))
        yield Receiver(
            port=node.port,
            ae_title="MAMMONODE",
            stored=lambda: sum(1 for _ in (folder / "state" / "spool").glob("*/*.dcm")),
        )


@contextmanager
def dcmtk(folder: Path, extra: Sequence[str] = ()) -> Iterator[Receiver]:
    """DCMTK's storescp: writes files, syncs nothing."""
    received = folder / "received"
    received.mkdir(parents=True)
    port = free_port()
    command = [find_program("storescp"), *extra, "-aet", "STORESCP", "-od", str(received), str(port)]
    process = ServerProcess(command, log=folder / "storescp.log")
    process.start()
    wait_for_port(port)
    try:
        yield Receiver(port=port, ae_title="STORESCP", stored=lambda: sum(1 for _ in received.iterdir()))
    finally:
        process.stop()


@contextmanager
def orthanc_archive(folder: Path) -> Iterator[Receiver]:
    """Orthanc with its SQLite index and its default storage area."""
    folder.mkdir(parents=True)
    with orthanc(folder) as server:
        yield Receiver(port=server.port, ae_title=server.ae_title, stored=server.count)


RECEIVERS: dict[str, Callable[[Path], Iterator[Receiver]]] = {
    "mammonode": this_node,
    "storescp": dcmtk,
    "storescp --fork": lambda folder: dcmtk(folder, ["--fork"]),
    "orthanc": orthanc_archive,
}


def send(paths: Sequence[Path], receiver: Receiver, associations: int) -> float:
    """Send all files by `associations` storescu processes at once; return the seconds from first start to last end."""
    shares = [list(map(str, paths[index::associations])) for index in range(associations)]
    target = ["-aec", receiver.ae_title, "127.0.0.1", str(receiver.port)]

    def run(share: list[str]) -> None:
        subprocess.run(["storescu", "-R", *target, *share], check=True, capture_output=True)

    started = time.perf_counter()
    with ThreadPoolExecutor(associations) as pool:
        list(pool.map(run, shares))
    return time.perf_counter() - started


def measure(folder: Path, count: int, rounds: int) -> Iterator[str]:
    """Yield the table, a line at a time; every round visits every receiver, so that drift hits all alike."""
    paths = write_mammograms(folder / "mammograms", count)
    megabytes = sum(path.stat().st_size for path in paths) / 1e6
    yield f"{count} mammograms of {megabytes / count:.1f} MB, median of {rounds} rounds, storescu as sender"
    for associations in (1, 8):
        seconds: dict[str, list[float]] = {name: [] for name in RECEIVERS}
        for _ in range(rounds):
            for name, start in RECEIVERS.items():
                place = folder / name.replace(" ", "")
                with start(place) as receiver:  # type: ignore[attr-defined] # generators behind contextmanager
                    seconds[name].append(send(paths, receiver, associations))
                    if receiver.stored() != count:
                        raise RuntimeError(f"{name} has {receiver.stored()} of {count} instances")
                shutil.rmtree(place)
        ours = statistics.median(seconds["mammonode"])
        yield f"  {associations} association{'s' if associations > 1 else ''}"
        for name, values in seconds.items():
            median = statistics.median(values)
            spread = f"{megabytes / max(values):.0f}-{megabytes / min(values):.0f}"
            ratio = "" if name == "mammonode" else f"  mammonode is {median / ours:.2f} x"
            yield f"    {name:16} {megabytes / median:6.0f} MB/s ({spread}){ratio}"
