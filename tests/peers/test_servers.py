"""Every peer starts, does what tests expect of it, and is gone afterwards."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import redis
from pydicom import dcmread
from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian, JPEGLSLossless, RLELossless
from sqlalchemy import create_engine, text

from tests.factories import large_tomosynthesis, screening_exam, small_dose_sr, small_mammogram, small_ultrasound
from tests.peers.hostile import split_file
from tests.peers.servers import (
    FakePacs,
    Modality,
    Orthanc,
    PostgresServer,
    ProgramMissing,
    RedisServer,
    ServerProcess,
    StartFailed,
    StoreScp,
    dsrdump,
    echoscu,
    find_program,
    free_port,
    is_listening,
    orthanc,
    postgres_server,
    storescp,
    storescu,
    wait_until,
)


@pytest.fixture
def mixed_study(tmp_path: Path) -> list[Path]:
    """Four mammograms, one of them in JPEG-LS, an ultrasound image in RLE, a dose report."""
    paths = screening_exam(tmp_path / "study")
    small_mammogram(paths[0], laterality="R", view="CC", transfer_syntax_uid=JPEGLSLossless)
    ultrasound, dose = tmp_path / "study" / "us.dcm", tmp_path / "study" / "dose.dcm"
    small_ultrasound(ultrasound, transfer_syntax_uid=RLELossless)
    small_dose_sr(dose, transfer_syntax_uid=ImplicitVRLittleEndian)
    return [*paths, ultrasound, dose]


@pytest.mark.peer
def test_what_storescu_sends_reaches_storescp_byte_for_byte(
    storescp_peer: StoreScp, mixed_study: list[Path], need: Callable[..., None]
) -> None:
    need("storescu", "echoscu")
    assert echoscu(storescp_peer.port).returncode == 0
    sent = storescu(mixed_study, storescp_peer.port, calling="MODALITY", called="STORESCP")
    assert sent.returncode == 0, sent.stderr
    received = storescp_peer.wait_for(len(mixed_study))
    for path in mixed_study:
        _, uid, syntax, dataset = split_file(path)
        _, _, received_syntax, received_dataset = split_file(received[uid])
        assert received_syntax == syntax
        assert received_dataset == dataset
        assert storescp_peer.store_counts()[uid] == 1
    storescu(mixed_study[0], storescp_peer.port)
    assert storescp_peer.store_counts()[split_file(mixed_study[0])[1]] == 2


@pytest.mark.peer
def test_storescp_refuses_associations_while_it_is_away(
    storescp_peer: StoreScp, tmp_path: Path, need: Callable[..., None]
) -> None:
    need("storescu")
    path = tmp_path / "image.dcm"
    image = small_mammogram(path, laterality="L", view="CC")
    storescp_peer.stop()
    assert storescu(path, storescp_peer.port).returncode != 0
    storescp_peer.start()
    assert storescu(path, storescp_peer.port).returncode == 0
    assert list(storescp_peer.wait_for([image.SOPInstanceUID])) == [image.SOPInstanceUID]


@pytest.mark.peer
def test_storescu_reports_that_the_peer_aborted(tmp_path: Path, need: Callable[..., None]) -> None:
    need("storescp", "storescu")
    path = tmp_path / "image.dcm"
    small_mammogram(path, laterality="L", view="CC")
    with storescp(tmp_path / "scp", extra=["--abort-after"]) as peer:
        sent = storescu(path, peer.port)
    assert sent.returncode != 0
    assert "Aborted" in sent.stderr + sent.stdout


@pytest.mark.peer
def test_dsrdump_reads_a_structured_report(tmp_path: Path, need: Callable[..., None]) -> None:
    need("dsrdump")
    small_dose_sr(tmp_path / "dose.dcm")
    assert '(113701,DCM,"X-Ray Radiation Dose Report")' in dsrdump(tmp_path / "dose.dcm")


@pytest.mark.peer
def test_orthanc_stores_finds_and_returns_what_it_was_sent(
    orthanc_peer: Orthanc, mixed_study: list[Path], need: Callable[..., None]
) -> None:
    need("storescu")
    assert storescu(mixed_study, orthanc_peer.port, called=orthanc_peer.ae_title).returncode == 0
    uids = {split_file(path)[1]: path for path in mixed_study}
    assert orthanc_peer.wait_for(uids).keys() == uids.keys()
    assert orthanc_peer.count() == len(mixed_study)
    for uid, path in uids.items():
        (Path(path).parent / "back.dcm").write_bytes(orthanc_peer.file_bytes(uid))
        assert split_file(path.parent / "back.dcm") == split_file(path)
    assert orthanc_peer.tags(next(iter(uids)))["PatientID"] == "PATIENT1"
    assert orthanc_peer.find("1.2.3") is None
    orthanc_peer.delete_all()
    assert orthanc_peer.count() == 0


@pytest.mark.peer
def test_orthanc_sends_to_a_modality_that_it_learns_of_later(
    orthanc_peer: Orthanc, fake_pacs: FakePacs, tmp_path: Path
) -> None:
    image = small_mammogram(tmp_path / "image.dcm", laterality="L", view="CC")
    orthanc_peer.upload([tmp_path / "image.dcm"])
    orthanc_peer.set_modality("mammonode", Modality(ae_title="MAMMONODE", port=fake_pacs.port))
    assert orthanc_peer.echo("mammonode")
    assert orthanc_peer.send("mammonode", [image.SOPInstanceUID])["FailedInstancesCount"] == 0
    assert fake_pacs.received.keys() == {image.SOPInstanceUID}
    assert fake_pacs.calls[0].calling_ae_title == "ORTHANC"


@pytest.mark.peer
@pytest.mark.parametrize(("overwrite", "kept"), [(False, "First^One"), (True, "Second^One")])
def test_orthanc_keeps_the_first_or_the_last_copy(
    tmp_path: Path, overwrite: bool, kept: str, need: Callable[..., None]
) -> None:
    need("Orthanc")
    with orthanc(tmp_path / "orthanc", overwrite_instances=overwrite) as archive:
        for name in ("First^One", "Second^One"):
            image = small_mammogram(tmp_path / "image.dcm", laterality="L", view="CC", PatientName=name)
            archive.upload([tmp_path / "image.dcm"])
        assert archive.tags(image.SOPInstanceUID)["PatientName"] == kept


@pytest.mark.peer
def test_orthanc_comes_back_with_what_it_had(tmp_path: Path, need: Callable[..., None]) -> None:
    need("Orthanc")
    with orthanc() as archive:
        image = small_mammogram(tmp_path / "image.dcm", laterality="L", view="CC")
        archive.upload([tmp_path / "image.dcm"])
        archive.stop()
        assert not archive.answers()
        archive.start()
        assert archive.find(image.SOPInstanceUID)


@pytest.mark.peer
def test_redis_answers_and_forgets(redis_running: RedisServer, redis_url: str) -> None:
    with redis.Redis.from_url(redis_url) as client:
        assert client.ping()
        client.set("key", "value")
        redis_running.flush()
        assert client.get("key") is None
        assert client.config_get("save")["save"] == ""
        assert client.config_get("bind")["bind"] == "127.0.0.1"


@pytest.mark.peer
def test_postgres_gives_each_test_a_database_of_its_own(postgres_running: PostgresServer, postgres_url: str) -> None:
    other_url = postgres_running.fresh_database()
    assert other_url != postgres_url
    engine, other = create_engine(postgres_url), create_engine(other_url)
    with engine.begin() as connection:
        assert connection.scalar(text("select version()")).startswith("PostgreSQL")
        assert connection.scalar(text("show listen_addresses")) == "127.0.0.1"
        connection.execute(text("create table present (id integer)"))
    with other.connect() as connection:
        assert connection.scalar(text("select to_regclass('present')")) is None
    postgres_running.drop_database(other_url)  # though the pool holds a connection to it
    engine.dispose()
    other.dispose()


@pytest.mark.peer
def test_postgres_leaves_nothing_behind(need: Callable[..., None]) -> None:
    need("initdb", "postgres")
    with postgres_server() as server:
        home = Path(server.process.command[2])
        assert home.is_dir()
        url = server.fresh_database()
        server.stop()
        assert not server.answers()
        server.start()
        with create_engine(url).connect() as connection:
            assert connection.scalar(text("select 1")) == 1
    assert not home.exists()
    assert not is_listening(server.port)


def test_a_server_that_cannot_start_shows_why(tmp_path: Path) -> None:
    process = ServerProcess([sys.executable, "-c", "raise SystemExit('no such table')"], log=tmp_path / "log")
    with process, pytest.raises(StartFailed, match=r"ended with 1\n(.*\n)*no such table"):
        process.wait_ready(lambda: False)


def test_a_server_that_stays_silent_is_ended(tmp_path: Path) -> None:
    process = ServerProcess([sys.executable, "-c", "import time; time.sleep(60)"], log=tmp_path / "log")
    with process, pytest.raises(StartFailed, match="not ready after"):
        process.wait_ready(lambda: False, timeout_s=0.2)
    assert process.returncode is not None


def test_children_of_a_server_end_with_it(tmp_path: Path) -> None:
    script = "import subprocess, sys, time; print(subprocess.Popen(['sleep', '60']).pid, flush=True); time.sleep(60)"
    with ServerProcess([sys.executable, "-c", script], log=tmp_path / "log") as process:
        process.wait_ready(lambda: process.log_tail().strip())
        child = int(process.log_tail())
        assert is_running(child)
    wait_until(lambda: not is_running(child), what="the child's end")


def is_running(pid: int) -> bool:
    """An orphan that nobody waits for stays a zombie where process 1 does not reap."""
    status = Path(f"/proc/{pid}/stat")
    try:
        return status.read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def test_ports_are_free_and_differ() -> None:
    ports = [free_port() for _ in range(50)]
    assert len(set(ports)) == 50
    assert not any(map(is_listening, ports[:5]))


def test_a_missing_program_is_named_with_its_package(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(os.environ, "PATH", str(tmp_path))
    with pytest.raises(ProgramMissing, match=r"storescu \(Debian package dcmtk\)"):
        find_program("storescu")


@pytest.mark.parametrize(("ci", "outcome"), [("", pytest.skip.Exception), ("true", pytest.fail.Exception)])
def test_a_missing_program_skips_but_under_ci_it_fails(
    monkeypatch: pytest.MonkeyPatch, need: Callable[..., None], ci: str, outcome: type[BaseException]
) -> None:
    monkeypatch.setitem(os.environ, "CI", ci)
    with pytest.raises(outcome, match="no-such-program"):
        need("no-such-program")


@pytest.mark.peer
def test_a_large_object_goes_through_storescu(
    storescp_peer: StoreScp, tmp_path: Path, need: Callable[..., None]
) -> None:
    need("storescu")
    path = tmp_path / "tomosynthesis.dcm"
    header = large_tomosynthesis(path, 6_000_000)
    assert storescu(path, storescp_peer.port).returncode == 0
    received = storescp_peer.wait_for([header.SOPInstanceUID])[header.SOPInstanceUID]
    assert dcmread(received).pixel_array.shape == (2, 2048, 1024)
    assert split_file(received)[2:] == (ExplicitVRLittleEndian, split_file(path)[3])
