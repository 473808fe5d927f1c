"""A receiver of webhooks for benchmarks, in a process of its own: `python -m bench.receiver fast` (or `hang`).

It prints its port. `fast` answers 200 to each request at once; `hang` reads each request and never answers.
"""

import asyncio
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_ANSWER = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 12\r\n\r\n" + b'{"status":0}'


class _Receiver(asyncio.Protocol):
    """One connection. It reads no further than a benchmark needs, so that the sink is measured and not this."""

    def __init__(self, answers: bool) -> None:
        self._answers, self._data = answers, b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        """Answer each whole request."""
        if not self._answers:
            return
        self._data += data
        while (head := self._data.find(b"\r\n\r\n")) >= 0:
            length = _LENGTH.search(self._data, 0, head)
            end = head + 4 + (int(length[1]) if length else 0)
            if len(self._data) < end:
                return
            self._data = self._data[end:]
            if isinstance(self._transport, asyncio.WriteTransport):
                self._transport.write(_ANSWER)


async def _serve(answers: bool) -> None:
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: _Receiver(answers), "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


@contextmanager
def running_receiver(manner: str) -> Iterator[str]:
    """The URL of a receiver, `fast` or `hang`, that ends with the context."""
    words = [sys.executable, "-m", "bench.receiver", manner]
    process = subprocess.Popen(words, stdout=subprocess.PIPE, text=True)  # noqa: S603 - this file
    try:
        port = process.stdout.readline().strip() if process.stdout else ""
        yield f"http://127.0.0.1:{port}/events"
    finally:
        process.terminate()
        process.wait(timeout=10)
        if process.stdout:
            process.stdout.close()


if __name__ == "__main__":
    asyncio.run(_serve(sys.argv[1] == "fast"))
