"""What `mammonode check` found: one value a thing, and how a list of them is printed."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

Level = Literal["ok", "warning", "error"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing that was looked at.

    Attributes
    ----------
    level : {"ok", "warning", "error"}
        An error keeps the node, or a part of it, from working.
    subject : str
        The settings key or section, or the destination's name.
    text : str
        What is so.
    remedy : str
        How to mend it; empty when all is well.
    """

    level: Level
    subject: str
    text: str
    remedy: str = ""


def ok(subject: str, text: str) -> Finding:
    """All is well."""
    return Finding(level="ok", subject=subject, text=text)


def warning(subject: str, text: str, remedy: str) -> Finding:
    """The node works, perhaps not as meant."""
    return Finding(level="warning", subject=subject, text=text, remedy=remedy)


def error(subject: str, text: str, remedy: str) -> Finding:
    """The node, or a part of it, does not work."""
    return Finding(level="error", subject=subject, text=text, remedy=remedy)


def render(findings: Iterable[Finding]) -> str:
    """One line each: level, subject, what is so, and after an arrow how to mend it."""
    lines = []
    for finding in findings:
        remedy = f" -> {finding.remedy}" if finding.remedy else ""
        lines.append(f"{finding.level:<7}  {finding.subject}: {finding.text}{remedy}")
    return "\n".join(lines)


def worst(findings: Iterable[Finding]) -> Level:
    """The most serious level among `findings`; ``ok`` for none."""
    order: tuple[Level, ...] = ("ok", "warning", "error")
    return max((finding.level for finding in findings), key=order.index, default="ok")
