"""Matches through HTTP agree with a model, while people, groups, permissions and devices change between and below them.

The server runs with stand-in networks, and all examples of a run use one server: what one example changed is what the
next one finds. Hypothesis chooses the steps; who is matched and what is changed follows from a seed that it draws.
"""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from random import Random
from typing import Any

import aiohttp
import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule, run_state_machine_as_test

from contract.errors import Code
from contract.http import (
    DEVICES_PATH,
    GROUP_IDS_PATH,
    GROUP_USERS_PATH,
    GROUPS_PATH,
    MATCH_PATH,
    PERMISSION_IDS_PATH,
    PERMISSIONS_PATH,
    USERS_PATH,
)
from contract.terms import DEFAULT_GROUP, DEFAULT_PERMISSION
from engine.vision.networks.standin import stand_in_models
from ingest.settings import IngestSettings
from picturematch.opening import open_broker
from picturematch.settings import ModelSettings, Settings
from picturematch.wiring import run_system
from tests.model.site_model import Model, Person, embedding, picture, random_model, write_people
from tests.support.faces import MODELS

AT_ONCE = 12
"""Matches that are under way together."""
PER_STEP = 20
BUSY = (503, 504)


@dataclass
class Site:
    """The server, the model of what it must be, and how often the two agreed."""

    runner: asyncio.Runner
    session: aiohttp.ClientSession
    url: str
    model: Model
    agreed: int = 0
    made: int = 0
    outcomes: dict[str, int] = field(default_factory=dict)

    async def call(self, method: str, path: str, body: Any = None, **query: str) -> tuple[int, Any]:
        """The HTTP status and the JSON of an answer that is not about overload."""
        while True:
            async with self.session.request(method, self.url + path, json=body, params=query) as response:
                if response.status not in BUSY:
                    return response.status, await response.json()
            await asyncio.sleep(0.05)

    async def change(self, method: str, path: str, body: Any) -> Any:
        status, answer = await self.call(method, path, body)
        assert status == 200, (method, path, body, answer)
        return answer["data"]

    async def id_of(self, path: str, name: str) -> str:
        _, answer = await self.call("GET", path, **{"info.name": name, "exact": "true"})
        (found,) = answer["data"]
        return str(found["_id"])


@dataclass(frozen=True)
class Ask:
    """A match with the face of somebody."""

    who: str
    face: int
    device: str
    group: str | None = None
    permission: str | None = None

    @classmethod
    def any(cls, model: Model, chance: Random) -> "Ask":
        """One of any kind: somebody enrolled or not, by a device that is registered or not, with a scope or without."""
        if chance.random() < 0.9:
            who = chance.choice(list(model.people))
            face = model.people[who].face
        else:
            who, face = "nobody", 10_000_000 + chance.randrange(50)
        device = chance.choice([*model.devices, "10.9.9.9"])
        group = chance.choice([None, None, *chance.sample([*model.groups, "no such group"], 2)])
        permission = chance.choice([None, *chance.sample([*model.permissions, "no such permission"], 2)])
        return cls(who, face, device, group, None if group is None else permission)

    def within(self, model: Model) -> "Ask":
        """The same person in a scope that contains the person, by name, where there is one."""
        person = model.people.get(self.who)
        groups = [name for name, one in model.groups.items() if person and one in person.groups]
        permissions = [name for name, one in model.permissions.items() if person and one in person.permissions]
        inside = groups and permissions
        return Ask(self.who, self.face, self.device, groups[0], permissions[0]) if inside else self

    def must_be(self, model: Model) -> str | Code:
        return model.answer(self.who, self.device, self.group, self.permission)

    async def answer(self, site: Site) -> str | Code:
        body = {"device_ip": self.device, "rgb_image_base64": picture(self.face)}
        body |= {"group_name": self.group} if self.group else {}
        body |= {"permission_name": self.permission} if self.permission else {}
        status, answer = await site.call("POST", MATCH_PATH, body)
        if status != 200:
            return Code(answer["error"]["code"])
        assert answer["retcode"] == ("1" if answer["identity_id"] else "0")
        return str(answer["identity_id"])


