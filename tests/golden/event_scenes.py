"""One request for every kind and outcome of an event, and for events with rare fields.

One processor with the stand-in networks decides all of them, at a time that stands still. The id of a request is the
name of its golden event."""

import tempfile
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import orjson

from broker.port import NewRecord, Record
from contract.imports import ImportedFace, ImportedPerson, ImportedSite
from contract.people.site import GroupRecord
from contract.requests import (
    CompareRequest,
    DeleteRequest,
    DetectRequest,
    EnrolRequest,
    FiqaRequest,
    Headers,
    MatchRequest,
    Request,
    StrangerRequest,
)
from contract.site_requests import (
    DeviceChange,
    DevicesRequest,
    EmbeddedFace,
    GroupRequest,
    ImportRequest,
    KeyRequest,
    MembersRequest,
    PermissionRequest,
    ReembedRequest,
    SettingsRequest,
    WipeRequest,
)
from contract.trace import TRACEPARENT, TRACESTATE
from engine.gallery.exact import ExactIndex
from engine.gallery.port import FaceIndex
from engine.gallery.sketch import SketchMaker
from engine.gallery.two_stage import TwoStageIndex
from engine.policy import Policy
from engine.vision.networks.standin import draw_face, stand_in_models
from picturematch.erasing import erase_event
from picturematch.traces import Traces
from tests.integration.test_dead_letters import POISON, broken_on_333_rows
from tests.integration.test_processor import DEADLINE_S, TOPICS, Running, read_all, running
from tests.support.faces import MODELS, photo, scene
from tests.support.waiting import until

RECEIVED_S = 1_700_000_000.25
NOW_S = 1_700_000_001.5
SETUP = "setup-"
"""The beginning of the ids of requests that only prepare others."""
NEVER = {"days": [5, 6, 7], "from": "09:00", "to": "10:00"}
"""RECEIVED_S is on a Tuesday, in every time zone on a day from Monday to Wednesday."""
OTHER_EMBEDDER = stand_in_models(release=2).embedder_identity
SOURCE = "/picturematch"
TRACED = {
    TRACEPARENT: b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
    TRACESTATE: b"congo=t61rcWkgMzE",
}
SETTING = {"REG_MIN_FACE": 40}
CROWD = 200
"""People whose embeddings are drawn: so many that a sketch compares a part of them."""
PASSED = {Headers.DEADLINE_MS: b"1000"}


@dataclass
class Scenes:
    """The records of the events that have names, in the order in which they were made."""

    system: Running
    found: dict[str, Record] = field(default_factory=dict)
    sent: int = 0

    async def ask(
        self, kind: type[Any], name: str, headers: Mapping[str, bytes] | None = None, /, **fields: Any
    ) -> None:
        """Send one request that knows of everything before it, and keep its event."""
        request: Request = kind(request_id=name, received_time_s=RECEIVED_S, **fields)
        version = await self.caught_up()
        told = {Headers.GALLERY_VERSION: b"%d" % version, **(headers or {})}
        # A query whose caller asks for no event leaves one if it is a dead letter that is sent again.
        if kind in (FiqaRequest, DetectRequest):
            told[Headers.RETRY_OF] = b"an-earlier-request"
        await self.system.send(request, **told)
        await self._keep(name)

    async def caught_up(self) -> int:
        """Return the version of the gallery, once it contains everything before."""
        version = (await self.system.broker.end_offsets(TOPICS.people))[0]
        await until(lambda: self.system.people.version >= version, DEADLINE_S)
        return version

    async def match(self, name: str, picture: bytes, headers: Mapping[str, bytes] | None = None, **fields: Any) -> None:
        fields = {"device_ip": "10.0.0.1", "compare_time_s": RECEIVED_S - 0.125, "picture": picture} | fields
        await self.ask(MatchRequest, name, headers, **fields)

    async def enrol(self, name: str, identity_id: str, seed: int | None, **fields: Any) -> None:
        picture = None if seed is None else photo(seed)
        await self.ask(
            EnrolRequest, name, fields.pop("headers", None), identity_id=identity_id, photo=picture, **fields
        )

    async def compare(self, name: str, one: bytes, other: bytes, **fields: Any) -> None:
        fields = {"compare_time_s": RECEIVED_S - 0.125, "need_save": True} | fields
        headers = fields.pop("headers", None)
        await self.ask(CompareRequest, name, headers, face_picture=one, card_picture=other, **fields)

    async def append(self, name: str, record: NewRecord) -> None:
        await self.system.broker.append([record])
        await self._keep(name)

    async def _keep(self, name: str) -> None:
        self.sent += 1
        await self.system.wait_for(self.sent)
        if not name.startswith(SETUP):
            records = await read_all(self.system.broker, TOPICS.events)
            (self.found[name],) = [r for r in records if orjson.loads(r.value or b"")["id"] == name]


