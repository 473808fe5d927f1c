"""How long a door is without answers when processors die: `python -m bench.failover --kills 20 --seed 7`.

Starts a Kafka broker, an ingress and two processors, lets doors ask all the time, and kills one processor at a time
(SIGKILL). Then it kills the last one, watches how soon the ingress says that nobody processes, and starts one again.
Prints seconds; exit status 1 where an aim was missed. The networks are stand-ins: it is the system that is tried.
"""

import asyncio
import os
import random
import signal
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

import aiohttp
import click
import numpy as np
from rich.console import Console
from rich.table import Table

from bench.faultrun import Role
from bench.outages import without_answers
from bench.pictures import drawn_photo
from contract.http import MATCH_PATH, USERS_PATH
from picturematch.opening import open_broker
from picturematch.settings import load_settings
from tests.support.kafka_dev import dev_kafka

_DOORS = 24
_PAUSE_S = 0.4
_QUIET_S = 3.0
_AFTER_KILL_S = 8.0
_STUCK_S = 60.0
_CALL_LIMIT_S = 5.0
"""What a Sophon device waits for its answer."""

_AIM_P99_S, _AIM_MOST_S, _AIM_NOTICED_S, _AIM_FIRST_S, _AIM_REFUSED_S = 2.0, 6.0, 3.0, 3.0, 0.1


@dataclass(slots=True)
class Found:
    """Seconds: `gaps` without an answer, one per door and kill; the others one per time that all were killed."""

    gaps: list[float] = field(default_factory=list)
    noticed: list[float] = field(default_factory=list)
    refused: list[float] = field(default_factory=list)
    first: list[float] = field(default_factory=list)


class _Doors:
    """Devices that ask one call after the other; the moments of their answers."""

    def __init__(self, port: int) -> None:
        self._url = f"http://127.0.0.1:{port}{MATCH_PATH}"
        self.answers: dict[str, list[float]] = {f"10.1.0.{number}": [] for number in range(_DOORS)}
        self._tasks: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=_CALL_LIMIT_S))
        self._tasks = [asyncio.create_task(self._ask(device)) for device in self.answers]
        return self

    async def __aexit__(self, *_: object) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._session.close()

    async def _ask(self, device: str) -> None:
        body = {"device_ip": device, "rgb_image_base64": drawn_photo(int(device.rpartition(".")[2]) % 4)}
        while True:
            if await self.call(body) == 200:
                self.answers[device].append(time.monotonic())
            await asyncio.sleep(_PAUSE_S)

    async def call(self, body: Mapping[str, str]) -> int:
        """The HTTP status, 0 for none."""
        try:
            async with self._session.post(self._url, json=body) as answer:
                await answer.read()
                return answer.status
        except (aiohttp.ClientError, OSError, TimeoutError):
            return 0


