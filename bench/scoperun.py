"""Changes who may pass at a door, again and again, and measures from when on each ingress answers accordingly.

A probe is a match with the face of one person at one door; of an API key, a call with that key. After a change was
answered, the next probe through the same ingress must be answered accordingly, and so must every probe that is sent
through another ingress `AIM_MS` later or more. A role that was killed is started again at once; a probe without an
answer proves nothing.
"""

import asyncio
import random
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Protocol, Self

import aiohttp

from bench.pictures import drawn_photo
from contract.http import (
    DEVICES_PATH,
    GROUP_IDS_PATH,
    GROUP_USERS_PATH,
    GROUPS_PATH,
    KEYS_PATH,
    MATCH_PATH,
    PERMISSION_IDS_PATH,
    PERMISSIONS_PATH,
    USERS_PATH,
)

AIM_MS = 100.0
_PROBES = 30
_PROBE_EVERY_S = 0.01
_LIMIT_S = 5.0
_STUCK_S = 120.0
_LOAD_CLIENTS, _LOAD_PAUSE_S, _REFUSED_PAUSE_S = 6, 0.02, 0.25
_DOOR, _ADA, _BEA = "10.3.0.1", 1, 2
_WRONG_KEY = "the API key is wrong"


class RunFailed(Exception):
    """The run could not be carried out; it says nothing about the promise."""


class Killable(Protocol):
    """A role as a process; `port` may change when it is started again."""

    name: str
    port: int

    async def start(self) -> None:
        """Start it, and return once it is ready."""
        ...

    async def end(self) -> int:
        """Kill it, and return its exit status."""
        ...


@dataclass(slots=True)
class ScopeReport:
    """What was done and found.

    `lags_ms`: per change, when the last probe with the old answer was sent through the other ingress, in milliseconds
    after the answer to the change, 0 for none. `unjudged`: the changes after which no such probe was answered.
    `broken`: a sentence per broken promise.
    """

    changes: Counter[str] = field(default_factory=Counter)
    kills: Counter[str] = field(default_factory=Counter)
    probes: int = 0
    load: Counter[int] = field(default_factory=Counter)
    answered: int = 0
    lags_ms: list[float] = field(default_factory=list)
    unjudged: int = 0
    broken: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class _Ids:
    """The ids of the groups and permissions: those of the door, and others, which Ada never has."""

    group: str
    other_group: str
    permission: str
    other_permission: str


_Change = Callable[[_Ids, bool], Awaitable[None]]
"""Lets Ada pass at the door (True), or not; or creates an API key, or deletes it."""

_Probe = Callable[[Killable], Awaitable[bool | None]]
"""Returns whether Ada passes through an ingress, or the API key is accepted; None without an answer."""


