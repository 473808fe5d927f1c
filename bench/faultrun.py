"""Runs the roles on a real Kafka broker under load, breaks things, and checks afterwards that every promise held.

A run is repeatable by its seed: the order and the moments of the faults come from it. The roles are real processes with
stand-in networks, since it is the system that is tried, not the faces.
"""

import asyncio
import itertools
import os
import random
import signal
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import orjson

from bench.command import Command, CommandFailed
from bench.faultcheck import (
    LATE_S,
    Call,
    call_differences,
    committed_records,
    delete_group,
    log_differences,
    unfinished,
)
from bench.kafka_proxy import KafkaProxy
from bench.outages import worst_first
from bench.pictures import drawn_photo
from bench.wirefaults import WIRE_FAULTS, WireFaults
from contract.http import MATCH_PATH, USERS_PATH
from contract.requests import decode_request
from picturematch.opening import open_broker
from picturematch.settings import Settings, load_settings
from tests.support.kafka_dev import DevBroker

_START_S = 180.0
_CLIENTS = 6
_DEVICES = 7
"""Of each client."""
_PEOPLE = 4
_FACES = 6
_SESSION_TIMEOUT_MS = 4_000
_STUCK_S = 120.0
_REQUEST_TIMEOUT_MS = 3_000
_SILENCE_S = 8.0
"""How long silent connections are left alone: more than the roles' time limit for requests."""

_EXPIRED = "let the processors' group expire while all of them are away"
FAULTS = (
    "kill a processor",
    "stop a processor past its session timeout and let it wake",
    "add a processor",
    "remove a processor",
    "kill an ingress",
    "restart the broker",
    _EXPIRED,
    *WIRE_FAULTS,
)


class RunFailed(Exception):
    """The run could not be carried out; it says nothing about the promises."""


@dataclass(slots=True)
class Report:
    """What was done and what was found. `broken` holds a sentence for every promise that did not hold."""

    seed: int
    faults: list[str] = field(default_factory=list)
    wire: Counter[str] = field(default_factory=Counter)
    """What the proxy did, in words, and how often."""
    calls: list[Call] = field(default_factory=list)
    requests: int = 0
    events: int = 0
    outcomes: Counter[str] = field(default_factory=Counter)
    broken: list[str] = field(default_factory=list)
    without_answers_s: Mapping[str, float] = field(default_factory=dict)
    """Device -> the longest time without an answer 200 while faults were made; the longest first."""

    def statuses(self) -> Mapping[int, int]:
        """HTTP status -> how many calls ended with it."""
        return Counter(call.status for call in self.calls)


class Role(Command):
    """A role as a process."""

    def __init__(self, name: str, environment: Mapping[str, str], log: Path, code: Path | None = None) -> None:
        super().__init__([name], environment, log, code)
        self.name = name
        self.port = 0

    async def start(self) -> None:
        """Start it, and return once it is ready.

        Raises:
            RunFailed: it ended, or was not ready in time.
        """
        await super().start()
        try:
            self.port = await self.listening(_START_S)
        except CommandFailed as error:
            raise RunFailed(str(error)) from None


