"""Who is let in: counts, times and memory, for each peer."""

import asyncio
from contextlib import AsyncExitStack

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contract.answers import Effort, RefusedAnswer, Reply
from contract.errors import Code
from ingest.admission import Admission
from ingest.line import Shed

REPLY = Reply(
    request_id="r",
    answer=RefusedAnswer(code=int(Code.NO_FACE), message=""),
    gallery_version=0,
    effort=Effort(waited_s=0.0, worked_s=1.0),
)


def refused(admission: Admission, peer: str) -> str | None:
    """The reason why a call of that peer does not come in; None: it does."""
    try:
        admission.require_room(peer, log_available=True, line=admission.line)
    except Shed as shed:
        return shed.reason
    return None


def test_as_many_as_may_come_in_and_the_next_after_one_has_left() -> None:
    admission = Admission(2, 100, 3.0)
    for _ in range(2):
        assert refused(admission, "a") is None
        admission.enter("a", admission.line)
    assert refused(admission, "a") == "in_flight"
    with pytest.raises(Shed) as shed:
        admission.enter("a", admission.line)
    assert shed.value.code is Code.OVERLOADED
    admission.leave("a")
    admission.enter("a", admission.line)
    assert admission.in_flight == 2


@pytest.mark.parametrize(("draining", "available", "reason"), [(True, True, "draining"), (False, False, "log")])
def test_it_says_why_it_lets_nobody_in(draining: bool, available: bool, reason: str) -> None:
    admission = Admission(2, 100, 3.0)
    admission.draining = draining
    with pytest.raises(Shed) as shed:
        admission.require_room("a", log_available=available, line=admission.line)
    assert shed.value.reason == reason
    assert admission.in_flight == 0


async def waiting_calls(admission: Admission, stack: AsyncExitStack, peers: list[str]) -> list[asyncio.Task[None]]:
    """A call of each peer, in this order; each holds its place in the log until it is cancelled."""

    async def call(peer: str) -> None:
        admission.enter(peer, admission.line)
        try:
            async with admission.line.turn(peer, asyncio.get_running_loop().time() + 60):
                await asyncio.Event().wait()
        finally:
            admission.leave(peer)

    tasks = []
    for peer in peers:
        tasks.append(asyncio.create_task(call(peer)))
        stack.callback(tasks[-1].cancel)
        await asyncio.sleep(0)
    return tasks


async def test_when_all_places_are_taken_the_peer_that_has_most_makes_way() -> None:
    admission = Admission(16, 100, 60.0)
    async with AsyncExitStack() as stack:
        calls = await waiting_calls(admission, stack, ["greedy"] * 16)
        assert (admission.line.in_log, admission.line.length) == (8, 8)
        assert refused(admission, "greedy") == "in_flight"
        (honest,) = await waiting_calls(admission, stack, ["honest"])
        await asyncio.sleep(0)
        assert not honest.done()
        pushed_out = [call for call in calls if call.done()]
        assert pushed_out == [calls[-1]], "the newest"
        with pytest.raises(Shed) as shed:
            await pushed_out[0]
        assert shed.value.reason == "turn"
        assert admission.in_flight == 16


async def test_a_call_that_is_cancelled_while_it_waits_leaves_no_trace() -> None:
    admission = Admission(64, 100, 60.0)
    async with AsyncExitStack() as stack:
        calls = await waiting_calls(admission, stack, ["a"] * 12)
        for call in calls[6:]:
            call.cancel()
        await asyncio.gather(*calls[6:], return_exceptions=True)
        assert (admission.line.in_log, admission.line.length, admission.in_flight) == (6, 0, 6)


async def test_a_turn_that_is_given_in_the_moment_of_a_cancellation_goes_to_the_next() -> None:
    admission = Admission(64, 100, 60.0)
    async with AsyncExitStack() as stack:
        calls = await waiting_calls(admission, stack, ["a"] * 10)
        calls[0].cancel()
        await asyncio.sleep(0)  # gives the ninth its turn, which does not know it yet
        calls[8].cancel()
        await asyncio.gather(calls[0], calls[8], return_exceptions=True)
        await asyncio.sleep(0)
        assert (admission.line.in_log, admission.line.length) == (8, 0)


