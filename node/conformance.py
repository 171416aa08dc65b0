"""The tables of `docs/CONFORMANCE.md` (PS3.2), written from what the program does so that they cannot drift apart.

``python -m node.conformance docs/CONFORMANCE.md`` writes anew what stands between each pair of marks in that file.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Final, get_args

from pydicom.uid import UID, ExplicitVRLittleEndian, ImplicitVRLittleEndian, JPEGBaseline8Bit
from pynetdicom.sop_class import StorageCommitmentPushModel, Verification  # type: ignore[attr-defined] # made at import

from node import scp
from node.commitment_report import FAILURE_REASONS, UNKNOWN_REASON, Remedy
from node.conformance_objects import attributes, objects_of
from node.routing import ACCEPTED_SOP_CLASSES, RETIRED_ULTRASOUND, route
from node.settings import Settings
from node.statuses import STATUS_RULES, UNKNOWN
from pipelines import registry
from pipelines.contract import Reason
from pipelines.regions import REGION_OBJECTS
from sr_templates import codes
from sr_templates.codes import PRIVATE_SCHEME, Code
from sr_templates.contract import ResultKind, ResultVariant, SRClass

STORE_ANSWERS: Final = (
    (scp.SUCCESS, "the instance and its ledger row are on disk; also for one received before with the same bytes"),
    (scp.PROCESSING_FAILURE, "the ledger is not available, or the association ended in this moment"),
    (scp.DUPLICATE_SOP_INSTANCE, "known SOP Instance UID with other content; the first one stays"),
    (scp.OUT_OF_RESOURCES, "free disk space is below retention.min_free_gb, or the spool cannot be written"),
    (scp.DOES_NOT_MATCH_SOP_CLASS, "SOP Class or SOP Instance UID of the data set differs from the command's"),
    (scp.SOP_CLASS_NOT_SUPPORTED, "from a destination that is no source: it may report commitment, and store nothing"),
    (scp.CANNOT_UNDERSTAND, "the data set cannot be read, or has no usable UIDs"),
)
FATE_WORDS: Final = {"sent": "delivered", "retry": "sent again with backoff", "refused": "set aside for a person"}
REMEDY_WORDS: Final[Mapping[Remedy, str]] = {
    "send": "sent again, then asked for again",
    "ask": "asked for again",
    "none": "delivered, commitment refused",
}
NAMES: Final = {
    # Of UIDs that pydicom does not know
    **{uid: re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name) for uid, name in RETIRED_ULTRASOUND.items()},
    "1.2.840.10008.1.2.1.98": "Encapsulated Uncompressed Explicit VR Little Endian",
    "1.2.840.10008.1.2.8.1": "Deflated Image Frame Compression",
    "1.2.840.10008.1.2.4.110": "JPEG XL Lossless",
    "1.2.840.10008.1.2.4.111": "JPEG XL JPEG Recompression",
    "1.2.840.10008.1.2.4.112": "JPEG XL",
}
BEGIN: Final = "<!-- table: {}, written by `make docs` -->"
END: Final = "<!-- end of table -->"


def name_of(uid: str) -> str:
    """Name of a UID as PS3.6 has it."""
    return NAMES.get(uid) or UID(uid).name


def table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Markdown table; bars in cells are escaped."""
    cells = [[str(cell).replace("|", "\\|") for cell in row] for row in (head, ["---"] * len(head), *rows)]
    return "\n".join(f"| {' | '.join(row)} |" for row in cells)


def variants() -> list[ResultVariant]:
    """Every kind of result, and measurement reports in both SOP classes."""
    plain = [ResultVariant(kind=kind) for kind in get_args(ResultKind)]
    return plain + [ResultVariant(kind="measurement_sr", sr_class=name) for name in get_args(SRClass)[1:]]


def network_services() -> str:
    """What the node is user and provider of (PS3.2, conformance statement overview)."""
    sent = {variant.sop_class_uid for variant in variants()}
    rows = [
        (name_of(Verification), Verification, "`mammonode check`", "yes"),
        (name_of(StorageCommitmentPushModel), StorageCommitmentPushModel, "destinations with commitment = true", "no"),
    ]
    for uid in sorted(ACCEPTED_SOP_CLASSES | sent, key=name_of):
        user = "results" if uid in sent else "`mammonode send` only"
        rows.append((name_of(uid), uid, user, "yes" if uid in ACCEPTED_SOP_CLASSES else "no"))
    return table(("SOP class", "UID", "user (SCU)", "provider (SCP)"), rows)


def received_syntaxes() -> str:
    """Transfer syntaxes that the receiver accepts, the same ones for every storage class."""
    storage = next(c for c in scp.presentation_contexts() if c.abstract_syntax in ACCEPTED_SOP_CLASSES)
    return table(("transfer syntax", "UID"), [(name_of(uid), uid) for uid in storage.transfer_syntax])


def routing() -> str:
    """What becomes of each SOP class that is received."""
    rows = []
    for uid in sorted(ACCEPTED_SOP_CLASSES, key=name_of):
        to = route(uid)
        words = f"not analysed: {to}" if isinstance(to, Reason) else f"{to} pipeline"
        marked = "regions that a person marked are analysed with the images; else " if uid in REGION_OBJECTS else ""
        rows.append((name_of(uid), marked + words))
    return table(("SOP class", "what becomes of it"), rows)


def store_answers() -> str:
    """C-STORE statuses of the receiver."""
    return table(("status", "when"), [(f"{status:04X}", words) for status, words in STORE_ANSWERS])


