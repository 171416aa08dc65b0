"""Each part of the node as a process: scp, dispatch, worker. `node.serve` starts all of them on one machine."""

from __future__ import annotations

import ctypes
import fcntl
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import structlog
from celery import signals
from sqlalchemy import text
from sqlalchemy.exc import OperationalError

from node import database
from node.broker import ANALYSE, QUEUE, Publisher, make_app
from node.delivery import Courier
from node.dispatch import Dispatcher
from node.errors import NodeUnavailable
from node.ledger import Ledger
from node.outbox import Fault, Outbox, no_fault
from node.retention import Retention
from node.scp import Receiver, is_listening
from node.settings import Settings
from node.settings_sources import masked_url
from node.spool import Spool
from node.worker import Worker

log = structlog.get_logger("node")

READY: Final = "ready"
"""What a part writes to its standard output once it does its work."""

PR_SET_PDEATHSIG: Final = 1  # linux/prctl.h
NVIDIA_GPUS: Final = Path("/proc/driver/nvidia/gpus")
DISPATCH_LOCK: Final = 0x64697370  # "disp"


def die_with_parent(signal_number: int) -> None:
    """Ask the kernel for a signal when the parent ends, however it ends: no part outlives the node (Linux)."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal_number)


def open_ledger(settings: Settings) -> Ledger:
    """Open the ledger, with its schema brought up to date.

    Raises
    ------
    NodeUnavailable
        When the database, or the state folder, is not there.
    """
    try:
        settings.node.state_dir.mkdir(parents=True, exist_ok=True)
        engine = database.open_engine(settings.database_url)
        database.migrate(engine)
    except OperationalError as error:
        raise NodeUnavailable(
            f"the ledger {masked_url(settings.database_url)} cannot be opened: {error.orig}"
        ) from error
    except OSError as error:
        raise NodeUnavailable(f"node.state_dir {settings.node.state_dir}: {error.strerror}") from error
    return Ledger(engine)


def open_outbox(settings: Settings, ledger: Ledger, fault: Fault = no_fault) -> Outbox:
    """Open the outbox beside the ledger."""
    return Outbox(ledger, settings.outbox_dir, fault)


def announce(part: str, **values: Any) -> None:
    """Tell whoever started this process, and the log, that it is at work."""
    log.info("part_ready", part=part, **values)
    sys.stdout.write(f"{READY} {part}\n")
    sys.stdout.flush()


def stop_on_signals() -> threading.Event:
    """Return an event that SIGTERM and SIGINT set."""
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    return stop


def run_scp(settings: Settings, fault: Fault = no_fault) -> None:
    """Receive until told to stop.

    Raises
    ------
    NodeUnavailable
        When the port is taken.
    """
    stop = stop_on_signals()
    if is_listening(settings.node.host, settings.node.port):
        raise NodeUnavailable(f"port {settings.node.port} is taken: stop what listens there, or set node.port")
    ledger = open_ledger(settings)
    spool = Spool(settings.spool_dir, settings.retention.min_free_bytes)
    receiver = Receiver(
        settings=settings, spool=spool, ledger=ledger, outbox=open_outbox(settings, ledger), fault=fault
    )
    with spool.shared(receiver.sweep) as removed, receiver.listening():
        announce("scp", host=settings.node.host, port=settings.node.port, unacknowledged_files_removed=removed)
        stop.wait()


def run_dispatch(settings: Settings, fault: Fault = no_fault) -> None:
    """Assemble, reconcile and deliver until told to stop. A second dispatcher waits until the first one is gone."""
    stop = stop_on_signals()
    ledger = open_ledger(settings)
    outbox = open_outbox(settings, ledger)
    dispatcher = Dispatcher(settings, ledger, Publisher(make_app(settings)), fault=fault)
    retention = Retention(settings, ledger)
    loops = [threading.Thread(target=dispatcher.run, args=(stop,), name="dispatcher")]
    for destination in settings.destination:
        courier = Courier(destination, settings, outbox, fault=fault)
        loops.append(
            threading.Thread(target=courier.run, args=(stop, settings.queue.poll_s), name=f"courier {destination.name}")
        )
    loops.append(threading.Thread(target=retention.run, args=(stop,), name="retention"))
    for name, count in outbox.pending_elsewhere([item.name for item in settings.destination]).items():
        # Nobody delivers these until a [[destination]] has that name again.
        log.warning("destination_not_in_settings", destination=name, pending=count)
    with only_dispatcher(settings, ledger, stop) as still_alone:
        for loop in loops:
            loop.daemon = True  # a courier may sit in a dead connection; nothing is lost when it is cut off
            loop.start()
        announce("dispatch", destinations=[destination.name for destination in settings.destination])
        while not stop.is_set() and all(loop.is_alive() for loop in loops):
            stop.wait(0.2)
            still_alone()
        died = [loop.name for loop in loops if not loop.is_alive()]
        if died and not stop.is_set():
            raise NodeUnavailable(f"the {', '.join(died)} loop ended; its error is in the log above")
        for loop in loops:
            loop.join(timeout=5)


@contextmanager
def only_dispatcher(settings: Settings, ledger: Ledger, stop: threading.Event) -> Iterator[Callable[[], None]]:
    """Hold the lock that makes this the one dispatcher; the kernel or the server drops it when the process dies.

    Yields what is to be called now and then: it raises SQLAlchemyError once PostgreSQL has dropped the lock with its
    connection, while the connections of the ledger's pool come back by themselves and a stand-by takes over.
    """
    if ledger.engine.dialect.name == "sqlite":
        with (settings.node.state_dir / "dispatch.lock").open("w") as lock:
            while not stop.is_set():
                try:
                    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except BlockingIOError:
                    stop.wait(settings.queue.poll_s)
            yield lambda: None
        return
    with ledger.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        while not stop.is_set():
            if connection.scalar(text("SELECT pg_try_advisory_lock(:key)"), {"key": DISPATCH_LOCK}):
                break
            stop.wait(settings.queue.poll_s)
        yield lambda: connection.execute(text("SELECT 1")).close()


def pin_gpu(index: int, device: str) -> None:
    """With device "auto" and several GPUs, give each worker one of its own, before anything of CUDA is loaded."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    gpus = visible.split(",") if visible else [str(number) for number, _ in enumerate(NVIDIA_GPUS.glob("*"))]
    if device == "auto" and len(gpus) > 1:
        os.environ["CUDA_VISIBLE_DEVICES"] = gpus[index % len(gpus)]


