"""People who pass the doors of a running system, while people, groups, permissions, devices and settings change.

Everything that is asked follows from a seed. Every round has a request for each outcome that a match can have.
"""

import asyncio
import random
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import aiohttp
import cv2
import pybase64

from contract.http import (
    CONFIGS_PATH,
    DEVICES_PATH,
    GROUP_USERS_PATH,
    GROUPS_PATH,
    MATCH_PATH,
    PERMISSIONS_PATH,
    USERS_PATH,
    V6_PATH,
)
from contract.requests import MatchRequest
from engine.vision.networks.standin import draw_face
from engine.vision.ports import Image
from tests.support.faces import scene
from tests.support.sites import Site

Json = dict[str, Any]

GATE, OFFICE, STRICT, CELLAR, NIGHT = "10.0.0.1", "10.0.0.2", "10.0.0.3", "10.0.0.4", "10.0.0.5"
"""Devices: of everybody, of the staff, with the quality level high, of a group with nobody, and of the night shift."""
UNKNOWN = "10.0.0.99"
STAFF, NOBODY, NIGHT_SHIFT = "staff", "nobody", "night"
BANNED, GONE, SLEEPER, REGULAR, WALKER = "banned", "gone", "sleeper", "regular", "walker"
"""People who are always enrolled: blacklisted, no longer valid, of the night shift, an ordinary one, and a stranger."""
_SEEDS = {REGULAR: 1, BANNED: 2, GONE: 3, SLEEPER: 4, WALKER: 5}
_FIRST_STRANGER = 1_000_000
_PATIENCE_S = 60.0


def encoded(picture: bytes) -> str:
    """A picture as calls have it."""
    return pybase64.b64encode_as_string(picture)


def face(seed: int, **drawn: Any) -> bytes:
    """A small JPEG with the face of a seed."""
    return scene(draw_face(seed, 120, **drawn), width=240, height=200)


def resembling(seed: int, share: float) -> bytes:
    """A face of which that share is the face of a seed, and the rest a stranger's: the cosine rises with the share."""
    mixed: Image = cv2.addWeighted(draw_face(seed), share, draw_face(_FIRST_STRANGER + seed), 1 - share, 0)  # type: ignore[assignment]
    return scene(mixed, width=240, height=200)


