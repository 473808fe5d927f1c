"""A `picturematch serve` of one's own for a benchmark: own data folder, free port, ended when done."""

import asyncio
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
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


SERVE = ("picturematch", "serve", "--port", "0", "--log-level", "warning")
"""The module that runs as a server, and its arguments."""


@dataclass(frozen=True, slots=True)
class Server:
    """A running server; its standard input and output are pipes."""

    port: int
    process: "subprocess.Popen[bytes]"

    @property
    def pid(self) -> int:
        """The id of its process."""
        return self.process.pid

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.port}"


@contextmanager
def running_server(settings: Mapping[str, str], program: Sequence[str] = SERVE) -> Iterator[Server]:
    """Start a server with these environment settings (PICTUREMATCH_...), and stop it at the end.

    `program`: the module that runs, and its arguments.

    Raises:
        RuntimeError: it did not start; what it said is above.
    """
    with tempfile.TemporaryDirectory(prefix="picturematch-bench-") as folder:
        process = subprocess.Popen(  # noqa: S603 - our own command line
            [sys.executable, "-m", *program],
            # A log that the caller uses for real must get no load and no made-up people, unless it was asked for.
            env={**os.environ, **_OWN, "PICTUREMATCH_DATA_FOLDER": folder, **settings},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        try:
            yield Server(_port(process), process)
        finally:
            process.terminate()
            process.wait(timeout=30)
            for pipe in (process.stdin, process.stdout):
                if pipe:
                    pipe.close()


def _port(process: "subprocess.Popen[bytes]") -> int:
    for line in process.stdout or ():
        if found := _LISTENS.search(line):
            return int(found.group(1))
    raise RuntimeError("the server did not start")
