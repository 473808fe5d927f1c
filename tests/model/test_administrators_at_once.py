"""Two administrators change one site at once through a running server, which is killed in between.

The admin topic has one order of their calls. Carried out in that order, the calls must leave the model
(tests/model/one_order.py) in the state in which the site is, and every answer that an administrator received must be
that of the model. Calls whose answer was lost in a kill may have been made or not; the admin topic says which.
"""

import asyncio
import random
import signal
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import numpy as np

from broker.embedded import open_embedded
from contract.calls.dialects import Dialect
from contract.errors import Code
from contract.events import decode_event
from contract.http import (
    DEVICES_PATH,
    GROUP_IDS_PATH,
    GROUP_USERS_PATH,
    GROUPS_PATH,
    PERMISSION_IDS_PATH,
    PERMISSIONS_PATH,
    USERS_PATH,
)
from contract.requests import Request, decode_request
from contract.terms import DEFAULT_GROUP, DEFAULT_PERMISSION
from contract.topics import Topics
from tests.faults.test_serve import read_all, serving
from tests.model.one_order import Answer, OneOrder
from tests.support.faces import MODELS

SEED = 20261126
KILLS = 3
CALLS_AT_ONCE = 4
"""The calls of one administrator that are under way together."""
TOPICS = Topics()
PEOPLE = ("ada", "bea", "cleo", "dan")
GROUPS = (DEFAULT_GROUP, "staff", "guests")
PERMISSIONS = (DEFAULT_PERMISSION, "day", "night")
ADDRESSES = ("10.0.0.1", "10.0.0.2", "10.0.0.3")
LOST = (int(Code.OVERLOADED.http_status), int(Code.TIMEOUT.http_status))
"""The HTTP statuses after which a caller does not know whether the call was made."""

Call = tuple[str, str, dict[str, Any]]


@dataclass
class Received:
    """The answers that administrators have received: the id of the call -> its path, HTTP status and answer."""

    answers: dict[str, tuple[str, int, Any]] = field(default_factory=dict)


