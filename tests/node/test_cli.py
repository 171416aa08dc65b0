"""The command line as scripts and people use it: what is written, what is printed, which exit status."""

from __future__ import annotations

import json
from pathlib import Path

import jsonschema
import pytest
from pydicom import dcmread
from pydicom.uid import SecondaryCaptureImageStorage

from models.registry import MODELS, REGION_MODELS
from node import cli
from node.arrivals import ReceivedInstance
from node.parts import open_ledger
from node.settings import load_settings
from tests.commands import Run, runner
from tests.factories import screening_exam, small_dose_sr, small_ultrasound
from tests.peers.servers import FakePacs
from tests.pipelines.ultrasound.screens import region, screen, write

SCHEMA = Path(__file__).resolve().parents[2] / "docs" / "results.schema.json"
STUDY_UID = "1.2.826.0.1.3680043.8.498.7001"


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Run:
    """Run a command in this process, with a state folder of its own."""
    monkeypatch.setenv("MAMMONODE_NODE__STATE_DIR", str(tmp_path / "state"))
    monkeypatch.setenv("MAMMONODE_RETENTION__MIN_FREE_GB", "0.001")

    return runner(monkeypatch, capsys)


def write_exam(folder: Path) -> list[Path]:
    folder.mkdir()
    return screening_exam(folder, study_instance_uid=STUDY_UID, rows=256, columns=192)


def test_analyse_writes_objects_and_a_results_json_that_follows_the_published_schema(run, tmp_path: Path) -> None:
    write_exam(tmp_path / "exam")
    ran = run("analyse", tmp_path / "exam", "--out", tmp_path / "out")
    assert ran.status == 0, ran.err
    values = json.loads((tmp_path / "out" / "results.json").read_text())
    jsonschema.validate(values, json.loads(SCHEMA.read_text()))
    (study,) = values["studies"]
    assert study["study_instance_uid"] == STUDY_UID
    assert (study["pipeline"], study["revision"], study["outcome"]) == ("mammography", 1, "not_analysed")
    assert "no weights installed" in study["reason"]
    assert {(image["laterality"], image["view"]) for image in study["images"]} == {
        ("L", "CC"),
        ("L", "MLO"),
        ("R", "CC"),
        ("R", "MLO"),
    }
    assert {breast["status"] for breast in study["breasts"]} == {"not_analysed"}
    assert len(study["objects"]) == 7
    for name in study["objects"]:
        assert dcmread(tmp_path / "out" / name).StudyInstanceUID == STUDY_UID
    assert "no weights installed" in ran.out


def test_analyse_writes_only_the_kinds_asked_for(run, tmp_path: Path) -> None:
    write_exam(tmp_path / "exam")
    ran = run("analyse", tmp_path / "exam", "--out", tmp_path / "out", "--results", "cad_sr")
    assert ran.status == 0, ran.err
    assert {path.stem for path in (tmp_path / "out").rglob("*.dcm")} == {"cad_sr"}


def test_analyse_json_prints_what_it_writes(run, tmp_path: Path) -> None:
    write_exam(tmp_path / "exam")
    ran = run("analyse", tmp_path / "exam", "--out", tmp_path / "out", "--json", "--min-score", 0.05)
    assert json.loads(ran.out) == json.loads((tmp_path / "out" / "results.json").read_text())


def test_analyse_answers_for_what_no_pipeline_takes(run, tmp_path: Path) -> None:
    folder = tmp_path / "mixed"
    folder.mkdir()
    small_ultrasound(folder / "sc.dcm", study_instance_uid="1.2.3.1", SOPClassUID=SecondaryCaptureImageStorage)
    small_dose_sr(folder / "dose.dcm", study_instance_uid="1.2.3.2")
    assert run("analyse", folder, "--out", tmp_path / "out").status == 0
    studies = json.loads((tmp_path / "out" / "results.json").read_text())["studies"]
    assert {study["pipeline"] for study in studies} == {"none"}
    assert all(study["objects"] and study["images"][0]["reason"] for study in studies)


def test_analyse_answers_for_ultrasound(run, tmp_path: Path) -> None:
    folder = tmp_path / "us"
    folder.mkdir()
    write(folder / "1.dcm", screen(), number=1, regions=[region((100, 40, 530, 440))])
    write(folder / "2.dcm", screen(), number=2, regions=[region((100, 40, 530, 440), data_type=2)])
    ran = run("analyse", folder, "--out", tmp_path / "out")
    assert ran.status == 0, ran.err
    assert "not attempted: no weights installed (us-segmentation)" in ran.out
    assert "colour or power Doppler" in ran.out
    (study,) = json.loads((tmp_path / "out" / "results.json").read_text())["studies"]
    assert (study["pipeline"], study["lesions"]) == ("ultrasound", [])
    assert sorted(image["reason_code"] for image in study["images"]) == ["colour_flow", "no_weights"]
    names = [name.rsplit("/", 1)[1] for name in study["objects"]]
    assert names == ["measurement_sr.dcm", "heatmap_L.dcm", "summary.dcm"]


