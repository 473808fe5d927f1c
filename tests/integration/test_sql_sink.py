"""The sql sink as its own process: both databases, kill -9, a database that is away, foreign records, erasures."""

import asyncio
import random
import signal
import sqlite3
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
import sqlalchemy as sa
from prometheus_client import CollectorRegistry

from broker.embedded import EmbeddedBroker, open_embedded
from broker.port import NewRecord
from contract.dead_letters import DeadLetter, decode_dead_letter
from contract.event_store import EventFilter
from sinks import sql
from sinks.settings import SqlSettings
from sinks.sql_engine import open_engine
from sinks.sql_store import SqlStore
from tests.contract.suites import read_all
from tests.support.commands import finish, start
from tests.support.postgresql import crashed, needs_postgresql, postgresql
from tests.support.repeating import Repeating
from tests.support.sink_contexts import sink_context
from tests.support.sinking import TOPICS, event, record_of, with_topics
from tests.support.stores import StoreSuite
from tests.support.waiting import until

PATIENCE_S = 60.0
ROUNDS = 5
FOR_EVER = {"PICTUREMATCH_STORE__KEEP_DAYS": "36500"}
"""The events of these tests are years old."""


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    with tempfile.TemporaryDirectory(prefix="pm-pg-") as folder, postgresql(Path(folder)) as url:
        yield url


def empty(server: str) -> None:
    engine = open_engine(server)
    with engine.begin() as connection:
        connection.execute(sa.text("DROP SCHEMA public CASCADE"))
        connection.execute(sa.text("CREATE SCHEMA public"))
    engine.dispose()


@needs_postgresql
class TestPostgresql(StoreSuite):
    @pytest.fixture
    def url(self, server: str) -> str:
        empty(server)
        return server


def log_at(folder: Path) -> EmbeddedBroker:
    return open_embedded(folder, role="owner", clock_ms=lambda: int(time.time() * 1000))


def command(data: Path, *more: str) -> tuple[str, ...]:
    return ("sink", "sql", "--data-folder", str(data), *more)


def stored(data: Path) -> list[str]:
    with closing(sqlite3.connect(f"file:{data / 'events.sqlite'}?mode=ro", uri=True)) as connection:
        return [row[0] for row in connection.execute("SELECT id FROM event")]


def count_stored(data: Path) -> int:
    try:
        return len(stored(data))
    except sqlite3.OperationalError:
        return 0


async def killed_again_and_again(data: Path, rounds: int) -> list[str]:
    """Kill the sink that often while events come, and let it end; return the ids of the events that were written."""
    chance = random.Random(21)
    written: list[str] = []

    async with log_at(data) as log:
        await with_topics(log)

        async def append() -> None:
            some = [event(number) for number in range(len(written), len(written) + 20)]
            await log.append([record_of(one, partition=number % 2) for number, one in enumerate(some)])
            written.extend(one.id for one in some)

        appending = Repeating(append, 0.01)
        for _ in range(rounds):
            before = count_stored(data)
            process = await start(*command(data), **FOR_EVER)
            await until(lambda before=before: count_stored(data) > before, PATIENCE_S, every_s=0.002)
            await asyncio.sleep(chance.uniform(0, 0.1))
            process.kill()
            assert (await finish(process, PATIENCE_S)).status == -signal.SIGKILL
        await appending.end()
        last = await finish(await start(*command(data, "--idle-exit", "0.5s"), **FOR_EVER), PATIENCE_S)
    assert last.status == 0, last.err
    return written


async def test_every_event_is_stored_once_however_often_the_sink_is_killed(tmp_path: Path) -> None:
    written = await killed_again_and_again(tmp_path / "data", ROUNDS)
    assert sorted(stored(tmp_path / "data")) == sorted(written)


@pytest.mark.slow
@pytest.mark.timeout(900)
async def test_every_event_is_stored_once_over_fifty_kills(tmp_path: Path) -> None:
    written = await killed_again_and_again(tmp_path / "data", 50)
    assert sorted(stored(tmp_path / "data")) == sorted(written)


