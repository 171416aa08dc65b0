"""`mammonode check`: try out everything that the settings name, and say how to mend what does not work."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path

import redis
from sqlalchemy import create_engine, text
from sqlalchemy.exc import SQLAlchemyError

from models.contract import ModelIdentity
from node.check_peers import check_destinations, check_port, check_sources
from node.errors import SettingsInvalid
from node.finding import Finding, error, ok, warning
from node.settings import Settings
from node.settings_sources import masked_url
from node.tls import client_context, own_certificate_problem, server_context

SHORTEST_SAFE_LEASE_S = 5
"""A machine under load may keep a live worker from renewing its lease for seconds."""


def check(settings: Settings, *, models: Iterable[ModelIdentity] = (), timeout_s: float = 5) -> tuple[Finding, ...]:
    """Look at everything that the settings name; changes nothing but a file that is written and deleted.

    Parameters
    ----------
    settings : Settings
        As `load_settings` returned them: every single value is already valid.
    models : iterable of ModelIdentity
        What the models' registry says is there, with or without weights.
    timeout_s : float
        Longest wait for each answer from the network.

    Returns
    -------
    tuple of Finding
        In the order of the settings file.
    """
    return (
        *check_state_dir(settings),
        check_port(settings),
        *check_times(settings),
        check_broker(settings, timeout_s=timeout_s),
        check_database(settings, timeout_s=timeout_s),
        *check_tls(settings),
        *check_models(models),
        *check_sources(settings),
        *check_destinations(settings, timeout_s=timeout_s),
    )


def check_state_dir(settings: Settings) -> Iterator[Finding]:
    """Whether the state folder can be written, and has room."""
    state_dir, subject = settings.node.state_dir, "node.state_dir"
    existing = next(path for path in (state_dir, *state_dir.parents) if path.exists())
    problem = _write_problem(existing, probe=existing == state_dir)
    if problem:
        yield error(subject, f"{existing}: {problem}", "let the node's user write there, or set node.state_dir")
        return
    yield ok(subject, f"{state_dir} can be written" if existing == state_dir else f"{state_dir} will be created")
    free = shutil.disk_usage(existing).free
    floor = settings.retention.min_free_bytes
    amount = f"{free / 1e9:.1f} GB free, {settings.retention.min_free_gb:g} GB are kept free"
    remedy = "make room, or lower retention.min_free_gb"
    if free < floor:
        yield error("retention.min_free_gb", f"{amount}: every image would be refused with 0xA700", remedy)
    elif free < 2 * floor:
        yield warning("retention.min_free_gb", amount, remedy)
    else:
        yield ok("retention.min_free_gb", amount)


def _write_problem(folder: Path, *, probe: bool) -> str:
    """Why `folder` cannot be written, or nothing; our own is probed with a file, one above it is only asked about."""
    if not folder.is_dir():
        return "not a folder"
    if not probe:
        return "" if os.access(folder, os.W_OK | os.X_OK) else "may not be written"
    try:
        with tempfile.NamedTemporaryFile(dir=folder, prefix=".check-") as file:
            file.write(b"mammonode")
            file.flush()
            os.fsync(file.fileno())
    except OSError as caught:
        return caught.strerror or str(caught)
    return ""


def check_times(settings: Settings) -> Iterator[Finding]:
    """Times that are valid one by one, but do not go together."""
    queue, before = settings.queue, []
    if queue.lease_s < SHORTEST_SAFE_LEASE_S:
        text = f"{queue.lease_s:g} s is short: a busy machine may delay a live worker's sign of life for as long"
        before.append(warning("queue.lease_s", text, f"set it to {SHORTEST_SAFE_LEASE_S} or more"))
    if queue.lease_s > queue.soft_time_limit_s:
        text = f"{queue.lease_s:g} s is longer than a whole study may take ({queue.soft_time_limit_s:g} s)"
        before.append(warning("queue.lease_s", text, "studies of a dead worker wait for that long; 20 is usual"))
    if queue.poll_s > queue.lease_s / 2:
        text = f"{queue.poll_s:g} s is more than half of queue.lease_s ({queue.lease_s:g} s)"
        before.append(warning("queue.poll_s", text, "a lease must be renewed before it ends; 0.2 is usual"))
    if settings.completion.settle_s > settings.completion.quiet_s:
        text = f"{settings.completion.settle_s:g} s is longer than quiet_s ({settings.completion.quiet_s:g} s)"
        before.append(warning("completion.settle_s", text, "a complete study would wait longer than an incomplete one"))
    yield from before or [ok("queue, completion", "the times go together")]


def check_broker(settings: Settings, *, timeout_s: float) -> Finding:
    """Whether the queue's transport answers."""
    url = settings.broker.url
    if url is None:
        return ok("broker.url", f"absent: the embedded broker, in {settings.broker_dir}")
    shown = masked_url(url)
    try:
        client = redis.Redis.from_url(url, socket_connect_timeout=timeout_s, socket_timeout=timeout_s)
        with client:
            client.ping()
    except ValueError as caught:  # what from_url makes of a database number or an option that is none
        return error("broker.url", f"{shown}: {caught}", "write it as redis://host:6379/0")
    except redis.AuthenticationError:
        return error("broker.url", f"{shown} refuses the password", "put the right one into MAMMONODE_BROKER__URL")
    except redis.RedisError as caught:
        remedy = "start Redis there, or leave broker.url out for the embedded broker"
        return error("broker.url", f"{shown} does not answer: {masked_url(str(caught))}", remedy)
    return ok("broker.url", f"{shown} answers")


