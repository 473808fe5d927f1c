"""The callers of the overload benchmark count what they get."""

import asyncio

from bench.callers import Tally, Target, offered, repeated
from bench.load import match_call
from tests.support.scripted_server import Body, refusal, scripted_server


def test_every_answer_is_counted_once():
    tally = Tally()
    tally.add(200, b'{"retcode":"1"}', 0.5, 3.0)
    tally.add(200, b'{"retcode":"1"}', 3.5, 3.0)
    tally.add(200, b'{"retcode":"0"}', 0.5, 3.0)
    tally.add(503, b"{}", 0.25, 3.0)
    tally.add(504, b"{}", 3.0, 3.0)
    assert (tally.matches, tally.late, tally.others, tally.refused_ms, tally.timeouts) == (1, 1, 1, [250.0], 1)
    assert tally.calls == 5


async def test_callers_call_at_a_rate_or_one_after_the_other_and_bear_broken_connections():
    asked = 0

    def answer(body: Body) -> tuple[int, object] | None:
        nonlocal asked
        asked += 1
        if asked % 3 == 0:
            return None
        return refusal(50380) if asked % 3 == 1 else (200, '{"retcode":"1"}')

    async with scripted_server(answer) as server:
        target = Target(int(server.url.rsplit(":", 1)[1]), [match_call(b"jpeg", "10.0.0.1")], 30.0)
        steady = await asyncio.to_thread(offered, target, ["127.0.0.5", "127.0.0.6"], 100.0, 0.5, 7)
        assert steady.calls == asked > 10
        assert min(steady.matches, len(steady.refused_ms), steady.others) >= asked // 3 - 1
        before = asked
        looped = await asyncio.to_thread(repeated, target, ["127.0.0.5"], 3, 0.3, 0.01)
        assert looped.calls == asked - before >= 3