class Administrator:
    """Makes random calls with names that the other administrator uses too."""

    def __init__(self, url: str, session: aiohttp.ClientSession, chance: random.Random, received: Received) -> None:
        self.url, self.session, self.chance, self.received = url, session, chance, received

    async def work(self) -> None:
        """Make calls until the server is gone."""
        await asyncio.gather(*(self._one_after_the_other() for _ in range(CALLS_AT_ONCE)))

    async def some_calls(self, count: int) -> None:
        for _ in range(count):
            await self.make()

    async def _one_after_the_other(self) -> None:
        try:
            while True:
                await self.make()
        except (aiohttp.ClientError, OSError):
            return

    async def make(self) -> None:
        """Make one random call and keep its answer."""
        makes = (self._person, self._person, self._person_gone, self._group, self._permission, self._members)
        method, path, body = self.chance.choice(makes)() if self.chance.random() < 0.8 else await self._device()
        async with self.session.request(method, self.url + path, json=body) as response:
            self.received.answers[response.headers["X-Request-Id"]] = path, response.status, await response.json()

    def _some(self, names: tuple[str, ...]) -> list[str]:
        return self.chance.sample(names, self.chance.randint(1, len(names)))

    def _person(self) -> Call:
        seed = self.chance.randrange(3)
        feature = np.random.default_rng(seed).normal(size=MODELS.embedder.dimension).tolist()
        body: dict[str, Any] = {
            "identity_id": self.chance.choice(PEOPLE),
            "import_mode": True,
            "feature": feature,
            "feature_model": MODELS.embedder_identity,
            "info": {"name": "x", "permission_ids": self._some(PERMISSIONS)},
            "create_no_exit_permission": self.chance.random() < 0.3,
        }
        if self.chance.random() < 0.3:
            return "PUT", USERS_PATH, body
        ignore = self.chance.random() < 0.5
        return "POST", USERS_PATH, {**body, "group_name": ",".join(self._some(GROUPS)), "ignore_exist": ignore}

    def _person_gone(self) -> Call:
        if self.chance.random() < 0.5:
            return "DELETE", USERS_PATH, {"identity_ids": self._some(PEOPLE)}
        return "DELETE", USERS_PATH, {"identity_id": self.chance.choice(PEOPLE)}

    def _group(self) -> Call:
        return self._named(GROUPS_PATH, "group_name", self.chance.choice(GROUPS))

    def _permission(self) -> Call:
        return self._named(PERMISSIONS_PATH, "permission_name", self.chance.choice(PERMISSIONS))

    def _named(self, path: str, name_field: str, name: str) -> Call:
        method = self.chance.choice(("POST", "POST", "PUT", "DELETE"))
        if method == "DELETE":
            return method, path, {name_field: name, "user_recursive_delete": self.chance.random() < 0.3}
        info = {self.chance.choice("abc"): self.chance.choice((None, 1, 2))}
        return method, path, {name_field: name, "description": str(self.chance.randrange(100)), "info": info}

    def _members(self) -> Call:
        body = {"group_name": self.chance.choice(GROUPS), "identity_id": self._some(PEOPLE)}
        return self.chance.choice(("PUT", "PUT", "DELETE")), GROUP_USERS_PATH, body

    async def _device(self) -> Call:
        """One or two devices in groups that existed a moment ago."""
        async with self.session.get(self.url + GROUP_IDS_PATH) as response:
            found = (await response.json()).get("data", ())
        groups = [DEFAULT_GROUP, *(one["_id"] for one in found)]
        method = self.chance.choice(("POST", "POST", "PUT", "DELETE"))
        return (
            method,
            DEVICES_PATH,
            {"devices_list": [self._sent(method, groups) for _ in range(self.chance.choice((1, 2)))]},
        )

    def _sent(self, method: str, groups: list[str]) -> dict[str, Any]:
        device_id = {"device_id": self.chance.choice(("d1", "d2", "d3"))}
        if method == "DELETE":
            return device_id
        device = {
            "device_name": f"door {self.chance.randrange(100)}",
            "device_key": self.chance.choice(ADDRESSES),
            "group_id": self.chance.choice(groups),
            "permission_id": self.chance.choice(PERMISSIONS),
        }
        return {
            **device,
            "device_type": "photo",
            **(device_id if method == "PUT" or self.chance.random() < 0.7 else {}),
        }


async def test_what_two_administrators_do_at_once_is_what_one_order_of_their_calls_does(tmp_path: Path) -> None:
    chance, received = random.Random(SEED), Received()

    def two(url: str, session: aiohttp.ClientSession) -> list[Administrator]:
        return [Administrator(url, session, random.Random(chance.random()), received) for _ in range(2)]

    for _ in range(KILLS):
        async with serving(tmp_path) as server, aiohttp.ClientSession() as session:
            working = [asyncio.create_task(one.work()) for one in two(server.url, session)]
            await asyncio.sleep(chance.uniform(0.7, 1.5))
            server.process.kill()
            await asyncio.gather(*working)
    async with serving(tmp_path) as server, aiohttp.ClientSession() as session:
        await asyncio.gather(*(one.some_calls(120) for one in two(server.url, session)))
        found = await state(server.url, session)
        server.process.send_signal(signal.SIGTERM)
        await server.process.wait()

    model = OneOrder()
    expected = await carried_out(tmp_path, model)
    assert found == state_of(model)
    decided = [check(call_id, answer, expected) for call_id, answer in received.answers.items()]
    assert sum(decided) > 200, f"seed {SEED}: too little was decided to tell anything"
    assert len(expected) > len(received.answers) / 2
    codes = {one for _, one in expected.values() if isinstance(one, Code)}
    assert codes >= {
        Code.GROUP_NAME_ERROR,
        Code.NOT_FOUND,
        Code.ID_NOT_FOUND,
        Code.IDENTITY_EXSIT_ERROR,
        Code.PARAM_ERROR,
    }