def sent_results() -> str:
    """SOP classes that are sent, and what they are offered in."""
    rows = []
    for variant in variants():
        made = objects_of(variant)[0]
        syntaxes = f"{ExplicitVRLittleEndian.name}, {ImplicitVRLittleEndian.name}"
        if variant.kind in {"heatmap", "summary"}:
            syntaxes += f"; {JPEGBaseline8Bit.name} with capture_compression"
        option = "" if variant.sr_class == "comprehensive_3d" else f', sr_class = "{variant.sr_class}"'
        series = (made.Modality, made.SeriesNumber, made.SeriesDescription)
        name = name_of(variant.sop_class_uid)
        rows.append((f"`{variant.kind}`{option}", name, variant.sop_class_uid, *series, syntaxes))
    head = ("result", "SOP class", "UID", "Modality", "Series Number", "Series Description", "offered in")
    return table(head, rows)


def store_statuses() -> str:
    """What each C-STORE status of a destination leads to."""
    rows = []
    for rule in STATUS_RULES:
        last = f" to {rule.last:04X}" if rule.last > rule.first else ""
        rows.append((f"{rule.first:04X}{last}", rule.meaning, FATE_WORDS[rule.fate]))
    rows.append(("any other", UNKNOWN.meaning, FATE_WORDS[UNKNOWN.fate]))
    return table(("status", "meaning", "what follows"), rows)


def failure_reasons() -> str:
    """What each Failure Reason of a destination leads to."""
    known = sorted(FAILURE_REASONS.items())
    rows = [(f"{reason:04X}", words, REMEDY_WORDS[remedy]) for reason, (words, remedy) in known]
    words, remedy = UNKNOWN_REASON
    rows.append(("any other, or not mentioned", words, REMEDY_WORDS[remedy]))
    return table(("Failure Reason", "meaning", "what follows"), rows)


def association_parameters() -> str:
    """Defaults of what can be set about associations."""
    settings = Settings()
    node, delivery = settings.node, settings.delivery
    rows = [
        ("AE title", node.ae_title, "node.ae_title"),
        ("TCP port", node.port, "node.port"),
        ("maximum PDU length offered to senders", f"{node.max_pdu_bytes} bytes", "node.max_pdu_bytes"),
        ("maximum PDU length offered to destinations", "unlimited", "fixed"),
        ("associations served at once", node.max_associations, "node.max_associations"),
        ("associations to one destination at once", 1, "fixed"),
        ("silence before a sender is aborted", f"{node.network_timeout_s:g} s", "node.network_timeout_s"),
        ("wait for a destination", f"{delivery.timeout_s:g} s", "delivery.timeout_s"),
        ("wait for storage commitment", f"{delivery.commitment_timeout_s:g} s", "delivery.commitment_timeout_s"),
        ("asynchronous operations window", "1 invoked, 1 performed", "fixed"),
    ]
    return table(("parameter", "default", "setting"), rows)


def all_codes() -> list[Code]:
    """Every code that a result can hold, once, by scheme and value."""
    found: dict[tuple[str, str], Code] = {}

    def collect(value: object) -> None:
        if isinstance(value, Code):
            found[value.scheme, value.value] = value
        elif isinstance(value, Mapping):
            for item in value.values():
                collect(item)

    for value in vars(codes).values():
        collect(value)
    return [found[key] for key in sorted(found)]


def private_codes() -> str:
    """Codes of the node's own scheme."""
    rows = [(code.value, code.meaning) for code in all_codes() if code.scheme == PRIVATE_SCHEME]
    return table(("code value", "code meaning"), rows)


def standard_codes() -> str:
    """Codes of PS3.16 and of the vocabularies that it draws on."""
    rows = [(code.scheme, code.value, code.meaning) for code in all_codes() if code.scheme != PRIVATE_SCHEME]
    return table(("scheme", "code value", "code meaning"), rows)


def reasons_given() -> str:
    """Why an image or a study may be not analysed; sentences with a detail in them are made when they are needed."""
    return table(("code", "sentence"), [(reason.code, reason.text) for reason in registry.reasons_given()])


def created_attributes(kind: ResultKind) -> str:
    """Attributes of the objects of a kind."""
    return table(("attribute", "tag", "value", "presence", "source"), attributes(ResultVariant(kind=kind)))


TABLES: Final[Mapping[str, Callable[[], str]]] = {
    "network services": network_services,
    "associations": association_parameters,
    "received transfer syntaxes": received_syntaxes,
    "routing": routing,
    "store answers": store_answers,
    "sent results": sent_results,
    "store statuses": store_statuses,
    "failure reasons": failure_reasons,
    "private codes": private_codes,
    "standard codes": standard_codes,
    "reasons": reasons_given,
    **{f"attributes of {kind}": partial(created_attributes, kind) for kind in get_args(ResultKind)},
}


def with_tables(document: str) -> str:
    """`document` with every table written anew.

    Raises
    ------
    ValueError
        When the document lacks a table, or has one that nobody writes.
    """
    pattern = re.escape(BEGIN).replace(re.escape("{}"), "(.+?)") + r"\n.*?" + re.escape(END)
    present = re.findall(pattern, document, flags=re.DOTALL)
    if sorted(present) != sorted(TABLES):
        raise ValueError(f"the document must have each of these tables once: {', '.join(TABLES)}")

    def written(match: re.Match[str]) -> str:
        name = match.group(1)
        return f"{BEGIN.format(name)}\n\n{TABLES[name]()}\n\n{END}"

    return re.sub(pattern, written, document, flags=re.DOTALL)


def main(path: Path) -> None:
    """Write the tables in `path` anew."""
    path.write_text(with_tables(path.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
