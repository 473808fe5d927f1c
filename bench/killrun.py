"""Puts a server on an embedded log under load, kills it again and again, and has `bench.killjudge` judge the rest.

A run is repeatable by its seed as far as moments and choices go; what stands where in the log depends on the machine.
"""

import asyncio
import random
import signal
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import orjson
import pybase64

from bench.command import Command
from bench.killjudge import FileView, Told, differences, people_differences, sink_differences
from contract.http import MATCH_PATH, USERS_PATH
from engine.vision.decode.jpeg import encode_jpeg
from engine.vision.networks.standin import draw_face, draw_scene

_COMPARE_CALL = "/SophonMatch/api/compare"
_FIQA_CALL = "/SophonFace/api/FIQA"
_START_S = 180.0
_STOP_S = 120.0
_CALL_S = 60.0
_SETTLED_S = 120.0
_CLIENTS = 6
_FACES = 12
_LOOKED_AT = 5  # people that are asked for after each start; at the end all are
_ENOUGH = 20  # sentences: what is broken would be told again after each kill
_KINDS = {"match": 50, "enrol": 18, "delete": 8, "compare": 8, "compare unsaved": 5, "fiqa": 5, "faceless": 4, "bad": 2}
_MOMENTS = {"under load": 75, "while it started": 15, "while it drained": 10}
_SINK_DIES = 0.3


@dataclass(slots=True)
class KillReport:
    """What was done and found. `kills`: at which moment -> how often; `broken`: a sentence for each broken promise."""

    kills: Counter[str] = field(default_factory=Counter)
    sink_kills: int = 0
    statuses: Counter[int] = field(default_factory=Counter)
    requests: int = 0
    events: int = 0
    lines: int = 0
    people: int = 0
    broken: list[str] = field(default_factory=list)


