"""A site with made-up people, and the ten-line model of what a match must answer. The faces are drawn, by number."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from random import Random

import numpy as np
import pybase64

from broker.port import Broker, NewRecord
from contract.codec import encode
from contract.errors import Code
from contract.people.keys import face_key, person_key, site_key
from contract.people.records import WHOLE_FACE, FaceRecord, PersonRecord
from contract.people.site import DeviceRecord, GroupRecord, PermissionRecord, SiteRecord, site_key_of
from contract.terms import DEFAULT_GROUP, DEFAULT_PERMISSION
from engine.vision.decode.jpeg import encode_jpeg
from engine.vision.networks.standin import draw_face, draw_scene
from engine.vision.ports import Box, Face
from tests.support.faces import MODELS

SIDE = 96
AT_ONCE = 1000
"""Records per append."""


@lru_cache(maxsize=4096)
def picture(face: int) -> str:
    """The JPEG of a drawn face, as base64."""
    image = draw_scene(SIDE + 32, SIDE + 32, [(draw_face(face, SIDE), 16, 16)])
    return pybase64.b64encode(encode_jpeg(image, quality=95)).decode()


def embedding(face: int) -> np.ndarray:
    """The embedding of a drawn face, as the stand-in network computes it."""
    whole = Face(Box(0, 0, SIDE, SIDE), 1.0, np.zeros((5, 2), np.float32))
    return MODELS.embedder(draw_face(face, SIDE), whole).vector


@dataclass(frozen=True, slots=True)
class Person:
    """`groups` and `permissions` by id; ids of what was deleted may remain."""

    face: int
    groups: frozenset[str]
    permissions: frozenset[str]


@dataclass
class Model:
    """What the site must be. `groups`, `permissions`: name -> id; `devices`: address -> ids of group and permission."""

    groups: dict[str, str] = field(default_factory=lambda: {DEFAULT_GROUP: DEFAULT_GROUP})
    permissions: dict[str, str] = field(default_factory=lambda: {DEFAULT_PERMISSION: DEFAULT_PERMISSION})
    people: dict[str, Person] = field(default_factory=dict)
    devices: dict[str, tuple[str, str]] = field(default_factory=dict)

    def copy(self) -> "Model":
        """A model that keeps its present state whatever becomes of this one."""
        return Model(dict(self.groups), dict(self.permissions), dict(self.people), dict(self.devices))

    def answer(self, who: str, device: str, group: str | None, permission: str | None) -> str | Code:
        """The identity_id that a match with the face of `who` must find, "" for a stranger, or the code of an error."""
        if group not in {*self.groups, None} or permission not in {*self.permissions, None}:
            return Code.GROUP_NAME_ERROR
        group_id, permission_id = self.devices.get(device, (DEFAULT_GROUP, DEFAULT_PERMISSION))
        group_id = self.groups[group] if group else group_id
        permission_id = self.permissions[permission] if permission else permission_id
        exists = group_id in self.groups.values() and permission_id in self.permissions.values()
        inside = (one for one in self.people if exists and self.is_inside(one, group_id, permission_id))
        if next(inside, None) is None:
            return Code.EMPTY_GROUP_ERROR
        return who if self.is_inside(who, group_id, permission_id) else ""

    def is_inside(self, who: str, group_id: str, permission_id: str) -> bool:
        """Whether a person is enrolled, in that group and with that permission."""
        person = self.people.get(who)
        return person is not None and group_id in person.groups and permission_id in person.permissions


def random_model(chance: Random, people: int, groups: int, permissions: int, devices: int) -> Model:
    """A site with random memberships: several groups and permissions for each person, one of each for a device."""
    model = Model()
    model.groups |= {f"group {n}": f"g{n}" for n in range(groups)}
    model.permissions |= {f"permission {n}": f"p{n}" for n in range(permissions)}
    some_groups, some_permissions = list(model.groups.values()), list(model.permissions.values())
    for n in range(people):
        in_groups = frozenset(chance.sample(some_groups, chance.randint(0, 4)))
        with_permissions = frozenset(chance.sample(some_permissions, chance.randint(1, 5)))
        model.people[f"person-{n}"] = Person(n, in_groups, with_permissions)
    for n in range(devices):
        model.devices[f"10.1.{n // 250}.{n % 250}"] = chance.choice(some_groups), chance.choice(some_permissions)
    return model


async def write_people(broker: Broker, topic: str, model: Model) -> None:
    """Append the records of the whole site to the people topic, as an import by an administrator leaves them."""
    records = list(_records(topic, model))
    for first in range(0, len(records), AT_ONCE):
        await broker.append(records[first : first + AT_ONCE])


def _records(topic: str, model: Model) -> Iterator[NewRecord]:
    site: list[SiteRecord] = [GroupRecord(group_id=one, name=name) for name, one in model.groups.items()]
    site += [PermissionRecord(permission_id=one, name=name) for name, one in model.permissions.items()]
    for address, (group_id, permission_id) in model.devices.items():
        named = {"device_id": f"id-{address}", "name": address, "address": address, "device_type": "photo"}
        site.append(DeviceRecord(**named, group_id=group_id, permission_id=permission_id))
    for one in site:
        yield NewRecord(topic, site_key(site_key_of(one)), encode(one))
    for who, person in model.people.items():
        embedder, vector = MODELS.embedder_identity, embedding(person.face)
        face = FaceRecord(identity_id=who, number=0, embedder=embedder, templates={WHOLE_FACE: vector.tobytes()})
        yield NewRecord(topic, face_key(who, 0, embedder), encode(face))
        info = {"name": who, "type": 1, "permission_ids": sorted(person.permissions)}
        record = PersonRecord(
            identity_id=who, group_ids=tuple(sorted(person.groups)), info=info, faces=(0,), next_face=1
        )
        yield NewRecord(topic, person_key(who), encode(record))
