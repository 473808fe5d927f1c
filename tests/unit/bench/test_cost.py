"""bench.cost: which part a function's time belongs to, what was spent between two reports, and a metered server."""

import asyncio
import socket
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import msgspec
import numpy as np
import pybase64
import pytest
from rich.console import Console

from bench.cost import Roles, broker_process, setups_of
from bench.cost_meter import BOUNDARIES, Meter, replace
from bench.cost_parts import (
    APPEND,
    BASE64,
    CALLS,
    CHECKPOINT,
    COMMIT,
    DIGEST,
    ENGINE,
    HANDOVER,
    JSON,
    KAFKA,
    LOOP,
    PARTS,
    PROCESSING,
    RECEIVING,
    REPLY,
    SEEN,
    STORE,
    TRANSACTION,
    UNEXPLAINED,
    Place,
    Spent,
    ThreadTotals,
    Totals,
    between,
    part_of,
    thread_of,
    together,
)
from bench.cost_print import Row, part_table, print_rows, process_table
from bench.cost_server import DECIDED_ONCE, decided_once
from bench.load import LoadResult, match_call
from bench.people import enrol_features, made_up_features
from bench.pictures import drawn_photo
from bench.server import running_server
from engine.vision.networks.standin import stand_in_models
from picturematch.settings import Settings, load_settings


@pytest.mark.parametrize(
    ("module", "function", "part"),
    [
        ("aiohttp.web_protocol", "RequestHandler.start", CALLS),
        ("ingest.http", "Connection._head_stalled", CALLS),
        ("ingest.correlator", "Correlator._run", REPLY),
        ("processor.processing", "Processing.__call__", PROCESSING),
        ("processor.lane", "Lane.run", COMMIT),
        ("broker.embedded.opening", "EmbeddedBroker.append.run", APPEND),
        ("broker.embedded.readers", "EmbeddedMember.commit.run", COMMIT),
        ("broker.embedded.housekeeper", "Housekeeper._copy_wal", CHECKPOINT),
        ("broker.kafka.member", "KafkaMember._run", KAFKA),
        ("aiokafka.producer.sender", "Sender._sender_routine", KAFKA),
        ("sinks.sql", "SqlSink._write", STORE),
        ("sinks.seen", "SeenFacesOfLog._take", SEEN),
        ("asyncio.selector_events", "BaseSelectorEventLoop._read_from_self", HANDOVER),
        ("asyncio.tasks", "_release_waiter", None),
        ("sinkserver", "run", "other work"),
    ],
)
def test_a_function_belongs_to_the_part_of_the_longest_rule_for_its_name(
    module: str, function: str, part: str | None
) -> None:
    assert part_of(module, function) == part


def test_the_threads_of_a_pool_share_a_row() -> None:
    names = ("MainThread", "match_0", "match_1", "log-writer", "asyncio_3", "gallery-index")
    assert [thread_of(name) for name in names] == [
        *("event loop", "matching", "matching", "log writer", "helpers", "gallery-index")
    ]


def test_what_no_part_explains_is_shown_and_everything_adds_up() -> None:
    before = Totals(1_000, {7: ThreadTotals("event loop", 500, {JSON: 100})}, 10, 2.0)
    after = Totals(
        5_000,
        {7: ThreadTotals("event loop", 2_500, {JSON: 400}), 8: ThreadTotals("matching", 1_200, {ENGINE: 1_000})},
        30,
        2.0,
    )

    spent = between("server", before, after)

    assert spent.places_ns == {
        Place("server", "event loop", JSON): 300,
        Place("server", "event loop", LOOP): 1_700,
        Place("server", "matching", ENGINE): 1_000,
        Place("server", "matching", HANDOVER): 200,
        Place("server", "ended threads", UNEXPLAINED): 800,
    }
    assert spent.process_ns == 4_000
    assert spent.measuring_ns == 40
    assert together([spent, spent]).process_ns == 8_000


def test_every_boundary_is_a_function_and_belongs_to_a_part_of_the_table() -> None:
    assert set(BOUNDARIES.values()) <= set(PARTS)
    for boundary in BOUNDARIES:
        replace(boundary, _is_function)


def _is_function(found: object) -> object:
    assert callable(found)
    return found


def _busy(milliseconds: float) -> None:
    ends = time.thread_time() + milliseconds / 1000.0
    while time.thread_time() < ends:
        pass


def test_a_part_has_its_own_time_without_that_of_the_parts_within_it() -> None:
    meter = Meter()
    inner = meter.timed(JSON, lambda: _busy(20))

    async def work() -> str:
        _busy(10)
        await asyncio.sleep(0.05)
        inner()
        return "done"

    outer = meter.timed(CALLS, work)

    async def run() -> object:
        _busy(40)
        return await outer()

    assert asyncio.run(run()) == "done"
    spent_ms = {part: spent / 1e6 for part, spent in meter.account().spent_ns.items()}
    assert 10 <= spent_ms[CALLS] < 20 <= spent_ms[JSON] < 40