async def test_a_database_that_is_locked_is_waited_for_and_nothing_is_lost(tmp_path: Path) -> None:
    data = tmp_path / "data"
    async with log_at(data) as log:
        await with_topics(log)
        await log.append([record_of(event(1))])
        await finish(await start(*command(data, "--idle-exit", "0.5s"), **FOR_EVER), PATIENCE_S)
        with closing(sqlite3.connect(data / "events.sqlite", isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            await log.append([record_of(event(2))])
            process = await start(*command(data, "--idle-exit", "20s"), **FOR_EVER)
            await asyncio.sleep(16)  # the start, a deletion of old events and a first try, of five seconds each
            assert process.returncode is None
            assert stored(data) == ["event-1"]
            other.execute("ROLLBACK")
        await until(lambda: sorted(stored(data)) == ["event-1", "event-2"], PATIENCE_S)
        process.terminate()
        done = await finish(process, PATIENCE_S)
    assert (done.status, "cannot be used" in done.err) == (0, True)


async def test_a_foreign_record_becomes_a_dead_letter_and_the_sink_goes_on(tmp_path: Path) -> None:
    data = tmp_path / "data"
    async with log_at(data) as log:
        await with_topics(log)
        await log.append([NewRecord(TOPICS.events, b"", b"what is this", partition=0), record_of(event(1))])
        done = await finish(await start(*command(data, "--idle-exit", "0.5s"), **FOR_EVER), PATIENCE_S)
        assert (done.status, stored(data)) == (0, ["event-1"])

        async def letters() -> list[DeadLetter]:
            found = [decode_dead_letter(record.value or b"") for record in await read_all(log, TOPICS.dead_letters)]
            return [letter for letter in found if isinstance(letter, DeadLetter)]

        async with asyncio.timeout(PATIENCE_S):
            while not await letters():  # noqa: ASYNC110 - the owner of the log appends what a guest has filed
                await asyncio.sleep(0.1)
        (letter,) = await letters()
    assert (letter.stage, letter.value) == ("sink/store", b"what is this")


async def test_the_erasure_of_a_person_reaches_the_store(tmp_path: Path) -> None:
    data = tmp_path / "data"
    async with log_at(data) as log:
        await with_topics(log)
        await log.append([record_of(event(1)), record_of(event(2, identity_id="8"))])
        await log.append([record_of(event(5, kind="erase", outcome="erased", device_ip=None), partition=1)])
        await finish(await start(*command(data, "--idle-exit", "0.5s"), **FOR_EVER), PATIENCE_S)
    assert stored(data) == ["event-2"]


async def test_without_a_store_the_sentence_says_what_to_set(tmp_path: Path) -> None:
    done = await finish(await start("sink", "sql", "--broker", "kafka://127.0.0.1:1"), PATIENCE_S)
    assert (done.status, "set store.url" in done.err) == (2, True)


@needs_postgresql
async def test_the_sink_fills_a_database_of_postgresql(tmp_path: Path, server: str) -> None:
    empty(server)
    data = tmp_path / "data"
    async with log_at(data) as log:
        await with_topics(log)
        await log.append([record_of(event(number), partition=number % 2) for number in range(3000)])
        for _ in range(2):
            process = await start(*command(data, "--idle-exit", "0.5s"), PICTUREMATCH_STORE__URL=server, **FOR_EVER)
            assert (await finish(process, PATIENCE_S)).status == 0
    with closing(SqlStore(server)) as store:
        assert store.page(EventFilter(), 0, 1).total == 3000


@needs_postgresql
async def test_a_server_that_crashes_in_the_middle_loses_and_doubles_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sql, "_AGAIN_S", 0.2)
    stop, registry = asyncio.Event(), CollectorRegistry()
    with tempfile.TemporaryDirectory(prefix="pm-pg-") as folder, postgresql(Path(folder)) as url:
        async with log_at(tmp_path / "data") as log:
            await with_topics(log)
            context = sink_context(log, stop, registry=registry)
            running = asyncio.create_task(
                sql.run_sink_of(SqlSettings(name="store", url=url, keep_days=36_500), context)
            )

            def count(name: str) -> float:
                return registry.get_sample_value(f"picturematch_sink_{name}_total", {"sink": "store"}) or 0.0

            async def append(numbers: range) -> None:
                for n in numbers:
                    await log.append([record_of(event(n, name=f"Person {n}", identity_id=str(n)), n % 2)])

            await append(range(100))
            await until(lambda: count("delivered") == 100, PATIENCE_S)
            with crashed(Path(folder)):
                await append(range(100, 200))
                await until(lambda: count("failed") > 1, PATIENCE_S)
            await append(range(200, 300))
            await until(lambda: count("delivered") == 300, PATIENCE_S)
            stop.set()
            await running
        with closing(SqlStore(url)) as store:
            page = store.page(EventFilter(), 0, 1000)
    assert page.total == 300
    assert {one.id: one.name for one in page.events} == {f"event-{n}": f"Person {n}" for n in range(300)}