def test_analyse_names_what_it_leaves_out_and_goes_on(run, tmp_path: Path) -> None:
    write_exam(tmp_path / "exam")
    (tmp_path / "exam" / "notes.txt").write_text("not an image")
    ran = run("analyse", tmp_path / "exam", "--out", tmp_path / "out")
    assert ran.status == 0
    assert "notes.txt" in ran.err


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        (["analyse", "{tmp}/nowhere", "--out", "{tmp}/out"], 2, "no such file or folder"),
        (["analyse", "{tmp}", "--out", "{tmp}/out", "--results", "pdf"], 2, "must be one of cad_sr, measurement_sr"),
        (["analyse", "{tmp}", "--out", "{tmp}/out"], 1, "no DICOM file"),
        (["analyse", "{tmp}"], 2, "--out"),
        (["analyse", "{tmp}", "--out", "{tmp}/out", "--min-score", "2"], 2, "--min-score"),
        (["send", "{tmp}", "--to", "PACS"], 2, "AE@host:port"),
        (["study", "1.2.3"], 1, "no study 1.2.3"),
        (["retry", "1.2.3"], 1, "no study 1.2.3"),
        (["serve", "--config", "{tmp}/nowhere.toml"], 2, "nowhere.toml"),
        (["nonsense"], 2, "nonsense"),
    ],
)
def test_a_mistake_is_one_message_and_an_exit_status(
    run, tmp_path: Path, arguments: list[str], status: int, said: str
) -> None:
    ran = run(*(argument.replace("{tmp}", str(tmp_path)) for argument in arguments))
    assert ran.status == status, ran
    assert said in ran.out + ran.err
    assert "Traceback" not in ran.err


def test_send_delivers_and_says_what_was_refused(run, tmp_path: Path, fake_pacs: FakePacs) -> None:
    write_exam(tmp_path / "exam")
    ran = run("send", tmp_path / "exam", "--to", f"{fake_pacs.ae_title}@127.0.0.1:{fake_pacs.port}")
    assert ran.status == 0, ran.err
    assert "4 of 4 instances sent" in ran.out
    assert len(fake_pacs.received) == 4


def test_studies_study_and_retry_read_the_ledger(run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "no study yet" in run("studies").out
    settings = load_settings(None, {"MAMMONODE_NODE__STATE_DIR": str(tmp_path / "state")})
    open_ledger(settings).record_instance(
        ReceivedInstance(
            sop_instance_uid="1.2.3.4",
            study_instance_uid=STUDY_UID,
            sop_class_uid="1.2.840.10008.5.1.4.1.1.1.2",
            transfer_syntax_uid="1.2.840.10008.1.2.1",
            sha256="0" * 64,
            size_bytes=1,
            path=str(tmp_path / "x.dcm"),
            view="L-CC",
            routed_to="mammography",
            calling_ae_title="MODALITY",
            calling_host="127.0.0.1",
        ),
        now=1_700_000_000.0,
    )
    (row,) = json.loads(run("studies", "--json").out)["studies"]
    assert (row["study_instance_uid"], row["state"], row["instances"]) == (STUDY_UID, "assembling", 1)
    assert STUDY_UID in run("studies").out
    history = run("study", STUDY_UID).out
    assert "received" in history
    assert "MODALITY" in history
    assert json.loads(run("study", STUDY_UID, "--json").out)["events"][0]["kind"] == "received"
    assert "nothing to retry" in run("retry", STUDY_UID).out


def test_models_says_that_no_weights_are_installed(run) -> None:
    models = json.loads(run("models", "--json").out)["models"]
    assert {model["name"] for model in models} == set(MODELS)
    for model in models:
        assert model["installed"] is (model["weights_sha256"] is not None)
        assert (model["region"] is not None) is (model["name"] in REGION_MODELS)
    listed = run("models").out
    assert "no weights installed" in listed
    for words in ("er in CC and MLO", "subtype in CC or MLO", "her2 in CC or MLO or US"):
        assert words in listed


def test_check_ends_with_1_when_a_destination_does_not_answer(run, tmp_path: Path) -> None:
    config = tmp_path / "m.toml"
    config.write_text(
        f'[node]\nstate_dir = "{tmp_path / "state"}"\n'
        + '[[destination]]\nname = "pacs"\nae_title = "PACS"\nhost = "127.0.0.1"\nport = 1\n'
    )
    ran = run("check", "--config", config)
    assert ran.status == 1
    assert "pacs" in ran.out


def test_every_command_has_a_help_text(run) -> None:
    listed = run("--help").out
    for command in cli.app.registered_commands:
        name = command.name or command.callback.__name__
        assert name in listed
        assert len(run(name, "--help").out) > 100


def test_phantom_writes_four_views(run, tmp_path: Path) -> None:
    assert run("phantom", "--out", tmp_path / "phantom").status == 0
    views = {
        (dataset.ImageLaterality, dataset.ViewPosition) for dataset in map(dcmread, (tmp_path / "phantom").iterdir())
    }
    assert views == {("L", "CC"), ("L", "MLO"), ("R", "CC"), ("R", "MLO")}