def test_errors_and_cancellation_pass_a_metered_coroutine() -> None:
    meter = Meter()
    seen: list[str] = []

    async def work() -> None:
        try:
            await asyncio.sleep(10)
        except asyncio.CancelledError:
            seen.append("cancelled")
            raise

    async def run() -> None:
        task = asyncio.create_task(meter.timed(COMMIT, work)())
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait({task})
        assert task.cancelled()
        with pytest.raises(ZeroDivisionError):
            await meter.timed(COMMIT, fails)()

    async def fails() -> None:
        await asyncio.sleep(0)
        raise ZeroDivisionError

    asyncio.run(run())
    assert seen == ["cancelled"]
    assert not meter.account().inside


def test_the_totals_of_a_process_are_its_threads_and_nothing_else() -> None:
    meter = Meter()
    ready, done = threading.Barrier(2), threading.Event()

    def work() -> None:
        meter.timed(DIGEST, _busy)(30)
        ready.wait()
        done.wait()

    before = meter.totals()
    with ThreadPoolExecutor(1, "match") as pool:
        pool.submit(work)
        ready.wait()
        spent = between("server", before, meter.totals())
        done.set()

    by_part = Counter({(place.thread, place.part): ns / 1e6 for place, ns in spent.places_ns.items()})
    assert by_part["matching", DIGEST] >= 30
    unexplained = [ns for place, ns in spent.places_ns.items() if place.part == UNEXPLAINED]
    assert abs(sum(unexplained)) < 0.1 * spent.process_ns


def test_a_decision_is_made_once() -> None:
    numbers = iter(range(10))
    decide = decided_once(lambda _: next(numbers))
    assert [decide("a"), decide("b"), decide("a")] == [0, 0, 0]
    assert next(numbers) == 1


def _rows() -> list[Row]:
    place, engine = Place("server", "event loop", JSON), Place("server", "matching", ENGINE)
    load = LoadResult([20.0] * 10, 1.0, 0)
    spent = Spent({place: 5_000_000, engine: 170_000_000, Place("server", "event loop", LOOP): 10_000}, 100_000.0)
    return [
        Row("engine alone", 1, LoadResult([18.0] * 10, 1.0, 0), None, None, None),
        Row("real engine", 1, load, 2_000_000, 30_000_000, spent),
    ]


def test_each_column_of_the_parts_adds_up_to_what_our_processes_spent() -> None:
    assert part_table(_rows()) == [
        ("process, thread", "part", "A 1"),
        ("server, event loop", JSON, "0.50"),
        ("server, matching", ENGINE, "17.00"),
        ("", "smaller parts together", "0.00"),
        ("", "all", "17.50"),
    ]


def test_the_engine_the_rest_the_broker_and_the_client_are_columns() -> None:
    head, _, row = process_table(_rows())
    cells = dict(zip(head, row, strict=True))
    wanted = {"ours": "17.50", "engine": "17.00", "beside it": "0.50", "broker": "3.00", "client": "0.20"}
    assert cells | wanted == cells


@pytest.mark.parametrize("markdown", [False, True])
def test_the_tables_are_printed_with_the_latency_that_was_added(markdown: bool) -> None:
    console = Console(width=200, record=True)
    print_rows(_rows(), "2 cores", markdown, console)
    printed = console.export_text()
    assert "Added p50 of real engine at 1 in flight: 2.00 ms." in printed
    assert ("| server, event loop | JSON | 0.50 |" in printed) is markdown


def test_the_store_is_left_out_only_where_there_is_one() -> None:
    assert [setup.name for setup in setups_of(Settings())] == [
        *("free decision", "free decision, no store", "real engine", "real engine, no store")
    ]
    on_kafka = load_settings(None, {"PICTUREMATCH_BROKER": "kafka://kafka:9092"})
    assert [setup.name for setup in setups_of(on_kafka)] == ["free decision", "real engine"]


def test_only_a_kafka_broker_on_this_machine_is_measured() -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        for named in ("embedded", f"kafka://127.0.0.1:{port}", "kafka://192.0.2.1:9092"):
            assert broker_process(load_settings(None, {"PICTUREMATCH_BROKER": named})) is None


def test_a_metered_server_answers_and_tells_what_each_part_took() -> None:
    calls = [match_call(pybase64.b64decode(drawn_photo(number)), "10.0.0.1") for number in range(3)]
    program = ("bench.cost_server", DECIDED_ONCE, "serve", "--port", "0", "--log-level", "error")
    features = made_up_features(2, stand_in_models().embedder.dimension)
    with running_server({"PICTUREMATCH_MODELS__KIND": "stand-in"}, program) as server:
        asyncio.run(enrol_features(server.url, features))
        measured = Roles({"server": server}, None).measure(calls, 40, 4)

    assert measured.load.failed == 0
    assert measured.broker_ns is None
    spent = measured.spent
    parts = {place.part: ns for place, ns in spent.places_ns.items()}
    wanted = {RECEIVING, CALLS, JSON, BASE64, APPEND, PROCESSING, DIGEST, TRANSACTION, COMMIT, REPLY, STORE, LOOP}
    assert all(parts[part] > 0 for part in wanted)
    assert abs(parts[UNEXPLAINED]) < 0.1 * spent.process_ns
    assert np.isclose(spent.process_ns, sum(spent.places_ns.values()))
    assert msgspec.json.decode(msgspec.json.encode(Totals(1, {5: ThreadTotals("t", 1, {})}, 0, 0.5)), type=Totals)
