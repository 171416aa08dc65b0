"""`mammonode check` against real listeners: what it says must name the fault and the key that mends it."""

from __future__ import annotations

import shutil
import socket
import sqlite3
import ssl
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from pynetdicom import AE
from pynetdicom.sop_class import MammographyCADSRStorage, SecondaryCaptureImageStorage, Verification

from models.contract import ModelIdentity
from node.check import (
    check,
    check_broker,
    check_database,
    check_models,
    check_state_dir,
    check_times,
    check_tls,
)
from node.check_peers import check_destinations, check_port, check_sources
from node.errors import SettingsInvalid
from node.finding import Finding, render, worst
from node.settings import Settings, TLSSettings
from node.tls import client_context, server_context

TIMEOUT_S = 3.0


@pytest.fixture
def closed_port() -> Iterator[int]:
    """A port that is bound, so that nobody else gets it, and on which nothing listens."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        yield held.getsockname()[1]


def destination(port: int, **more: Any) -> dict[str, Any]:
    return {"name": "pacs", "ae_title": "PACS", "host": "127.0.0.1", "port": port, "results": ["cad_sr"], **more}


def settings_with(tmp_path: Path, **sections: Any) -> Settings:
    sections.setdefault("node", {}).setdefault("state_dir", tmp_path)
    return Settings(**sections)


def echo(tmp_path: Path, port: int, **more: Any) -> Finding:
    tls = more.pop("tls_section", {})
    settings = settings_with(tmp_path, destination=[destination(port, **more)], tls=tls)
    (finding,) = check_destinations(settings, timeout_s=TIMEOUT_S)
    return finding


@contextmanager
def pacs(
    *sop_classes: str, tls: ssl.SSLContext | None = None, only_calling: str = "", own_title: str = "PACS"
) -> Iterator[int]:
    ae = AE(ae_title=own_title)
    for sop_class in sop_classes:
        ae.add_supported_context(sop_class)
    ae.require_called_aet = True
    if only_calling:
        ae.require_calling_aet = [only_calling]
    server = ae.start_server(("127.0.0.1", 0), block=False, ssl_context=tls)
    assert server is not None
    try:
        yield server.socket.getsockname()[1]
    finally:
        server.shutdown()


# -- destinations ------------------------------------------------------------------------------------------------------


def test_a_destination_that_answers_and_takes_the_results_is_ok(tmp_path: Path) -> None:
    with pacs(Verification, MammographyCADSRStorage) as port:
        finding = echo(tmp_path, port)
    assert finding.level == "ok"
    assert finding.text == f"PACS@127.0.0.1:{port} answers and takes cad_sr"


def test_a_destination_that_does_not_take_a_result_is_told_the_sop_class(tmp_path: Path) -> None:
    with pacs(Verification, SecondaryCaptureImageStorage) as port:
        finding = echo(tmp_path, port, results=["cad_sr", "heatmap"])
    assert (finding.level, finding.text) == ("error", "does not take cad_sr")
    assert MammographyCADSRStorage in finding.remedy


def test_a_destination_without_echo_is_fine_when_it_takes_the_results(tmp_path: Path) -> None:
    with pacs(MammographyCADSRStorage) as port:
        assert echo(tmp_path, port).level == "ok"


def test_nothing_listens(tmp_path: Path, closed_port: int) -> None:
    finding = echo(tmp_path, closed_port)
    assert (finding.level, finding.text) == ("error", f"nothing listens at 127.0.0.1:{closed_port}")
    assert "destination.port" in finding.remedy


def test_a_refused_calling_title_is_to_be_registered_at_the_destination(tmp_path: Path) -> None:
    with pacs(Verification, only_calling="SOMEONE_ELSE") as port:
        finding = echo(tmp_path, port)
    assert finding.text == "refuses the association: Calling AE title not recognised"
    assert "register the node's AE title MAMMONODE" in finding.remedy


def test_a_wrong_called_title_is_to_be_mended_here(tmp_path: Path) -> None:
    with pacs(Verification, own_title="OTHER") as port:
        finding = echo(tmp_path, port)
    assert finding.text == "refuses the association: Called AE title not recognised"
    assert "destination.ae_title" in finding.remedy


def test_a_listener_that_speaks_no_dicom_is_told_apart(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def hang_up() -> None:
            for _ in range(2):  # the probe, then the association
                connection, _ = listener.accept()
                connection.recv(1)
                connection.close()

        thread = threading.Thread(target=hang_up)
        thread.start()
        finding = echo(tmp_path, listener.getsockname()[1])
        thread.join()
    assert finding.level == "error"
    assert "but not as a DICOM node" in finding.text


def test_a_name_that_does_not_resolve(tmp_path: Path) -> None:
    finding = echo(tmp_path, 104, host="no-such-host.invalid")
    assert "no-such-host.invalid cannot be resolved" in finding.text
    assert "destination.host" in finding.remedy


def test_without_destination_results_stay_in_the_outbox(tmp_path: Path) -> None:
    (finding,) = check_destinations(settings_with(tmp_path), timeout_s=TIMEOUT_S)
    assert (finding.level, finding.text) == ("warning", "none listed: results stay in the outbox")


@pytest.mark.peer
@pytest.mark.skipif(shutil.which("storescp") is None, reason="needs DCMTK")
@pytest.mark.parametrize(
    ("options", "level", "says"), [([], "ok", "answers and takes"), (["--refuse"], "error", "refuses the association")]
)
def test_dcmtk_storescp(tmp_path: Path, closed_port_number: int, options: list[str], level: str, says: str) -> None:
    command = ["storescp", *options, "--ignore", "--aetitle", "PACS", str(closed_port_number)]
    process = subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.DEVNULL)
    try:
        wait_for_listener(closed_port_number)
        finding = echo(tmp_path, closed_port_number, results=["cad_sr", "measurement_sr", "heatmap"])
    finally:
        process.terminate()
        process.wait()
    assert finding.level == level
    assert says in finding.text


@pytest.fixture
def closed_port_number() -> int:
    """A port that was free a moment ago, for programs that cannot be told to choose one."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_for_listener(port: int) -> None:
    for _ in range(100):
        with socket.socket() as client:
            if client.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    raise AssertionError(f"nothing came up on {port}")