async def _people(at: Scenes) -> None:
    await at.enrol("enrol-enrolled", "anna", 1, info={"name": "Anna", "type": 1})
    await at.enrol("enrol-refused", "anna", 1)
    await at.enrol("enrol-expired", "emil", 5, headers=PASSED)
    await at.enrol(f"{SETUP}bert", "bert", 2, info={"name": "Bert", "type": 3})
    await at.enrol(f"{SETUP}cleo", "cleo", 3, info={"name": "Cleo", "valid_until": RECEIVED_S - 60})
    night = {"permission_id": "night", "name": "night", "info": {"pass_times": [NEVER]}}
    await at.ask(PermissionRequest, f"{SETUP}night", action="create", **night)
    await at.enrol(f"{SETUP}dora", "dora", 4, info={"name": "Dora", "permission_ids": ["0", "night"]})
    strict = DeviceChange(device_id="strict", name="Vault", address="10.0.0.3", quality_level="middle")
    await at.ask(DevicesRequest, f"{SETUP}strict", action="create", devices=(strict,))
    await at.enrol("enrol-updated", "anna", None, update=True, info={"name": "Anna Berg"})
    await at.enrol("enrol-enrolled-lookalike", "anna-again", 1, info={"name": "Anna"})
    await at.ask(DeleteRequest, f"{SETUP}anna-again", identity_id="anna-again")


async def _matches(at: Scenes) -> None:
    await at.match("match-matched", photo(1))
    await at.match("match-blacklisted", photo(2))
    await at.match("match-not_valid", photo(3))
    await at.match("match-not_in_pass_time", photo(4), permission_name="night")
    await at.match("match-stranger", photo(77))
    await at.match("match-no_face", scene())
    await at.match("match-low_quality", photo(1, size=70, yaw=60, pitch=50), device_ip="10.0.0.3")
    await at.match("match-spoof", photo(1, live=False), liveness_mode="liveness_rgb")
    await at.match("match-image_error", photo(1)[:3000])
    await at.match("match-empty_group", photo(1), group_name="visitors")
    await at.match("match-expired", photo(1), PASSED)
    await at.match("match-error", scene(width=500, height=333))
    await at.match(
        "match-matched-traced_replay",
        photo(1),
        {Headers.REPLAY_OF: b"match-matched", **TRACED},
        liveness_mode="liveness_rgb",
        with_attribute=True,
        grab_fiqa_info={"pitch": 1.5},
        compare_time_raw="1700000000125",
    )
    passage = (photo(1, size=150), scene())
    await at.match("match-matched-several_pictures", photo(1), further_pictures=passage)
    both = scene(draw_face(1, 160), draw_face(77, 150))
    await at.match("match-matched-several_faces", both, match_all_faces=True)


async def _queries(at: Scenes) -> None:
    info = {"identity_id": "4711", "name": "Ada"}
    await at.compare("compare-same", photo(1), photo(1, size=200), identity_info=info)
    await at.compare("compare-different", photo(1), photo(2))
    await at.compare("compare-no_face", photo(1), scene())
    await at.compare("compare-low_quality", photo(1, size=70), photo(1), quality_level="high")
    await at.compare("compare-image_error", photo(1), photo(1)[:3000])
    await at.compare("compare-expired", photo(1), photo(1), headers=PASSED)
    await at.compare("compare-error", scene(width=500, height=333), photo(1))
    for kind, done in ((FiqaRequest, "measured"), (DetectRequest, "detected")):
        name = kind.__struct_config__.tag
        await at.ask(kind, f"{name}-{done}", picture=photo(1))
        await at.ask(kind, f"{name}-image_error", picture=photo(1)[:3000])
        await at.ask(kind, f"{name}-expired", PASSED, picture=photo(1))
        await at.ask(kind, f"{name}-error", picture=scene(width=500, height=333))
        await at.ask(kind, f"{name}-no_face", picture=scene())


