"""The worker around a pipeline that does what the test tells it to."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from billiard.exceptions import SoftTimeLimitExceeded

from node.arrivals import ReceivedInstance
from node.ledger import Ledger
from node.outbox import Outbox
from node.worker import Worker
from pipelines import registry
from pipelines.contract import AnalysisOptions, ImageAssessment, PipelineResult, Reason, StudyInput
from sr_templates.contract import DEFAULT_KINDS, plain_variants
from tests.node.builders import (
    LEASE_S,
    STUDY,
    Clock,
    dose_report,
    kinds,
    queued,
    received,
    result,
    settings_in,
    state_of,
)

DESTINATIONS = [
    {"name": "pacs", "ae_title": "PACS", "host": "127.0.0.1", "port": 104, "results": ["cad_sr", "heatmap"]},
    {"name": "viewer", "ae_title": "VIEW", "host": "127.0.0.1", "port": 105, "results": ["heatmap"]},
]


class FakePipeline:
    """Returns one CAD SR a run, or does what `analyses` and `reports_failure` say."""

    name = "mammography"

    def __init__(self) -> None:
        self.analyses: Callable[[StudyInput], object] = lambda study: None
        self.reports_failure: Callable[[StudyInput], object] = lambda study: None
        self.asked: list[tuple[str, StudyInput, AnalysisOptions]] = []
        self.failures: list[Reason] = []

    def warm_up(self, options: AnalysisOptions) -> None:
        self.asked.append(("warm_up", StudyInput(study_instance_uid="", revision=0, instances=()), options))

    def analyse(self, study: StudyInput, options: AnalysisOptions) -> PipelineResult:
        self.asked.append(("analyse", study, options))
        self.analyses(study)
        return answer(study, "analysed", None)

    def report_failure(self, study: StudyInput, options: AnalysisOptions, reason: Reason) -> PipelineResult:
        self.asked.append(("report_failure", study, options))
        self.failures.append(reason)
        self.reports_failure(study)
        return answer(study, "failed", reason)


def answer(study: StudyInput, outcome: Any, reason: Reason | None) -> PipelineResult:
    implant = Reason(code="implant", text="breast implant")
    images = tuple(
        ImageAssessment(
            sop_instance_uid=file.sop_instance_uid, laterality=None, view=None, outcome="not_analysed", reason=implant
        )
        for file in study.instances
    )
    return PipelineResult(
        study_instance_uid=study.study_instance_uid,
        pipeline="mammography",
        revision=study.revision,
        outcome=outcome,
        reason=reason,
        images=images,
        breasts=(),
        models=(),
        objects=(result(number=study.revision),),
        models_s=0.25,
    )


@pytest.fixture
def pipeline(monkeypatch: pytest.MonkeyPatch) -> FakePipeline:
    fake = FakePipeline()
    monkeypatch.setattr(registry, "get", lambda _name: fake)
    return fake


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def ledger(sqlite_ledger: Ledger) -> Ledger:
    return sqlite_ledger


@pytest.fixture
def worker(tmp_path: Path, ledger: Ledger, outbox: Outbox, clock: Clock) -> Worker:
    settings = settings_in(tmp_path, destination=DESTINATIONS, queue={"lease_s": LEASE_S, "max_deaths": 3})
    return Worker(settings, ledger, outbox, clock=clock)


def raising(error: BaseException) -> Callable[[StudyInput], object]:
    def fail(_study: StudyInput) -> None:
        raise error

    return fail


def test_an_answer_is_published_with_what_it_took(
    worker: Worker, pipeline: FakePipeline, ledger: Ledger, outbox: Outbox
) -> None:
    queued(ledger, received(1), received(2), dose_report(3))
    assert worker.analyse(STUDY)
    assert state_of(ledger) == ("answered", 1)
    assert [row["destination"] for row in outbox.deliveries(STUDY)] == ["pacs"], "the viewer wants no CAD SR"
    ((what, study, _),) = pipeline.asked
    assert (what, len(study.instances), len(study.not_routed)) == ("analyse", 2, 1)
    assert str(study.instances[0].path) == received(1).path
    detail = ledger.history(STUDY)[-1].detail
    assert (detail["outcome"], detail["models_s"], detail["not_analysed"]) == ("analysed", 0.25, {"implant": 2})
    assert detail["pipelines_s"] >= 0


def test_the_pipeline_is_told_the_settings(
    tmp_path: Path, pipeline: FakePipeline, ledger: Ledger, outbox: Outbox, clock: Clock
) -> None:
    settings = settings_in(
        tmp_path,
        node={"ae_title": "AI1"},
        destination=DESTINATIONS[1:],
        models={"min_score": 0.4, "weights_dir": tmp_path},
        queue={"device": "cpu"},
        completion={"required_views": ["L-CC"]},
    )
    queued(ledger)
    worker = Worker(settings, ledger, outbox, clock=clock)
    worker.analyse(STUDY)
    options = pipeline.asked[0][2]
    assert (options.station_name, options.min_score, options.weights_dir) == ("AI1", 0.4, tmp_path)
    assert (options.device, options.results, options.required_views) == ("cpu", plain_variants("heatmap"), ("L-CC",))
    assert options.created_at.timestamp() == clock()


def test_without_destinations_every_kind_of_result_is_made(
    tmp_path: Path, pipeline: FakePipeline, ledger: Ledger, outbox: Outbox
) -> None:
    queued(ledger)
    Worker(settings_in(tmp_path), ledger, outbox).analyse(STUDY)
    assert pipeline.asked[0][2].results == plain_variants(*DEFAULT_KINDS)


def test_warming_up_touches_every_pipeline(worker: Worker, pipeline: FakePipeline) -> None:
    worker.warm_up()
    assert [what for what, *_ in pipeline.asked] == ["warm_up"] * len(registry.PIPELINES)


def test_a_message_that_comes_twice_or_for_nothing_does_nothing(
    worker: Worker, pipeline: FakePipeline, ledger: Ledger
) -> None:
    queued(ledger)
    assert worker.analyse(STUDY)
    assert not worker.analyse(STUDY)
    assert not worker.analyse("1.2.3")
    assert not worker.analyse("../../etc/passwd")
    assert len(pipeline.asked) == 1


def test_an_error_of_ours_gives_the_study_back_and_is_seen(
    worker: Worker, pipeline: FakePipeline, ledger: Ledger, clock: Clock
) -> None:
    queued(ledger)
    pipeline.analyses = raising(MemoryError("CUDA out of memory"))
    with pytest.raises(MemoryError):
        worker.analyse(STUDY)
    assert state_of(ledger) == ("queued", 1)
    assert kinds(ledger)[-1] == "given_back"
    assert ledger.due_studies(clock.advance(1)) == [(STUDY, "queued")]
    pipeline.analyses = lambda study: None
    assert worker.analyse(STUDY)
    assert state_of(ledger) == ("answered", 1)


def test_an_error_every_time_ends_with_a_report_of_the_failure(
    worker: Worker, pipeline: FakePipeline, ledger: Ledger, outbox: Outbox
) -> None:
    queued(ledger)
    pipeline.analyses = raising(ZeroDivisionError())
    for _ in range(3):
        with pytest.raises(ZeroDivisionError):
            worker.analyse(STUDY)
    assert worker.analyse(STUDY)
    assert [what for what, *_ in pipeline.asked] == ["analyse"] * 3 + ["report_failure"]
    assert [reason.code for reason in pipeline.failures] == ["set_aside"]
    assert state_of(ledger) == ("quarantined", 1)
    row = ledger.study(STUDY)
    assert row is not None
    assert row["outcome"] == "failed"
    assert len(outbox.deliveries(STUDY)) == 1, "silence must never look like no findings"


def test_when_even_the_report_fails_it_ends_all_the_same(
    worker: Worker, pipeline: FakePipeline, ledger: Ledger, clock: Clock
) -> None:
    queued(ledger)
    pipeline.analyses = raising(ZeroDivisionError())
    pipeline.reports_failure = raising(ZeroDivisionError())
    for _ in range(4):
        with pytest.raises(ZeroDivisionError):
            worker.analyse(STUDY)
    assert state_of(ledger) == ("quarantined", 1)
    assert not worker.analyse(STUDY)
    assert ledger.due_studies(clock.advance(1e9)) == []
    assert kinds(ledger)[-1] == "quarantined"


def test_workers_that_die_count_like_errors(
    worker: Worker, pipeline: FakePipeline, ledger: Ledger, clock: Clock
) -> None:
    queued(ledger)
    for number in range(3):
        assert ledger.claim(STUDY, f"dies-{number}", clock(), LEASE_S)
        clock.advance(LEASE_S)
        assert ledger.bury(STUDY, clock(), republish_at=clock(), max_deaths=3)
    assert worker.analyse(STUDY)
    assert [what for what, *_ in pipeline.asked] == ["report_failure"], "not a pixel is touched again"
    assert state_of(ledger) == ("quarantined", 1)


def test_too_slow_is_answered_as_failed(worker: Worker, pipeline: FakePipeline, ledger: Ledger, outbox: Outbox) -> None:
    queued(ledger)
    pipeline.analyses = raising(SoftTimeLimitExceeded())
    assert worker.analyse(STUDY)
    assert state_of(ledger) == ("answered", 1)
    row = ledger.study(STUDY)
    assert row is not None
    assert row["outcome"] == "failed"
    assert "time limit" in row["reason"]
    assert len(outbox.deliveries(STUDY)) == 1


def test_a_worker_whose_study_was_taken_away_publishes_nothing(
    worker: Worker, pipeline: FakePipeline, ledger: Ledger, outbox: Outbox, clock: Clock
) -> None:
    def freeze(_study: StudyInput) -> None:
        """As if the machine had been suspended for longer than the lease."""
        clock.advance(LEASE_S)
        assert ledger.bury(STUDY, clock(), republish_at=clock(), max_deaths=3)
        assert ledger.claim(STUDY, "another worker", clock(), LEASE_S)

    queued(ledger)
    pipeline.analyses = freeze
    assert not worker.analyse(STUDY)
    assert state_of(ledger) == ("analysing", 1)
    assert outbox.deliveries(STUDY) == []
    assert "finished" not in kinds(ledger)


def test_the_lease_is_renewed_while_the_pipeline_works(
    tmp_path: Path, pipeline: FakePipeline, ledger: Ledger, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    outbox = Outbox(ledger, tmp_path / "outbox")
    renewed = threading.Event()
    renew = ledger.renew

    def note(*arguments: Any) -> bool:
        kept = renew(*arguments)
        renewed.set()
        return kept

    monkeypatch.setattr(ledger, "renew", note)

    def work(_study: StudyInput) -> None:
        clock.advance(0.9)
        assert renewed.wait(timeout=30)
        clock.advance(0.9)
        assert not ledger.bury(STUDY, clock(), republish_at=clock(), max_deaths=3)

    pipeline.analyses = work
    queued(ledger)
    assert Worker(settings_in(tmp_path, queue={"lease_s": 1}), ledger, outbox, clock=clock).analyse(STUDY)
    assert "lease" not in [thread.name for thread in threading.enumerate()]


def test_an_image_that_comes_during_the_analysis_is_in_the_next_revision(
    worker: Worker, pipeline: FakePipeline, ledger: Ledger, outbox: Outbox, clock: Clock
) -> None:
    queued(ledger)
    pipeline.analyses = lambda _study: ledger.record_instance(received(2), clock())
    assert worker.analyse(STUDY)
    assert state_of(ledger) == ("assembling", 2)
    pipeline.analyses = lambda study: None
    assert ledger.queue(ledger.study_state(STUDY), clock(), republish_at=clock() + 30, why="quiet")
    assert worker.analyse(STUDY)
    assert [(study.revision, len(study.instances)) for _, study, _ in pipeline.asked] == [(1, 1), (2, 2)]
    assert [row["revision"] for row in outbox.deliveries(STUDY)] == [1, 2]


def test_steps_come_in_their_order(tmp_path: Path, pipeline: FakePipeline, ledger: Ledger, outbox: Outbox) -> None:
    steps: list[str] = []
    queued(ledger)
    Worker(settings_in(tmp_path), ledger, outbox, fault=steps.append).analyse(STUDY)
    assert len(pipeline.asked) == 1
    assert steps == ["claimed", "analysed", "published"]


def region_object(number: int) -> ReceivedInstance:
    """A report in which a person marked regions."""
    return received(number, view=None, routed_to="regions", sop_class_uid="1.2.840.10008.5.1.4.1.1.88.34")


@pytest.fixture(params=[1, 2, 3])
def of_deaths(
    request: pytest.FixtureRequest, tmp_path: Path, ledger: Ledger, outbox: Outbox, clock: Clock
) -> tuple[Worker, int]:
    """A worker by its `max_deaths`, and that number."""
    settings = settings_in(tmp_path, queue={"lease_s": LEASE_S, "max_deaths": request.param})
    return Worker(settings, ledger, outbox, clock=clock), request.param


def test_a_study_that_kills_its_workers_without_its_request_too_is_reported_as_failed(
    of_deaths: tuple[Worker, int], pipeline: FakePipeline, ledger: Ledger, clock: Clock
) -> None:
    worker, max_deaths = of_deaths
    queued(ledger, received(1), region_object(2))
    pipeline.analyses = raising(SystemExit())
    tries = max(max_deaths, 2)
    for _ in range(tries - 1):
        with pytest.raises(SystemExit):
            worker.analyse(STUDY)
    assert ledger.claim(STUDY, "dies", clock(), LEASE_S)  # the last one is killed before it can say so
    clock.advance(LEASE_S)
    assert ledger.bury(STUDY, clock(), republish_at=clock(), max_deaths=max_deaths)
    assert [bool(study.region_objects) for _, study, _ in pipeline.asked] == [True] * (tries - 1)
    assert worker.analyse(STUDY)
    assert (pipeline.asked[-1][0], state_of(ledger)) == ("report_failure", ("quarantined", 1))


def test_a_request_that_takes_too_long_is_set_aside_and_the_study_is_answered(
    of_deaths: tuple[Worker, int], pipeline: FakePipeline, ledger: Ledger
) -> None:
    worker, max_deaths = of_deaths
    queued(ledger, received(1), region_object(2))

    def slow_with_regions(study: StudyInput) -> None:
        if study.region_objects:
            raise SoftTimeLimitExceeded

    pipeline.analyses = slow_with_regions
    for _ in range(max(max_deaths, 2) - 1):
        with pytest.raises(SoftTimeLimitExceeded):
            worker.analyse(STUDY)
    assert worker.analyse(STUDY)
    what, study, _ = pipeline.asked[-1]
    assert (what, study.region_objects) == ("analyse", ())
    assert [(file.sop_instance_uid, reason.code) for file, reason in study.not_routed] == [
        (f"{STUDY}.2", "region_set_aside")
    ]
    assert state_of(ledger)[0] == "answered"


def test_a_region_whose_images_were_deleted_is_told_so_and_replaces_no_answer(
    worker: Worker, pipeline: FakePipeline, ledger: Ledger
) -> None:
    queued(ledger, received(1))
    assert worker.analyse(STUDY)
    with ledger.engine.begin() as connection:
        connection.exec_driver_sql("UPDATE instance SET discarded_at = 1.0")
    queued(ledger, region_object(2))
    assert worker.analyse(STUDY)
    _, study, _ = pipeline.asked[-1]
    assert (study.region_objects, study.replaces) == ((), ())
    assert [reason.code for _, reason in study.not_routed] == ["region_images_deleted"]