class FaultRun:
    """One run: two ingresses, two processors, a steady load, and faults by seed.

    The roles reach the broker, which has to be a proxied one, through a proxy of this run's own. With `beside`, a
    folder with the sources of another version, every second ingress and every second processor is of that version.
    """

    def __init__(
        self, broker: DevBroker, folder: Path, seed: int, say: Callable[[str], None], beside: Path | None = None
    ) -> None:
        if broker.proxy is None:
            raise RunFailed("the broker has no listener for clients that come through a proxy")
        self._dev, self._folder, self._say = broker, folder, say
        self._versions = itertools.cycle((beside, None))
        self._proxy = KafkaProxy(broker.proxy.front, broker.proxy.behind, seed)
        self._proxy.keep_passed = False
        # Two of them: how often the clients ask depends on the machine, and must not change which fault comes next.
        self._chance, self._clients_chance = random.Random(seed), random.Random(seed)
        self._prefix = f"faults-{seed}-{os.getpid()}"
        self._environment = {
            "PICTUREMATCH_BROKER": f"kafka://{self._proxy.bootstrap}",
            "PICTUREMATCH_MODELS__KIND": "stand-in",
            "PICTUREMATCH_LOG__TOPIC_PREFIX": self._prefix,
            "PICTUREMATCH_INGEST__PORT": "0",
            "PICTUREMATCH_HEALTH__PORT": "0",
            "PICTUREMATCH_KAFKA__SESSION_TIMEOUT_MS": str(_SESSION_TIMEOUT_MS),
            "PICTUREMATCH_KAFKA__REQUEST_TIMEOUT_MS": str(_REQUEST_TIMEOUT_MS),
        }
        self.settings: Settings = load_settings(None, self._environment)
        self._wire = WireFaults(self._proxy, self._chance, _SILENCE_S)
        self._ingests: list[Role] = []
        self._processors: list[Role] = []
        self._loading = True
        self._answers_s: dict[str, list[float]] = {}
        self.report = Report(seed)

    async def run(self, seconds: float, faults: Sequence[str] = FAULTS) -> Report:
        """Load and faults for so long, then quiet, then the checks. Every fault of `faults` happens at least once.

        Raises:
            RunFailed: a role could not be started.
        """
        async with self._proxy:
            async with open_broker(self.settings, "owner") as log:
                await log.ensure_topics(self.settings.topic_specs)
            try:
                await asyncio.gather(*(self._add(self._ingests, "ingest") for _ in range(2)))
                await asyncio.gather(*(self._add(self._processors, "process") for _ in range(2)))
                await self._enrol()
                load = [asyncio.create_task(self._post(number)) for number in range(_CLIENTS)]
                began_s = time.monotonic()
                await self._break(began_s + seconds, faults)
                self.report.without_answers_s = worst_first(self._answers_s, began_s, time.monotonic())
                self._loading = False
                await asyncio.gather(*load)
                await self._check()
            finally:
                await asyncio.gather(*(role.end() for role in (*self._ingests, *self._processors)))
        return self.report

    async def _add(self, roles: list[Role], name: str) -> None:
        role = Role(name, self._environment, self._folder / f"{name}.log", next(self._versions))
        roles.append(role)
        await role.start()

    async def _enrol(self) -> None:
        async with aiohttp.ClientSession() as session:
            for number in range(_PEOPLE):
                body = {"identity_id": f"p{number}", "reg_photo": drawn_photo(number), "info": {"name": f"P{number}"}}
                call = await self._call(session, USERS_PATH, body)
                if call.status != 200:
                    raise RunFailed(f"enrolment was answered with HTTP status {call.status}: {call.answer}")
                self.report.calls.append(call)

    async def _post(self, number: int) -> None:
        photos = [drawn_photo(face) for face in range(_FACES)]
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(force_close=True)) as session:
            count = 0
            while self._loading:
                count += 1
                device = f"10.0.{number}.{count % _DEVICES}"
                answers_s = self._answers_s.setdefault(device, [])
                body = {"device_ip": device, "rgb_image_base64": photos[count % _FACES]}
                call = await self._call(session, MATCH_PATH, body)
                self.report.calls.append(call)
                if call.status == 200:
                    answers_s.append(time.monotonic())
                await asyncio.sleep(0.02 if call.status == 200 else 0.1)

    async def _call(self, session: aiohttp.ClientSession, path: str, body: Mapping[str, Any]) -> Call:
        ingress = self._clients_chance.choice(self._ingests)
        began = time.monotonic()
        request_id, status, answer = "", 0, {}
        limit = aiohttp.ClientTimeout(total=self.settings.ingest.deadline_s + self.settings.ingest.body_read_s + LATE_S)
        try:
            async with session.post(f"http://127.0.0.1:{ingress.port}{path}", json=body, timeout=limit) as response:
                told = await response.read()
                request_id, status = response.headers.get("X-Request-Id", ""), response.status
                answer = orjson.loads(told)
        except (aiohttp.ClientError, OSError):
            status = 0
        except TimeoutError:
            self.report.broken.append(f"a call hung for {time.monotonic() - began:.1f} s")
        return Call(request_id, status, answer, time.monotonic() - began)

    async def _break(self, until_s: float, faults: Sequence[str]) -> None:
        todo = list(faults)
        self._chance.shuffle(todo)
        await asyncio.sleep(1.0)
        while todo or time.monotonic() < until_s:
            fault = todo.pop() if todo else self._chance.choice(faults)
            self._say(fault)
            self.report.faults.append(fault)
            await self._do(fault)
            await asyncio.sleep(self._chance.uniform(0.5, 3.0))

    async def _do(self, fault: str) -> None:
        match fault:
            case "kill a processor":
                victim = self._chance.choice(self._processors)
                await victim.end()
                await victim.start()
            case "stop a processor past its session timeout and let it wake":
                victim = self._chance.choice(self._processors)
                victim.send(signal.SIGSTOP)
                await asyncio.sleep(_SESSION_TIMEOUT_MS / 1000 * self._chance.uniform(1.3, 2.0))
                victim.send(signal.SIGCONT)
            case "add a processor":
                await self._add(self._processors, "process")
            case "remove a processor":
                if len(self._processors) > 1:
                    victim = self._processors.pop(self._chance.randrange(len(self._processors)))
                    await victim.end(signal.SIGTERM)
            case "kill an ingress":
                victim = self._chance.choice(self._ingests)
                await victim.end()
                await victim.start()
            case "restart the broker":
                # Half of the times as by a power cut.
                await asyncio.to_thread(self._chance.choice((self._dev.stop, self._dev.kill)))
                await asyncio.sleep(self._chance.uniform(0.5, 3.0))
                await asyncio.to_thread(self._dev.start)
            case _ if fault in WIRE_FAULTS:
                await self._wire.make(fault)
            case _ if fault == _EXPIRED:
                await asyncio.gather(*(role.end(signal.SIGTERM) for role in self._processors))
                await delete_group(self._dev.bootstrap, self.settings.topics.processors)
                await asyncio.gather(*(role.start() for role in self._processors))
            case _:
                raise RunFailed(f"there is no fault named {fault}")

    async def _check(self) -> None:
        """Wait until everything accepted is processed, then compare requests, events, answers and offsets."""
        self.report.wire = self._wire.counts
        topics = self.settings.topics
        await asyncio.gather(*(role.end(signal.SIGTERM) for role in self._ingests))  # so that no request is added
        if not await self._until_processed():
            self.report.broken.append(f"requests were left unprocessed for {_STUCK_S:.0f} s")
        asked = [*await self._values(topics.requests), *await self._values(topics.admin)]
        ids = [decode_request(value).request_id for value in asked]
        events = [orjson.loads(value) for value in await self._values(topics.events)]
        self.report.requests, self.report.events = len(ids), len(events)
        self.report.outcomes = Counter(event["outcome"] for event in events)
        self.report.broken += log_differences(ids, events)
        by_id = {event["id"]: event for event in events}
        for call in self.report.calls:
            event = by_id.get(call.request_id)
            self.report.broken += call_differences(call, event, self.settings.ingest.deadline_s)

    async def _until_processed(self) -> bool:
        """Whether the offsets of both groups reached the ends."""
        topics = self.settings.topics
        until_s = time.monotonic() + _STUCK_S
        while time.monotonic() < until_s:
            groups = ((topics.requests, topics.processors), (topics.admin, topics.admins))
            left = [
                await unfinished(self._dev.bootstrap, topic, self._partitions(topic), group) for topic, group in groups
            ]
            if not any(left):
                return True
            await asyncio.sleep(1.0)
        return False

    async def _values(self, topic: str) -> Sequence[bytes]:
        """All that is committed there, by a client that is not ours and does not come through the proxy."""
        found = await committed_records(self._dev.bootstrap, topic, self._partitions(topic))
        return [record.value for record in found]

    def _partitions(self, topic: str) -> int:
        return next(spec.partitions for spec in self.settings.topic_specs if spec.name == topic)