async def test_a_call_whose_turn_does_not_come_in_time_is_refused() -> None:
    admission = Admission(64, 100, 60.0)
    async with AsyncExitStack() as stack:
        await waiting_calls(admission, stack, ["a"] * 8)
        with pytest.raises(Shed) as shed:
            async with admission.line.turn("b", asyncio.get_running_loop().time() + 0.05):
                pass
        assert shed.value.reason == "late"
        assert admission.line.length == 0


async def learn_pace(admission: Admission, calls: int, spent_s: float) -> None:
    """So many calls of a peer at once, each of which takes so long."""

    async def one() -> None:
        async with admission.line.turn("b", asyncio.get_running_loop().time() + 60) as place:
            place.appended = True
            await asyncio.sleep(spent_s)
            place.reply = REPLY

    await asyncio.gather(*(one() for _ in range(calls)), return_exceptions=True)


async def test_what_would_come_too_late_is_refused_at_once() -> None:
    admission = Admission(64, 100, deadline_s=2.0)
    await learn_pace(admission, 24, 0.4)
    async with AsyncExitStack() as stack:
        await waiting_calls(admission, stack, ["greedy"] * admission.line.limit)
        assert refused(admission, "greedy") is None, "there is no line yet"
        for _ in range(60):
            if refused(admission, "greedy") is not None:
                break
            await waiting_calls(admission, stack, ["greedy"])
        assert refused(admission, "greedy") == "wait"
        assert 2 <= admission.line.length < 50
        assert refused(admission, "honest") is None, "one of the greedy one's makes way"


async def test_slow_answers_alone_keep_nobody_out_who_has_nothing_under_way() -> None:
    admission = Admission(64, 100, deadline_s=0.4)
    await learn_pace(admission, 1, 0.5)
    assert refused(admission, "greedy") is None
    async with AsyncExitStack() as stack:
        await waiting_calls(admission, stack, ["greedy"])
        assert refused(admission, "greedy") == "wait"
        assert refused(admission, "honest") is None


# Memory.


def test_bytes_are_held_and_released() -> None:
    admission = Admission(2, 90, 3.0)
    admission.reserve("a", 60)
    with pytest.raises(Shed) as shed:
        admission.reserve("a", 1)
    assert shed.value.reason == "memory"
    admission.reserve("b", 20)
    admission.release("a", 60)
    admission.release("b", 20)
    assert admission.reserved_bytes == 0


@given(st.lists(st.tuples(st.integers(0, 40), st.integers(1, 300)), max_size=300))
def test_whatever_others_hold_there_is_room_for_one_who_comes(asked: list[tuple[int, int]]) -> None:
    admission = Admission(2, 100_000, 3.0)
    for peer, size in asked:
        try:
            admission.reserve(f"{peer}", size * 100)
        except Shed:
            continue
    assert admission.reserved_bytes <= 100_000
    free = 100_000 - admission.reserved_bytes
    assert free > 0
    admission.reserve("newcomer", 2 * free // 3)


async def test_what_waits_for_the_admin_topic_keeps_no_match_waiting() -> None:
    admission = Admission(max_in_flight=400, max_reserved_bytes=1000, deadline_s=3.0)
    loop = asyncio.get_running_loop()
    async with AsyncExitStack() as stack:
        for _ in range(admission.admin_line.limit):
            admission.enter("importer", admission.admin_line)
            await stack.enter_async_context(admission.admin_line.turn("importer", loop.time() + 60))
        waiting = asyncio.ensure_future(
            stack.enter_async_context(admission.admin_line.turn("importer", loop.time() + 60))
        )
        await asyncio.sleep(0)
        assert admission.admin_line.length == 1
        admission.enter("door", admission.line)
        async with asyncio.timeout(1), admission.line.turn("door", loop.time() + 60):
            assert admission.line.in_log == 1
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
