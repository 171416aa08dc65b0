"""Values that many tests of the node start from, and a story of one study to tell them in."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Sequence
from io import BytesIO
from pathlib import Path
from typing import Any, TypeVar

from pydicom import Dataset
from pydicom.dataset import FileMetaDataset
from pydicom.uid import (
    ComprehensiveSRStorage,
    DigitalMammographyXRayImageStorageForPresentation,
    ExplicitVRLittleEndian,
    MammographyCADSRStorage,
    SecondaryCaptureImageStorage,
)

from node.arrivals import ReceivedInstance
from node.ledger import ClaimedStudy, Ledger
from node.settings import Settings
from sr_templates.contract import ResultKind, ResultObject, ResultVariant

STUDY = "1.2.826.0.1.3680043.8.498.7"
NOW = 1_700_000_000.0
LEASE_S = 20.0
VIEWS = ("L-CC", "L-MLO", "R-CC", "R-MLO")
CLASS_OF_KIND: dict[ResultKind, str] = {
    "cad_sr": MammographyCADSRStorage,
    "measurement_sr": ComprehensiveSRStorage,
    "heatmap": SecondaryCaptureImageStorage,
}
T = TypeVar("T")


class Clock:
    """A clock that stands still until it is moved."""

    def __init__(self, now: float = NOW) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now

    def advance(self, seconds: float) -> float:
        self.now += seconds
        return self.now


def settings_in(folder: Path, **sections: Any) -> Settings:
    """Settings with their state in `folder` and no disk space kept free."""
    node = {"state_dir": folder, "host": "127.0.0.1", "port": 11112, **sections.pop("node", {})}
    return Settings.model_validate({"node": node, "retention": {"min_free_gb": 0}, **sections})


def received(number: int, study: str = STUDY, **more: Any) -> ReceivedInstance:
    """Instance `number` of a study: a mammogram that counts as a view, unless told otherwise."""
    values: dict[str, Any] = {
        "sop_instance_uid": f"{study}.{number}",
        "study_instance_uid": study,
        "sop_class_uid": DigitalMammographyXRayImageStorageForPresentation,
        "transfer_syntax_uid": ExplicitVRLittleEndian,
        "sha256": hashlib.sha256(str(number).encode()).hexdigest(),
        "size_bytes": 1000,
        "path": f"/spool/{study}/{number}.dcm",
        "view": VIEWS[(number - 1) % len(VIEWS)],
        "routed_to": "mammography",
        "calling_ae_title": "MODALITY",
        "calling_host": "127.0.0.1",
    }
    return ReceivedInstance(**values | more)


def dose_report(number: int, study: str = STUDY) -> ReceivedInstance:
    """An instance that no pipeline takes."""
    return received(number, study, view=None, routed_to="none", sop_class_uid="1.2.840.10008.5.1.4.1.1.88.67")


def result_file(sop_class_uid: str, sop_instance_uid: str, transfer_syntax_uid: str = ExplicitVRLittleEndian) -> bytes:
    """A small DICOM file of a result's class."""
    dataset = Dataset()
    dataset.SOPClassUID = sop_class_uid
    dataset.SOPInstanceUID = sop_instance_uid
    dataset.StudyInstanceUID = STUDY
    dataset.SeriesInstanceUID = f"{STUDY}.8"
    dataset.PatientID = "1"
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = transfer_syntax_uid
    dataset.file_meta.MediaStorageSOPClassUID = sop_class_uid
    dataset.file_meta.MediaStorageSOPInstanceUID = sop_instance_uid
    buffer = BytesIO()
    dataset.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()


def result(kind: ResultKind = "cad_sr", number: int = 1, study: str = STUDY, **more: Any) -> ResultObject:
    """One encoded result object."""
    sop_instance_uid = f"{study}.9{len(kind)}.{number}"
    values: dict[str, Any] = {
        "variant": ResultVariant(kind=kind),
        "sop_class_uid": CLASS_OF_KIND[kind],
        "sop_instance_uid": sop_instance_uid,
        "series_instance_uid": f"{study}.8",
        "transfer_syntax_uid": ExplicitVRLittleEndian,
        "content": result_file(CLASS_OF_KIND[kind], sop_instance_uid),
    }
    return ResultObject(**values | more)


def queued(ledger: Ledger, *instances: ReceivedInstance, now: float = NOW) -> str:
    """Record the instances (by default one mammogram) and queue their study; return its UID."""
    instances = instances or (received(1),)
    for instance in instances:
        assert ledger.record_instance(instance, now) == "stored"
    study = instances[0].study_instance_uid
    assert ledger.queue(ledger.study_state(study), now, republish_at=now + 30, why="quiet")
    return study


def claimed(ledger: Ledger, *instances: ReceivedInstance, now: float = NOW, token: str = "worker-1") -> ClaimedStudy:
    """As `queued`, and claim the study."""
    study = ledger.claim(queued(ledger, *instances, now=now), token, now, LEASE_S)
    assert study is not None
    return study


def state_of(ledger: Ledger, study: str = STUDY) -> tuple[str, int]:
    """State and revision of a study."""
    row = ledger.study(study)
    assert row is not None
    return row["state"], row["revision"]


def kinds(ledger: Ledger, study: str = STUDY) -> list[str]:
    """What happened to a study, in order."""
    return [event.kind for event in ledger.history(study)]


def at_once(calls: Sequence[Callable[[], T]]) -> list[T]:
    """Run every call in a thread of its own, all let go at the same moment; an error in one fails the test."""
    gate = threading.Barrier(len(calls))
    outcomes: dict[int, T] = {}
    errors: list[BaseException] = []

    def run(index: int) -> None:
        gate.wait()
        try:
            outcomes[index] = calls[index]()
        except BaseException as error:  # noqa: BLE001 # carried over to the test's thread, and raised there
            errors.append(error)

    threads = [threading.Thread(target=run, args=(index,)) for index in range(len(calls))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=60)
        assert not thread.is_alive()
    if errors:
        raise errors[0]
    return [outcomes[index] for index in range(len(calls))]
