"""The content tree of an encoded report, read back by pydicom and walked."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from io import BytesIO

from pydicom import Dataset, dcmread

from sr_templates.contract import ResultVariant, StudyReport, plain_variants
from sr_templates.registry import make_objects


def tree_of(report: StudyReport, variant: ResultVariant) -> Dataset:
    (made,) = make_objects(report, frozenset({variant}))
    return dcmread(BytesIO(made.content))


def tree(report: StudyReport, kind: str) -> Dataset:
    (variant,) = plain_variants(kind)  # type: ignore[arg-type]  # the kinds are literals in the tests
    return tree_of(report, variant)


def name(item: Dataset) -> str | None:
    return item.ConceptNameCodeSequence[0].CodeValue if "ConceptNameCodeSequence" in item else None


def children(item: Dataset, code: str | None = None) -> list[Dataset]:
    return [child for child in item.get("ContentSequence", []) if code is None or name(child) == code]


def only(item: Dataset, *path: str) -> Dataset:
    for code in path:
        (item,) = children(item, code)
    return item


def walk(item: Dataset) -> Iterator[Dataset]:
    for child in children(item):
        yield child
        yield from walk(child)


def value(item: Dataset) -> str:
    return str(item.ConceptCodeSequence[0].CodeValue)


def number(item: Dataset) -> float:
    return float(item.MeasuredValueSequence[0].NumericValue)


def texts(item: Dataset) -> str:
    return "\n".join(child.TextValue for child in walk(item) if "TextValue" in child)


def at(root: Dataset, position: Sequence[int]) -> Dataset:
    item = root
    for index in list(position)[1:]:
        item = item.ContentSequence[index - 1]
    return item