async def _scopes(at: Scenes) -> None:
    for kind in (GroupRequest, PermissionRequest):
        name = kind.__struct_config__.tag
        await at.ask(kind, f"{name}-created", action="create", name="visitors", description="for a day")
        await at.ask(kind, f"{name}-changed", action="change", name="visitors", description="for an hour")
        await at.ask(kind, f"{name}-refused", action="delete", name="unknown")
        await at.ask(kind, f"{name}-expired", PASSED, action="create", name="late")
        await at.ask(kind, f"{SETUP}{name}", action="create", name="temporary")
        await at.ask(kind, f"{name}-deleted", action="delete", name="temporary")


async def _members(at: Scenes) -> None:
    some = {"identity_ids": ("anna", "nobody")}
    await at.ask(MembersRequest, "members-changed", action="add", group_name="visitors", **some)
    await at.ask(MembersRequest, "members-refused", action="add", group_name="unknown", **some)
    await at.ask(MembersRequest, "members-expired", PASSED, action="remove", group_name="visitors", **some)


async def _site(at: Scenes) -> None:
    door = DeviceChange(device_id="door-1", name="Door", address="10.0.0.1")
    await at.ask(DevicesRequest, "devices-created", action="create", devices=(door,))
    moved = (DeviceChange(device_id="door-1", name="Front door"),)
    await at.ask(DevicesRequest, "devices-changed", action="change", devices=moved)
    await at.ask(DevicesRequest, "devices-refused", action="delete", devices=(DeviceChange(device_id="door-9"),))
    await at.ask(DevicesRequest, "devices-expired", PASSED, action="delete", clear_all=True)
    await at.ask(DevicesRequest, "devices-deleted", action="delete", devices=(DeviceChange(device_id="door-1"),))
    await at.ask(KeyRequest, "key-created", action="create", name="office", role="operator", sha256=b"k" * 32)
    await at.ask(KeyRequest, "key-deleted", action="delete", name="office")
    await at.ask(KeyRequest, "key-refused", action="delete", name="office")
    await at.ask(KeyRequest, "key-expired", PASSED, action="create", name="late", sha256=b"k" * 32)
    await at.ask(SettingsRequest, "settings-changed", values={"_other_": 1, **SETTING})
    await at.ask(SettingsRequest, "settings-refused", values={"_other_": 1})
    await at.ask(SettingsRequest, "settings-expired", PASSED, values=SETTING)


async def _reembedding(at: Scenes) -> None:
    vector = np.eye(1, 16, dtype="<f4")[0].tobytes()
    face = EmbeddedFace(
        identity_id="anna", number=0, photo_sha256=sha256(photo(1)).digest(), templates={"whole": vector}
    )
    await at.ask(ReembedRequest, "reembed-changed", action="add", embedder=OTHER_EMBEDDER, faces=(face,))
    await at.ask(ReembedRequest, "reembed-refused", action="remove", embedder=OTHER_EMBEDDER, faces=(face,))
    await at.ask(ReembedRequest, "reembed-expired", PASSED, action="add", embedder=OTHER_EMBEDDER, faces=(face,))


async def _importing(at: Scenes) -> None:
    vector = np.eye(1, 16, dtype="<f4")[0].tobytes()
    own, other = MODELS.embedder_identity, OTHER_EMBEDDER
    people = [
        ImportedPerson(identity_id=who, faces=(ImportedFace(embedder=embedder, templates={"whole": data}),))
        for who, embedder, data in (("ida", own, vector), ("jan", other, vector), ("kim", own, bytes(len(vector))))
    ]
    await at.ask(ImportRequest, "import-imported", people=tuple(people))
    await at.ask(ImportRequest, "import-expired", PASSED, people=tuple(people))
    large = GroupRecord(group_id="large", name="large", info={"x": "x" * 20_000})
    await at.ask(ImportRequest, "import-refused", site=ImportedSite(groups=(large,)))


