"""The Celery application, over Redis or over files in the state folder."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any, Final
from uuid import uuid4

import structlog
from celery import Celery
from kombu.exceptions import OperationalError
from kombu.transport import filesystem
from kombu.utils.json import dumps

from node.settings import Settings

QUEUE: Final = "mammonode"
ANALYSE: Final = "mammonode.analyse"
log = structlog.get_logger("broker")


class Channel(filesystem.Channel):
    """kombu's file channel, but a message appears under its name only when it is whole.

    kombu writes a message in place, and a worker that lists the folder at that moment takes an empty file and stops
    with a JSON error.
    """

    def _put(self, queue: str, message: Any, **_kwargs: Any) -> None:  # type: ignore[override] # kombu disagrees with itself on the name
        folder = Path(self.data_folder_out)
        name = f"{time.time_ns()}_{uuid4()}.{queue}.msg"  # taken in the order of their names
        partial = folder / f"{name}.part"
        partial.write_text(dumps(message), encoding="utf-8")  # type: ignore[no-untyped-call] # kombu is not typed
        partial.replace(folder / name)


class Transport(filesystem.Transport):
    """The embedded broker's transport."""

    Channel = Channel


def make_app(settings: Settings) -> Celery:
    """Return the Celery application for these settings.

    Late acknowledgement, prefetch of one, JSON only. A message holds a study's UID and nothing else; losing one costs
    time, never a study, because the reconciler publishes it again from the ledger.
    """
    app = Celery("mammonode", set_as_current=False)
    app.conf.update(
        task_default_queue=QUEUE,
        task_serializer="json",
        accept_content=["json"],
        result_serializer="json",
        task_ignore_result=True,
        task_acks_late=True,
        task_acks_on_failure_or_timeout=True,
        worker_prefetch_multiplier=1,
        worker_concurrency=1,
        worker_pool="prefork",
        worker_proc_alive_timeout=300,
        worker_enable_remote_control=False,
        worker_send_task_events=False,
        worker_hijack_root_logger=False,
        worker_redirect_stdouts=False,
        worker_cancel_long_running_tasks_on_connection_loss=False,
        task_soft_time_limit=settings.queue.soft_time_limit_s,
        task_time_limit=settings.queue.hard_time_limit_s,
        broker_connection_retry_on_startup=True,
        broker_connection_max_retries=None,
        **_transport(settings),
    )
    return app


def _transport(settings: Settings) -> dict[str, Any]:
    polling = min(0.1, settings.queue.poll_s)
    if settings.broker.url is not None:
        # The ledger, not Redis, decides when a message is given out again.
        timeout = {"visibility_timeout": int(settings.queue.hard_time_limit_s) + 60}
        sockets = {"socket_timeout": 10, "socket_connect_timeout": 5, "health_check_interval": 30}
        return {"broker_url": settings.broker.url, "broker_transport_options": {**timeout, **sockets}}
    folders = {name: settings.broker_dir / name for name in ("messages", "taken", "control")}
    for folder in folders.values():
        folder.mkdir(parents=True, exist_ok=True)
    return {
        "broker_url": "filesystem://localhost",
        "broker_transport": "node.broker.Transport",
        "broker_transport_options": {
            "data_folder_in": str(folders["messages"]),
            "data_folder_out": str(folders["messages"]),
            "processed_folder": str(folders["taken"]),
            "control_folder": str(folders["control"]),
            "polling_interval": polling,
        },
    }


class Publisher:
    """Puts wake-ups into the queue.

    Parameters
    ----------
    app : celery.Celery
        From `make_app`.
    """

    def __init__(self, app: Celery) -> None:
        self._app = app

    def publish(self, study_instance_uid: str) -> bool:
        """Wake a worker for a study; False when the broker is away (the reconciler comes back to it)."""
        try:
            self._app.send_task(ANALYSE, args=[study_instance_uid], queue=QUEUE, retry=False)
        except (OperationalError, OSError) as error:
            log.warning("broker_away", study_instance_uid=study_instance_uid, error=str(error))
            return False
        return True

    def waiting(self) -> int | None:
        """How many messages wait in the queue; None when the broker is away."""
        try:
            with self._app.connection_for_write() as connection:
                declared = connection.default_channel.queue_declare(queue=QUEUE, durable=True)
                return int(declared.message_count)
        except (OperationalError, OSError) as error:
            log.warning("broker_away", error=str(error))
            return None