# -- TLS ---------------------------------------------------------------------------------------------------------------


def openssl(*arguments: str) -> None:
    subprocess.run(["openssl", *arguments], check=True, capture_output=True)


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An authority, a certificate of it for 127.0.0.1, an expired one, a stranger's key, and a protected key."""
    if shutil.which("openssl") is None:
        pytest.skip("needs openssl to make certificates")
    folder = tmp_path_factory.mktemp("certificates")

    def path(name: str) -> str:
        return str(folder / name)

    new_key = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")
    openssl(
        "req", "-x509", *new_key, "-keyout", path("ca.key"), "-out", path("ca.crt"), "-subj", "/CN=test", "-days", "2"
    )
    (folder / "names").write_text("subjectAltName=IP:127.0.0.1\n")
    issue = ("-CA", path("ca.crt"), "-CAkey", path("ca.key"), "-CAcreateserial", "-extfile", path("names"))
    for name, days in (("node", "2"), ("expired", "-1")):
        openssl("req", *new_key, "-keyout", path(f"{name}.key"), "-out", path(f"{name}.csr"), "-subj", f"/CN={name}")
        openssl("x509", "-req", "-in", path(f"{name}.csr"), "-out", path(f"{name}.crt"), "-days", days, *issue)
    openssl("ec", "-in", path("node.key"), "-out", path("locked.key"), "-aes128", "-passout", "pass:secret")
    return folder


def tls_section(folder: Path, *, certificate: str = "node.crt", private_key: str = "node.key") -> dict[str, Any]:
    return {
        "enabled": True,
        "certificate": folder / certificate,
        "private_key": folder / private_key,
        "ca": folder / "ca.crt",
    }


def tls_findings(tmp_path: Path, section: dict[str, Any]) -> list[Finding]:
    return list(check_tls(settings_with(tmp_path, tls=section)))


def test_certificates_that_belong_together_are_ok(tmp_path: Path, certificates: Path) -> None:
    assert [finding.level for finding in tls_findings(tmp_path, tls_section(certificates))] == ["ok"]
    assert worst(check_tls(settings_with(tmp_path))) == "ok"


@pytest.mark.parametrize(
    ("certificate", "private_key", "says"),
    [
        ("node.crt", "expired.key", "key values mismatch"),
        ("node.crt", "absent.key", "No such file"),
        ("node.crt", "locked.key", "without a passphrase"),
        ("names", "node.key", "allowed: a PEM chain"),
    ],
)
def test_files_that_cannot_be_used_are_named(
    tmp_path: Path, certificates: Path, certificate: str, private_key: str, says: str
) -> None:
    (finding,) = tls_findings(tmp_path, tls_section(certificates, certificate=certificate, private_key=private_key))
    assert finding.level == "error"
    assert says in finding.text
    assert private_key in finding.text


