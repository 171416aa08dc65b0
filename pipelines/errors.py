"""One tree of errors for the pipelines and the node above them; `retryable` says whether to try again unchanged.

::

    MammonodeError
    ├── UnreadableInstance      a file that is not DICOM, or whose header cannot be parsed
    ├── UndecodablePixels       pixel data that no installed decoder reads
    │   └── MissingPixels       there is no pixel data at all
    ├── ManifestInvalid         a manifest with rows that cannot be; says every one, by its line
    ├── UnusableImage           an image of a manifest that cannot be trained on or evaluated
    ├── LayoutUnreadable        a data set's folder that is not laid out as its publisher laid it out
    └── node.errors ...         settings, spool, ledger, delivery
"""


class MammonodeError(Exception):
    """Root of the errors that this project raises on purpose."""

    retryable: bool = False


class UnreadableInstance(MammonodeError):
    """Not DICOM, or a header that cannot be parsed."""


class UndecodablePixels(MammonodeError):
    """No installed decoder reads these pixels; the message names the transfer syntax."""


class MissingPixels(UndecodablePixels):
    """The object holds no pixel data, or an empty element."""


class ManifestInvalid(MammonodeError):
    """A manifest, or another table, that cannot be used; `problems` holds one readable line for each thing wrong.

    Parameters
    ----------
    problems : tuple of str
    origin : str
        What the table is.
    """

    def __init__(self, problems: tuple[str, ...], *, origin: str = "manifest") -> None:
        self.problems = problems
        count = "1 problem" if len(problems) == 1 else f"{len(problems)} problems"
        super().__init__("\n".join([f"{origin}: {count}", *(f"  {problem}" for problem in problems)]))


class UnusableImage(MammonodeError):
    """An image of a manifest cannot be trained on or evaluated; the message says why and what to do."""


class LayoutUnreadable(MammonodeError):
    """A data set's folder lacks what its publisher's layout has, or holds something else there."""
