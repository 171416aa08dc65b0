"""The commands that read and mend the ledger, and the list of models."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime
from typing import Any

import typer

from models.registry import describe
from node.broker import Publisher, make_app
from node.errors import UnknownStudy
from node.ledger import Ledger
from node.outbox import Outbox
from node.parts import open_ledger, open_outbox
from node.settings import Settings


def _local(at: float | None) -> str:
    return "" if at is None else datetime.fromtimestamp(at).astimezone().isoformat(timespec="milliseconds")


def table(rows: Sequence[Sequence[Any]], header: Sequence[str]) -> str:
    """Align rows in columns as wide as their widest cell."""
    cells = [[str(cell) if cell is not None else "" for cell in row] for row in [header, *rows]]
    widths = [max(len(row[index]) for row in cells) for index in range(len(header))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in cells
    )


def list_studies(settings: Settings, *, limit: int, as_json: bool) -> None:
    """Print the latest studies."""
    found = open_ledger(settings).studies(limit)
    if as_json:
        typer.echo(json.dumps({"studies": found}, indent=2))
        return
    if not found:
        typer.echo("no study yet: send one with storescu, or with mammonode send")
        return
    header = ("study_instance_uid", "state", "outcome", "rev", "instances", "from", "last image")
    typer.echo(
        table(
            [
                (
                    row["study_instance_uid"],
                    row["state"],
                    row["outcome"],
                    row["revision"],
                    row["instances"],
                    row["calling_ae_title"],
                    _local(row["last_received_at"]),
                )
                for row in found
            ],
            header,
        )
    )


def show_study(settings: Settings, study_instance_uid: str, *, as_json: bool) -> None:
    """Print the history and the deliveries of one study.

    Raises
    ------
    UnknownStudy
        When it is not in the ledger.
    """
    ledger = open_ledger(settings)
    events = ledger.history(study_instance_uid)
    if not events:
        raise UnknownStudy(f"no study {study_instance_uid} in the ledger; mammonode studies lists the latest")
    deliveries = open_outbox(settings, ledger).deliveries(study_instance_uid)
    if as_json:
        plain = [
            {"at": event.at, "kind": event.kind, "sop_instance_uid": event.sop_instance_uid, "detail": event.detail}
            for event in events
        ]
        values = {"study_instance_uid": study_instance_uid, "events": plain, "deliveries": deliveries}
        typer.echo(json.dumps(values, indent=2))
        return
    first = events[0].at
    rows = [
        (_local(event.at), f"+{event.at - first:.3f} s", event.kind, _detail(event.detail), event.sop_instance_uid)
        for event in events
    ]
    typer.echo(table(rows, ("time", "since first", "event", "detail", "sop_instance_uid")))
    if deliveries:
        typer.echo("")
        header = ("destination", "result", "rev", "state", "failed before", "status", "comment", "sent")
        typer.echo(table([_delivery(row) for row in deliveries], header))


def _detail(detail: dict[str, Any]) -> str:
    return " ".join(f"{key}={value}" for key, value in detail.items() if value not in (None, "", {}))


def state_words(state: str, commitment: str | None) -> str:
    """Where a delivery stands, for people: what was sent is delivered, and the destination may be bound to keep it."""
    if state != "sent":
        return state
    words = {
        "due": "commitment due",
        "requested": "commitment asked for",
        "committed": "committed",
        "refused": "commitment refused",
        "unanswered": "commitment unanswered",
    }
    return f"delivered, {words.get(commitment or '', 'uncommitted')}"


def _delivery(row: dict[str, Any]) -> tuple[Any, ...]:
    status = None if row["status"] is None else f"0x{row['status']:04X}"
    not_committed = row["commitment_comment"] and f"not committed: {row['commitment_comment']}"
    return (
        row["destination"],
        row["kind"],
        row["revision"],
        state_words(row["state"], row["commitment"]),
        row["attempts"],
        status,
        "; ".join(filter(None, (row["comment"], not_committed))),
        _local(row["sent_at"]),
    )


def retry_study(settings: Settings, study_instance_uid: str, *, again: bool, resend: bool = False) -> None:
    """Put a study back to work: its refused deliveries, or the analysis itself when that failed.

    Parameters
    ----------
    again : bool
        Analyse once more in any case.
    resend : bool
        Send all results once more, byte for byte: for a destination that has lost them.

    Raises
    ------
    UnknownStudy
        When it is not in the ledger.
    """
    ledger = open_ledger(settings)
    row = ledger.study(study_instance_uid)
    if row is None:
        raise UnknownStudy(f"no study {study_instance_uid} in the ledger; mammonode studies lists the latest")
    if resend:
        _send_again(open_outbox(settings, ledger), study_instance_uid, everything=True)
        return
    if again or row["state"] == "quarantined" or row["outcome"] == "failed":
        _analyse_again(settings, ledger, study_instance_uid, row["state"])
        return
    _send_again(open_outbox(settings, ledger), study_instance_uid)


def _analyse_again(settings: Settings, ledger: Ledger, study_instance_uid: str, state: str) -> None:
    now = time.time()
    if not ledger.retry(study_instance_uid, now, republish_at=now + settings.queue.poll_s):
        if state in ("answered", "quarantined"):
            raise UnknownStudy("its files were deleted (retention.keep_days): nothing is left to analyse")
        typer.echo(f"nothing done: the study is {state}, and is looked after already")
        return
    Publisher(make_app(settings)).publish(study_instance_uid)
    typer.echo("queued: it will be analysed again, as a new revision")


def _send_again(outbox: Outbox, study_instance_uid: str, *, everything: bool = False) -> None:
    count = outbox.send_again(study_instance_uid, time.time(), everything=everything)
    if count:
        typer.echo(f"{count} {'' if everything else 'refused, expired or uncommitted '}deliveries are due again")
    elif everything:
        typer.echo("nothing to send: the study has no delivered result whose file is still here")
    else:
        why = "no delivery was refused, given up or not committed to"
        typer.echo(f"nothing to retry: {why} (--again analyses the study once more)")


def list_models(settings: Settings, *, as_json: bool) -> None:
    """Print what is known of every model, without loading one."""
    cards = describe(settings.models.weights_dir)
    if as_json:
        values = [
            {
                "name": card.name,
                "version": card.version,
                "task": card.task,
                "installed": card.installed,
                "weights_sha256": card.weights_sha256,
                "operating_point": dict(card.operating_point),
                "measured_on": card.measured_on,
                "problem": card.problem,
                "region": None if card.region is None else asdict(card.region),
            }
            for card in cards
        ]
        typer.echo(json.dumps({"models": values}, indent=2))
        return
    rows = [
        (
            card.name,
            card.version,
            card.task,
            "-" if card.region is None else f"{card.region.outcome} in {card.region.wanted}",
            "yes" if card.installed else f"no: {card.problem}",
            card.weights_sha256 or "-",
            " ".join(f"{key}={value:g}" for key, value in card.operating_point.items()) or "-",
            card.measured_on,
        )
        for card in cards
    ]
    typer.echo(
        table(
            rows,
            ("model", "version", "task", "predicts", "installed", "weights sha256", "operating point", "measured on"),
        )
    )
