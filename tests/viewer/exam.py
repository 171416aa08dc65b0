"""A generated study on its way: into Orthanc, from there to the node, and the node's results back into Orthanc."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from io import BytesIO
from pathlib import Path
from typing import Final

from pydicom import Dataset, dcmread
from pydicom.uid import SecondaryCaptureImageStorage

from tests.e2e.harness import Destination, NodeUnderTest, node_under_test
from tests.peers.dcmtk import storescu
from tests.peers.orthanc import Modality, Orthanc, orthanc
from tests.peers.processes import ProgramMissing, wait_until
from tests.viewer.studies import KnownStudy

NODE_TITLE: Final = "MAMMONODE"
DICOMWEB_PLUGIN: Final = Path("/usr/share/orthanc/plugins/libOrthancDicomWeb.so")
ANSWER_WITHIN_S: Final = 120
WORKER: Final = Path(__file__).with_name("stand_in_worker.py")
COMPREHENSIVE_SR: Final = ("1.2.840.10008.5.1.4.1.1.88.34", "1.2.840.10008.5.1.4.1.1.88.33")


@dataclass(frozen=True, slots=True, kw_only=True)
class AnsweredExam:
    """A study with its results, as they came to the archive.

    Attributes
    ----------
    images : mapping of str to str
        SOP Instance UID of each image, by its name in the study.
    image_series : frozenset of str
        Their series.
    results : tuple of pydicom.Dataset
        What the node sent.
    """

    archive: Orthanc
    study_instance_uid: str
    images: dict[str, str]
    image_series: frozenset[str]
    results: tuple[Dataset, ...]

    def series(self) -> set[str]:
        """Series that a viewer knows of: the images' and the results'."""
        return {*self.image_series, *(result.SeriesInstanceUID for result in self.results)}

    def preview(self, sop_instance_uid: str) -> bytes:
        """What Orthanc shows of an instance, as PNG."""
        return self.archive.request("GET", f"/instances/{self.archive.find(sop_instance_uid)}/preview")

    def measurement_report(self) -> Dataset:
        """The TID 1500 report.

        Raises
        ------
        LookupError
            None came, or several.
        """
        found = [result for result in self.results if result.SOPClassUID in COMPREHENSIVE_SR]
        if len(found) != 1:
            raise LookupError(f"{len(found)} measurement reports came back, not 1")
        return found[0]

    def captures(self) -> tuple[Dataset, ...]:
        """Secondary captures, in the order of their series and numbers."""
        found = [result for result in self.results if result.SOPClassUID == SecondaryCaptureImageStorage]
        return tuple(sorted(found, key=lambda result: (int(result.SeriesNumber), int(result.InstanceNumber))))


class BadAnswer(RuntimeError):
    """The node refused an object; the message is the sender's."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What came of an object with regions.

    Attributes
    ----------
    exam : AnsweredExam
        The study with the results of the new revision alone.
    request : pydicom.Dataset
        The object.
    seconds : float
        From the start of storescu until everything was at the archive.
    """

    exam: AnsweredExam
    request: Dataset
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class ArchiveAndNode:
    """Orthanc and a node that know each other."""

    archive: Orthanc
    node: NodeUnderTest

    def answer(self, study: KnownStudy) -> AnsweredExam:
        """Send a study from the archive to the node, and return when every result of it is in the archive.

        Raises
        ------
        TimeoutError
            The results did not come.
        """
        headers = [dcmread(path, stop_before_pixels=True) for path in study.files]
        before = set(self.archive.instances())
        self.archive.upload(study.files)
        sent = {header.SOPInstanceUID for header in headers}
        self.archive.send("node", sent)
        study_instance_uid = headers[0].StudyInstanceUID
        wait_until(
            lambda: self.node.is_answered(study_instance_uid), timeout_s=ANSWER_WITHIN_S, what="the node's results"
        )
        came = sorted(self.archive.instances().keys() - sent - before)
        uids = [header.SOPInstanceUID for header in headers]
        return AnsweredExam(
            archive=self.archive,
            study_instance_uid=study_instance_uid,
            images=dict(zip(study.images, uids, strict=True)),
            image_series=frozenset(header.SeriesInstanceUID for header in headers),
            results=tuple(dcmread(BytesIO(self.archive.file_bytes(uid))) for uid in came),
        )

    def ask(self, exam: AnsweredExam, file: Path) -> Answer:
        """Send an object to the node by storescu, and return what the node made of it.

        Raises
        ------
        BadAnswer
            The node does not take the object.
        TimeoutError
            The answer did not come.
        """
        before = set(self.archive.instances())
        revision = self.node.revision(exam.study_instance_uid)
        started_s = time.monotonic()
        sent = storescu(file, self.node.port, called=NODE_TITLE)
        if sent.returncode:
            raise BadAnswer(f"storescu: {sent.stderr.strip()[-300:]}")

        def is_answered() -> bool:
            uid = exam.study_instance_uid
            return self.node.revision(uid) > revision and self.node.is_answered(uid)

        wait_until(is_answered, timeout_s=ANSWER_WITHIN_S, what="the answer to the marks")
        answered_s = time.monotonic() - started_s
        came = sorted(self.archive.instances().keys() - before)
        results = tuple(dcmread(BytesIO(self.archive.file_bytes(uid))) for uid in came)
        return Answer(exam=replace(exam, results=results), request=dcmread(file), seconds=answered_s)


@contextmanager
def archive_and_node(folder: Path) -> Iterator[ArchiveAndNode]:
    """Run Orthanc and a node.

    Raises
    ------
    ProgramMissing, StartFailed
        Of Orthanc or its DICOMweb plugin.
    """
    if not DICOMWEB_PLUGIN.exists():
        raise ProgramMissing("needs Orthanc's DICOMweb plugin (Debian package orthanc-dicomweb)")
    changes = {"Plugins": [str(DICOMWEB_PLUGIN)], "DicomWeb": {"Enable": True, "Root": "/dicom-web/"}}
    with (
        orthanc(folder / "orthanc", changes=changes) as archive,
        node_under_test(folder / "node", [Destination("orthanc", archive.port, archive.ae_title)]) as node,
    ):
        _start(node)
        archive.set_modality("node", Modality(ae_title=NODE_TITLE, port=node.port))
        yield ArchiveAndNode(archive=archive, node=node)


def _start(node: NodeUnderTest) -> None:
    """Start the parts that ``mammonode serve`` starts, the worker with the stand-in for its networks."""
    for part in ("scp", "dispatch"):
        node.start(part, [sys.executable, "-m", "node.cli", part, "--config", str(node.config)])
    node.start("worker", [sys.executable, str(WORKER), str(node.config)])
    for part in ("scp", "dispatch", "worker"):
        node.wait_ready(part)