class ScopeRun:
    """One run against running roles; enter it before use.

    Args:
        changed, other: the ingress of the administrator, and another one; the same where there is one only.
        victims: the roles that may be killed.
        seed: repeats the changes and the kills of an earlier run.
        say: prints a line of progress.
    """

    def __init__(
        self, changed: Killable, other: Killable, victims: Sequence[Killable], seed: int, say: Callable[[str], None]
    ) -> None:
        self._changed, self._other, self._victims, self._say = changed, other, victims, say
        self._chance = random.Random(seed)
        self.report = ScopeReport()
        self._keys = 0
        self._key = ""

    async def __aenter__(self) -> Self:
        limits = aiohttp.ClientTimeout(total=_LIMIT_S)
        self._session = aiohttp.ClientSession(timeout=limits, connector=aiohttp.TCPConnector(limit=0))
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._session.close()

    async def run(self, changes: int, kills: int) -> ScopeReport:
        """Make so many changes, with a kill during or after `kills` of them.

        Raises:
            RunFailed: a call had no answer for two minutes.
        """
        ids = await self._prepare()
        kinds: Mapping[str, tuple[_Change, _Probe]] = {
            "person in the group": (self._move_person, self._probe),
            "permission of the person": (self._change_permission, self._probe),
            "group of the device": (self._move_device, self._probe),
            "permission of the device": (self._change_device, self._probe),
            "API key": (self._change_key, self._probe_key),
        }
        deadly = set(self._chance.sample(range(changes), min(kills, changes)))
        load = [asyncio.create_task(self._load(number)) for number in range(_LOAD_CLIENTS)]
        try:
            for number in range(changes):
                name = list(kinds)[number // 2 % len(kinds)]
                passes = number % 2 == 1
                named = f"{name} {'restored' if passes else 'withdrawn'}"
                change, probe = kinds[name]
                await self._one(named, partial(change, ids, passes), probe, passes, number in deadly)
                if number % 20 == 19:
                    self._say(f"{number + 1} changes, {len(self.report.broken)} promises broken")
        finally:
            for task in load:
                task.cancel()
            await asyncio.gather(*load, return_exceptions=True)
        return self.report

    async def _one(
        self, name: str, change: Callable[[], Awaitable[None]], probe: _Probe, passes: bool, deadly: bool
    ) -> None:
        """Make a change, and judge the probes after it; `deadly`: a role is killed meanwhile."""
        killing = asyncio.create_task(self._kill()) if deadly else None
        await change()
        answered_s = time.monotonic()
        self.report.changes[name] += 1
        same = asyncio.create_task(self._answered_probe(probe, self._changed))
        lag_ms = await self._lag_ms(probe, answered_s, passes)
        if await same != passes:
            self.report.broken.append(f"{name}: the next match through the same ingress had the old answer")
        if lag_ms is None:
            self.report.unjudged += 1
        else:
            self.report.lags_ms.append(lag_ms)
        if lag_ms is not None and lag_ms > AIM_MS:
            self.report.broken.append(f"{name}: another ingress had the old answer {lag_ms:.0f} ms later")
        if killing is not None:
            await killing
            if await self._answered_probe(probe, self._other) != passes:
                self.report.broken.append(f"{name}: after a kill the old answer came back")

    async def _kill(self) -> None:
        await asyncio.sleep(self._chance.uniform(0.0, 0.05))
        victim = self._chance.choice(self._victims)
        self.report.kills[victim.name] += 1
        await victim.end()
        await victim.start()

    async def _lag_ms(self, probe: _Probe, answered_s: float, passes: bool) -> float | None:
        """When the last probe with the old answer was sent through the other ingress, after the change; 0 for none.

        None: no probe was answered.
        """

        async def lag_ms(number: int) -> float | None:
            await asyncio.sleep(max(0.0, answered_s + number * _PROBE_EVERY_S - time.monotonic()))
            sent_s = time.monotonic()
            found = await probe(self._other)
            if found is None:
                return None
            return 0.0 if found == passes else 1000 * (sent_s - answered_s)

        lags_ms = await asyncio.gather(*map(lag_ms, range(_PROBES)))
        return max((found for found in lags_ms if found is not None), default=None)

    async def _answered_probe(self, probe: _Probe, ingress: Killable) -> bool:
        """The first answer of probes through an ingress.

        Raises:
            RunFailed: none was answered for two minutes.
        """
        ends_s = time.monotonic() + _STUCK_S
        while time.monotonic() < ends_s:
            if (found := await probe(ingress)) is not None:
                return found
            await asyncio.sleep(_PROBE_EVERY_S)
        raise RunFailed(f"no probe through {ingress.name} was answered for {_STUCK_S:g} s")

    async def _probe(self, ingress: Killable) -> bool | None:
        """Whether Ada passes at the door; None without an answer."""
        self.report.probes += 1
        body = {"device_ip": _DOOR, "rgb_image_base64": drawn_photo(_ADA)}
        status, answer = await self._call(ingress, "POST", MATCH_PATH, body)
        if status != 200:
            return None
        self.report.answered += 1
        return bool(answer["identity_id"] == "ada")

    async def _probe_key(self, ingress: Killable) -> bool | None:
        """Whether the API key is accepted; None without an answer, also where a key is refused without a comparison."""
        self.report.probes += 1
        status, answer = await self._call(ingress, "GET", USERS_PATH, key=self._key, limit="1")
        if status not in (200, 401) or (status == 401 and answer["error"]["message"] != _WRONG_KEY):
            return None
        self.report.answered += 1
        return status == 200

    async def _call(
        self, ingress: Killable, method: str, path: str, body: Any = None, key: str = "", **query: str
    ) -> tuple[int, Any]:
        """The status and the JSON of an answer; status 0 without one."""
        url, headers = f"http://127.0.0.1:{ingress.port}{path}", {"X-API-Key": key} if key else {}
        try:
            async with self._session.request(method, url, json=body, params=query, headers=headers) as response:
                return response.status, await response.json()
        except (aiohttp.ClientError, OSError, TimeoutError, ValueError):
            return 0, None

    async def _must(
        self, method: str, path: str, body: Any = None, done: int = 200, query: Mapping[str, str] | None = None
    ) -> Any:
        """The data of an administrator's call, which is repeated until it is answered.

        `done`: the status of a refusal that says that an earlier attempt without an answer was carried out.

        Raises:
            RunFailed: it was refused, or not answered for two minutes.
        """
        attempt = partial(self._call, self._changed, method, path, body, **(query or {}))
        return await self._repeated(f"{method} {path}", attempt, done)

    async def _repeated(self, what: str, attempt: Callable[[], Awaitable[tuple[int, Any]]], done: int = 200) -> Any:
        ends_s = time.monotonic() + _STUCK_S
        while time.monotonic() < ends_s:
            status, answer = await attempt()
            if status in (200, done):
                return answer.get("data")
            if status not in (0, 503, 504):
                raise RunFailed(f"{what} was refused: {answer}")
            await asyncio.sleep(0.05)
        raise RunFailed(f"{what} was not answered for {_STUCK_S:g} s")

    async def _load(self, number: int) -> None:
        """Match at other doors, one call after the other, until cancelled."""
        ingress = (self._changed, self._other)[number % 2]
        body = {"device_ip": f"10.4.0.{number}", "rgb_image_base64": drawn_photo(3 + number)}
        while True:
            status, _ = await self._call(ingress, "POST", MATCH_PATH, body)
            self.report.load[status] += 1
            await asyncio.sleep(_LOAD_PAUSE_S if status == 200 else _REFUSED_PAUSE_S)

    async def _prepare(self) -> _Ids:
        """Create groups, permissions, the door and two people; Bea may pass everywhere, so no scope is ever empty."""
        for name in ("doors", "other doors"):
            await self._must("POST", GROUPS_PATH, {"group_name": name, "description": ""})
        for name in ("day", "other day"):
            await self._must("POST", PERMISSIONS_PATH, {"permission_name": name, "description": ""})
        ids = _Ids(
            await self._id(GROUP_IDS_PATH, "doors"),
            await self._id(GROUP_IDS_PATH, "other doors"),
            await self._id(PERMISSION_IDS_PATH, "day"),
            await self._id(PERMISSION_IDS_PATH, "other day"),
        )
        both = [ids.permission, ids.other_permission]
        people = (
            ("ada", _ADA, "default_group,doors", [ids.permission]),
            ("bea", _BEA, "default_group,doors,other doors", ["0", *both]),
        )
        for who, face, groups, permissions in people:
            info = {"name": who, "permission_ids": permissions}
            body = {"identity_id": who, "group_name": groups, "reg_photo": drawn_photo(face), "info": info}
            await self._must("POST", USERS_PATH, body)
        await self._put_device("POST", ids.group, ids.permission)
        await self._new_key()
        return ids

    async def _id(self, path: str, name: str) -> str:
        (found,) = await self._must("GET", path, query={"info.name": name, "exact": "true"})
        return str(found["_id"])

    async def _new_key(self) -> None:
        """Create an API key; each attempt has a name of its own, since one without an answer may have created a key."""

        async def attempt() -> tuple[int, Any]:
            self._keys += 1
            return await self._call(self._changed, "POST", KEYS_PATH, {"name": self._key_name, "role": "operator"})

        self._key = str((await self._repeated("the creation of an API key", attempt))["key"])

    @property
    def _key_name(self) -> str:
        return f"gate-{self._keys}"

    async def _change_key(self, _ids: _Ids, passes: bool) -> None:
        if passes:
            await self._new_key()
        else:
            await self._must("DELETE", KEYS_PATH, {"name": self._key_name}, done=404)

    async def _move_person(self, _ids: _Ids, passes: bool) -> None:
        body = {"group_name": "doors", "identity_id": ["ada"]}
        await self._must("PUT" if passes else "DELETE", GROUP_USERS_PATH, body)

    async def _change_permission(self, ids: _Ids, passes: bool) -> None:
        info = {"permission_ids": [ids.permission if passes else "0"]}
        await self._must("PUT", USERS_PATH, {"identity_id": "ada", "info": info})

    async def _move_device(self, ids: _Ids, passes: bool) -> None:
        await self._put_device("PUT", ids.group if passes else ids.other_group, ids.permission)

    async def _change_device(self, ids: _Ids, passes: bool) -> None:
        await self._put_device("PUT", ids.group, ids.permission if passes else ids.other_permission)

    async def _put_device(self, method: str, group_id: str, permission_id: str) -> None:
        known = {"device_id": "door", "device_name": "door", "device_key": _DOOR, "device_type": "photo"}
        body = {"devices_list": [{**known, "group_id": group_id, "permission_id": permission_id}]}
        done = await self._must(method, DEVICES_PATH, body)
        if not done["success_devices"]:
            raise RunFailed(f"the door could not be changed: {done}")