@dataclass
class Passages:
    """One scenario at a site. `people`: who is enrolled besides those who always are, and the seed of the face."""

    site: Site
    seed: int
    people: dict[str, int] = field(default_factory=dict)
    chance: random.Random = field(init=False)
    numbers: int = 0

    def __post_init__(self) -> None:
        self.chance = random.Random(self.seed)

    async def run(self, rounds: int, *, restarts: bool = True) -> None:
        """Set the site up, and let that many rounds of changes and passages happen, with a restart after each."""
        await self.set_up()
        for number in range(rounds):
            await self.round(number)
            if restarts:
                await self.break_off()

    async def set_up(self) -> None:
        """Create groups, permissions, devices and the people who are always there."""
        for name in (STAFF, NOBODY):
            await self.call("POST", GROUPS_PATH, group_name=name, description="")
        await self.call("POST", PERMISSIONS_PATH, permission_name=NIGHT_SHIFT, description="")
        groups = {name: await self.group_id(name) for name in (STAFF, NOBODY)}
        for address, group_id, permission, fields in (
            (GATE, "default_group", "0", {}),
            (OFFICE, groups[STAFF], "0", {}),
            (STRICT, "default_group", "0", {"quality_level": "high"}),
            (CELLAR, groups[NOBODY], "0", {}),
            (NIGHT, "default_group", NIGHT_SHIFT, {}),
        ):
            device = {"device_name": f"door {address}", "device_key": address, "device_type": "photo", **fields}
            asked = [{**device, "device_id": address, "group_id": group_id, "permission_id": permission}]
            await self.call("POST", DEVICES_PATH, devices_list=asked)
        night = await self.permission_id(NIGHT_SHIFT)
        infos: Mapping[str, Json] = {
            REGULAR: {},
            BANNED: {"type": 3},
            GONE: {"valid_until": 1_000_000_000},
            SLEEPER: {"permission_ids": ["0", night]},
            WALKER: {"type": 4},
        }
        for name, info in infos.items():
            await self.enrol(name, _SEEDS[name], **info)
        await self.call("PUT", GROUP_USERS_PATH, group_name=STAFF, identity_id=[REGULAR, BANNED])

    async def round(self, number: int) -> None:
        """Some changes, between and beside passages."""
        await self.change_schedule()
        for change in self.chance.sample(self.changes(), 4):
            await change()
            await self.pass_many(self.ordinary(3))
        await asyncio.gather(self.pass_many(self.ordinary(6)), self.enrol_somebody())
        await self.pass_many(self.every_outcome())
        await self.pass_many(self.resembling_people())
        await self.search_v6()

    async def break_off(self) -> None:
        """Break the site off while people pass, and leave requests behind that nobody answers."""
        passing = asyncio.create_task(self.pass_many(self.ordinary(4), answered=False))
        await asyncio.sleep(0.02)
        late = [self.late_request() for _ in range(2)]
        await self.site.restart(late)
        await passing

    # --- passages

    def every_outcome(self) -> Sequence[Json]:
        """Requests of which each has another outcome, apart from `expired`."""
        stranger = face(_FIRST_STRANGER + self.chance.randrange(1000))
        return [
            passage(GATE, face(_SEEDS[REGULAR])),
            passage(OFFICE, face(_SEEDS[REGULAR]), with_attribute=True),
            passage(GATE, stranger, support_stranger=True),
            passage(GATE, face(_SEEDS[WALKER]), support_stranger=True),
            passage(GATE, face(_SEEDS[REGULAR], live=False), liveness_mode="liveness_rgb"),
            passage(GATE, face(_SEEDS[REGULAR]), ir_image_base64=encoded(face(_SEEDS[REGULAR], infrared=True))),
            passage(STRICT, face(_SEEDS[REGULAR], yaw=60)),
            burst(GATE, face(_SEEDS[REGULAR]), scene(width=240, height=200), face(_SEEDS[REGULAR], yaw=20)),
            burst(GATE, face(_SEEDS[REGULAR]), stranger),
            passage(GATE, scene(width=240, height=200)),
            passage(GATE, face(_SEEDS[REGULAR])[:2000]),
            passage(CELLAR, face(_SEEDS[REGULAR])),
            passage(GATE, face(_SEEDS[BANNED])),
            passage(OFFICE, face(_SEEDS[BANNED])),
            passage(GATE, face(_SEEDS[GONE])),
            passage(NIGHT, face(_SEEDS[SLEEPER])),
            passage(UNKNOWN, face(_SEEDS[REGULAR])),
            passage(GATE, face(_SEEDS[REGULAR]), group_name="no such group"),
            passage(GATE, face(_SEEDS[REGULAR]), group_name=STAFF, permission_name="0"),
            passage(GATE, face(_SEEDS[REGULAR]), min_face_size=300),
        ]

    def resembling_people(self) -> Sequence[Json]:
        """Faces whose cosines are on both sides of the threshold, and near it."""
        return [
            passage(
                GATE,
                resembling(_SEEDS[REGULAR], 0.30 + 0.01 * step),
                need_keep_info=step % 2 == 0,
                support_stranger=step % 3 == 0,
            )
            for step in range(15)
        ]

    def ordinary(self, count: int) -> Sequence[Json]:
        """People who are enrolled, or were, or never were, at any door."""
        seeds = [*_SEEDS.values(), *self.people.values(), *range(100, 100 + self.numbers)]
        doors = (GATE, OFFICE, STRICT, NIGHT)
        somebody = [(self.chance.choice(doors), face(self.chance.choice(seeds))) for _ in range(count)]
        return [passage(door, picture, support_stranger=True) for door, picture in somebody]

    def late_request(self) -> MatchRequest:
        """A request whose caller waits no more."""
        self.numbers += 1
        return MatchRequest(
            request_id=f"late-{self.seed}-{self.numbers}",
            device_ip=self.chance.choice((GATE, OFFICE)),
            picture=face(_SEEDS[REGULAR]),
            compare_time_s=self.site.now_s(),
            received_time_s=self.site.now_s(),
        )

    async def search_v6(self) -> None:
        """Searches of version 6, of which a permission is the scope."""
        picture = encoded(face(_SEEDS[REGULAR]))
        for fields in ({"media_device_ip": OFFICE}, {"permission_name": "0"}, {"permission_name": "no such"}):
            await self.post(f"{V6_PATH}/search", {"rgb_image_base64": picture, **fields})

    async def pass_many(self, passages: Sequence[Json], *, answered: bool = True) -> None:
        """Post requests, four at a time. `answered`: each is asked again until it is answered."""
        turns = asyncio.Semaphore(4)

        async def one(body: Json) -> None:
            async with turns:
                await self.post(MATCH_PATH, body, until_answered=answered)

        await asyncio.gather(*map(one, passages))

    # --- changes

    def changes(self) -> Sequence[Callable[[], Awaitable[None]]]:
        """Every kind of change."""
        return [
            self.enrol_somebody,
            self.delete_somebody,
            self.add_photo,
            self.replace_photos,
            self.move_between_groups,
            self.make_and_delete_scopes,
            self.change_device,
            self.change_threshold,
            self.change_scores,
            self.change_least_face,
        ]

    async def enrol_somebody(self) -> None:
        """Enrol a further person."""
        self.numbers += 1
        name, seed = f"p{self.numbers}", 100 + self.numbers
        self.people[name] = seed
        await self.enrol(name, seed)

    async def delete_somebody(self) -> None:
        """Delete a person."""
        name = await self.somebody()
        del self.people[name]
        await self.call("DELETE", USERS_PATH, identity_id=name)

    async def add_photo(self) -> None:
        """Give a person a second face."""
        name = await self.somebody()
        await self.call("PUT", USERS_PATH, identity_id=name, reg_photo=encoded(face(self.people[name] + 50_000)))

    async def replace_photos(self) -> None:
        """Give a person one new face instead of all others."""
        name = await self.somebody()
        self.people[name] += 10_000
        photo = encoded(face(self.people[name]))
        await self.call("PUT", USERS_PATH, identity_id=name, reg_photo=photo, support_single_face=True)

    async def move_between_groups(self) -> None:
        """Put a person into a group, or take the person from it."""
        name, method = await self.somebody(), self.chance.choice(("PUT", "DELETE"))
        group = self.chance.choice((STAFF, "default_group"))
        await self.call(method, GROUP_USERS_PATH, group_name=group, identity_id=[name])

    async def make_and_delete_scopes(self) -> None:
        """Create a group and a permission for a person who passes with them, and delete both."""
        self.numbers += 1
        name, scope = await self.somebody(), f"scope {self.numbers}"
        await self.call("POST", GROUPS_PATH, group_name=scope, description="")
        await self.call("POST", PERMISSIONS_PATH, permission_name=scope, description="")
        await self.call("PUT", GROUP_USERS_PATH, group_name=scope, identity_id=[name])
        permissions = {"permission_ids": ["0", await self.permission_id(scope)]}
        await self.call("PUT", USERS_PATH, identity_id=name, info=permissions)
        picture = face(self.people[name])
        await self.pass_many([passage(GATE, picture, group_name=scope, permission_name=scope)])
        await self.call("DELETE", PERMISSIONS_PATH, permission_name=scope)
        await self.pass_many([passage(GATE, picture, group_name=scope, permission_name=scope)])
        await self.call("DELETE", GROUPS_PATH, group_name=scope)
        await self.pass_many([passage(GATE, picture, group_name=scope)])

    async def change_device(self) -> None:
        """Change what a device demands, or where it belongs."""
        fields = self.chance.choice(
            (
                {"quality_level": "low"},
                {"quality_level": "no"},
                {"group_id": "default_group"},
                {"group_id": await self.group_id(STAFF)},
                {"liveness_floor": "liveness_rgb"},
            )
        )
        await self.call("PUT", DEVICES_PATH, devices_list=[{"device_id": OFFICE, **fields}])

    async def change_threshold(self) -> None:
        """Move the threshold."""
        await self.configure(THRESHOLD=self.chance.choice((80, 82, 84, 86, None)))

    async def change_scores(self) -> None:
        """Change the percent scores that belong to the cosines 0, the threshold and 1."""
        await self.configure(THRESHOLD_RANGE=self.chance.choice(([0, 79, 100], [10, 82, 99], None)))

    async def change_least_face(self) -> None:
        """Change the least size of a face."""
        await self.configure(REG_MIN_FACE=self.chance.choice((0, 40, None)))

    async def change_schedule(self) -> None:
        """Let the night shift pass on a day that is not today, which is another one every time."""
        today = datetime.fromtimestamp(self.site.now_s(), UTC).isoweekday()
        days = [(today + self.chance.randrange(2, 4)) % 7 + 1]
        info = {"pass_times": [{"days": days, "from": "08:00", "to": "18:00"}]}
        await self.call("PUT", PERMISSIONS_PATH, permission_name=NIGHT_SHIFT, description="", info=info)

    async def configure(self, **settings: Any) -> None:
        """Set settings of the site, unless the operator has pinned them."""
        data = (await self.call("PUT", CONFIGS_PATH, config_dict=settings))["data"]
        assert all("matching." in reason for reason in data["reasons"].values()), data

    async def enrol(self, name: str, seed: int, **info: Any) -> None:
        """Enrol a person with a photo."""
        fields = {"identity_id": name, "reg_photo": encoded(face(seed)), "info": {"name": name.title(), **info}}
        await self.call("POST", USERS_PATH, **fields, ignore_exist=True)

    async def somebody(self) -> str:
        """A person who may be changed or deleted; enrolled first where there is none."""
        if not self.people:
            await self.enrol_somebody()
        return self.chance.choice(sorted(self.people))

    async def group_id(self, name: str) -> str:
        """The id of a group."""
        found = await self.call("GET", GROUPS_PATH, limit=100)
        return next(str(one["group_id"]) for one in found["data"]["groups_list"] if one["name"] == name)

    async def permission_id(self, name: str) -> str:
        """The id of a permission."""
        found = await self.call("GET", PERMISSIONS_PATH, limit=100)
        return next(str(one["permission_id"]) for one in found["data"]["permissions_list"] if one["name"] == name)

    # --- calls

    async def call(self, method: str, path: str, **fields: Any) -> Json:
        """Make a call that has to succeed; it is made again while the site cannot answer."""
        status, answer = await self.ask(method, path, fields, until_answered=True)
        assert status == 200, (method, path, answer)
        return answer

    async def post(self, path: str, body: Json, *, until_answered: bool = True) -> Json:
        """Post a request of a device, which may be refused."""
        return (await self.ask("POST", path, body, until_answered=until_answered))[1]

    async def ask(self, method: str, path: str, fields: Json, *, until_answered: bool) -> tuple[int, Json]:
        """The status and the answer of a call; (0, {}) where there is none."""
        async with asyncio.timeout(_PATIENCE_S), aiohttp.ClientSession() as session:
            while True:
                sent = {"params": {k: str(v) for k, v in fields.items()}} if method == "GET" else {"json": fields}
                try:
                    async with session.request(method, self.site.url + path, **sent) as response:
                        status, answer = response.status, await response.json()
                except aiohttp.ClientError:
                    status, answer = 0, {}
                if status not in (0, 503, 504) or not until_answered:
                    return status, answer
                await asyncio.sleep(0.1)


def passage(device_ip: str, picture: bytes, **fields: Any) -> Json:
    """The body of a request of a device."""
    return {"device_ip": device_ip, "rgb_image_base64": encoded(picture), **fields}


def burst(device_ip: str, *pictures: bytes) -> Json:
    """The body of a request with several pictures."""
    return {"device_ip": device_ip, "rgb_images_base64": [encoded(picture) for picture in pictures]}
