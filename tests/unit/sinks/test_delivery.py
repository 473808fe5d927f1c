"""Delivery to receivers on an embedded log: order, retries, dead letters, beginnings, and receivers that act."""

import asyncio
import logging
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import orjson
import pytest

from broker.embedded import EmbeddedBroker, open_embedded
from broker.port import BrokerUnavailable, NewRecord, OnRevoked
from contract.dead_letters import DeadLetter, decode_dead_letter
from contract.events import encode_event
from sinks.acting import Acting
from sinks.cloud_event import cloud_event
from sinks.delivery import deliver_events
from sinks.lane import Plan, ReceiverOff
from sinks.letters import Letters
from sinks.pacing import Pacing
from sinks.receiver import Delivered, Failed, NeverTakes, SwitchedOff
from sinks.retrying import Retrying
from sinks.wanted import Wanted
from tests.contract.embedded_make import EmbeddedMake
from tests.contract.suites import read_all
from tests.support.sinking import NOW_S, TOPICS, ScriptedReceiver, deliver, event, meter, record_of, with_topics
from tests.support.waiting import until

QUICK = Retrying(max_tries=3, first_wait_s=0.001, longest_wait_s=0.002)


@pytest.fixture
async def log(tmp_path: Path) -> AsyncIterator[EmbeddedBroker]:
    async with EmbeddedMake(tmp_path / "data").open() as broker:
        await with_topics(broker)
        yield broker


@pytest.fixture
async def timed_log(tmp_path: Path) -> AsyncIterator[EmbeddedBroker]:
    """A log with the clock of this machine."""
    async with open_embedded(tmp_path / "timed", role="owner", clock_ms=lambda: int(time.time() * 1000)) as broker:
        await with_topics(broker)
        yield broker


def plan(**changes: object) -> Plan:
    fields: dict[str, object] = {"retrying": QUICK, "from_now": False, "chance": lambda: 0.0}
    return Plan(**(fields | changes))  # type: ignore[arg-type]


async def letters(log: EmbeddedBroker) -> list[DeadLetter]:
    found = [decode_dead_letter(record.value or b"") for record in await read_all(log, TOPICS.dead_letters)]
    return [letter for letter in found if isinstance(letter, DeadLetter)]


async def test_events_arrive_in_the_order_of_their_partition_and_once(log: EmbeddedBroker) -> None:
    await log.append([record_of(event(n), partition=n % 2) for n in range(40)])
    receiver = ScriptedReceiver()
    assert await deliver(log, receiver, plan()) == 40
    for remainder in (0, 1):
        own = [f"event-{n}" for n in range(40) if n % 2 == remainder]
        assert [name for name in receiver.got if name in own] == own
    assert receiver.closed
    again = ScriptedReceiver()
    assert await deliver(log, again, plan()) == 0


async def test_a_failed_delivery_is_tried_again_before_the_next_event(log: EmbeddedBroker) -> None:
    await log.append([record_of(event(n)) for n in range(3)])
    receiver = ScriptedReceiver([Failed("it is down"), Failed("it is down")])
    measured = meter()
    assert await deliver(log, receiver, plan(), measured=measured) == 3
    assert receiver.tried == ["event-0", "event-0", "event-0", "event-1", "event-2"]
    assert await letters(log) == []


async def test_after_the_last_try_the_event_becomes_a_dead_letter_and_the_next_one_is_delivered(
    log: EmbeddedBroker,
) -> None:
    await log.append([record_of(event(n)) for n in range(2)])
    receiver = ScriptedReceiver()
    receiver.refuses = lambda found: Failed("it cannot") if found == "event-0" else None
    assert await deliver(log, receiver, plan()) == 1
    (letter,) = await letters(log)
    assert (letter.topic, letter.offset, letter.stage) == (TOPICS.events, 0, "sink/hall")
    assert (letter.error, letter.attempt) == ("it cannot", 4), "three tries, and one after the next event was taken"
    assert receiver.got == ["event-1"]


@pytest.mark.parametrize("time_s", [-1e12, 1e13, 1e300], ids=["before year 1", "after year 9999", "no date"])
@pytest.mark.parametrize("name", ["compare_time", "received_time"])
async def test_an_event_with_a_time_that_nobody_can_express_becomes_a_dead_letter(
    log: EmbeddedBroker, name: str, time_s: float
) -> None:
    await log.append([record_of(event(0, **{name: time_s})), record_of(event(1))])
    receiver = ScriptedReceiver()
    assert await deliver(log, receiver, plan()) == 1
    assert [letter.error for letter in await letters(log)] == [
        "a time of the event is before the year 1 or after the year 9999"
    ]
    assert receiver.got == ["event-1"]


