"""Logging: JSON lines when nobody watches, coloured text on a terminal, UIDs on every line, patient data on none.

Three ways for patient data into a log are closed here: keys that are named for it, values that are DICOM objects, and
messages that pydicom and highdicom write or raise, which may quote a header.
"""

from __future__ import annotations

import logging
import re
import sys
import traceback
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, TextIO

import structlog
from pydicom import DataElement, Dataset
from pydicom.valuerep import PersonName
from structlog.typing import EventDict, ExcInfo, Processor, WrappedLogger

QUIET_LIBRARIES = ("pynetdicom", "pydicom", "celery", "kombu", "amqp", "sqlalchemy", "alembic", "PIL", "asyncio")
"""Loggers of which only warnings and worse are kept; pynetdicom's lower levels print whole data sets."""

HEADER_QUOTING_PACKAGES = ("pydicom", "highdicom")

PATIENT_KEY = re.compile(
    r"patient|birth|accession|physician|operatorsname|medicalrecord|^mrn$|responsibleperson|personname"
)
"""Keys, in lower case and without underscores, that carry what identifies a person (PS3.15 E.1, PS3.3 C.7.1.1)."""

_WITHHELD = "[message withheld: it may quote a header]"


def configure_logging(*, stream: TextIO | None = None, verbose: bool = False) -> None:
    """Send every log line, ours and the libraries', to one stream.

    Parameters
    ----------
    stream : text stream, optional
        Standard error when absent. JSON lines unless it is a terminal.
    verbose : bool
        Also debug lines of this project; libraries stay at WARNING.
    """
    out = stream if stream is not None else sys.stderr
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        render_exception,
        drop_patient_data,
    ]
    structlog.configure(
        processors=[structlog.stdlib.filter_by_level, *shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(out)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[
                structlog.stdlib.PositionalArgumentsFormatter(),
                withhold_header_quotes,
                *shared,
            ],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, _renderer(out)],
        )
    )
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(logging.DEBUG if verbose else logging.INFO)
    for name in QUIET_LIBRARIES:
        logger = logging.getLogger(name)
        logger.handlers = []  # pynetdicom and pydicom may have brought one that prints past ours
        logger.propagate = True
        logger.setLevel(logging.WARNING)
    logging.captureWarnings(True)


def _renderer(out: TextIO) -> Processor:
    if out.isatty():
        return structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)
    return structlog.processors.JSONRenderer(ensure_ascii=False)


def drop_patient_data(_logger: WrappedLogger, _method: str, event_dict: EventDict) -> EventDict:
    """Processor: drop what is named for, or is, patient data, and say under ``dropped`` which keys those were."""
    dropped = sorted(key for key, value in event_dict.items() if _identifies(key, value))
    kept = {key: _without_patient_data(value) for key, value in event_dict.items() if key not in dropped}
    return {**kept, "dropped": dropped} if dropped else kept


def _identifies(key: str, value: object) -> bool:
    if key.startswith("_"):  # structlog's own, taken out before anything is rendered
        return False
    by_name = PATIENT_KEY.search(key.lower().replace("_", "").replace(" ", "")) is not None
    return by_name or isinstance(value, (Dataset, DataElement, PersonName))


def _without_patient_data(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _without_patient_data(inner) for key, inner in value.items() if not _identifies(str(key), inner)}
    if isinstance(value, (list, tuple)):
        return [_without_patient_data(inner) for inner in value if not _identifies("", inner)]
    return value


def withhold_header_quotes(_logger: WrappedLogger, _method: str, event_dict: EventDict) -> EventDict:
    """Processor for the libraries' records: pydicom's warnings quote values, so only their place is kept."""
    record = event_dict.get("_record")
    if not isinstance(record, logging.LogRecord):
        return event_dict
    if record.name == "py.warnings":
        where = re.match(r"(?P<file>.*?):(?P<line>\d+): (?P<category>\w+):", str(event_dict["event"]))
        place = f"{where['category']} at {Path(where['file']).name}:{where['line']}" if where else "warning"
        return {**event_dict, "event": f"{place} {_WITHHELD}"}
    if record.name.partition(".")[0] in HEADER_QUOTING_PACKAGES:
        return {**event_dict, "event": f"{Path(record.pathname).name}:{record.lineno} {_WITHHELD}"}
    return event_dict


def render_exception(_logger: WrappedLogger, _method: str, event_dict: EventDict) -> EventDict:
    """Processor: an exception as text, its message withheld when a package that may quote a header raised it."""
    given = event_dict.pop("exc_info", None)
    error = _exception_of(given)
    if error is not None:
        event_dict["exception"] = "\n".join(line for link in _chain(error) for line in _exception_lines(link))
    return event_dict


def _exception_of(given: ExcInfo | BaseException | bool | None) -> BaseException | None:
    if isinstance(given, BaseException):
        return given
    if isinstance(given, tuple):
        return given[1]
    return sys.exc_info()[1] if given else None


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    """The error, then what it came from, to the first one."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)


def _exception_lines(error: BaseException) -> Iterator[str]:
    message = _WITHHELD if _went_through(error.__traceback__, HEADER_QUOTING_PACKAGES) else str(error)
    yield f"{type(error).__module__}.{type(error).__qualname__}: {message}"
    for frame in traceback.extract_tb(error.__traceback__):
        yield f"  {frame.filename}:{frame.lineno} in {frame.name}"


def _went_through(tb: TracebackType | None, packages: tuple[str, ...]) -> bool:
    return any(
        str(frame.f_globals.get("__name__", "")).partition(".")[0] in packages for frame, _ in traceback.walk_tb(tb)
    )
