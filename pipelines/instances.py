"""The instances of a study as every pipeline first meets them: header read, and judged by it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, Literal, Protocol, TypeVar

from pydicom import Dataset
from pydicom.uid import UID

from pipelines import reasons
from pipelines.contract import InstanceFile, Reason, StudyInput
from pipelines.errors import UnreadableInstance
from pipelines.headers import describe_mammogram, read_header
from pipelines.headers import unfit_reason as unfit_mammogram


class ImageHeader(Protocol):
    """What a report asks of a described header, of whatever modality."""

    @property
    def sop_instance_uid(self) -> str:
        """Empty when absent."""
        ...

    @property
    def laterality(self) -> Literal["L", "R"] | None:
        """Which breast."""
        ...

    @property
    def view(self) -> str | None:
        """Name of a view in `pipelines.views`."""
        ...

    @property
    def view_modifiers(self) -> tuple[str, ...]:
        """SNOMED CT code values of CID 4015."""
        ...

    @property
    def rows(self) -> int:
        """0 when absent."""
        ...

    @property
    def columns(self) -> int:
        """0 when absent."""
        ...


Header = TypeVar("Header", bound=ImageHeader)
Header_co = TypeVar("Header_co", bound=ImageHeader, covariant=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class Instance(Generic[Header_co]):
    """One instance of the study.

    Attributes
    ----------
    path : pathlib.Path
        The file.
    dataset : pydicom.Dataset
        Header without pixels; of an unreadable file, only what its receipt knew.
    header : ImageHeader
        The same, described.
    routed : bool
        Whether the routing gave the instance to this pipeline.
    unfit : Reason or None
        Why it is not analysed, as far as header and routing tell; None when its pixels are looked at.
    """

    path: Path
    sop_instance_uid: str
    dataset: Dataset
    header: Header_co
    routed: bool
    unfit: Reason | None


def read_instances(
    study: StudyInput, describe: Callable[[Dataset], Header], unfit_reason: Callable[[Header, Dataset], Reason | None]
) -> tuple[Instance[Header], ...]:
    """Read the headers of a study, of the routed and of the other instances, in an order that does not vary.

    The order is by breast, view and SOP Instance UID, so that a study gives the same report in whatever order its
    images came; unreadable files come last.

    Parameters
    ----------
    describe : callable
        What the pipeline needs to know from a header, of whatever instance.
    unfit_reason : callable
        The pipeline's rules of fitness, for what was routed to it.
    """

    def read(file: InstanceFile, not_routed: Reason | None) -> tuple[bool, Instance[Header]]:
        dataset, readable = _header_of(file, study.study_instance_uid)
        header = describe(dataset)
        unfit = unfit_reason(header, dataset) if not_routed is None else _exactly(dataset, not_routed)
        instance = Instance(
            path=file.path,
            sop_instance_uid=file.sop_instance_uid or header.sop_instance_uid,
            dataset=dataset,
            header=header,
            routed=not_routed is None,
            unfit=unfit if readable else reasons.UNREADABLE,
        )
        return not readable, instance

    found = [read(file, None) for file in study.instances] + [read(file, reason) for file, reason in study.not_routed]
    return tuple(instance for _, instance in sorted(found, key=lambda one: (one[0], *_order(one[1]))))


def _exactly(dataset: Dataset, not_routed: Reason) -> Reason:
    """Why an instance that no pipeline takes is not analysed.

    The rules of fitness of mammograms name more kinds of object than the routing, which goes by SOP class alone; so
    theirs goes before the routing's reason, except where they know no more than that it is no mammogram, or the reason
    is what became of the regions that the object holds.
    """
    if not_routed in (reasons.REGION_SET_ASIDE, reasons.REGION_IMAGES_DELETED):
        return not_routed
    found = unfit_mammogram(describe_mammogram(dataset), dataset)
    return not_routed if found is None or found == reasons.NOT_A_MAMMOGRAM else found


def _header_of(file: InstanceFile, study_instance_uid: str) -> tuple[Dataset, bool]:
    """Header of a file, and whether it is the file's own: of one that cannot be read, what its receipt knew."""
    try:
        return read_header(file.path), True
    except UnreadableInstance:
        return _known_at_receipt(file, study_instance_uid), False


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


def _order(instance: Instance[Header]) -> tuple[str, str, str]:
    return instance.header.laterality or "~", instance.header.view or "~", instance.sop_instance_uid
