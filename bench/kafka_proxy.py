"""A proxy between Kafka clients and a broker that understands the protocol's frames and does harm by rule.

It stands before a broker that tells its clients to come here (`tests.support.kafka_dev.ProxyPorts`), and changes no
byte: it holds, delays and loses whole frames, resets connections, or leaves them open in silence.
"""

import asyncio
import contextlib
import random
import socket
import struct
from collections import Counter
from collections.abc import Callable, Coroutine
from typing import Any, Self

from bench.kafka_frames import Act, Request, Rule, correlation_of, error_of, matches, parse_request

_CONNECT_S = 10.0
_ANSWER_S = 30.0
_BEHIND_S = 20.0


class Applied:
    """A rule at work: what it caught, and when that is let go."""

    def __init__(self, rule: Rule) -> None:
        self.rule = rule
        self.caught: list[Request] = []
        self.late: list[tuple[Request, int | None]] = []
        """What was delivered late, with the error code in the broker's answer: 0 for none; None where it never came."""
        self._passed = 0
        self._released = asyncio.Event()

    def release(self) -> None:
        """Let go what was caught, and catch nothing more."""
        self._released.set()

    def catches(self, request: Request, chance: random.Random) -> bool:
        """Whether the rule applies to this one, which is counted."""
        spent = self.rule.times is not None and len(self.caught) >= self.rule.times
        if spent or self._released.is_set() or not matches(self.rule, request):
            return False
        if self._passed < self.rule.skip or chance.random() >= self.rule.share:
            self._passed += 1
            return False
        self.caught.append(request)
        return True

    async def wait(self, chance: random.Random) -> None:
        """Until what was caught may go on."""
        if self.rule.delay_ms is None:
            await self._released.wait()
        else:
            await asyncio.sleep(chance.uniform(*self.rule.delay_ms) / 1000)


class Connection:
    """A client's connection and that to the broker. `requests` counts what it carried, by Kafka's numbers."""

    def __init__(self, number: int, client: asyncio.StreamWriter, broker: asyncio.StreamWriter) -> None:
        self.number = number
        self.client, self.broker = client, broker
        self.requests: Counter[int] = Counter()
        self.silent = False
        self.pending: dict[int, tuple[Request, Applied | None]] = {}

    def reset(self) -> None:
        """End both sides by a reset instead of an orderly end."""
        for side in (self.client, self.broker):
            raw = side.get_extra_info("socket")
            if raw is not None and raw.fileno() >= 0:
                raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            side.transport.abort()


