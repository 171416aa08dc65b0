"""Who made a result, and the UIDs that follow from it: the same work gives the same UIDs, whenever it is done."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence

from pydicom import Dataset
from pydicom.uid import UID

from sr_templates.codes import PROCESSING_EQUIPMENT
from sr_templates.content import code_sequence, text
from sr_templates.contract import ReportedAlgorithm, StudyReport
from sr_templates.evidence import instance_uids

IMPLEMENTATION_CLASS_UID = UID("2.25.109092021560930186155105572097595704761")
IMPLEMENTATION_VERSION_NAME = "MAMMONODE"


def derive_uid(*parts: object) -> UID:
    """Make a UID from values instead of chance.

    Parameters
    ----------
    *parts
        JSON values.

    Returns
    -------
    pydicom.uid.UID
        ``2.25.`` and the first 128 bits of the SHA-256 of `parts` as a decimal (PS3.5 B.2).
    """
    canonical = json.dumps(parts, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return UID(f"2.25.{int.from_bytes(hashlib.sha256(canonical.encode('ascii')).digest()[:16], 'big')}")


def _algorithm_parts(algorithm: ReportedAlgorithm) -> list[object]:
    return [
        algorithm.name,
        algorithm.version,
        algorithm.weights_sha256,
        sorted(algorithm.operating_point.items()),
        algorithm.status,
    ]


def result_uid(report: StudyReport, role: str, *parts: str) -> UID:
    """Derive the UID of something in the results of `report`.

    It depends on the inputs, the algorithms, the configuration, whether they succeeded, and the device; never on the
    clock. The outcome is part of it because a study that failed and is retried must not answer under the UID of the
    failure; the device because an object names it, and two nodes that feed one PACS make two objects.

    Parameters
    ----------
    report : StudyReport
        The revision that is reported.
    role : str
        What the UID is for, e.g. ``"cad_sr"`` or ``"series:cad_sr"``.
    *parts : str
        What tells it from others of its role, e.g. the source image.

    Returns
    -------
    pydicom.uid.UID
        Valid, stable and different for every role.
    """
    return derive_uid(
        report.study_instance_uid,
        sorted(instance_uids(report)),
        sorted((_algorithm_parts(algorithm) for algorithm in report.algorithms), key=repr),
        sorted(report.configuration.items()),
        [report.pipeline, report.revision, report.outcome],
        _device_parts(report),
        role,
        parts,
    )


def _device_parts(report: StudyReport) -> list[str]:
    device = report.device
    return [device.station_name, device.manufacturer, device.model_name, device.software_version]


def device_uid(report: StudyReport) -> UID:
    """UID of the node with the weights it has now: other weights are another device (PS3.3 C.7.5.1, Device UID)."""
    return derive_uid(
        "device",
        _device_parts(report),
        sorted([a.name, a.version, a.weights_sha256 or ""] for a in report.algorithms),
    )


def software_versions(report: StudyReport) -> list[str]:
    """Versions of the node and of each algorithm, each within the 64 characters of LO."""
    names = [f"{report.device.model_name} {report.device.software_version or 'unversioned'}"]
    names += [f"{algorithm.name} {algorithm.version}" for algorithm in report.algorithms]
    return [text(name, 64) for name in dict.fromkeys(names)]


def algorithm_parameters(algorithm: ReportedAlgorithm) -> list[str]:
    """What TID 4019 row 3 says of an algorithm: weights, thresholds, and why it did not succeed."""
    weights = algorithm.weights_sha256
    lines = [f"weights_sha256={weights}" if weights else "weights: none installed"]
    lines += [f"{name}={value:g}" for name, value in sorted(algorithm.operating_point.items())]
    status = algorithm.status.replace("_", " ")
    says_so = algorithm.reason.startswith(status)
    lines.append(f"status: {algorithm.reason if says_so else ', '.join(filter(None, (status, algorithm.reason)))}")
    return [text(line) for line in lines]


def contributing_equipment(report: StudyReport) -> Sequence[Dataset]:
    """Items of the Contributing Equipment Sequence (PS3.3 C.12.1): the node, its device UID, and what it ran."""
    described = "; ".join(f"{a.name} {a.version} ({', '.join(algorithm_parameters(a))})" for a in report.algorithms)
    item = Dataset()
    item.PurposeOfReferenceCodeSequence = code_sequence(PROCESSING_EQUIPMENT)
    item.Manufacturer = text(report.device.manufacturer, 64)
    item.StationName = text(report.device.station_name, 16)
    item.ManufacturerModelName = text(report.device.model_name, 64)
    item.SoftwareVersions = software_versions(report)
    item.DeviceUID = device_uid(report)
    item.ContributionDateTime = report.created_at.strftime("%Y%m%d%H%M%S.%f%z")
    item.ContributionDescription = text(f"Research use. {described or 'No algorithm ran.'}", 1024)
    return [item]
