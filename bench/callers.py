"""Callers for the overload benchmark: plain asyncio streams and prepared bytes, each caller with an address of its own
on this machine's loopback network. Meant to run in a process of their own, since server and callers share the cores."""

import asyncio
import random
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

_GIVE_UP_S = 10.0
_MOST_OPEN = 400
_MATCH = b'"retcode":"1"'


@dataclass(slots=True)
class Tally:
    """What came of the calls. `matches`: answered with the right person; `late` of these later than the deadline;
    `refused_ms`: how long each 503 took; `others`: other answers, and calls without one."""

    seconds: float = 0.0
    matches: int = 0
    late: int = 0
    refused_ms: list[float] = field(default_factory=list)
    timeouts: int = 0
    others: int = 0

    @property
    def calls(self) -> int:
        """All calls."""
        return self.matches + self.late + len(self.refused_ms) + self.timeouts + self.others

    def add(self, status: int, body: bytes, spent_s: float, deadline_s: float) -> None:
        """Count an answer."""
        if status == 200 and _MATCH in body:
            if spent_s <= deadline_s:
                self.matches += 1
            else:
                self.late += 1
        elif status == 503:
            self.refused_ms.append(spent_s * 1000.0)
        elif status == 504:
            self.timeouts += 1
        else:
            self.others += 1


@dataclass(frozen=True, slots=True)
class Target:
    """A server, what to send it (whole HTTP requests, taken in turn), and when an answer is of no use any more."""

    port: int
    calls: Sequence[bytes]
    deadline_s: float


class _Connections:
    """Kept connections by source address."""

    def __init__(self, target: Target) -> None:
        self._target = target
        self._free: dict[str, list[tuple[asyncio.StreamReader, asyncio.StreamWriter]]] = {}

    async def call(self, address: str, number: int, tally: Tally) -> None:
        """One call from that address."""
        free = self._free.setdefault(address, [])
        writer = None
        began = time.perf_counter()
        try:
            async with asyncio.timeout(_GIVE_UP_S):
                connection = free.pop() if free else await self._open(address)
                reader, writer = connection
                writer.write(self._target.calls[number % len(self._target.calls)])
                status, body, keeps = await _answer(reader)
        except (OSError, TimeoutError, asyncio.IncompleteReadError):
            tally.others += 1
            if writer is not None:
                writer.transport.abort()
            return
        tally.add(status, body, time.perf_counter() - began, self._target.deadline_s)
        if keeps:
            free.append(connection)
        else:
            writer.close()

    def close(self) -> None:
        """Close those that are kept."""
        for free in self._free.values():
            for _, writer in free:
                writer.transport.abort()

    async def _open(self, address: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_connection("127.0.0.1", self._target.port, local_addr=(address, 0))


async def _answer(reader: asyncio.StreamReader) -> tuple[int, bytes, bool]:
    head = (await reader.readuntil(b"\r\n\r\n")).lower()
    lines = head.split(b"\r\n")
    length = next(int(line.split(b":")[1]) for line in lines if line.startswith(b"content-length:"))
    return int(lines[0].split()[1]), await reader.readexactly(length), b"connection: close" not in head


def offered(target: Target, addresses: Sequence[str], rate: float, seconds: float, seed: int) -> Tally:
    """Calls at this rate whatever becomes of them, at random moments (a Poisson process), the addresses in turn."""

    async def run() -> Tally:
        tally, connections, chance = Tally(), _Connections(target), random.Random(seed)
        under_way: set[asyncio.Task[None]] = set()
        began = due = time.perf_counter()
        number = 0
        while due < began + seconds:
            await asyncio.sleep(max(0.0, due - time.perf_counter()))
            if len(under_way) < _MOST_OPEN:
                task = asyncio.create_task(connections.call(addresses[number % len(addresses)], number, tally))
                under_way.add(task)
                task.add_done_callback(under_way.discard)
            else:
                tally.others += 1
            number += 1
            due += chance.expovariate(rate)
        if under_way:
            await asyncio.wait(under_way)
        tally.seconds = time.perf_counter() - began
        connections.close()
        await asyncio.sleep(0)
        return tally

    return asyncio.run(run())


def repeated(target: Target, addresses: Sequence[str], each: int, seconds: float, pause_s: float) -> Tally:
    """`each` connections from each address, on each one call after the other, with a pause between them."""

    async def run() -> Tally:
        tally, connections = Tally(), _Connections(target)
        began = time.perf_counter()

        async def one(address: str, number: int) -> None:
            while time.perf_counter() < began + seconds:
                await connections.call(address, number, tally)
                await asyncio.sleep(pause_s)

        await asyncio.gather(*(one(address, i) for i, address in enumerate(addresses) for _ in range(each)))
        tally.seconds = time.perf_counter() - began
        connections.close()
        await asyncio.sleep(0)
        return tally

    return asyncio.run(run())
