"""A lean HTTP client that keeps so many requests in flight and notes how long each took.

It sends prepared bytes over kept connections and reads answers no further than needed, so that what is measured is the
server and not the client: both share the machine's cores.
"""

import asyncio
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import cycle
from typing import Any

import numpy as np
import orjson
import pybase64


@dataclass(frozen=True, slots=True)
class LoadResult:
    """`latencies_ms` of every request, the whole run's seconds, and how many answers were not HTTP 200."""

    latencies_ms: Sequence[float]
    seconds: float
    failed: int

    @property
    def per_second(self) -> float:
        """Requests per second."""
        return len(self.latencies_ms) / self.seconds

    def percentile(self, share: float) -> float:
        """A percentile (0..100) of the latencies, milliseconds."""
        return float(np.percentile(self.latencies_ms, share))


def merged_load(parts: Sequence[LoadResult]) -> LoadResult:
    """Return several loads as one."""
    return LoadResult(
        [spent for part in parts for spent in part.latencies_ms],
        sum(part.seconds for part in parts),
        sum(part.failed for part in parts),
    )


def match_call(jpeg: bytes, device_ip: str, **fields: Any) -> bytes:
    """A whole PictureMatch request with further `fields`, ready to be sent."""
    picture = pybase64.b64encode(jpeg).decode()
    body = orjson.dumps({"device_ip": device_ip, "rgb_image_base64": picture, **fields})
    head = (
        "POST /SophonMatch/api/PictureMatch HTTP/1.1\r\nHost: bench\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


async def run_load(port: int, calls: Sequence[bytes], count: int, concurrency: int) -> LoadResult:
    """Send `count` requests, the calls in turn, with `concurrency` of them in flight."""
    latencies_ms: list[float] = []
    failed = 0
    todo: Iterator[bytes] = (call for call, _ in zip(cycle(calls), range(count), strict=False))

    async def one_connection() -> None:
        nonlocal failed
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        try:
            for call in todo:
                began = time.perf_counter()
                writer.write(call)
                await writer.drain()
                status = await _read_answer(reader)
                latencies_ms.append((time.perf_counter() - began) * 1000.0)
                failed += status != 200
        finally:
            writer.close()
            await writer.wait_closed()

    began = time.perf_counter()
    await asyncio.gather(*(one_connection() for _ in range(concurrency)))
    return LoadResult(latencies_ms, time.perf_counter() - began, failed)


async def _read_answer(reader: asyncio.StreamReader) -> int:
    head = await reader.readuntil(b"\r\n\r\n")
    lines = head.split(b"\r\n")
    length = next(int(line.split(b":")[1]) for line in lines if line.lower().startswith(b"content-length:"))
    await reader.readexactly(length)
    return int(lines[0].split()[1])
