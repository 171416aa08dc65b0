"""The queue, over files and over Redis: what a message holds, how many wait, and a broker that is away."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from celery import Celery
from kombu import Connection, Consumer, Queue

from node.broker import ANALYSE, QUEUE, Publisher, make_app
from node.settings import Settings
from tests.node.builders import STUDY, settings_in
from tests.peers.processes import free_port


@pytest.fixture(params=["files", pytest.param("redis", marks=pytest.mark.peer)])
def settings(request: pytest.FixtureRequest, tmp_path: Path) -> Settings:
    if request.param == "files":
        return settings_in(tmp_path)
    return settings_in(tmp_path, broker={"url": request.getfixturevalue("redis_url")})


@pytest.fixture
def app(settings: Settings) -> Iterator[Celery]:
    with make_app(settings) as made:
        yield made


def take(app: Celery, number: int) -> list[Any]:
    """Take so many messages as a worker would, acknowledging each."""
    taken: list[Any] = []

    def keep(_body: Any, message: Any) -> None:
        taken.append(message)
        message.ack()

    connection: Connection
    with app.connection_for_read() as connection, connection.channel() as channel:
        consumer = Consumer(channel, [Queue(QUEUE, durable=True)], accept=["json"])
        consumer.register_callback(keep)
        with consumer:
            while len(taken) < number:
                connection.drain_events(timeout=30)
    return taken


def test_what_is_published_is_taken_once_and_in_order(app: Celery) -> None:
    publisher = Publisher(app)
    studies = [f"1.2.{number}" for number in range(5)]
    assert all(publisher.publish(study) for study in studies)
    assert publisher.waiting() == 5
    messages = take(app, 5)
    assert [message.payload[0] for message in messages] == [[study] for study in studies]
    assert publisher.waiting() == 0


def test_a_message_holds_the_study_s_uid_as_json_and_nothing_else(app: Celery) -> None:
    Publisher(app).publish(STUDY)
    (message,) = take(app, 1)
    assert message.content_type == "application/json"
    body = message.body if isinstance(message.body, str) else message.body.decode()
    arguments, keywords, options = json.loads(body)
    assert (arguments, keywords) == ([STUDY], {})
    assert not any(options.values())
    assert message.headers["task"] == ANALYSE


def test_a_task_reaches_the_function_that_a_worker_binds_to_its_name(app: Celery) -> None:
    seen: list[str] = []

    @app.task(name=ANALYSE, shared=False)  # type: ignore[untyped-decorator] # Celery has no types
    def analyse(study_instance_uid: str) -> None:
        seen.append(study_instance_uid)

    Publisher(app).publish(STUDY)
    (message,) = take(app, 1)
    arguments, keywords, _ = message.payload
    app.tasks[message.headers["task"]](*arguments, **keywords)
    assert seen == [STUDY]


def test_only_json_is_taken_and_late_acknowledgement_is_on(app: Celery) -> None:
    assert app.conf.accept_content == ["json"]
    assert app.conf.task_acks_late
    assert app.conf.worker_prefetch_multiplier == 1
    assert app.conf.task_time_limit > app.conf.task_soft_time_limit


def test_many_publish_at_once_and_every_message_is_whole(app: Celery) -> None:
    """A message file that could be seen before it is whole would stop the worker that lists the folder."""
    publisher = Publisher(app)
    threads = [
        threading.Thread(target=lambda base=base: [publisher.publish(f"1.{base}.{n}") for n in range(10)])
        for base in range(4)
    ]
    for thread in threads:
        thread.start()
    taken = {message.payload[0][0] for message in take(app, 40)}
    for thread in threads:
        thread.join(timeout=30)
    assert taken == {f"1.{base}.{n}" for base in range(4) for n in range(10)}


def test_messages_outlive_the_process(settings: Settings) -> None:
    with make_app(settings) as first:
        Publisher(first).publish(STUDY)
    with make_app(settings) as second:
        assert Publisher(second).waiting() == 1


def test_a_broker_that_is_away_is_told_and_not_raised(tmp_path: Path) -> None:
    away = settings_in(tmp_path, broker={"url": f"redis://127.0.0.1:{free_port()}/0"})
    with make_app(away) as app:
        publisher = Publisher(app)
        assert not publisher.publish(STUDY)
        assert publisher.waiting() is None


def test_a_message_folder_that_is_away_is_told_and_not_raised(tmp_path: Path) -> None:
    settings = settings_in(tmp_path)
    with make_app(settings) as app:
        messages = settings.broker_dir / "messages"
        messages.rmdir()
        assert not Publisher(app).publish(STUDY)
        assert Publisher(app).waiting() in (0, None)
        messages.mkdir()
        assert Publisher(app).publish(STUDY)
