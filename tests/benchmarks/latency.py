"""From the last view of a study to its queue message, its start and its delivery, by the ledger's own events."""

from __future__ import annotations

import statistics
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

from models.errors import WeightsMissing
from models.weights import find_weights
from node.commands_files import find_instances
from pipelines.phantom import write_study
from tests.e2e.harness import Destination, NodeUnderTest, RecordingPacs, free_port, node_under_test, wait_until
from tests.models.builders import install_random_weights


def measure(folder: Path, studies: int, *, with_networks: bool) -> Iterator[str]:
    """Yield the table: medians over `studies` generated four-view studies, sent one after another.

    With networks, one that ships without weights has random ones: its time is that of trained ones, its findings mean
    nothing. Without networks, every image is answered "not attempted".
    """
    folder.mkdir(parents=True)
    random = []
    for name in ("FPNNet", "SPPNet"):
        if not with_networks:
            (folder / "weights" / name.lower()).mkdir(parents=True)
        elif not _ships(name):
            install_random_weights(folder / "weights", name)
            random.append(name)
    extra = f'[models]\nweights_dir = "{folder / "weights"}"\n'
    pacs = RecordingPacs(free_port())
    spans: list[dict[str, float]] = []
    size = 0
    with pacs.listening(), node_under_test(folder / "node", [Destination("pacs", pacs.port)], extra=extra) as node:
        node.serve()
        for seed in range(1, studies + 1):
            paths = write_study(folder / f"study{seed}", seed)
            uid = find_instances(paths)[0].study_instance_uid
            size = paths[0].stat().st_size
            target = ["-aec", "MAMMONODE", "127.0.0.1", str(node.port)]
            subprocess.run(["storescu", "-R", *target, *map(str, paths)], check=True, capture_output=True)
            spans.append(wait_until(lambda uid=uid: _spans(node, uid), 300, "the study to be delivered"))
            time.sleep(0.5)
    weights = f"networks, random weights: {', '.join(random) or 'none'}" if with_networks else "no weights"
    yield f"{studies} generated studies of four views of {size / 1e6:.0f} MB, settle_s = 0.5, {weights}"
    yield "    median seconds after the last view"
    for name in ("queued", "started", "pipelines done", "delivered"):
        yield f"    {name:16} {statistics.median(span[name] for span in spans):6.2f}"
    inside = statistics.median(span["models"] for span in spans)
    own = statistics.median(span["delivered"] - 0.5 - span["models"] for span in spans)
    share = own / (own + inside)
    yield f"    inside the models {inside:.2f} s; the node's own {own:.2f} s ({share:.0%}), settle time left out"


def _ships(name: str) -> bool:
    try:
        find_weights(name)
    except WeightsMissing:
        return False
    return True


def _spans(node: NodeUnderTest, uid: str) -> dict[str, float]:
    events, deliveries = node.ledger.history(uid), node.deliveries(uid)
    if not deliveries or any(item["state"] != "sent" for item in deliveries):
        return {}
    last = max(event.at for event in events if event.kind == "received")
    at = {event.kind: event.at for event in events}
    finished = next(event for event in events if event.kind == "finished")
    return {
        "queued": at["queued"] - last,
        "started": at["started"] - last,
        "pipelines done": at["finished"] - last,
        "delivered": max(item["sent_at"] for item in deliveries) - last,
        "models": finished.detail["models_s"],
    }