class KafkaProxy:
    """Listens on `front` and passes on to `behind`, both ports of the loopback interface.

    Usage: `async with KafkaProxy(front, behind) as proxy`, then `proxy.add(rule)`. Chance comes from `seed`.
    """

    def __init__(self, front: int, behind: int, seed: int = 0) -> None:
        self._front, self._behind = front, behind
        self.chance = random.Random(seed)
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[Any]] = set()
        self._count = 0
        self.bootstrap = f"127.0.0.1:{front}"
        self.rules: list[Applied] = []
        self.connections: dict[int, Connection] = {}
        self.passed: list[tuple[str, Request]] = []
        """("request" or "answer", the request), in the order in which the proxy passed them on."""
        self.keep_passed = True
        self._awaited: dict[tuple[int, str], asyncio.Event] = {}

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", self._front)
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._server is not None:
            self._server.close()
        for connection in list(self.connections.values()):
            connection.reset()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def add(self, rule: Rule) -> Applied:
        """Apply the rule from now on."""
        applied = Applied(rule)
        self.rules.append(applied)
        return applied

    def remove(self, applied: Applied) -> None:
        """Apply the rule no more, and let go what it caught."""
        self.rules.remove(applied)
        applied.release()

    def silence(self, chosen: Callable[[Connection], bool] = lambda _: True) -> int:
        """From now on swallow all that comes on these connections, from both sides, and tell nobody; how many."""
        found = [each for each in self.connections.values() if not each.silent and chosen(each)]
        for connection in found:
            connection.silent = True
        return len(found)

    def answered(self, api_key: int) -> int:
        """How many answers to such requests were passed on."""
        return sum(1 for what, request in self.passed if what == "answer" and request.api_key == api_key)

    def _start(self, work: Coroutine[Any, Any, None]) -> "asyncio.Task[None]":
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._start(self._serve(reader, writer))

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            from_broker, to_broker = await asyncio.open_connection("127.0.0.1", self._behind)
        except OSError:
            writer.transport.abort()
            return
        self._count += 1
        connection = self.connections[self._count] = Connection(self._count, writer, to_broker)
        ways = [
            self._start(self._requests(connection, reader)),
            self._start(self._answers(connection, from_broker)),
        ]
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
            if connection.silent:  # then the client is not told that the broker is gone
                await asyncio.wait(ways[:1])
        finally:
            for way in ways:
                way.cancel()
            connection.reset()
            del self.connections[connection.number]

    async def _requests(self, connection: Connection, reader: asyncio.StreamReader) -> None:
        while (frame := await _frame(reader)) is not None:
            request = parse_request(connection.number, frame)
            connection.requests[request.api_key] += 1
            applied = next((each for each in self.rules if each.catches(request, self.chance)), None)
            if connection.silent:
                continue
            match applied.rule.act if applied is not None else None:
                case Act.LATE_AFTER_RESET | Act.LATE_AFTER_SILENCE if applied is not None:
                    self._start(self._deliver_late(applied, request))
                    if applied.rule.act is Act.LATE_AFTER_RESET:
                        return
                    connection.silent = True
                    continue
                case Act.HOLD if applied is not None:
                    await applied.wait(self.chance)
            connection.pending[request.correlation] = (request, applied)
            self._note("request", request)
            if awaited := self._awaited.pop((request.api_key, request.transactional_id), None):
                awaited.set()
            with contextlib.suppress(OSError):
                connection.broker.write(frame)
                await connection.broker.drain()

    async def _answers(self, connection: Connection, reader: asyncio.StreamReader) -> None:
        while (frame := await _frame(reader)) is not None:
            if connection.silent:
                continue
            request, applied = connection.pending.pop(correlation_of(frame), (None, None))
            if applied is not None and applied.rule.act is Act.LOSE_ANSWER:
                return
            if applied is not None and applied.rule.act is Act.SLOW_ANSWER:
                await applied.wait(self.chance)
            if request is not None:
                self._note("answer", request)
            with contextlib.suppress(OSError):
                connection.client.write(frame)
                await connection.client.drain()

    def _note(self, what: str, request: Request) -> None:
        if self.keep_passed:
            self.passed.append((what, request))

    async def _deliver_late(self, applied: Applied, request: Request) -> None:
        if applied.rule.behind is not None:
            awaited = self._awaited.setdefault((applied.rule.behind, request.transactional_id), asyncio.Event())
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_BEHIND_S):
                    await awaited.wait()
        await applied.wait(self.chance)
        try:
            async with asyncio.timeout(_CONNECT_S):
                reader, writer = await asyncio.open_connection("127.0.0.1", self._behind)
            writer.write(request.frame)
            async with asyncio.timeout(_ANSWER_S):
                answer = await _frame(reader)
            applied.late.append((request, None if answer is None else error_of(request, answer)))
            writer.transport.abort()
        except (OSError, TimeoutError):
            applied.late.append((request, None))  # the broker is away: this one never arrives


async def _frame(reader: asyncio.StreamReader) -> bytes | None:
    """The next frame with its length in front; None at the end."""
    try:
        head = await reader.readexactly(4)
        return head + await reader.readexactly(struct.unpack(">i", head)[0])
    except (asyncio.IncompleteReadError, OSError):
        return None