def test_an_expired_certificate_is_found_before_a_peer_finds_it(tmp_path: Path, certificates: Path) -> None:
    (finding,) = tls_findings(tmp_path, tls_section(certificates, certificate="expired.crt", private_key="expired.key"))
    assert finding.level == "warning"
    assert "expired" in finding.text


def test_a_destination_over_mutual_tls_is_ok(tmp_path: Path, certificates: Path) -> None:
    section = tls_section(certificates)
    with pacs(Verification, MammographyCADSRStorage, tls=server_context(TLSSettings(**section))) as port:
        finding = echo(tmp_path, port, tls=True, tls_section=section)
        by_name = echo(tmp_path, port, tls=True, tls_section=section, host="localhost")
    assert finding.level == "ok", finding
    assert by_name.level == "ok", "its own authority vouches for the peer, whatever name the certificate carries"


def test_a_destination_whose_authority_is_unknown_is_not_believed(tmp_path: Path, certificates: Path) -> None:
    with pacs(Verification, tls=server_context(TLSSettings(**tls_section(certificates)))) as port:
        finding = echo(tmp_path, port, tls=True)
    assert "is not believed" in finding.text
    assert "tls.ca" in finding.remedy


def test_a_destination_that_wants_a_certificate_which_we_lack(tmp_path: Path, certificates: Path) -> None:
    with pacs(Verification, tls=server_context(TLSSettings(**tls_section(certificates)))) as port:
        finding = echo(tmp_path, port, tls=True, tls_section={"ca": certificates / "ca.crt"})
    assert finding.level == "error"
    assert "tls" in finding.remedy


def test_the_receiver_without_tls_has_no_context_and_the_client_trusts_the_system() -> None:
    assert server_context(TLSSettings()) is None
    assert client_context(TLSSettings()).verify_mode is ssl.CERT_REQUIRED
    assert client_context(TLSSettings()).check_hostname
    with pytest.raises(SettingsInvalid, match=r"tls\.ca"):
        client_context(TLSSettings(ca=Path("absent.crt")))


# -- the machine -------------------------------------------------------------------------------------------------------


def test_a_state_folder_with_room_is_ok_and_left_as_it_was(tmp_path: Path) -> None:
    settings = settings_with(tmp_path, retention={"min_free_gb": 0})
    assert worst(check_state_dir(settings)) == "ok"
    later = settings_with(tmp_path, node={"state_dir": tmp_path / "a" / "b"}, retention={"min_free_gb": 0})
    assert next(check_state_dir(later)).text.endswith("a/b will be created")
    assert list(tmp_path.iterdir()) == []


def test_a_state_folder_that_is_a_file_or_full_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (finding,) = check_state_dir(settings_with(tmp_path, node={"state_dir": tmp_path / "file" / "state"}))
    assert (finding.level, "not a folder" in finding.text) == ("error", True)
    *_, space = check_state_dir(settings_with(tmp_path, retention={"min_free_gb": 1e6}))
    assert space.level == "error"
    assert "0xA700" in space.text


def test_a_port_is_free_or_in_use_or_not_ours(tmp_path: Path, closed_port_number: int) -> None:
    def port_of(host: str) -> Finding:
        node = {"state_dir": tmp_path, "host": host, "port": closed_port_number}
        return check_port(Settings(node=node))  # type: ignore[arg-type] # as from a file

    assert port_of("127.0.0.1").level == "ok"
    with socket.create_server(("127.0.0.1", closed_port_number)):
        assert port_of("127.0.0.1").level == "warning"
    assert "no address of this machine" in port_of("192.0.2.1").text
    assert "cannot be resolved" in port_of("no-such-host.invalid").text


def test_sources_are_resolved_and_reachable(tmp_path: Path) -> None:
    sources = [{"ae_title": "A", "host": "10.0.0.0/8"}, {"ae_title": "B", "host": "localhost"}]
    unknown = {"ae_title": "C", "host": "no-such-host.invalid"}
    assert [finding.level for finding in check_sources(settings_with(tmp_path, source=sources))] == ["ok", "ok"]
    assert [finding.level for finding in check_sources(settings_with(tmp_path, source=[unknown]))] == ["error"]
    assert [finding.level for finding in check_sources(settings_with(tmp_path))] == ["warning"]
    alone = settings_with(tmp_path, node={"host": "127.0.0.1"}, source=sources)
    assert next(check_sources(alone)).subject == "node.host"


