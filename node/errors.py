"""Errors of the node; the root and the pipelines' branch are in `pipelines.errors`.

::

    pipelines.errors.MammonodeError
    ├── SettingsInvalid      the settings cannot be used; says every problem and how to mend it
    ├── NodeUnavailable      a part of the node cannot start or is not there (port taken, no broker)
    ├── SpoolError           [retryable] the spool cannot be written or read
    │   └── LowDiskSpace     [retryable] less free space than retention.min_free_gb
    ├── UnknownStudy         no study of that UID is in the ledger
    └── DeliveryError        [retryable] a destination did not take a result, and may take it later
"""

from __future__ import annotations

from pipelines.errors import MammonodeError


class SettingsInvalid(MammonodeError):
    """The settings cannot be used; `problems` holds one readable line for each thing that is wrong."""

    def __init__(self, problems: tuple[str, ...], *, origin: str = "settings") -> None:
        self.problems = problems
        self.origin = origin
        count = "1 problem" if len(problems) == 1 else f"{len(problems)} problems"
        super().__init__("\n".join([f"{origin}: {count}", *(f"  {problem}" for problem in problems)]))


class NodeUnavailable(MammonodeError):
    """A part of the node cannot start, or is not there."""


class SpoolError(MammonodeError):
    """The spool cannot be written or read."""

    retryable = True


class LowDiskSpace(SpoolError):
    """Less space is free than `retention.min_free_gb`; nothing was written."""


class UnknownStudy(MammonodeError):
    """No study of that UID is in the ledger."""


class DeliveryError(MammonodeError):
    """A destination did not take a result, and may take it later."""

    retryable = True
