"""Running systems with stand-in networks that a test may break off and start again: real processes on either log, and a
system in the test's own process whose clock the test sets."""

import asyncio
import signal
import time
import uuid
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from bench.command import Command
from broker.embedded import EmbeddedBroker
from broker.port import NewRecord
from contract.codec import encode
from contract.requests import Headers, MatchRequest
from picturematch.opening import open_broker
from picturematch.settings import Settings, load_settings
from picturematch.system import System
from picturematch.wiring import run_system
from tests.support.commands import Finished, run
from tests.support.faces import MODELS

START_S = 180.0


class Site(Protocol):
    """A running system. `environment` has its settings, for commands that read its log."""

    environment: Mapping[str, str]

    @property
    def url(self) -> str:
        """Where calls are answered."""
        ...

    def now_s(self) -> float:
        """The time of its clock, in epoch seconds."""
        ...

    async def restart(self, unanswered: Sequence[MatchRequest] = ()) -> None:
        """Break it off and start it again. The requests were appended before, and their callers wait no more."""
        ...


def environment(**settings: str) -> dict[str, str]:
    """Settings of a system in which devices have to be registered."""
    return {
        "PICTUREMATCH_MODELS__KIND": "stand-in",
        "PICTUREMATCH_INGEST__PORT": "0",
        "PICTUREMATCH_HEALTH__PORT": "0",
        "PICTUREMATCH_MATCHING__UNKNOWN_DEVICE": "reject",
        "PICTUREMATCH_LOG__REQUEST_PARTITIONS": "4",
        **settings,
    }


async def append_unanswered(settings: Settings, requests: Sequence[MatchRequest], clock_s: float | None = None) -> None:
    """Append requests as an ingress does that dies before it has the answer; their deadline is over."""
    headers = (Headers.DEADLINE_MS, b"1")
    topic = settings.topics.requests
    clock = {} if clock_s is None else {"clock": lambda: clock_s}
    async with open_broker(settings, "owner", **clock) as log:
        await log.append(
            [
                NewRecord(topic, one.key, encode(one), (headers, (Headers.REQUEST_ID, one.request_id.encode())))
                for one in requests
            ]
        )


@dataclass
class Processes:
    """A system of real processes, which a restart kills with SIGKILL: `serve` on the embedded log, an ingress and two
    processors on Kafka."""

    environment: Mapping[str, str]
    folder: Path
    roles: Mapping[str, Command] = field(default_factory=dict)
    port: int = 0

    @property
    def url(self) -> str:
        """Where calls are answered."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def settings(self) -> Settings:
        """Its settings."""
        return load_settings(None, self.environment)

    def now_s(self) -> float:
        """The time of the machine."""
        return time.time()

    async def start(self) -> None:
        """Start what does not run, and wait until it listens."""
        if not self.roles:
            words = ["serve"] if self.settings.kafka_config is None else ["ingest", "process", "process"]
            self.roles = {f"{word}{number}": self._command(word, number) for number, word in enumerate(words)}
        ports = await asyncio.gather(*map(self._started, self.roles.values()))
        self.port = ports[0]

    async def restart(self, unanswered: Sequence[MatchRequest] = ()) -> None:
        """Kill all processes; append the requests; start the processes again."""
        await self.end()
        if unanswered:
            await append_unanswered(self.settings, unanswered)
        await self.start()

    async def kill_one(self, name: str) -> None:
        """Kill one process, and start it again."""
        await self.roles[name].end(signal.SIGKILL)
        await self._started(self.roles[name])

    async def end(self) -> None:
        """Kill all processes."""
        await asyncio.gather(*(role.end(signal.SIGKILL) for role in self.roles.values()))

    def _command(self, word: str, number: int) -> Command:
        own = {"PICTUREMATCH_KAFKA__CLIENT_ID": f"{word}-{uuid.uuid4().hex[:8]}"}
        return Command([word], {**self.environment, **own}, self.folder / f"{word}{number}.log")

    async def _started(self, role: Command) -> int:
        await role.start()
        return await role.listening(START_S)


@asynccontextmanager
async def embedded_site(folder: Path, **settings: str) -> AsyncIterator[Processes]:
    """`picturematch serve` on a log in a folder that exists."""
    site = Processes(environment(PICTUREMATCH_DATA_FOLDER=str(folder / "data"), **settings), folder)
    try:
        await site.start()
        yield site
    finally:
        await site.end()


@asynccontextmanager
async def kafka_site(bootstrap: str, folder: Path, **settings: str) -> AsyncIterator[Processes]:
    """An ingress and two processors on topics of their own."""
    given = environment(
        PICTUREMATCH_BROKER=f"kafka://{bootstrap}",
        PICTUREMATCH_LOG__TOPIC_PREFIX=f"passages-{uuid.uuid4().hex}",
        PICTUREMATCH_LOG__REPLY_PARTITIONS="1",
        PICTUREMATCH_DATA_FOLDER=str(folder / "data"),
        **settings,
    )
    site = Processes(given, folder)
    async with open_broker(site.settings, "owner") as log:
        await log.ensure_topics(site.settings.topic_specs)
    try:
        await site.start()
        yield site
    finally:
        await site.end()


class TimedSite:
    """A system on the embedded log in this process; `clock_s` is the time of its clock, which the test moves."""

    def __init__(self, folder: Path, clock_s: float, **settings: str) -> None:
        self.environment = environment(PICTUREMATCH_DATA_FOLDER=str(folder), **settings)
        self.clock_s = clock_s
        self.url = ""
        self._folder, self._stack = folder, AsyncExitStack()
        self._system: System | None = None

    def now_s(self) -> float:
        """The time of its clock, which moves by a millisecond whenever somebody looks at it."""
        self.clock_s += 0.001
        return self.clock_s

    async def start(self) -> None:
        """Start the system."""
        settings = load_settings(None, self.environment)
        self._system = await self._stack.enter_async_context(run_system(settings, MODELS, clock=self.now_s))
        self.url = self._system.url

    async def stop(self) -> None:
        """Stop the system."""
        await self._stack.aclose()
        self._system = None

    async def clean_up(self) -> None:
        """Let the log remove and compact what is due by the clock, which an operator has accepted."""
        assert self._system is not None
        log = self._system.broker
        assert isinstance(log, EmbeddedBroker)
        (self._folder / "clock.accepted").write_bytes(b"%d" % int(self.now_s() * 1000))
        await log.housekeep()
        assert log.condition().clock_doubt is None

    async def restart(self, unanswered: Sequence[MatchRequest] = ()) -> None:
        """Stop the system; append the requests; start it again."""
        await self.stop()
        if unanswered:
            await append_unanswered(load_settings(None, self.environment), unanswered, self.now_s())
        await self.start()


@asynccontextmanager
async def timed_site(folder: Path, clock_s: float, **settings: str) -> AsyncIterator[TimedSite]:
    """A running system at that time."""
    site = TimedSite(folder, clock_s, **settings)
    await site.start()
    try:
        yield site
    finally:
        await site.stop()


async def at(site: Site, *arguments: object) -> Finished:
    """Run a command with the settings of the site."""
    return await run(*arguments, **site.environment)
