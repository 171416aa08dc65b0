"""Sample results, and the attributes that they hold: what the conformance statement says of created instances."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from functools import cache
from io import BytesIO
from typing import Final

import numpy as np
from pydicom import DataElement, Dataset, dcmread
from pydicom.datadict import dictionary_description, dictionary_keyword
from pydicom.tag import BaseTag, Tag

from pipelines.phantom import PhantomPatient, mammogram
from sr_templates.contract import (
    ReplacedResult,
    ReportedAlgorithm,
    ReportedBreast,
    ReportedFinding,
    ReportedImage,
    ReportingDevice,
    ResultVariant,
    StudyReport,
)
from sr_templates.evidence import TYPE_2_KEYWORDS, TYPE_3_KEYWORDS
from sr_templates.registry import make_objects

ROWS, COLUMNS = 96, 80
COPIED: Final = frozenset({"SpecificCharacterSet", "StudyInstanceUID", *TYPE_2_KEYWORDS, *TYPE_3_KEYWORDS})
CONTENT_SEQUENCE: Final = Tag(0x0040, 0xA730)
"""The templates say what is in it."""

FIXED_VRS: Final = frozenset({"CS", "US"})
"""Of these a value is worth printing when all samples agree on it."""


def _header(view: str, number: int) -> Dataset:
    blank = np.zeros((ROWS, COLUMNS), dtype=np.uint16)
    dataset = mammogram(
        blank, view, number=number, patient=PhantomPatient(), study_instance_uid="2.25.1", series_instance_uid="2.25.2"
    )
    buffer = BytesIO()
    dataset.save_as(buffer, enforce_file_format=True)
    buffer.seek(0)
    return dcmread(buffer, stop_before_pixels=True)


def _image(view: str, number: int, found: int) -> ReportedImage:
    finding = ReportedFinding(
        box_px=(20.0, 30.0, 40.0, 55.0), label="malignant", score=0.9, malignancy=0.9, algorithm="FPNNet"
    )
    return ReportedImage(
        header=_header(view, number),
        laterality="R" if view.startswith("R") else "L",
        view=view[2:],
        outcome="analysed",
        findings=(finding,) * found,
        malignancy=0.9 if found else 0.0,
        display=np.zeros((ROWS, COLUMNS), dtype=np.uint8),
        activation=np.zeros((ROWS, COLUMNS), dtype=np.float32),
    )


@cache
def sample_reports() -> tuple[StudyReport, ...]:
    """One study with findings, the same with none, and a revision in which nothing was analysed."""
    algorithm = ReportedAlgorithm(
        name="FPNNet",
        version="0",
        weights_sha256="0" * 64,
        operating_point={"score_threshold": 0.3},
        status="succeeded",
    )
    breast = ReportedBreast(laterality="R", status="malignant", confidence=0.9, views=("CC", "MLO"))
    with_findings = StudyReport(
        study_instance_uid="2.25.1",
        revision=1,
        pipeline="mammography",
        outcome="analysed",
        reason="",
        images=(_image("R-CC", 1, 1), _image("R-MLO", 2, 1), _image("L-CC", 3, 0)),
        breasts=(breast,),
        algorithms=(algorithm,),
        device=ReportingDevice(station_name="MAMMONODE", software_version="0"),
        created_at=datetime(2000, 1, 1, tzinfo=UTC),
    )
    none = replace(with_findings, images=(_image("R-CC", 1, 0),), breasts=())
    reason = "no weights installed"
    silent = replace(_image("L-MLO", 4, 0), outcome="not_analysed", reason=reason, malignancy=None, activation=None)
    revision = replace(
        none,
        revision=2,
        outcome="not_analysed",
        reason=reason,
        images=(silent,),
        algorithms=(replace(algorithm, status="not_attempted", reason=reason, weights_sha256=None),),
        replaces=tuple(
            ReplacedResult(
                variant=variant.name,
                revision=1,
                sop_class_uid=variant.sop_class_uid,
                sop_instance_uid=f"2.25.3{number}",
                series_instance_uid=f"2.25.4{number}",
            )
            for number, variant in enumerate((ResultVariant(kind="cad_sr"), ResultVariant(kind="measurement_sr")))
        ),
    )
    return with_findings, none, revision


@cache
def objects_of(variant: ResultVariant) -> tuple[Dataset, ...]:
    """Objects of that kind that the samples give, read back; of a first revision first."""
    made = [item for report in sample_reports() for item in make_objects(report, frozenset({variant}))]
    return tuple(dcmread(BytesIO(item.content)) for item in made)


def attributes(variant: ResultVariant) -> Iterator[tuple[str, str, str, str, str]]:
    """Attributes of a kind of result: name, tag, value, presence and source, as PS3.2 abbreviates them."""
    objects = objects_of(variant)
    copied = {Tag(keyword) for keyword in COPIED}
    made_here = {tag for made in objects for tag in made.keys()}  # noqa: SIM118 # a data set's keys are tags
    for tag in sorted((made_here | copied) - {CONTENT_SEQUENCE}):
        value, presence = ("", _copied_presence(tag)) if tag in copied else _made(objects, tag)
        source = "COPY" if tag in copied else "AUTO"
        yield dictionary_description(tag), f"({tag.group:04X},{tag.element:04X})", value, presence, source


def _copied_presence(tag: BaseTag) -> str:
    if tag == Tag("StudyInstanceUID"):
        return "ALWAYS"
    return "VNAP" if dictionary_keyword(tag) in TYPE_2_KEYWORDS else "ANAP"


def _words(element: DataElement) -> str:
    return "\\".join(map(str, element.value)) if element.VM > 1 else str(element.value)


def _made(objects: Sequence[Dataset], tag: BaseTag) -> tuple[str, str]:
    """Value that all objects agree on, if it is worth printing, and presence."""
    elements = [made[tag] for made in objects if tag in made]
    values = {_words(element) for element in elements}
    value = values.pop() if len(values) == 1 and elements[0].VR in FIXED_VRS else ""
    if len(elements) < len(objects):
        return value, "ANAP"
    return value, "EMPTY" if all(element.is_empty for element in elements) else "ALWAYS"