class KillRun:
    """One run in a folder of its own."""

    def __init__(self, folder: Path, seed: int, say: Callable[[str], None]) -> None:
        self._folder, self._say = folder, say
        # Two of them: how often the clients ask depends on the machine, and must not change which kill comes next.
        self._chance, self._clients_chance = random.Random(seed), random.Random(seed)
        data, self._out = folder / "data", folder / "out"
        self._server = self._command("serve", "--data-folder", data, "--port", 0, "--log-level", "warning")
        carry = ("sink", "jsonl", "--data-folder", data, "--out", self._out, "--max-bytes", 200_000)
        self._sink = self._command(*carry)
        self._last_sink = self._command(*carry, "--idle-exit", "2s")
        self._view = FileView(data / "log.sqlite")
        self._photos = [_photo(seed) for seed in range(_FACES)]
        self._nobody = _encoded(encode_jpeg(draw_scene(320, 240), quality=95))
        self._told: list[Told] = []
        self._must_be: dict[str, bool | None] = {}  # None: its last call was not answered, so nothing is promised
        self._url = ""
        self.report = KillReport()

    def _command(self, *arguments: object) -> Command:
        return Command(arguments, {"PICTUREMATCH_MODELS__KIND": "stand-in"}, self._folder / f"{arguments[0]}.log")

    async def run(self, kills: int) -> KillReport:
        """So many kills, then quiet, then the last judgement.

        Raises:
            CommandFailed: the server did not start again.
        """
        try:
            for number in range(1, kills + 1):
                moment = self._chance.choices(list(_MOMENTS), list(_MOMENTS.values()))[0]
                await self._live_and_die(moment if number > 1 else "under load")
                self.report.kills[moment if number > 1 else "under load"] += 1
                if number % 10 == 0:
                    self._say(f"{number} kills, {len(self._told)} calls, {len(self.report.broken)} promises broken")
                if len(self.report.broken) > _ENOUGH:
                    return self.report
            await self._settle()
        finally:
            await self._server.end()
            await self._sink.end()
        return self.report

    async def _live_and_die(self, moment: str) -> None:
        await self._server.start()
        if moment == "while it started":
            await asyncio.sleep(self._chance.uniform(0.05, 2.0))
            await self._server.end()
            return
        self._url = f"http://127.0.0.1:{await self._server.listening(_START_S)}"
        await self._judge()
        clients = [asyncio.create_task(self._client(number)) for number in range(_CLIENTS)]
        if self.report.sink_kills == 0 or self._chance.random() < _SINK_DIES:
            await self._sink.end()
            await self._sink.start()
            self.report.sink_kills += 1
        await asyncio.sleep(self._chance.uniform(0.02, 1.5))
        if moment == "while it drained":
            self._server.send(signal.SIGTERM)
            await asyncio.sleep(self._chance.uniform(0.0, 0.3))
        await self._server.end()
        await asyncio.gather(*clients)  # each ends with its first call that gets no answer

    async def _settle(self) -> None:
        """Start once more, wait until all is processed and carried, and judge everything."""
        await self._server.start()
        self._url = f"http://127.0.0.1:{await self._server.listening(_START_S)}"
        for _ in range(int(_SETTLED_S)):
            await asyncio.to_thread(self._view.look)
            if not self._view.behind:
                break
            await asyncio.sleep(1.0)
        async with aiohttp.ClientSession() as session:
            there = {i for i in self._must_be if await self._is_there(session, i)}
        if status := await self._server.end(signal.SIGTERM, _STOP_S):
            self.report.broken.append(f"the server that was asked to stop ended with status {status}")
        await self._sink.end()
        await self._last_sink.start()
        if status := await self._last_sink.end(None, _STOP_S):
            self.report.broken.append(f"the sink ended with status {status}")
        await asyncio.to_thread(self._view.look)
        lines = [line for path in sorted(self._out.glob("events-*")) for line in path.read_bytes().splitlines()]
        expected = {i: must for i, must in self._must_be.items() if must is not None}
        self.report.lines, self.report.people = len(lines), sum(expected.values())
        self.report.requests, self.report.events = len(self._view.requests), len(self._view.events)
        self._find(differences(self._view, self._told, at_rest=True))
        self._find(people_differences(expected, there))
        self._find(people_differences(expected, self._view.people))
        self._find(sink_differences(lines, self._view.places))
        if fault := self._view.fault_of_file():
            self.report.broken.append(f"SQLite finds the file damaged: {fault}")

    async def _judge(self) -> None:
        """What can be judged while requests of before the kill may still be at work."""
        await asyncio.to_thread(self._view.look)
        self._find(differences(self._view, self._told, at_rest=False))
        known = [i for i, must in self._must_be.items() if must is not None]
        chosen = {*known[-_LOOKED_AT:], *self._chance.sample(known, min(_LOOKED_AT, len(known)))}
        async with aiohttp.ClientSession() as session:
            there = {i for i in chosen if await self._is_there(session, i)}
        self._find(people_differences({i: bool(self._must_be[i]) for i in chosen}, there))

    def _find(self, sentences: Any) -> None:
        self.report.broken += [sentence for sentence in sentences if sentence not in self.report.broken]

    async def _is_there(self, session: aiohttp.ClientSession, identity_id: str) -> bool:
        for _ in range(100):
            async with session.get(self._url + USERS_PATH, params={"identity_id": identity_id}) as response:
                if response.status in (200, 404):
                    return response.status == 200
            await asyncio.sleep(0.1)  # overloaded
        raise RuntimeError(f"the server does not say whether {identity_id} is there")

    async def _client(self, number: int) -> None:
        """Calls until the server is gone."""
        chance = random.Random(self._clients_chance.random())
        own = [i for i in self._must_be if i.startswith(f"c{number}-")]
        async with aiohttp.ClientSession() as session:
            while True:
                kind = chance.choices(list(_KINDS), list(_KINDS.values()))[0]
                if kind == "delete" and not own:
                    continue
                identity_id = ""
                if kind == "enrol":
                    own.append(identity_id := f"c{number}-{len(own)}")
                elif kind == "delete":
                    identity_id = chance.choice(own)
                if not await self._call(session, kind, identity_id, chance):
                    return

    async def _call(self, session: aiohttp.ClientSession, kind: str, identity_id: str, chance: random.Random) -> bool:
        """One call, noted with what came of it; False when the server is gone."""
        method, path, body = self._asking(kind, identity_id, chance)
        if identity_id:
            self._must_be[identity_id] = None
        request_id, status, answer = "", 0, {}
        try:
            limit = aiohttp.ClientTimeout(total=_CALL_S)
            async with session.request(method, self._url + path, json=body, timeout=limit) as response:
                told = orjson.loads(await response.read())
                request_id, status, answer = response.headers.get("X-Request-Id", ""), response.status, told
        except TimeoutError:
            self.report.broken.append(f"a call hung for {_CALL_S:.0f} s")
        except (aiohttp.ClientError, OSError):
            pass
        self.report.statuses[status] += 1
        judged = {"faceless": "match", "bad": "match"}.get(kind, kind)
        self._told.append(Told(judged, status, request_id, answer, identity_id))
        if identity_id and status == 200:
            self._must_be[identity_id] = kind == "enrol"
        return status != 0

    def _asking(self, kind: str, identity_id: str, chance: random.Random) -> tuple[str, str, Mapping[str, Any]]:
        one, other = chance.choice(self._photos), chance.choice(self._photos)
        device = f"10.0.0.{chance.randrange(9)}"
        match kind:
            case "enrol":
                body = {"identity_id": identity_id, "reg_photo": one, "info": {"name": identity_id.upper()}}
                return "POST", USERS_PATH, body
            case "delete":
                return "DELETE", USERS_PATH, {"identity_id": identity_id}
            case "compare" | "compare unsaved":
                pictures = {"face_image_base64": one, "card_image_base64": other}
                return "POST", _COMPARE_CALL, {**pictures, "need_save": kind == "compare"}
            case "fiqa":
                return "POST", _FIQA_CALL, {"image_base64_str": one}
            case "faceless":
                return "POST", MATCH_PATH, {"device_ip": device, "rgb_image_base64": self._nobody}
            case "bad":
                return "POST", MATCH_PATH, {"device_ip": device, "rgb_image_base64": one[:400]}
        return "POST", MATCH_PATH, {"device_ip": device, "rgb_image_base64": one}


def _photo(seed: int) -> str:
    return _encoded(encode_jpeg(draw_scene(320, 240, [(draw_face(seed, 140), 40, 30)]), quality=95))


def _encoded(picture: bytes) -> str:
    return pybase64.b64encode(picture).decode()
