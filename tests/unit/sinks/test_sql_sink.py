"""The sql sink on an embedded log: values that the database never takes, a database that is away, and retention."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path

import pytest
import sqlalchemy as sa

from broker.embedded import EmbeddedBroker
from contract.dead_letters import DeadLetter, decode_dead_letter
from contract.event_store import EventFilter, StoreUnavailable
from sinks import sql
from sinks.settings import SqlSettings
from sinks.sql_engine import sqlite_url
from sinks.sql_store import SqlStore
from sinks.sql_writer import SqlWriter
from tests.contract.embedded_make import EmbeddedMake
from tests.contract.suites import read_all
from tests.support.sink_contexts import sink_context
from tests.support.sinking import NOW_S, TOPICS, event, record_of, with_topics
from tests.support.waiting import until

DAY_S = 86_400.0


@pytest.fixture
async def log(tmp_path: Path) -> AsyncIterator[EmbeddedBroker]:
    async with EmbeddedMake(tmp_path / "data").open() as broker:
        await with_topics(broker)
        yield broker


@pytest.fixture
def settings(tmp_path: Path) -> SqlSettings:
    return SqlSettings(name="store", url=sqlite_url(tmp_path / "events.sqlite"), keep_days=1.0)


def ids(settings: SqlSettings) -> list[str]:
    with closing(SqlStore(settings.url)) as store:
        try:
            return [found.id for found in store.page(EventFilter(), 0, 1000).events]
        except StoreUnavailable:
            return []


async def test_an_event_with_a_value_that_no_database_takes_becomes_a_dead_letter_and_the_others_are_stored(
    log: EmbeddedBroker, settings: SqlSettings
) -> None:
    foreign = event(1, person_type=10**30)
    await log.append([record_of(event(0)), record_of(foreign), record_of(event(2)), record_of(event(3), 1)])
    await sql.run_sink_of(settings, sink_context(log, clock=lambda: NOW_S, idle_exit_s=0.3))
    assert ids(settings) == ["event-3", "event-2", "event-0"]
    (letter,) = [decode_dead_letter(record.value or b"") for record in await read_all(log, TOPICS.dead_letters)]
    assert isinstance(letter, DeadLetter)
    assert (letter.partition, letter.offset, letter.stage) == (0, 1, "sink/store")
    assert letter.error == "the database cannot store the event"


async def test_the_erasure_of_an_id_that_was_cut_is_that_of_the_stored_one(
    log: EmbeddedBroker, settings: SqlSettings
) -> None:
    long = "7\0" * 400
    erased = event(5, kind="erase", outcome="erased", device_ip=None, identity_id=long)
    await log.append([record_of(event(1, identity_id=long)), record_of(event(2)), record_of(erased)])
    await sql.run_sink_of(settings, sink_context(log, clock=lambda: NOW_S, idle_exit_s=0.3))
    assert ids(settings) == ["event-2"]


async def test_a_full_disk_loses_no_event_and_makes_none_a_dead_letter(
    log: EmbeddedBroker, settings: SqlSettings, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """SQLite reports a full disk as it reports a database that may grow no further."""
    monkeypatch.setattr(sql, "_AGAIN_S", 0.02)
    full, prepare = [True], SqlWriter.prepare

    def prepare_small(writer: SqlWriter) -> None:
        prepare(writer)
        with writer._engine.begin() as connection:
            pages = connection.exec_driver_sql("PRAGMA page_count").scalar_one()

        def limit(connection: sa.Connection) -> None:
            connection.exec_driver_sql(f"PRAGMA max_page_count = {pages if full[0] else 1_000_000}")

        sa.event.listen(writer._engine, "begin", limit)

    monkeypatch.setattr(SqlWriter, "prepare", prepare_small)
    await log.append([record_of(event(number, name=f"Person {number}"), number % 2) for number in range(600)])
    stop = asyncio.Event()
    running = asyncio.create_task(sql.run_sink_of(settings, sink_context(log, stop, clock=lambda: NOW_S)))
    await until(lambda: "full; it is tried again" in caplog.text)
    assert ids(settings) == []
    full[0] = False
    await until(lambda: len(ids(settings)) == 600)
    stop.set()
    await running
    with closing(SqlStore(settings.url)) as store:
        found = store.page(EventFilter(), 0, 1000).events
    assert {one.id: one.name for one in found} == {f"event-{n}": f"Person {n}" for n in range(600)}
    assert await read_all(log, TOPICS.dead_letters) == []


async def test_old_events_are_deleted_also_while_no_event_comes(
    log: EmbeddedBroker, settings: SqlSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sql, "_SWEEP_EVERY_S", 0.05)
    now_s, stop = [NOW_S], asyncio.Event()
    await log.append([record_of(event(0))])
    running = asyncio.create_task(sql.run_sink_of(settings, sink_context(log, stop, clock=lambda: now_s[0])))
    await until(lambda: ids(settings) == ["event-0"])
    now_s[0] += 2 * DAY_S
    await until(lambda: ids(settings) == [])
    assert not running.done(), "the sink goes on"
    stop.set()
    await running


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (StoreUnavailable("the database is away"), "old events are deleted later: the database is away"),
        (ArithmeticError("a fault"), "old events are deleted later, after an unexpected error"),
    ],
)
async def test_a_sweep_that_fails_is_made_again_and_ends_no_sink(
    log: EmbeddedBroker,
    settings: SqlSettings,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    error: Exception,
    said: str,
) -> None:
    monkeypatch.setattr(sql, "_SWEEP_EVERY_S", 0.02)
    sweeps = list[float]()

    def away(writer: SqlWriter, before_s: float) -> int:
        sweeps.append(before_s)
        raise error

    monkeypatch.setattr(SqlWriter, "delete_before", away)
    await log.append([record_of(event(0))])
    await sql.run_sink_of(settings, sink_context(log, clock=lambda: NOW_S, idle_exit_s=0.5))
    assert ids(settings) == ["event-0"]
    assert len(sweeps) > 1
    assert said in caplog.text
