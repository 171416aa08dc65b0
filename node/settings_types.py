"""The kinds of values that settings hold, each with its rule: AE titles, views, hosts, ports, paths, URLs."""

from __future__ import annotations

import ipaddress
import re
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, Field

from sr_templates.contract import ResultKind

VIEW_POSITIONS = ("CC", "MLO", "ML", "LM", "LMO", "FB", "SIO", "ISO", "XCC", "XCCL", "XCCM")
"""View Position defined terms, PS3.3 C.8.11.7.1.2; the short names of PS3.16 CID 4014."""

LATERALITIES = ("L", "R")
HOST_PATTERN = r"^[A-Za-z0-9_.:-]+$"
DEVICE_PATTERN = r"^(auto|cpu|cuda|cuda:\d+)$"


def _ae_title(value: str) -> str:
    # AE value representation, PS3.5 6.2: at most 16 characters of the default repertoire, no backslash, no control
    # characters, spaces around it without meaning, and never spaces alone.
    stripped = value.strip(" ")
    if not re.fullmatch(r"[\x20-\x5b\x5d-\x7e]{1,16}", stripped):
        raise ValueError("an AE title is 1 to 16 ASCII characters, without a backslash")
    return stripped


def _view(value: str) -> str:
    laterality, _, position = value.partition("-")
    if laterality not in LATERALITIES or position not in VIEW_POSITIONS:
        raise ValueError(f"a view is L- or R- and one of {', '.join(VIEW_POSITIONS)}")
    return value


def distinct(values: tuple[str, ...]) -> tuple[str, ...]:
    """`values`, or a ValueError when one is there twice."""
    repeated = sorted({value for value in values if values.count(value) > 1})
    if repeated:
        raise ValueError(f"given more than once: {', '.join(repeated)}")
    return values


def _peer_host(value: str) -> str:
    if "/" in value:
        try:
            ipaddress.ip_network(value)
        except ValueError as error:
            raise ValueError(f"{error}; a network is written like 10.1.0.0/16, all bits after the mask 0") from error
    elif not re.fullmatch(HOST_PATTERN, value):
        raise ValueError("a host is an IP address, a network such as 10.1.0.0/16, or a name")
    return value


def _absolute(value: Path) -> Path:
    return value.expanduser().absolute()


def _url_of(*schemes: str) -> AfterValidator:
    def validate(value: str) -> str:
        if value.partition("://")[0] not in schemes or not value.partition("://")[2]:
            raise ValueError(f"a URL that begins with one of {', '.join(scheme + '://' for scheme in schemes)}")
        return value

    return AfterValidator(validate)


AETitle = Annotated[str, AfterValidator(_ae_title)]
View = Annotated[str, AfterValidator(_view)]
Views = Annotated[tuple[View, ...], Field(min_length=1), AfterValidator(distinct)]
Results = Annotated[tuple[ResultKind, ...], Field(min_length=1), AfterValidator(distinct)]
LocalPath = Annotated[Path, AfterValidator(_absolute)]
Host = Annotated[str, Field(pattern=HOST_PATTERN)]
PeerHost = Annotated[str, AfterValidator(_peer_host)]
Port = Annotated[int, Field(ge=1, le=65535)]
BrokerUrl = Annotated[str, _url_of("redis", "rediss")]
DatabaseUrl = Annotated[str, _url_of("sqlite", "postgresql", "postgresql+psycopg", "postgres")]
