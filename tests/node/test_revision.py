"""A revision knows the results that it replaces, and a destination gets the form of a result that it asked for."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from alembic import command
from alembic.config import Config
from sqlalchemy import Engine, text

from node.database import MIGRATIONS, migrate, open_engine
from node.ledger import ClaimedStudy, Ledger
from node.outbox import Outbox
from node.worker import Worker
from pipelines import registry
from pipelines.contract import AnalysisOptions, PipelineResult, StudyInput
from sr_templates.contract import ReplacedResult, ResultVariant
from tests.node.builders import LEASE_S, NOW, STUDY, Clock, claimed, queued, received, result, settings_in

SMALL = ResultVariant(kind="heatmap", max_side_px=1024, compression="jpeg_baseline")


def late_image(ledger: Ledger, number: int, now: float) -> ClaimedStudy:
    """An image comes after the answer, and a worker takes the next revision."""
    ledger.record_instance(received(number), now)
    assert ledger.queue(ledger.study_state(STUDY), now, republish_at=now + 30, why="quiet")
    study = ledger.claim(STUDY, f"worker {number}", now, LEASE_S)
    assert study is not None
    return study


def publish(outbox: Outbox, study: ClaimedStudy, *numbers: int) -> None:
    objects = [result("cad_sr", number) for number in numbers]
    assert outbox.publish(study, objects, {}, NOW, outcome="analysed", reason=None)


def test_the_first_revision_replaces_nothing(ledger: Ledger) -> None:
    assert claimed(ledger).replaces == ()


def test_the_second_revision_replaces_the_results_of_the_first(ledger: Ledger, outbox: Outbox) -> None:
    publish(outbox, claimed(ledger), 1)
    made = result("cad_sr", 1)
    assert late_image(ledger, 2, NOW + 10).replaces == (
        ReplacedResult(
            variant="cad_sr",
            revision=1,
            sop_class_uid=made.sop_class_uid,
            sop_instance_uid=made.sop_instance_uid,
            series_instance_uid=made.series_instance_uid,
        ),
    )


def test_the_third_revision_replaces_the_second_only(ledger: Ledger, outbox: Outbox) -> None:
    publish(outbox, claimed(ledger), 1)
    publish(outbox, late_image(ledger, 2, NOW + 10), 2, 3)
    replaced = late_image(ledger, 3, NOW + 20).replaces
    assert [(old.revision, old.sop_instance_uid) for old in replaced] == [
        (2, result("cad_sr", number).sop_instance_uid) for number in (2, 3)
    ]


def test_a_revision_without_results_is_passed_over(ledger: Ledger, outbox: Outbox) -> None:
    publish(outbox, claimed(ledger), 1)
    publish(outbox, late_image(ledger, 2, NOW + 10))
    assert [old.revision for old in late_image(ledger, 3, NOW + 20).replaces] == [1]


def test_the_pipeline_is_told_what_it_replaces(
    monkeypatch: pytest.MonkeyPatch, ledger: Ledger, outbox: Outbox, tmp_path: Path
) -> None:
    seen: list[StudyInput] = []

    class Recorder:
        def analyse(self, study: StudyInput, _options: AnalysisOptions) -> PipelineResult:
            seen.append(study)
            return PipelineResult(
                study_instance_uid=study.study_instance_uid,
                pipeline="mammography",
                revision=study.revision,
                outcome="analysed",
                reason=None,
                images=(),
                breasts=(),
                models=(),
                objects=(result(number=study.revision),),
            )

    monkeypatch.setattr(registry, "get", lambda _name: Recorder())
    worker = Worker(settings_in(tmp_path), ledger, outbox, clock=Clock())
    queued(ledger)
    assert worker.analyse(STUDY)
    ledger.record_instance(received(2), NOW + 10)
    assert ledger.queue(ledger.study_state(STUDY), NOW + 20, republish_at=NOW + 50, why="quiet")
    assert worker.analyse(STUDY)
    assert [len(study.replaces) for study in seen] == [0, 1]
    assert seen[1].replaces[0].sop_instance_uid == result(number=1).sop_instance_uid


def test_each_destination_gets_the_form_that_it_asked_for(ledger: Ledger, outbox: Outbox) -> None:
    plain, small = result("heatmap", 1), result("heatmap", 2, variant=SMALL)
    profiles = {"pacs": frozenset({plain.variant}), "viewer": frozenset({SMALL})}
    study = claimed(ledger)
    assert outbox.publish(study, [plain, small], profiles, NOW, outcome="analysed", reason=None)
    sent = {row["destination"]: row["sop_instance_uid"] for row in outbox.deliveries(STUDY)}
    assert sent == {"pacs": plain.sop_instance_uid, "viewer": small.sop_instance_uid}


def test_the_settings_of_a_destination_become_its_variants(tmp_path: Path) -> None:
    destination: dict[str, Any] = {"name": "old", "ae_title": "OLD", "host": "127.0.0.1", "port": 104}
    options = {"sr_class": "comprehensive", "capture_max_px": 1024, "capture_compression": "jpeg_baseline"}
    settings = settings_in(tmp_path, destination=[{**destination, **options}])
    assert {variant.name for variant in settings.destination[0].variants} == {
        "cad_sr",
        "measurement_sr comprehensive",
        "heatmap 1024 jpeg_baseline",
        "summary 1024 jpeg_baseline",
    }


def test_an_option_without_meaning_for_a_kind_makes_no_other_variant() -> None:
    assert ResultVariant(kind="cad_sr", max_side_px=512, compression="jpeg_baseline", sr_class="comprehensive") == (
        ResultVariant(kind="cad_sr")
    )


def test_a_ledger_of_the_first_schema_keeps_its_results(tmp_path: Path) -> None:
    engine = open_engine(f"sqlite:///{tmp_path / 'old.sqlite3'}")
    upgrade(engine, "0001")
    with engine.begin() as connection:
        connection.execute(
            text(
                "INSERT INTO study (study_instance_uid, state, revision, first_received_at, last_received_at, "
                "calling_ae_title, calling_host, deaths) VALUES ('1.2', 'answered', 1, 1, 1, 'A', 'h', 0)"
            )
        )
        connection.execute(
            text(
                "INSERT INTO result (sop_instance_uid, study_instance_uid, revision, kind, sop_class_uid, "
                "transfer_syntax_uid, sha256, path, created_at) "
                "VALUES ('1.2.3', '1.2', 1, 'heatmap', '1', '1', '', '', 1)"
            )
        )
    migrate(engine)
    with engine.connect() as connection:
        assert connection.execute(text("SELECT variant, series_instance_uid FROM result")).one() == ("heatmap", "")
    ledger = Ledger(engine)
    ledger.record_instance(received(2, "1.2"), 10.0)
    assert ledger.queue(ledger.study_state("1.2"), 11.0, republish_at=50.0, why="quiet")
    study = ledger.claim("1.2", "worker", 12.0, LEASE_S)
    assert study is not None
    assert study.replaces == (), "no document can be named without its series"


def upgrade(engine: Engine, version: str) -> None:
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    with engine.connect() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, version)
        connection.commit()
