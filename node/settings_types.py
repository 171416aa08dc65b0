"""The kinds of values that settings hold, each with its rule: AE titles, views, hosts, ports, paths, URLs."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, get_args

from pydantic import AfterValidator, Field

from sr_templates.contract import ResultKind

VIEW_POSITIONS = ("CC", "MLO", "ML", "LM", "LMO", "FB", "SIO", "ISO", "XCC", "XCCL", "XCCM")
"""View Position defined terms, PS3.3 C.8.11.7.1.2; the short names of PS3.16 CID 4014."""

LATERALITIES = ("L", "R")
_VIEW_WORDS = f"L- or R- and one of {', '.join(VIEW_POSITIONS)}"
HOST_PATTERN = r"^[A-Za-z0-9_.:-]+$"
DEVICE_PATTERN = r"^(auto|cpu|cuda|cuda:\d+)$"


@dataclass(frozen=True, slots=True)
class Allowed:
    """What a kind of value takes, in words, for messages and for the documentation."""

    words: str


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
        raise ValueError(f"a view is {_VIEW_WORDS}")
    return value


def distinct(values: tuple[str, ...]) -> tuple[str, ...]:
    """`values`, or a ValueError when one is there twice."""
    repeated = sorted({value for value in values if values.count(value) > 1})
    if repeated:
        raise ValueError(f"given more than once: {', '.join(repeated)}")
    return values


def _some(values: tuple[str, ...]) -> tuple[str, ...]:
    if not values:
        raise ValueError("a list with at least one item")
    return distinct(values)


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


def _url_begins(value: str, *schemes: str) -> str:
    scheme, _, rest = value.partition("://")
    if scheme not in schemes or not rest:
        raise ValueError(f"a URL begins with {' or '.join(known + '://' for known in schemes)} and goes on after that")
    return value


def _broker_url(value: str) -> str:
    return _url_begins(value, "redis", "rediss")


def _database_url(value: str) -> str:
    return _url_begins(value, "postgresql", "postgresql+psycopg", "postgres", "sqlite")


AETitle = Annotated[str, AfterValidator(_ae_title), Allowed("1 to 16 ASCII characters, no backslash")]
View = Annotated[str, AfterValidator(_view)]
Views = Annotated[tuple[View, ...], AfterValidator(_some), Allowed(f"list, not empty, of {_VIEW_WORDS}")]
Results = Annotated[
    tuple[ResultKind, ...], AfterValidator(_some), Allowed(f"list, not empty, of {', '.join(get_args(ResultKind))}")
]
LocalPath = Annotated[Path, AfterValidator(_absolute)]
Host = Annotated[str, Field(pattern=HOST_PATTERN), Allowed("IP address or name")]
PeerHost = Annotated[str, AfterValidator(_peer_host), Allowed("IP address, network or name")]
Port = Annotated[int, Field(ge=1, le=65535)]
Device = Annotated[str, Field(pattern=DEVICE_PATTERN), Allowed("auto, cpu, cuda, or cuda:N")]
BrokerUrl = Annotated[str, AfterValidator(_broker_url), Allowed("redis://... or rediss://...")]
DatabaseUrl = Annotated[str, AfterValidator(_database_url), Allowed("postgresql://... or sqlite:///...")]