def check_database(settings: Settings, *, timeout_s: float) -> Finding:
    """Whether the ledger's database can be opened; a SQLite file that is not there yet is left so."""
    if settings.database.url is None and not settings.ledger_path.exists():
        return ok("database.url", f"absent: SQLite, {settings.ledger_path} will be created")
    shown = masked_url(settings.database_url)
    is_sqlite = settings.database_url.startswith("sqlite")
    try:
        engine = create_engine(
            settings.database_url, connect_args={} if is_sqlite else {"connect_timeout": max(1, round(timeout_s))}
        )
        try:
            with engine.connect() as connection:
                connection.execute(text("SELECT count(*) FROM sqlite_master" if is_sqlite else "SELECT 1"))
        finally:
            engine.dispose()
    except (SQLAlchemyError, ValueError) as caught:  # ValueError: a port that is no number
        reason = str(getattr(caught, "orig", None) or caught).strip().splitlines()[0]
        remedy = (
            "restore the file from a backup" if is_sqlite else "start PostgreSQL there, and look at name and password"
        )
        return error("database.url", f"{shown}: {masked_url(reason)}", remedy)
    return ok("database.url", f"{shown} can be opened")


def check_tls(settings: Settings) -> Iterator[Finding]:
    """Whether the certificates can be used, by the receiver and towards destinations."""
    tls = settings.tls
    if not (tls.enabled or any(destination.tls for destination in settings.destination)):
        yield ok("tls", "off")
        return
    try:
        server_context(tls)
        client_context(tls)
    except SettingsInvalid as caught:
        yield from (error("tls", problem, "give files that the node's user can read") for problem in caught.problems)
        return
    problem = own_certificate_problem(tls) if tls.certificate and tls.ca else ""
    if problem:
        remedy = "renew it, or give peers the authority that issued it"
        yield warning("tls.certificate", f"peers that believe tls.ca would refuse it: {problem}", remedy)
    else:
        yield ok("tls", "the files can be used" + (", by the receiver too" if tls.enabled else ""))


def check_models(models: Iterable[ModelIdentity]) -> Iterator[Finding]:
    """Whether each model has weights; without them it is "not attempted", which its results say."""
    for model in models:
        subject = f"model {model.name} {model.version}"
        if model.weights_sha256 is None:
            remedy = "install them beside the model or in models.weights_dir; `mammonode models` lists what is there"
            yield warning(subject, "no usable weights: results say that it was not attempted", remedy)
        else:
            yield ok(subject, f"weights {model.weights_sha256[:12]}")