def run_worker(settings: Settings, fault: Fault = no_fault, *, index: int = 0) -> None:
    """Run a Celery worker with one child process, in which the models stay loaded."""
    pin_gpu(index, settings.queue.device)
    app = make_app(settings)
    open_ledger(settings).engine.dispose()  # migrate once, before the child is forked
    made: list[Worker] = []

    def resident() -> Worker:
        # Celery swallows what a signal handler raises, so a child that could not start tries again with its first task.
        if not made:
            ledger = open_ledger(settings)
            new = Worker(settings, ledger, open_outbox(settings, ledger, fault), fault=fault)
            new.warm_up()
            made.append(new)
        return made[0]

    @signals.worker_process_init.connect(weak=False)  # type: ignore[untyped-decorator] # Celery has no types
    def start_child(**_arguments: Any) -> None:
        die_with_parent(signal.SIGKILL)
        resident()
        announce("worker", device=settings.queue.device)  # here, not in the parent: the models are loaded now

    @app.task(name=ANALYSE)  # type: ignore[untyped-decorator] # Celery has no types
    def analyse(study_instance_uid: str) -> None:
        resident().analyse(study_instance_uid)

    arguments = ["--quiet", "worker", "--queues", QUEUE, "--without-gossip", "--without-mingle", "--without-heartbeat"]
    arguments += ["--loglevel", "WARNING", "--hostname", f"mammonode-{os.getpid()}@%h"]
    app.worker_main(arguments)
