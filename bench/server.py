"""A `picturematch serve` of one's own for a benchmark: own data folder, free port, ended when done."""

import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

_LISTENS = re.compile(rb"listens on http://[^:]+:(\d+)")


@dataclass(frozen=True, slots=True)
class Server:
    """A running server."""

    port: int
    pid: int

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.port}"


@contextmanager
def running_server(settings: Mapping[str, str]) -> Iterator[Server]:
    """Start a server with these environment settings (PICTUREMATCH_...), and stop it at the end.

    Raises:
        RuntimeError: it did not start; what it said is above.
    """
    with tempfile.TemporaryDirectory(prefix="picturematch-bench-") as folder:
        process = subprocess.Popen(
            [sys.executable, "-m", "picturematch", "serve", "--port", "0", "--log-level", "warning"],
            # A log that the caller uses for real must get no load and no made-up people, unless it was asked for.
            env={**os.environ, "PICTUREMATCH_BROKER": "embedded", "PICTUREMATCH_DATA_FOLDER": folder, **settings},
            stdout=subprocess.PIPE,
        )
        try:
            yield Server(_port(process), process.pid)
        finally:
            process.terminate()
            process.wait(timeout=30)
            if process.stdout:
                process.stdout.close()


def _port(process: "subprocess.Popen[bytes]") -> int:
    for line in process.stdout or ():
        if found := _LISTENS.search(line):
            return int(found.group(1))
    raise RuntimeError("the server did not start")
