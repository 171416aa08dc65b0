"""Logs carry UIDs and never patient data, whoever writes the line."""

from __future__ import annotations

import io
import json
import logging
import warnings
from collections.abc import Iterator
from typing import Any

import pytest
import structlog
from pydicom import Dataset
from pydicom.uid import UID
from pydicom.valuerep import IS, PersonName

from node.errors import SpoolError
from node.logs import configure_logging

NAME = "Mustermann^Erika"


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def stream() -> Iterator[io.StringIO]:
    """Logging configured to a string, and everything as it was afterwards."""
    root = logging.getLogger()
    handlers, level = root.handlers, root.level
    out = io.StringIO()
    configure_logging(stream=out)
    yield out
    root.handlers = handlers
    root.setLevel(level)
    logging.captureWarnings(False)
    structlog.reset_defaults()
    structlog.contextvars.clear_contextvars()


def lines(stream: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_a_line_is_json_with_level_time_and_the_uids_that_are_bound(stream: io.StringIO) -> None:
    structlog.contextvars.bind_contextvars(study_instance_uid="1.2.3")
    structlog.get_logger("node.scp").info("instance stored", sop_instance_uid=UID("1.2.3.4"), size_bytes=17)
    (line,) = lines(stream)
    assert line["event"] == "instance stored"
    assert (line["study_instance_uid"], line["sop_instance_uid"], line["size_bytes"]) == ("1.2.3", "1.2.3.4", 17)
    assert (line["level"], line["logger"]) == ("info", "node.scp")
    assert line["timestamp"].endswith("Z")
    assert "dropped" not in line


def test_on_a_terminal_it_is_text(stream: io.StringIO) -> None:
    terminal = Terminal()
    configure_logging(stream=terminal)
    structlog.get_logger("node").info("ready", port=11112)
    assert "ready" in terminal.getvalue()
    assert not terminal.getvalue().startswith("{")


@pytest.mark.parametrize(
    "key",
    [
        "patient_name",
        "PatientID",
        "patient",
        "patients_birth_date",
        "other_patient_ids",
        "accession_number",
        "referring_physician_name",
        "OperatorsName",
        "responsible_person",
        "mrn",
    ],
)
def test_keys_named_for_patient_data_are_dropped_and_said_so(stream: io.StringIO, key: str) -> None:
    structlog.get_logger("node").info("stored", **{key: NAME}, sop_instance_uid="1.2")
    (line,) = lines(stream)
    assert line["dropped"] == [key]
    assert line["sop_instance_uid"] == "1.2"
    assert NAME not in stream.getvalue()


def test_dicom_values_are_dropped_under_any_key_and_at_any_depth(stream: io.StringIO) -> None:
    header = Dataset()
    header.PatientName = NAME
    structlog.get_logger("node").info(
        "stored",
        header=header,
        element=header["PatientName"],
        who=PersonName(NAME),
        nested={"patient_id": "4711", "list": [PersonName(NAME), {"PatientName": NAME}], "rows": 3},
    )
    (line,) = lines(stream)
    assert line["dropped"] == ["element", "header", "who"]
    assert line["nested"] == {"list": [{}], "rows": 3}
    assert "Muster" not in stream.getvalue()
    assert "4711" not in stream.getvalue()


def test_our_errors_keep_their_message_and_their_chain(stream: io.StringIO) -> None:
    try:
        try:
            raise OSError(28, "No space left on device")
        except OSError as error:
            raise SpoolError("the spool is full") from error
    except SpoolError:
        structlog.get_logger("node").exception("not stored")
    (line,) = lines(stream)
    assert "node.errors.SpoolError: the spool is full" in line["exception"]
    assert "No space left on device" in line["exception"]
    assert "test_logs.py" in line["exception"]


def test_an_error_that_came_through_pydicom_loses_its_message_only(stream: io.StringIO) -> None:
    with pytest.raises(ValueError, match="Muster") as caught:
        IS(NAME)
    structlog.get_logger("node").error("header not read", exc_info=caught.value)
    *_, line = lines(stream)  # pydicom has warned of the value as well
    assert "Muster" not in stream.getvalue()
    assert line["exception"].startswith("builtins.ValueError: [message withheld")
    assert "valuerep.py" in line["exception"]


def test_messages_and_warnings_of_pydicom_are_withheld_but_not_their_place(stream: io.StringIO) -> None:
    logging.getLogger("pydicom").warning("bad value %r", NAME)
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        logging.captureWarnings(True)  # catch_warnings has put the printing one back
        warnings.warn_explicit(f"Invalid value: {NAME}", UserWarning, "/lib/pydicom/valuerep.py", 440)
    from_logger, from_warning = lines(stream)
    assert from_logger["event"].startswith("test_logs.py:")
    assert from_warning["event"].startswith("UserWarning at valuerep.py:440")
    assert NAME not in stream.getvalue()


def test_the_libraries_log_from_warning_on_and_through_the_same_stream(stream: io.StringIO) -> None:
    logging.getLogger("pynetdicom.acse").info("too much")
    logging.getLogger("pynetdicom.assoc").warning("peer %s aborted", "CT1")
    logging.getLogger("celery.worker").warning("lost", extra={"patient_name": NAME})
    assert [line["event"] for line in lines(stream)] == ["peer CT1 aborted", "lost"]
    assert {line["level"] for line in lines(stream)} == {"warning"}
    assert NAME not in stream.getvalue()


def test_debug_lines_only_when_asked_for(stream: io.StringIO) -> None:
    structlog.get_logger("node").debug("detail")
    assert lines(stream) == []
    configure_logging(stream=stream, verbose=True)
    structlog.get_logger("node").debug("detail")
    assert lines(stream)[0]["event"] == "detail"
