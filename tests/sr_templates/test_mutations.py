"""Broken results are noticed: by PixelMed, by dciodvfy, or by the checks of this folder; whole ones are not."""

from __future__ import annotations

import random
from collections.abc import Mapping
from io import BytesIO
from pathlib import Path
from typing import get_args

import pytest
from pydicom import Dataset, dcmread

from sr_templates.contract import ResultKind, ResultObject, ResultVariant, StudyReport, plain_variants
from sr_templates.registry import make_objects
from tests.sr_templates import conftest
from tests.sr_templates.checks import problems
from tests.sr_templates.mutations import MUTATIONS, Mutation
from tests.sr_templates.test_validators import pixelmed_messages, program, run

SEEDS = (1, 2, 3)
OWN = [mutation for mutation in MUTATIONS if mutation.catcher == "own"]
BY_PIXELMED = [mutation for mutation in MUTATIONS if mutation.catcher == "pixelmed"]
BY_DCIODVFY = [mutation for mutation in MUTATIONS if mutation.catcher == "dciodvfy"]


@pytest.fixture(scope="module")
def report() -> StudyReport:
    return conftest.revision()


@pytest.fixture(scope="module")
def objects(report: StudyReport) -> tuple[ResultObject, ...]:
    return make_objects(report, plain_variants(*get_args(ResultKind)))


Whole = Mapping[str, tuple[StudyReport, tuple[ResultObject, ...]]]


@pytest.fixture(scope="module")
def whole(report: StudyReport, objects: tuple[ResultObject, ...]) -> Whole:
    """What is broken: reports by the name of their function, and their objects."""
    predictions = conftest.predictions()
    made = make_objects(predictions, plain_variants("measurement_sr", "presentation_state"))
    return {"revision": (report, objects), "predictions": (predictions, made)}


def headers(report: StudyReport) -> list[Dataset]:
    return [image.header for image in report.images] + [header for header, _ in report.other_instances]


def broken(mutation: Mutation, objects: tuple[ResultObject, ...], seed: int) -> tuple[int, bytes]:
    """Break one object of the mutation's kind; its place in `objects`, and its new bytes."""
    numbers = random.Random(seed)
    place = numbers.choice([place for place, item in enumerate(objects) if item.kind == mutation.kind])
    dataset = dcmread(BytesIO(objects[place].content))
    mutation.break_it(dataset, numbers)
    buffer = BytesIO()
    dataset.save_as(buffer)
    assert buffer.getvalue() != objects[place].content, "a mutation that changes nothing proves nothing"
    return place, buffer.getvalue()


def test_there_are_enough_ways_to_break_a_result() -> None:
    assert len(MUTATIONS) >= 30
    assert {mutation.kind for mutation in MUTATIONS} == set(get_args(ResultKind))


def test_whole_results_have_no_problem(report: StudyReport, objects: tuple[ResultObject, ...]) -> None:
    assert problems([item.content for item in objects], headers(report)) == []


def test_reading_and_writing_alone_is_no_problem(report: StudyReport, objects: tuple[ResultObject, ...]) -> None:
    copies = []
    for item in objects:
        buffer = BytesIO()
        dcmread(BytesIO(item.content)).save_as(buffer)
        copies.append(buffer.getvalue())
    assert problems(copies, headers(report)) == []


def test_every_kind_of_answer_has_no_problem(case: tuple[str, StudyReport]) -> None:
    _, report = case
    made = make_objects(report, plain_variants(*get_args(ResultKind)))
    assert problems([item.content for item in made], headers(report)) == []


@pytest.mark.parametrize(
    "variant",
    [
        ResultVariant(kind="measurement_sr", sr_class="comprehensive"),
        ResultVariant(kind="heatmap", max_side_px=1024, compression="jpeg_baseline"),
        ResultVariant(kind="summary", max_side_px=1024, compression="jpeg_baseline"),
    ],
    ids=lambda variant: variant.name,
)
def test_every_form_has_no_problem(variant: ResultVariant, report: StudyReport) -> None:
    made = make_objects(report, frozenset({variant}))
    assert made
    assert problems([item.content for item in made], headers(report)) == []


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("mutation", OWN, ids=lambda mutation: mutation.name)
def test_own_checks_notice(mutation: Mutation, seed: int, whole: Whole) -> None:
    report, objects = whole[mutation.report]
    place, content = broken(mutation, objects, seed)
    files = [item.content for item in objects]
    assert problems([*files[:place], content, *files[place + 1 :]], headers(report))


@pytest.fixture(scope="module")
def pixelmed(objects: tuple[ResultObject, ...], tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[str]]:
    """What PixelMed says of the whole reports and of each broken one, by name; one start of Java for all."""
    folder = tmp_path_factory.mktemp("mutants")
    whole = {f"whole {item.kind}": item.content for item in objects if item.kind in ("cad_sr", "measurement_sr")}
    mutants = {mutation.name: broken(mutation, objects, SEEDS[0])[1] for mutation in BY_PIXELMED}
    paths: dict[str, Path] = {}
    for name, content in (whole | mutants).items():
        paths[name] = folder / f"{name.replace(' ', '_')}.dcm"
        paths[name].write_bytes(content)
    said = pixelmed_messages(list(paths.values()), folder)
    return {name: said[str(path)] for name, path in paths.items()}


@pytest.mark.peer
@pytest.mark.parametrize("mutation", BY_PIXELMED, ids=lambda mutation: mutation.name)
def test_pixelmed_notices(mutation: Mutation, pixelmed: dict[str, list[str]]) -> None:
    assert pixelmed[mutation.name]


@pytest.mark.peer
def test_pixelmed_says_nothing_of_the_whole_reports(pixelmed: dict[str, list[str]]) -> None:
    assert {name: said for name, said in pixelmed.items() if name.startswith("whole") and said} == {}


@pytest.mark.peer
@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("mutation", BY_DCIODVFY, ids=lambda mutation: mutation.name)
def test_dciodvfy_notices(mutation: Mutation, seed: int, objects: tuple[ResultObject, ...], tmp_path: Path) -> None:
    place, content = broken(mutation, objects, seed)

    def errors(of: bytes) -> set[str]:
        path = tmp_path / "object.dcm"
        path.write_bytes(of)
        return {line for line in run(program("dciodvfy"), str(path)).splitlines() if line.startswith("Error")}

    assert errors(objects[place].content) == set()
    assert errors(content)