class _Run:
    def __init__(self, bootstrap: str, folder: Path, seed: int) -> None:
        self._chance = random.Random(seed)
        self._folder = folder
        self._environment = {
            "PICTUREMATCH_BROKER": f"kafka://{bootstrap}",
            "PICTUREMATCH_MODELS__KIND": "stand-in",
            "PICTUREMATCH_LOG__TOPIC_PREFIX": f"failover-{seed}-{os.getpid()}",
            "PICTUREMATCH_INGEST__PORT": "0",
            "PICTUREMATCH_HEALTH__PORT": "0",
        }
        self.found = Found()

    def _role(self, name: str) -> Role:
        return Role(name, self._environment, self._folder / f"{name}.log")

    async def run(self, kills: int, stops: int) -> Found:
        settings = load_settings(None, self._environment)
        async with open_broker(settings, "owner") as log:
            await log.ensure_topics(settings.topic_specs)
        ingress, processors = self._role("ingest"), [self._role("process"), self._role("process")]
        try:
            await asyncio.gather(ingress.start(), *(role.start() for role in processors))
            await _enrol(ingress.port)
            async with _Doors(ingress.port) as doors:
                for number in range(kills):
                    await self._kill_one(doors, processors)
                    click.echo(f"kill {number + 1} of {kills}: {max(self.found.gaps[-_DOORS:]):.2f} s", err=True)
            await asyncio.gather(*(role.end(signal.SIGTERM) for role in processors[1:]))
            for number in range(stops):
                await self._kill_all(ingress.port, processors[0])
                click.echo(f"all dead, {number + 1} of {stops}: first answer {self.found.first[-1]:.2f} s", err=True)
        finally:
            await asyncio.gather(*(role.end() for role in (ingress, *processors)))
        return self.found

    async def _kill_one(self, doors: _Doors, processors: Sequence[Role]) -> None:
        await asyncio.sleep(_QUIET_S + self._chance.random())
        victim = self._chance.choice(processors)
        killed_s = time.monotonic()
        await victim.end()
        await asyncio.sleep(_AFTER_KILL_S)
        for times in doors.answers.values():
            self.found.gaps.append(without_answers(times, killed_s, killed_s + _AFTER_KILL_S) or _AFTER_KILL_S)
        await victim.start()

    async def _kill_all(self, port: int, processor: Role) -> None:
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=_CALL_LIMIT_S)) as session:
            await self._until(session, port, 200)
            await asyncio.sleep(self._chance.uniform(1.0, 2.0))
            await processor.end()
            killed_s = time.monotonic()
            await self._until(session, port, 503)
            self.found.noticed.append(time.monotonic() - killed_s)
            await asyncio.sleep(self._chance.uniform(0.0, 12.0))
            url = f"http://127.0.0.1:{port}{MATCH_PATH}"
            body = {"device_ip": "10.2.0.1", "rgb_image_base64": drawn_photo(0)}
            asked_s = time.monotonic()
            async with session.post(url, json=body) as answer:
                await answer.read()
            self.found.refused.append(time.monotonic() - asked_s)
            starting = asyncio.create_task(processor.start())
            started_s = time.monotonic()
            while time.monotonic() < started_s + _STUCK_S:
                try:
                    async with session.post(url, json=body) as answer:
                        if answer.status == 200:
                            break
                except TimeoutError:
                    pass
                await asyncio.sleep(0.1)
            self.found.first.append(time.monotonic() - started_s)
            await starting

    async def _until(self, session: aiohttp.ClientSession, port: int, status: int) -> None:
        ends_s = time.monotonic() + _STUCK_S
        while time.monotonic() < ends_s:
            async with session.get(f"http://127.0.0.1:{port}/readyz") as answer:
                if answer.status == status:
                    return
            await asyncio.sleep(0.05)
        raise click.ClickException(f"/readyz did not answer {status} within {_STUCK_S:g} s")


async def _enrol(port: int) -> None:
    body = {"identity_id": "p0", "reg_photo": drawn_photo(0), "info": {"name": "P0"}}
    async with (
        aiohttp.ClientSession(raise_for_status=True) as session,
        session.post(f"http://127.0.0.1:{port}{USERS_PATH}", json=body),
    ):
        pass


@click.command(epilog="Example: python -m bench.failover --kills 20 --seed 7")
@click.option("--kills", default=20, show_default=True, help="How often one of two processors is killed.")
@click.option("--stops", default=5, show_default=True, help="How often the only processor is killed.")
@click.option("--seed", default=1, show_default=True, help="Which processor, and when.")
@click.pass_context
def main(ctx: click.Context, kills: int, stops: int, seed: int) -> None:
    """Kill processors and print how long doors were without answers."""
    with tempfile.TemporaryDirectory(prefix="picturematch-failover-") as folder, dev_kafka() as broker:
        found = asyncio.run(_Run(broker.bootstrap, Path(folder), seed).run(kills, stops))
    table = Table(title=f"seed {seed}: {kills} kills of one of two processors, {stops} of the only one")
    for column in ("seconds", "measured", "aim"):
        table.add_column(column, justify="left" if column == "seconds" else "right")
    p99_s = float(np.quantile(found.gaps or [0.0], 0.99, method="higher"))
    rows = [
        ("without answers, per door and kill, p99", p99_s, _AIM_P99_S),
        ("without answers, per door and kill, longest", max(found.gaps, default=0.0), _AIM_MOST_S),
        ("until the ingress is not ready, longest", max(found.noticed, default=0.0), _AIM_NOTICED_S),
        ("a call refused meanwhile, longest", max(found.refused, default=0.0), _AIM_REFUSED_S),
        ("from a processor's start to the first answer, longest", max(found.first, default=0.0), _AIM_FIRST_S),
    ]
    for name, measured, aim in rows:
        table.add_row(name, f"{measured:.2f}", f"{aim:g}")
    Console().print(table)
    ctx.exit(1 if any(measured > aim for _, measured, aim in rows) else 0)


if __name__ == "__main__":
    main()