class Administration:
    """The changes that an administrator can make, each at the server and in the model."""

    def __init__(self, site: Site, chance: Random) -> None:
        self.site, self.model, self.chance = site, site.model, chance

    async def any(self) -> None:
        changes: list[Callable[[], Awaitable[None]]] = [
            self.add_members,
            self.remove_members,
            self.give_permissions,
            self.move_device,
            self.enrol,
            self.remove,
        ]
        rare = [self.add_group, self.delete_group, self.add_permission, self.delete_permission]
        await self.chance.choice(changes * 3 + rare)()

    def _group(self) -> str:
        return self.chance.choice(list(self.model.groups))

    def _person(self) -> str:
        return self.chance.choice(list(self.model.people))

    async def add_members(self) -> None:
        name, who = self._group(), self._person()
        await self.site.change("PUT", GROUP_USERS_PATH, {"group_name": name, "identity_id": [who]})
        self._set_groups(who, self.model.people[who].groups | {self.model.groups[name]})

    async def remove_members(self) -> None:
        name = self._group()
        group_id = self.model.groups[name]
        members = [who for who, person in self.model.people.items() if group_id in person.groups]
        for who in self.chance.sample(members, min(len(members), 3)):
            await self.site.change("DELETE", GROUP_USERS_PATH, {"group_name": name, "identity_id": [who]})
            self._set_groups(who, self.model.people[who].groups - {group_id})

    def _set_groups(self, who: str, groups: frozenset[str]) -> None:
        self.model.people[who] = replace(self.model.people[who], groups=groups)

    async def give_permissions(self) -> None:
        who, ids = self._person(), self._permissions()
        await self.site.change("PUT", USERS_PATH, {"identity_id": who, "info": {"permission_ids": ids}})
        self.model.people[who] = replace(self.model.people[who], permissions=frozenset(ids))

    def _permissions(self) -> list[str]:
        ids = list(self.model.permissions.values())
        return self.chance.sample(ids, self.chance.randint(1, min(4, len(ids))))

    async def move_device(self) -> None:
        address = self.chance.choice(list(self.model.devices))
        scope = self.model.groups[self._group()], self.chance.choice(list(self.model.permissions.values()))
        known = {"device_id": f"id-{address}", "device_name": address, "device_key": address, "device_type": "photo"}
        body = {"devices_list": [{**known, "group_id": scope[0], "permission_id": scope[1]}]}
        done = await self.site.change("PUT", DEVICES_PATH, body)
        assert [one["device_id"] for one in done["success_devices"]] == [f"id-{address}"]
        self.model.devices[address] = scope

    async def enrol(self) -> None:
        self.site.made += 1
        face, ids = 20_000_000 + self.site.made, self._permissions()
        names = self.chance.sample(list(self.model.groups), self.chance.randint(1, 3))
        body = {
            "identity_id": f"made-{self.site.made}",
            "group_name": ",".join(names),
            "import_mode": True,
            "feature": embedding(face).tolist(),
            "feature_model": MODELS.embedder_identity,
            "info": {"name": "made", "permission_ids": ids},
        }
        await self.site.change("POST", USERS_PATH, body)
        person = Person(face, frozenset(self.model.groups[name] for name in names), frozenset(ids))
        self.model.people[body["identity_id"]] = person

    async def remove(self) -> None:
        who = self._person()
        await self.site.change("DELETE", USERS_PATH, {"identity_id": who})
        del self.model.people[who]

    async def add_group(self) -> None:
        self.site.made += 1
        name = f"group {self.site.made} made"
        await self.site.change("POST", GROUPS_PATH, {"group_name": name, "description": ""})
        self.model.groups[name] = await self.site.id_of(GROUP_IDS_PATH, name)

    async def delete_group(self) -> None:
        name = self._group()
        if name != DEFAULT_GROUP:
            await self.site.change("DELETE", GROUPS_PATH, {"group_name": name})
            del self.model.groups[name]

    async def add_permission(self) -> None:
        self.site.made += 1
        name = f"permission {self.site.made} made"
        await self.site.change("POST", PERMISSIONS_PATH, {"permission_name": name, "description": ""})
        self.model.permissions[name] = await self.site.id_of(PERMISSION_IDS_PATH, name)

    async def delete_permission(self) -> None:
        name = self.chance.choice(list(self.model.permissions))
        if name != DEFAULT_PERMISSION and len(self.model.permissions) > 3:
            await self.site.change("DELETE", PERMISSIONS_PATH, {"permission_name": name})
            del self.model.permissions[name]


