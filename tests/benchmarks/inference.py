"""How long FPNNet takes: torchvision's way on the whole image against the way that ships, each in a process of its own.

*plain*: torchvision's arithmetic, float32, the whole image at once, no gate, 1000 proposals as torchvision has them.
*runtime*: the shipped runtime (folded normalisations, channels last, bfloat16 where the processor has it), no gate.
*shipped*: the same behind the gate.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from statistics import median
from typing import Any

from models.errors import ModelError
from models.weights import find_weights

ROUNDS = 3
WAYS = ("plain", "runtime", "shipped")
VIEWS = (("L", "CC"), ("L", "MLO"), ("R", "CC"), ("R", "MLO"))
SEED = 41


def measure(weights_dir: Path | None, device: str = "cpu") -> Iterator[str]:
    """Yield the lines of the table; without trained weights there is nothing to measure."""
    try:
        find_weights("FPNNet", weights_dir)
    except ModelError as error:
        yield f"not measured: FPNNet: {error}"
        return
    yield f"a generated study of four views, 3328 x 2560 at 0.07 mm, on {device}; median of {ROUNDS} rounds a way"
    results = {way: _in_its_own_process(way, weights_dir, device) for way in WAYS}
    yield f"    weights: {results['plain']['weights']}"
    plain = results["plain"]
    yield "    way        one image    four views   of plain   peak memory   boxes at 0.3"
    for way, found in results.items():
        share = found["study_s"] / plain["study_s"]
        yield (
            f"    {way:9} {found['image_s']:8.2f} s   {found['study_s']:8.2f} s   {share:8.0%}"
            f"   {found['peak_mb']:8.0f} MB   {found['boxes']}"
        )
    worst = _difference(plain, results["runtime"])
    yield f"    largest difference of a score between plain and runtime, boxes that overlap: {worst:.3f}"


def _in_its_own_process(way: str, weights_dir: Path | None, device: str) -> dict[str, Any]:
    command = [sys.executable, "-m", "tests.benchmarks.inference", way, str(weights_dir or ""), device]
    return dict(json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()[-1]))


def _difference(one: dict[str, Any], other: dict[str, Any]) -> float:
    import torch
    from torchvision.ops import box_iou

    worst = 0.0
    for mine, theirs in zip(one["found"], other["found"], strict=True):
        if not mine or not theirs:
            continue
        overlap = box_iou(torch.tensor([box[:4] for box in mine]), torch.tensor([box[:4] for box in theirs]))
        for row, column in enumerate(overlap.argmax(dim=1).tolist()):
            if overlap[row, column] > 0.5:
                worst = max(worst, abs(mine[row][4] - theirs[column][4]))
    return worst


def _run(way: str, weights_dir: Path | None, device: str) -> dict[str, Any]:
    import torch

    from models.bundle import load_network
    from models.contract import ModelImage
    from models.fpnnet.predict import FPNNetPredictor
    from models.fpnnet.search import GatedFPNNet
    from models.phantom import make_view
    from models.resampling import resample
    from models.weights import read_weights

    weights = read_weights(find_weights("FPNNet", weights_dir))
    images = []
    for laterality, view in VIEWS:
        made = make_view(SEED, laterality=laterality, view=view)
        columns = made.pixels.any(axis=0).nonzero()[0]
        pixels = made.pixels[:, columns[0] : columns[-1] + 1].astype("float32") / 4095
        shape = tuple(round(side * made.spacing_mm / 0.1) for side in pixels.shape)
        images.append(resample(pixels, (shape[0], shape[1])))
    if way == "plain":
        network = load_network(weights, GatedFPNNet).eval().detector.to(device)
        network.rpn._post_nms_top_n["testing"] = 1000

        def detect(pixels: Any) -> list[list[float]]:
            with torch.inference_mode():
                found = network.detect(torch.tensor(pixels, device=device), score_threshold=0.05, with_activation=True)
            return [[*box, score] for box, score in zip(found.boxes.tolist(), found.scores.tolist(), strict=True)]
    else:
        predictor = FPNNetPredictor.from_weights(weights, device)
        if way == "runtime":
            predictor._resident._on_cpu.gate_threshold = 0.0

        def detect(pixels: Any) -> list[list[float]]:
            found = predictor.predict(ModelImage(pixels=pixels, spacing_mm=(0.1, 0.1)), min_score=0.05)
            return [[*one.box_px, one.score] for one in found.detections]

    detect(images[0][:256, :256])
    image_s, study_s, found = [], [], []
    for _ in range(ROUNDS):
        started = time.perf_counter()
        found = [detect(images[0])]
        image_s.append(time.perf_counter() - started)
        found += [detect(image) for image in images[1:]]
        study_s.append(time.perf_counter() - started)
    return {
        "weights": weights.sha256[:12],
        "image_s": median(image_s),
        "study_s": median(study_s),
        "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        "boxes": sum(score > 0.3 for boxes in found for *_, score in boxes),
        "found": found,
    }


if __name__ == "__main__":
    print(json.dumps(_run(sys.argv[1], Path(sys.argv[2]) if sys.argv[2] else None, sys.argv[3])))
