"""One tree of errors for the pipelines and the node above them; `retryable` says whether to try again unchanged.

::

    MammonodeError
    ├── UnreadableInstance      a file that is not DICOM, or whose header cannot be parsed
    ├── UndecodablePixels       pixel data that no installed decoder reads
    │   └── MissingPixels       there is no pixel data at all
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