async def test_an_event_that_the_sink_cannot_send_ends_no_sink_and_its_message_is_not_logged(
    log: EmbeddedBroker, caplog: pytest.LogCaptureFixture
) -> None:
    name = "Ada"

    def fail(found: str) -> Failed | None:
        if found == "event-0":
            raise TypeError(f"of {name}")
        return None

    await log.append([record_of(event(n)) for n in range(2)])
    receiver = ScriptedReceiver()
    receiver.refuses = fail
    with caplog.at_level(logging.ERROR):
        assert await deliver(log, receiver, plan()) == 1
    assert receiver.got == ["event-1"]
    (letter,) = await letters(log)
    assert letter.error.startswith("an unexpected error of the sink, TypeError")
    assert "in fail" in caplog.text, "the trace"
    assert "of Ada" not in caplog.text


async def test_a_fault_of_the_log_when_the_committed_offset_is_read_ends_no_sink(
    log: EmbeddedBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    await log.append([record_of(event(n), n % 2) for n in range(4)])
    faults = [BrokerUnavailable("out of reach")] * 3
    async with log.member(TOPICS.events, "sink-hall") as member:
        committed = member.committed

        async def faulty(partition: int) -> int | None:
            if faults:
                raise faults.pop()
            return await committed(partition)

        monkeypatch.setattr(member, "committed", faulty)
        receiver = ScriptedReceiver()
        delivering = deliver_events(
            receiver,
            member,
            log,
            TOPICS.events,
            plan(),
            Letters(TOPICS.dead_letters, "hall"),
            meter(),
            asyncio.Event(),
            idle_exit_s=0.3,
        )
        assert await delivering == 4
    assert sorted(receiver.got) == [f"event-{n}" for n in range(4)]


class TestReceiverThatIsDown:
    """Events wait for a receiver that takes none, and become dead letters only where it takes others."""

    PATIENT = Retrying(max_tries=2, first_wait_s=0.001, longest_wait_s=0.002, patience_s=600.0)

    async def test_its_events_wait_and_arrive_in_order_however_many_tries_that_takes(self, log: EmbeddedBroker) -> None:
        await log.append([record_of(event(n), partition=n % 2) for n in range(6)])
        receiver, up = ScriptedReceiver(), asyncio.Event()
        receiver.refuses = lambda _: None if up.is_set() else Failed("no connection")
        running = asyncio.create_task(deliver(log, receiver, plan(retrying=self.PATIENT), idle_exit_s=1.0))
        await until(lambda: len(receiver.tried) > 40)
        up.set()
        assert await running == 6
        # At most one event of each partition was the probe that found the receiver up.
        assert sorted(receiver.got) == [f"event-{n}" for n in range(6)]
        for remainder in (0, 1):
            own = [name for name in receiver.got if int(name[-1]) % 2 == remainder]
            assert sum(own[at] > own[at + 1] for at in range(2)) <= 1
        assert await letters(log) == []

    async def test_an_event_that_fails_alone_becomes_a_dead_letter_though_the_next_ones_fail_at_first(
        self, log: EmbeddedBroker
    ) -> None:
        """Two events that the receiver never manages, one behind the other, stop nobody."""
        await log.append([record_of(event(n)) for n in range(4)])
        bad, receiver = {"event-0", "event-1"}, ScriptedReceiver()
        receiver.refuses = lambda found: Failed("status 500") if found in bad else None
        assert await deliver(log, receiver, plan(retrying=self.PATIENT)) == 2
        assert receiver.got == ["event-2", "event-3"]
        assert [letter.offset for letter in await letters(log)] == [0, 1]

    async def test_an_event_that_fails_while_another_partition_is_delivered_becomes_a_dead_letter(
        self, log: EmbeddedBroker
    ) -> None:
        receiver, stop = ScriptedReceiver(), asyncio.Event()
        receiver.refuses = lambda found: Failed("status 500") if found == "event-0" else None
        slow = Retrying(max_tries=3, first_wait_s=0.2, longest_wait_s=0.2, patience_s=600.0)
        running = asyncio.create_task(deliver(log, receiver, plan(retrying=slow), stop, idle_exit_s=None))
        await log.append([record_of(event(0), 0)])
        for n in range(1, 40):
            await log.append([record_of(event(n), 1)])
            await asyncio.sleep(0.02)
        await until(lambda: len(receiver.got) == 39)
        stop.set()
        await running
        assert [letter.attempt for letter in await letters(log)] == [3], "no probe was needed"

    async def test_after_the_patience_the_events_become_dead_letters(self, log: EmbeddedBroker) -> None:
        await log.append([record_of(event(n)) for n in range(3)])
        receiver = ScriptedReceiver([Failed("no connection")] * 1000)
        impatient = Retrying(max_tries=2, first_wait_s=0.001, longest_wait_s=0.01, patience_s=0.2)
        assert await deliver(log, receiver, plan(retrying=impatient), idle_exit_s=1.0) == 0
        tries = [letter.attempt for letter in await letters(log)]
        assert len(tries) == 3
        assert tries[0] > 2, "the first one has waited"
        assert tries[1:] == [2, 2], "and the others wait no second time"

    async def test_an_event_that_was_delivered_early_is_not_delivered_again(self, log: EmbeddedBroker) -> None:
        await log.append([record_of(event(n)) for n in range(3)])
        receiver = ScriptedReceiver([Failed("no")] * 4)
        # Two tries of event 0 and a probe of event 1 fail, a third try of event 0 fails, and event 2 is taken.
        assert await deliver(log, receiver, plan(retrying=self.PATIENT)) == 3
        assert receiver.tried == [f"event-{n}" for n in (0, 0, 1, 0, 2, 0, 1)]
        assert receiver.got == ["event-2", "event-0", "event-1"]


class TestUploads:
    """A receiver that wants its events at most every so many seconds."""

    async def test_an_upload_has_every_event_that_was_written_before_it(self) -> None:
        pacing = Pacing(lambda: 5.0)
        assert pacing.wait_s(99.0, 100.0) == 0
        assert pacing.wait_s(100.0, 102.0) == 0, "written before the upload began"
        assert pacing.wait_s(100.5, 102.0) == 3.0
        assert pacing.wait_s(100.5, 105.0) == 0
        assert pacing.wait_s(104.9, 105.1) == 0
        assert pacing.wait_s(200.0, 106.0) == 4.0, "a clock that is ahead"
        assert pacing.wait_s(50.0, 60.0) == 0, "the clock was set back"

    async def test_events_wait_for_the_next_upload_and_a_shorter_period_takes_effect_at_once(
        self, timed_log: EmbeddedBroker
    ) -> None:
        receiver, stop, period = ScriptedReceiver(), asyncio.Event(), [3600.0]
        paced = plan(pacing=Pacing(lambda: period[0]))
        await timed_log.append([record_of(event(0))])
        running = asyncio.create_task(deliver(timed_log, receiver, paced, stop, idle_exit_s=None))
        await until(lambda: receiver.got == ["event-0"])
        await timed_log.append([record_of(event(1)), record_of(event(2), 1)])
        await asyncio.sleep(0.4)
        assert receiver.got == ["event-0"]
        period[0] = 0.1
        await until(lambda: set(receiver.got) == {"event-0", "event-1", "event-2"})
        period[0] = 3600.0
        await timed_log.append([record_of(event(3))])
        await asyncio.sleep(0.2)
        stop.set()
        await asyncio.wait_for(running, 5)
        assert "event-3" not in receiver.got
        await deliver(timed_log, receiver, plan())
        assert receiver.got[-1] == "event-3", "it was kept"


async def test_a_new_sink_can_begin_at_a_time(timed_log: EmbeddedBroker) -> None:
    await timed_log.append([record_of(event(0))])
    await asyncio.sleep(0.05)
    from_s = time.time()
    await asyncio.sleep(0.05)
    await timed_log.append([record_of(event(1)), record_of(event(2), 1)])
    receiver = ScriptedReceiver()
    await deliver(timed_log, receiver, plan(from_s=from_s))
    assert set(receiver.got) == {"event-1", "event-2"}
    await timed_log.append([record_of(event(3))])
    await deliver(timed_log, receiver, plan(from_s=time.time() + 100))
    assert receiver.got[-1] == "event-3", "a group that has an offset goes on there"


async def test_an_event_that_a_receiver_never_takes_is_tried_once(log: EmbeddedBroker) -> None:
    await log.append([record_of(event(n)) for n in range(2)])
    receiver = ScriptedReceiver([NeverTakes("it is too large")])
    await deliver(log, receiver, plan())
    assert receiver.tried == ["event-0", "event-1"]
    assert [letter.error for letter in await letters(log)] == ["it is too large"]


def of_a_newer_version() -> bytes:
    """An event with a word that this version does not know, as a newer writer may use it within a type's version."""
    fields = orjson.loads(encode_event(event(9)))
    return orjson.dumps({**fields, "threshold": {**fields["threshold"], "rule": "a-rule-of-tomorrow"}})


@pytest.mark.parametrize(
    ("record", "reason"),
    [
        (NewRecord(TOPICS.events, b"", b"{}", partition=0), "has no type"),
        (NewRecord(TOPICS.events, b"", b"{", (("ce_type", b"picturematch.match.v1"),), 0), "not an event"),
        (NewRecord(TOPICS.events, b"", b"{}", (("ce_type", b"picturematch.match.v2"),), 0), "version 2"),
        (replace(record_of(event(9)), value=of_a_newer_version()), "upgrade this program"),
    ],
    ids=["foreign", "damaged JSON", "future type", "future word"],
)
async def test_foreign_and_future_records_become_dead_letters(
    log: EmbeddedBroker, record: NewRecord, reason: str
) -> None:
    await log.append([record, record_of(event(1))])
    receiver = ScriptedReceiver()
    assert await deliver(log, receiver, plan()) == 1
    (letter,) = await letters(log)
    assert reason in letter.error
    assert letter.value == record.value


async def test_the_event_of_an_erasure_of_an_earlier_version_has_no_headers_and_is_passed_on(
    log: EmbeddedBroker,
) -> None:
    erased = event(0, kind="erase", outcome="erased")
    await log.append([NewRecord(TOPICS.events, b"", encode_event(erased), partition=0)])
    receiver = ScriptedReceiver()
    assert await deliver(log, receiver, plan()) == 1
    assert await letters(log) == []
    (found,) = receiver.events
    named = orjson.loads(cloud_event(found))
    assert {name: named[name] for name in ("specversion", "id", "source", "type")} == {
        "specversion": "1.0",
        "id": "event-0",
        "source": "/picturematch",
        "type": "picturematch.person.v1",
    }


async def test_events_that_are_not_wanted_are_passed_over(log: EmbeddedBroker) -> None:
    await log.append(
        [
            record_of(event(0, outcome="stranger")),
            record_of(event(1, replay_of="x")),
            record_of(event(2, repeat_of="x")),
            record_of(event(3, device_ip="10.0.0.2")),
            record_of(event(4)),
        ]
    )
    receiver = ScriptedReceiver()
    await deliver(log, receiver, plan(wanted=Wanted(outcomes=("matched",), devices=("10.0.0.1",))))
    assert receiver.got == ["event-4"]


async def test_a_new_sink_begins_with_the_newest_event_and_an_old_one_where_it_was(log: EmbeddedBroker) -> None:
    await log.append([record_of(event(0), 0), record_of(event(1), 1)])
    receiver, stop = ScriptedReceiver(), asyncio.Event()
    running = asyncio.create_task(deliver(log, receiver, plan(from_now=True), stop, idle_exit_s=None))
    await asyncio.sleep(0.2)
    await log.append([record_of(event(2))])
    await until(lambda: receiver.got == ["event-2"])
    stop.set()
    await running
    await log.append([record_of(event(3), 1)])  # of a partition of which the sink has delivered nothing
    await deliver(log, receiver, plan(from_now=True))
    assert receiver.got == ["event-2", "event-3"]


async def test_a_receiver_that_switches_itself_off_keeps_its_events(log: EmbeddedBroker) -> None:
    await log.append([record_of(event(n)) for n in range(2)])
    with pytest.raises(ReceiverOff, match="is gone"):
        await deliver(log, ScriptedReceiver([Delivered(), SwitchedOff("the receiver is gone")]), plan())
    receiver = ScriptedReceiver()
    await deliver(log, receiver, plan())
    assert receiver.got == ["event-1"]


async def test_a_stop_ends_the_tries_and_keeps_the_event(log: EmbeddedBroker) -> None:
    await log.append([record_of(event(0))])
    slow = plan(retrying=Retrying(first_wait_s=60.0))
    receiver, stop = ScriptedReceiver([Failed("it is down")]), asyncio.Event()
    running = asyncio.create_task(deliver(log, receiver, slow, stop, idle_exit_s=None))
    await until(lambda: receiver.tried)
    stop.set()
    assert await asyncio.wait_for(running, 5) == 0
    assert await deliver(log, receiver, plan()) == 1


async def test_a_partition_that_passes_to_another_process_is_committed_up_to_what_is_delivered(
    log: EmbeddedBroker,
) -> None:
    """Else the other process would deliver the events since the last commit, of a second ago, once more."""
    await log.append([record_of(event(n)) for n in range(3)])
    receiver, stop = ScriptedReceiver(), asyncio.Event()
    async with log.member(TOPICS.events, "sink-hall") as member:
        revoke: list[OnRevoked] = []
        member.on_revoked = revoke.append  # type: ignore[method-assign]
        letters_of = Letters(TOPICS.dead_letters, "hall")
        delivering = deliver_events(receiver, member, log, TOPICS.events, plan(), letters_of, meter(), stop)
        running = asyncio.create_task(delivering)
        await until(lambda: len(receiver.got) == 3)
        assert await member.committed(0) is None
        await revoke[0](frozenset({0}))
        assert await member.committed(0) == 3
        stop.set()
        await running


async def test_a_hanging_receiver_holds_a_bounded_number_of_records(log: EmbeddedBroker) -> None:
    await log.append([record_of(event(n)) for n in range(2000)])
    receiver, stop = ScriptedReceiver(), asyncio.Event()
    receiver.holds = asyncio.Event()
    running = asyncio.create_task(deliver(log, receiver, plan(), stop, idle_exit_s=None))
    await until(lambda: receiver.tried)
    await asyncio.sleep(0.3)
    lane = next(task for task in asyncio.all_tasks() if task.get_name() == "sink-hall-0")
    held = lane.get_coro().cr_frame.f_locals["self"]._records  # type: ignore[union-attr]
    assert 0 < len(held) <= 700
    receiver.holds.set()
    await until(lambda: len(receiver.got) == 2000, 30)
    stop.set()
    await running


async def test_a_horizon_beyond_the_retention_is_told_at_the_start(
    log: EmbeddedBroker, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        await deliver(log, ScriptedReceiver(), plan(retrying=Retrying(), retention_ms=60_000))
    assert "lower retrying.max_tries" in caplog.text


class TestActing:
    def acting(self, now_s: float, **changes: object) -> Plan:
        return plan(acting=Acting(**changes), clock=lambda: now_s)  # type: ignore[arg-type]

    async def run(self, log: EmbeddedBroker, receiver: ScriptedReceiver, at: Plan, *records: NewRecord) -> None:
        """Let a sink start, then append the records."""
        stop = asyncio.Event()
        running = asyncio.create_task(deliver(log, receiver, at, stop, idle_exit_s=None))
        await asyncio.sleep(0.2)
        await log.append(records)
        await asyncio.sleep(0.3)
        stop.set()
        await running

    async def test_it_gets_a_matched_person_within_moments(self, log: EmbeddedBroker) -> None:
        receiver = ScriptedReceiver()
        await self.run(log, receiver, self.acting(NOW_S + 1.5), record_of(event(0)), record_of(event(1), 1))
        assert receiver.got == ["event-0", "event-1"]

    @pytest.mark.parametrize(
        "changes",
        [
            {"outcome": "stranger", "retcode": "0"},
            {"outcome": "blacklisted", "retcode": "1"},
            {"outcome": "known_stranger", "retcode": "0", "person_type": 4},
            {"outcome": "known_stranger", "retcode": "1", "person_type": 4},
            {"outcome": "matched", "retcode": "1", "person_type": 4},
            {"outcome": "matched", "retcode": "0"},
            {"kind": "compare"},
            {"replay_of": "x"},
            {"retry_of": "x"},
            {"repeat_of": "x"},
            {"received_time": NOW_S - 1.1},
            {"received_time": NOW_S + 1.3},
            {"cosine": 0.47},
            {"cosine": None},
            {"threshold": None},
        ],
        ids=str,
    )
    async def test_it_gets_nothing_else(self, log: EmbeddedBroker, changes: dict[str, object]) -> None:
        receiver = ScriptedReceiver()
        wrong, right = record_of(event(0, **changes)), record_of(event(1))
        await self.run(log, receiver, self.acting(NOW_S + 1.0), wrong, right)
        assert receiver.tried == ["event-1"]

    async def test_a_small_difference_between_the_clocks_does_not_matter(self, log: EmbeddedBroker) -> None:
        receiver = ScriptedReceiver()
        ahead = record_of(event(0, received_time=NOW_S + 0.2))
        await self.run(log, receiver, self.acting(NOW_S), ahead)
        assert receiver.tried == ["event-0"]

    @pytest.mark.parametrize(
        ("answer", "told"),
        [
            (Failed("no answer"), "does not know whether its receiver has acted on event event-0, and does not try"),
            (Failed("no connection", sent=False), "did not act on event event-0: no connection"),
            (NeverTakes("status 400"), "did not act on event event-0: status 400"),
        ],
        ids=["no answer", "nothing sent", "refused"],
    )
    async def test_the_log_says_what_is_known_of_a_failed_delivery(
        self, log: EmbeddedBroker, caplog: pytest.LogCaptureFixture, answer: Failed | NeverTakes, told: str
    ) -> None:
        with caplog.at_level(logging.ERROR):
            await self.run(log, ScriptedReceiver([answer]), self.acting(NOW_S), record_of(event(0)))
        assert told in caplog.text

    async def test_it_gets_no_backlog_however_young(self, log: EmbeddedBroker) -> None:
        records = [record_of(event(n, received_time=NOW_S)) for n in range(4)]
        receiver = ScriptedReceiver()
        await log.append(records[:1])
        await self.run(log, receiver, self.acting(NOW_S), records[1])
        await log.append(records[2:3])
        await self.run(log, receiver, self.acting(NOW_S), records[3])
        assert receiver.tried == ["event-1", "event-3"]

    async def test_of_a_backlog_only_the_first_passage_is_logged(
        self, log: EmbeddedBroker, caplog: pytest.LogCaptureFixture
    ) -> None:
        await self.run(log, ScriptedReceiver(), self.acting(NOW_S), record_of(event(0, received_time=NOW_S)))
        strangers = [event(n, outcome="stranger", retcode="0") for n in range(1, 3)]
        passages = [event(n, received_time=NOW_S) for n in range(3, 6)]
        await log.append([record_of(one) for one in (*strangers, *passages)])
        with caplog.at_level(logging.WARNING):
            await self.run(log, ScriptedReceiver(), self.acting(NOW_S))
        told = [message for message in caplog.messages if "does not act" in message]
        assert told == ["sink hall does not act on event event-3: backlog"]

    async def test_nothing_is_tried_again(self, log: EmbeddedBroker) -> None:
        receiver = ScriptedReceiver([Failed("no answer")])
        await self.run(log, receiver, self.acting(NOW_S), record_of(event(0)))
        await self.run(log, receiver, self.acting(NOW_S))
        assert receiver.tried == ["event-0"]

    async def test_the_offset_is_committed_before_the_receiver_acts(self, log: EmbeddedBroker) -> None:
        """As when the process is killed while the receiver acts: no second try after the next start."""
        receiver = ScriptedReceiver()
        receiver.holds = asyncio.Event()
        running = asyncio.create_task(deliver(log, receiver, self.acting(NOW_S), idle_exit_s=None))
        await asyncio.sleep(0.2)
        await log.append([record_of(event(0))])
        await until(lambda: receiver.tried)
        running.cancel()
        await asyncio.wait({running})
        async with log.member(TOPICS.events, "sink-hall") as member:
            assert await member.committed(0) == 1

    async def test_a_margin_and_a_liveness_mode_can_be_demanded(self, log: EmbeddedBroker) -> None:
        receiver = ScriptedReceiver()
        strict = self.acting(NOW_S, margin=0.3, liveness="liveness_off")
        near, clear = event(0), event(1, cosine=0.79, received_time=NOW_S)
        await self.run(log, receiver, strict, record_of(near), record_of(clear))
        assert receiver.got == ["event-1"]
        live = self.acting(NOW_S, liveness="liveness_rgb")
        await self.run(log, receiver, live, record_of(event(2, received_time=NOW_S)))
        assert receiver.got == ["event-1"]