async def _deletions(at: Scenes) -> None:
    await at.ask(DeleteRequest, "delete-deleted", identity_id="bert")
    await at.ask(DeleteRequest, "delete-refused", identity_id="bert")
    await at.ask(DeleteRequest, "delete-expired", PASSED, identity_id="anna")
    traces = Traces("bert", TOPICS)
    for topic in (TOPICS.events, TOPICS.people):
        traces.take(await read_all(at.system.broker, topic))
    await at.append("erase-erased", erase_event(traces, TOPICS, SOURCE, "erase-erased", NOW_S))
    await at.ask(WipeRequest, "wipe-deleted")
    await at.ask(WipeRequest, "wipe-expired", PASSED)
    await at.system.broker.append([NewRecord(TOPICS.people, b"person/bad", b"garbage", partition=0)])
    await at.ask(WipeRequest, "wipe-refused")
    headers = ((Headers.REQUEST_ID, b"unreadable-error"),)
    await at.append("unreadable-error", NewRecord(TOPICS.requests, b"10.0.0.1", POISON, headers))


async def _repeats(at: Scenes) -> None:
    await at.enrol(f"{SETUP}anna", "anna", 1, info={"name": "Anna", "type": 1})
    await at.match(f"{SETUP}match", photo(1))
    await at.match("match-matched-repeat", photo(1))


async def _searches(at: Scenes, index: TwoStageIndex) -> None:
    drawn = np.random.default_rng(1).normal(size=(CROWD, MODELS.embedder.dimension))
    vectors = (drawn / np.linalg.norm(drawn, axis=1, keepdims=True)).astype("<f4")
    faces = [ImportedFace(embedder=MODELS.embedder_identity, templates={"whole": one.tobytes()}) for one in vectors]
    people = tuple(ImportedPerson(identity_id=f"crowd-{n}", faces=(face,)) for n, face in enumerate(faces))
    await at.ask(ImportRequest, f"{SETUP}crowd", people=people)
    await at.enrol(f"{SETUP}anna", "anna", 1, info={"name": "Anna", "type": 1})
    await at.caught_up()
    at.system.people.snapshot()
    index.wait()
    await at.match("match-matched-sketch", photo(1))
    await at.match("match-stranger-sketch", photo(77))


@asynccontextmanager
async def _deciding(
    folder: Path, policy: Policy, new_index: Callable[[int], FaceIndex] = ExactIndex
) -> AsyncIterator[Scenes]:
    models = replace(MODELS, detector=broken_on_333_rows)
    async with running(folder, models=models, policy=policy, clock=lambda: NOW_S, new_index=new_index) as system:
        yield Scenes(system)


async def _strangers(at: Scenes) -> None:
    await at.enrol(f"{SETUP}anna", "anna", 1, info={"name": "Anna"})
    seen = {"compare_time_s": RECEIVED_S - 0.125, "device_ip": "10.0.0.1", "ordered_by": "10.0.0.1", "cosine": 0.125}
    seen |= {"match_partition": 0, "match_offset": 7, "group_id": "default_group", "permission_id": "0"}
    for number, (name, picture) in enumerate((("enrolled", photo(77)), ("known", photo(77, size=150)))):
        asked = {"match_id": f"match-{number}", "identity_id": f"stranger-{number}", "picture": picture}
        await at.ask(StrangerRequest, f"stranger-{name}", **seen, **asked)
    other = {"match_id": "match-3", "identity_id": "stranger-3"}
    await at.ask(StrangerRequest, "stranger-refused", **seen, **other, picture=photo(78, size=50))
    await at.ask(StrangerRequest, "stranger-expired", PASSED, **seen, **other, picture=photo(78))
    await at.match("match-known_stranger", photo(77))
    await at.ask(StrangerRequest, "stranger-enrolled-room_made", **seen, **other, picture=photo(78))


async def make_events() -> dict[str, Record]:
    """The record of each named event, as this version writes it."""
    with tempfile.TemporaryDirectory() as folder:
        async with _deciding(Path(folder) / "site", Policy()) as at:
            await _people(at)
            await _scopes(at)
            for part in (_matches, _queries, _members, _site, _reembedding, _deletions):
                await part(at)
        async with _deciding(Path(folder) / "repeating", Policy(repeat_window_s=60)) as repeating:
            await _repeats(repeating)
            await _importing(repeating)
        async with _deciding(Path(folder) / "strangers", Policy(enrol_strangers=True, max_strangers=1)) as strangers:
            await _strangers(strangers)
        # The one generation is that of all rows, so the number of candidates is the same every time.
        size = MODELS.embedder.dimension
        index = TwoStageIndex(size, lambda: SketchMaker(size), starts_at=CROWD + 1)
        async with _deciding(Path(folder) / "sketch", Policy(), lambda _: index) as sketched:
            await _searches(sketched, index)
        return at.found | repeating.found | strangers.found | sketched.found