@pytest.mark.parametrize(
    ("section", "values", "subject"),
    [
        ("queue", {"lease_s": 2}, "queue.lease_s"),
        ("queue", {"lease_s": 700}, "queue.lease_s"),
        ("queue", {"poll_s": 15}, "queue.poll_s"),
        ("completion", {"settle_s": 60}, "completion.settle_s"),
    ],
)
def test_times_that_do_not_go_together_are_a_warning(
    tmp_path: Path, section: str, values: dict[str, float], subject: str
) -> None:
    (finding,) = check_times(settings_with(tmp_path, **{section: values}))
    assert (finding.level, finding.subject) == ("warning", subject)


def test_the_default_times_go_together(tmp_path: Path) -> None:
    assert worst(check_times(settings_with(tmp_path))) == "ok"


# -- broker and database -----------------------------------------------------------------------------------------------


def test_the_embedded_broker_and_a_new_ledger_are_ok_and_nothing_is_made(tmp_path: Path) -> None:
    settings = settings_with(tmp_path)
    assert check_broker(settings, timeout_s=TIMEOUT_S).level == "ok"
    assert check_database(settings, timeout_s=TIMEOUT_S).level == "ok"
    assert list(tmp_path.iterdir()) == []


def test_a_broker_that_does_not_answer_is_named_without_its_password(tmp_path: Path, closed_port: int) -> None:
    broker = {"url": f"redis://:secret@127.0.0.1:{closed_port}/0"}
    finding = check_broker(settings_with(tmp_path, broker=broker), timeout_s=TIMEOUT_S)
    assert finding.level == "error"
    assert f"redis://:***@127.0.0.1:{closed_port}/0 does not answer" in finding.text
    assert "secret" not in render([finding])


@pytest.mark.peer
@pytest.mark.skipif(shutil.which("redis-server") is None, reason="needs redis-server")
def test_redis_answers_or_refuses_the_password(tmp_path: Path, closed_port_number: int) -> None:
    port = closed_port_number
    command = ["redis-server", "--port", str(port), "--bind", "127.0.0.1", "--requirepass", "right", "--save", ""]
    process = subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.DEVNULL)
    try:
        wait_for_listener(port)
        findings = [
            check_broker(
                settings_with(tmp_path, broker={"url": f"redis://:{password}@127.0.0.1:{port}/0"}), timeout_s=TIMEOUT_S
            )
            for password in ("right", "wrong")
        ]
    finally:
        process.terminate()
        process.wait()
    assert [finding.level for finding in findings] == ["ok", "error"]
    assert "refuses the password" in findings[1].text


def test_a_ledger_that_is_no_database_is_an_error(tmp_path: Path) -> None:
    settings = settings_with(tmp_path)
    settings.ledger_path.write_bytes(b"not a database, and longer than its header of a hundred bytes" * 4)
    finding = check_database(settings, timeout_s=TIMEOUT_S)
    assert (finding.level, "not a database" in finding.text) == ("error", True)
    settings.ledger_path.unlink()
    sqlite3.connect(settings.ledger_path).close()
    assert check_database(settings, timeout_s=TIMEOUT_S).level == "ok"


def test_a_database_server_that_is_not_there_is_named_without_its_password(tmp_path: Path, closed_port: int) -> None:
    database = {"url": f"postgresql://me:secret@127.0.0.1:{closed_port}/mammo"}
    finding = check_database(settings_with(tmp_path, database=database), timeout_s=TIMEOUT_S)
    assert finding.level == "error"
    assert "secret" not in render([finding])
    assert "start PostgreSQL" in finding.remedy


def test_a_model_without_weights_is_a_warning_and_one_with_them_is_named_by_their_hash() -> None:
    bare = ModelIdentity(name="A", version="1", weights_sha256=None)
    ready = ModelIdentity(name="B", version="2", weights_sha256="0123456789abcdef" * 4)
    without, with_weights = check_models([bare, ready])
    assert (without.level, without.subject) == ("warning", "model A 1")
    assert "not attempted" in without.text
    assert (with_weights.level, with_weights.text) == ("ok", "weights 0123456789ab")


# -- all together ------------------------------------------------------------------------------------------------------


def test_everything_is_looked_at_and_printed_a_line_each(tmp_path: Path, closed_port: int) -> None:
    settings = settings_with(
        tmp_path,
        destination=[destination(closed_port)],
        retention={"min_free_gb": 0},
    )
    findings = check(settings, timeout_s=TIMEOUT_S)
    lines = render(findings).splitlines()
    assert len(lines) == len(findings) >= 8
    assert any(line.startswith("error    destination pacs: nothing listens") and " -> " in line for line in lines)
    assert worst(findings) == "error"
    assert all(finding.remedy for finding in findings if finding.level != "ok")