class Matches(RuleBasedStateMachine):
    """See the module."""

    def __init__(self, site: Site) -> None:
        super().__init__()
        self.site = site

    @rule(seed=st.integers(0, 2**32 - 1))
    def change(self, seed: int) -> None:
        self.site.runner.run(Administration(self.site, Random(seed)).any())

    @rule(seed=st.integers(0, 2**32 - 1))
    def match(self, seed: int) -> None:
        self.site.runner.run(self._match(Random(seed), None))

    @rule(seed=st.integers(0, 2**32 - 1))
    def match_while_something_changes(self, seed: int) -> None:
        self.site.runner.run(self._match(Random(seed), Administration(self.site, Random(seed))))

    async def _match(self, chance: Random, administration: Administration | None) -> None:
        """Answers are those of the model as it is, or, during a change, as it was before or is afterwards."""
        before = self.site.model if administration is None else self.site.model.copy()
        asks = [Ask.any(before, chance) for _ in range(PER_STEP)]
        asks = [ask.within(before) if number % 3 == 0 else ask for number, ask in enumerate(asks)]
        turns = asyncio.Semaphore(AT_ONCE)

        async def answer(ask: Ask) -> str | Code:
            async with turns:
                return await ask.answer(self.site)

        changing = asyncio.create_task(administration.any()) if administration else None
        answers = await asyncio.gather(*map(answer, asks))
        if changing is not None:
            await changing
        for ask, found in zip(asks, answers, strict=True):
            assert found in (ask.must_be(before), ask.must_be(self.site.model)), ask
            self.site.agreed += 1
            word = found.status if isinstance(found, Code) else "matched" if found else "stranger"
            self.site.outcomes[word] = self.site.outcomes.get(word, 0) + 1


@dataclass(frozen=True)
class Size:
    """The size of a site, and how many steps are made."""

    people: int
    groups: int
    permissions: int
    devices: int
    examples: int
    steps: int
    matches: int
    """So many matches at least must have agreed at the end."""


SMALL = Size(people=300, groups=8, permissions=5, devices=10, examples=5, steps=12, matches=200)
WHOLE = Size(people=10_000, groups=50, permissions=20, devices=60, examples=25, steps=60, matches=10_000)


LONG = [pytest.mark.slow, pytest.mark.longest, pytest.mark.timeout(3600)]


@pytest.mark.parametrize("size", [pytest.param(SMALL, id="small"), pytest.param(WHOLE, id="whole", marks=LONG)])
def test_every_match_finds_exactly_whom_the_model_allows(tmp_path: Path, size: Size) -> None:
    chosen = Settings(data_folder=tmp_path, ingest=IngestSettings(port=0), models=ModelSettings(kind="stand-in"))
    model = random_model(Random(10), size.people, size.groups, size.permissions, size.devices)
    stack = AsyncExitStack()

    async def begin(runner: asyncio.Runner) -> Site:
        async with open_broker(chosen, "owner") as broker:
            await broker.ensure_topics(chosen.topic_specs)
            await write_people(broker, chosen.topics.people, model)
        system = await stack.enter_async_context(run_system(chosen, stand_in_models()))
        session = await stack.enter_async_context(aiohttp.ClientSession())
        return Site(runner, session, system.url, model)

    with asyncio.Runner() as runner:
        try:
            site = runner.run(begin(runner))
            run_state_machine_as_test(
                lambda: Matches(site),
                settings=settings(
                    max_examples=size.examples,
                    stateful_step_count=size.steps,
                    deadline=None,
                    derandomize=True,
                    database=None,
                    phases=[Phase.generate],  # the server keeps its state, so an example cannot be repeated or shrunk
                    suppress_health_check=list(HealthCheck),
                ),
            )
            # Hypothesis may end an example early, so the rest is matched here.
            chance = Random(11)
            while site.agreed < size.matches:
                runner.run(Administration(site, chance).any())
                Matches(site).match(chance.randrange(2**32))
        finally:
            runner.run(stack.aclose())
    assert site.outcomes.keys() >= {"matched", "stranger", "GROUP_NAME_ERROR", "EMPTY_GROUP_ERROR"}
