"""What models of regions cost: a step of training, a lesion, and a four-view study with a lesion in each breast.

Lesions are simulated (`models.phantom.tumours`), 8 to 25 mm at 0.15 mm a pixel. Networks have random weights, on which
the time does not depend. Of radiomics the features are timed; its classifiers take milliseconds.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

NETWORKS = ("ip-se-dresnet-c", "ip-se-dresnet-cm", "densenet121-cbam-her2", "densenet121-cbam-subtype")
FEATURES = (95, 961, 1409)
LESIONS = 4
STEPS = 5
"""The first is left out."""


def measure(device: str = "cpu") -> Iterator[str]:
    """Yield the lines of the table."""
    yield (
        f"on {device}; simulated lesions in CC and MLO, median of {LESIONS}; a four-view study has two lesions, "
        "one a breast"
    )
    yield "    model                       parameters   training        one lesion   four-view study"
    for name in NETWORKS:
        yield _network(name, device)
    for count in FEATURES:
        seconds = _features(count)
        yield f"    {f'radiomics, {count} features':55}   {seconds:8.2f} s   {2 * seconds:12.2f} s"


def lesions(number: int) -> list[dict[str, Any]]:
    """Simulated lesions, each in both views."""
    from models.phantom.tumours import SPACING_MM, make_tumour_view
    from models.regions.contract import lesion_view

    made = []
    for seed in range(number):
        views = {}
        for place, view in enumerate(("CC", "MLO")):
            drawn = make_tumour_view(seed - number / 2, view, np.random.default_rng([seed, place]))  # type: ignore[arg-type]  # the two names are views
            pixels = drawn.pixels.astype(np.float32) / 255.0
            views[view], _ = lesion_view(pixels, drawn.mask, (SPACING_MM, SPACING_MM))
        made.append(views)
    return made


def _network(name: str, device: str) -> str:
    from models.metadata import FAMILIES, folder_name, own_metadata
    from models.registry import load_region_classifier
    from models.training.region_networks import RECIPES, RegionPlan, new_network, train
    from models.training.region_parts import parts_of
    from models.training.tumours import Tumour
    from models.weights import write_weights
    from pipelines.region_training import described

    task = own_metadata(name).region
    assert task is not None
    plan = RECIPES[FAMILIES[name]].plan
    some = lesions(LESIONS)
    count = 4 * plan.batch
    tumours = [
        Tumour(
            name=f"{number}/1",
            patient=str(number),
            split="train" if number < count - 4 * len(task.classes) else "val",
            views=some[number % LESIONS],
            outcomes={task.outcome: task.classes[number % len(task.classes)]},
        )
        for number in range(count)
    ]
    with tempfile.TemporaryDirectory() as folder:
        times: list[float] = []
        train(
            parts_of(tumours, task, fold=None, seed=1, test_share=0.0),
            Path(folder),
            model=name,
            task=task,
            fold=None,
            plan=RegionPlan(epochs=2, batch=plan.batch, workers=0, device=device),
            note="simulated",
            described=described(name, task),
            tell=lambda step, losses: times.append(time.perf_counter()),
            until=lambda: len(times) > STEPS,
        )
        step_s = median(np.diff(times).tolist())
    with tempfile.TemporaryDirectory() as folder:
        network = new_network(name, task, 1)
        parameters = sum(value.numel() for value in network.parameters())
        write_weights(network.state_dict(), Path(folder) / folder_name(name), described(name, task))
        classifier = load_region_classifier(name, device, Path(folder))
        classifier.warm_up()
        seconds = _timed(classifier.predict, some)
    return (
        f"    {name:26}  {parameters / 1e6:8.2f} M   {1000 * step_s / plan.batch:4.0f} ms/sample"
        f"   {seconds:8.2f} s   {2 * seconds:12.2f} s"
    )


def _features(count: int) -> float:
    from models.radiomics.features import FeatureExtractor, settings_text

    extractor = FeatureExtractor(settings_text(count))
    extractor.features(lesions(1)[0]["CC"])
    return _timed(lambda lesion: [extractor.features(view) for view in lesion.values()], lesions(LESIONS))


def _timed(call: Callable[[Any], object], some: list[dict[str, Any]]) -> float:
    times = []
    for lesion in some:
        started = time.perf_counter()
        call(lesion)
        times.append(time.perf_counter() - started)
    return median(times)