async def carried_out(folder: Path, model: OneOrder) -> dict[str, tuple[Request, Answer]]:
    """Carry out the calls of the admin topic in their order; the id of each -> the request and the model's answer."""
    async with open_embedded(folder, role="owner", clock_ms=lambda: 0) as broker:
        requests = [decode_request(record.value or b"") for record in await read_all(broker, TOPICS.admin)]
        events = [decode_event(record.value or b"") for record in await read_all(broker, TOPICS.events)]
    outcomes = {event.id: event.outcome for event in events}
    assert len(events) == len(outcomes) == len(requests), "every request has one event"
    return {
        # Nobody waited any more for a request that expired while the server was down; it must have changed nothing.
        one.request_id: (one, Code.TIMEOUT if outcomes[one.request_id] == "expired" else model.carry_out(one))
        for one in requests
    }


def check(call_id: str, received: tuple[str, int, Any], expected: Mapping[str, tuple[Request, Answer]]) -> bool:
    """Compare an answer with that of the model; return whether the call was decided."""
    path, status, answer = received
    several = [expected[one] for number in range(1, len(PEOPLE) + 1) if (one := f"{call_id}-{number}") in expected]
    if status in LOST:
        return False
    if several:
        gone = {request.key.decode() for request, one in several if not isinstance(one, Code)}
        if not gone:
            assert answer["error"]["code"] == Code.ID_NOT_FOUND
        else:
            assert set(answer["data"]["identity_ids"]) == gone
            assert len(answer["data"]["failed"]) == len(several) - len(gone)
        return True
    _, must_be = expected[call_id]
    if isinstance(must_be, Code):
        dialect = Dialect.V5 if path == DEVICES_PATH else Dialect.FOG
        assert answer.get("error", {}).get("code") == dialect.code(must_be), (expected[call_id], answer)
    else:
        assert "data" in answer, (expected[call_id], answer)
        assert told(answer["data"], must_be) == must_be, (expected[call_id], answer)
    return True


def told(data: dict[str, Any], like: dict[str, Any]) -> dict[str, Any]:
    """What an answer says of what the model says too, in the form of the model."""
    forms = {
        "success_devices": lambda devices: [one["device_id"] for one in devices],
        "failed_devices": lambda devices: [one["code"] for one in devices],
        "failed": lambda people: [one["identity_id"] for one in people],
        "info": lambda info: {name: value for name, value in info.items() if name not in ("user_id", "image_id")},
        "group_name": lambda names: (
            names.split(",") if isinstance(names, str) and isinstance(like["group_name"], list) else names
        ),
    }
    return {name: forms.get(name, lambda value: value)(data[name]) for name in like}


async def state(url: str, session: aiohttp.ClientSession) -> dict[str, Any]:
    """The whole site as the server lists it."""

    async def get(path: str, **query: str) -> Any:
        async with session.get(url + path, params=query) as response:
            return (await response.json())["data"]

    people = (await get(USERS_PATH, limit="1000"))["identities_list"]
    devices = (await get(DEVICES_PATH))["devices_list"]
    return {
        "groups": {one["_id"]: one["info"] for one in await get(GROUP_IDS_PATH)},
        "permissions": {one["_id"]: one["info"] for one in await get(PERMISSION_IDS_PATH)},
        "people": {one["identity_id"]: told(one, {"group_name": [], "info": {}}) for one in people},
        "devices": {
            one["device_id"]: (one["device_name"], one["device_key"], one["group_id"], one["permission_id"])
            for one in devices
        },
    }


def state_of(model: OneOrder) -> dict[str, Any]:
    """The whole site as the model has it."""
    return {
        "groups": {one: group.shown for one, group in model.groups.items()},
        "permissions": {one: permission.shown for one, permission in model.permissions.items()},
        "people": {
            who: {"group_name": model.group_names(person), "info": model.info(person)}
            for who, person in model.people.items()
        },
        "devices": {
            one: (
                device.name,
                device.address,
                device.group_id if device.group_id in model.groups else "",
                device.permission_id if device.permission_id in model.permissions else "",
            )
            for one, device in model.devices.items()
        },
    }
