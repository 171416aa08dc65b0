"""The instances of a study as every pipeline first meets them: header read, or the reason why it could not be."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from pydicom import Dataset
from pydicom.uid import UID

from pipelines import reasons
from pipelines.contract import InstanceFile, Reason, StudyInput
from pipelines.errors import UnreadableInstance
from pipelines.headers import MammogramHeader, describe_mammogram, read_header, unfit_reason


@dataclass(frozen=True, slots=True, kw_only=True)
class Instance:
    """One instance of the study.

    Attributes
    ----------
    path : pathlib.Path
        The file.
    dataset : pydicom.Dataset
        Header without pixels; of an unreadable file, only what its receipt knew.
    header : MammogramHeader
        The same, described.
    not_routed : Reason or None
        Why the routing gave the instance to no pipeline; None when it gave it to this one.
    readable : bool
        Whether `dataset` is the file's own.
    """

    path: Path
    sop_instance_uid: str
    dataset: Dataset
    header: MammogramHeader
    not_routed: Reason | None
    readable: bool


def read_instances(study: StudyInput) -> tuple[Instance, ...]:
    """Read the headers of a study, of the routed and of the other instances, in an order that does not vary.

    The order is by breast, view and SOP Instance UID, so that a study gives the same report in whatever order its
    images came; unreadable files come last.
    """
    routed = (_read(file, study.study_instance_uid, None) for file in study.instances)
    others = (_read(file, study.study_instance_uid, reason) for file, reason in study.not_routed)
    return tuple(sorted((*routed, *others), key=_order))


def instance_reason(instance: Instance) -> Reason | None:
    """Why an instance is not analysed, None when it is.

    The rules of fitness say more exactly what an object is than the routing, which goes by SOP class alone; so theirs
    goes before the routing's, except where they know no more than that it is no mammogram.
    """
    if not instance.readable:
        return reasons.UNREADABLE
    found = unfit_reason(instance.header, instance.dataset)
    return found if instance.not_routed is None or found not in {None, reasons.NOT_A_MAMMOGRAM} else instance.not_routed


def _read(file: InstanceFile, study_instance_uid: str, not_routed: Reason | None) -> Instance:
    try:
        dataset = read_header(file.path)
        readable = True
    except UnreadableInstance:
        dataset = _known_at_receipt(file, study_instance_uid)
        readable = False
    header = describe_mammogram(dataset)
    return Instance(
        path=file.path,
        sop_instance_uid=file.sop_instance_uid or header.sop_instance_uid,
        dataset=dataset,
        header=header,
        not_routed=not_routed,
        readable=readable,
    )


def _known_at_receipt(file: InstanceFile, study_instance_uid: str) -> Dataset:
    """Enough of a header to report on an instance that cannot be read."""
    dataset = Dataset()
    for keyword, value in (
        ("SOPClassUID", file.sop_class_uid),
        ("SOPInstanceUID", file.sop_instance_uid),
        ("StudyInstanceUID", study_instance_uid),
    ):
        if UID(value).is_valid:
            setattr(dataset, keyword, value)
    return dataset


def _order(instance: Instance) -> tuple[bool, str, str, str]:
    header = instance.header
    return not instance.readable, header.laterality or "~", header.view or "~", instance.sop_instance_uid
