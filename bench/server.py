"""A `picturematch serve` of one's own for a benchmark: own data folder, free port, ended when done."""

import asyncio
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

from picturematch.opening import open_cluster
from picturematch.settings import Settings

_OWN = {"PICTUREMATCH_BROKER": "embedded", "PICTUREMATCH_MATCHING__TRUST_UNNAMED_FEATURES": "true"}
"""Settings of every server of a benchmark: made-up people have features that no network computed."""
_LISTENS = re.compile(rb"listens on http://[^:]+:(\d+)")


def log_environment(settings: Settings) -> Mapping[str, str]:
    """The variables by which a server uses the log of these settings, after its topics were created on Kafka; none for
    the embedded log, since every server gets a data folder of its own."""
    if settings.kafka_config is None:
        return {}

    async def create_topics() -> None:
        async with open_cluster(settings) as cluster:
            await cluster.ensure_topics(settings.topic_specs)

    asyncio.run(create_topics())
    return {"PICTUREMATCH_BROKER": settings.broker, "PICTUREMATCH_LOG__TOPIC_PREFIX": settings.log.topic_prefix}


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
            env={**os.environ, **_OWN, "PICTUREMATCH_DATA_FOLDER": folder, **settings},
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
