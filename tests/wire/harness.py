"""The server on an embedded log, with a scripted responder in the processor's place, driven through real sockets."""

import asyncio
import base64
import contextlib
import json
import struct
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any

import aiohttp
import cv2
import numpy as np
from prometheus_client import CollectorRegistry

from broker.port import BrokerUnavailable, NewRecord, Record
from contract.answers import (
    Answer,
    CompareAnswer,
    DeletedAnswer,
    DetectAnswer,
    DevicesAnswer,
    FiqaAnswer,
    GroupAnswer,
    ImportedAnswer,
    KeyAnswer,
    MatchAnswer,
    MembersAnswer,
    NamedDevice,
    PermissionAnswer,
    PersonAnswer,
    ReembeddedAnswer,
    Reply,
    SettingsAnswer,
    WipedAnswer,
)
from contract.codec import encode
from contract.findings import Attributes, CheckResult, DetectedFace, FaceBox, FaceQuality, HeadAngles, MeasuredItem
from contract.http import COMPARE_PATH, DEVICES_PATH, FIQA_PATH, MATCH_PATH, USERS_PATH
from contract.people.keys import photo_key
from contract.people.listing import ListedPage, Listing, PeopleFilter
from contract.people.records import PersonRecord, PhotoRecord, PhotoReference
from contract.people.site import Site as PeopleSite
from contract.people.unreadable import UnreadableRecord
from contract.requests import (
    CompareRequest,
    DeleteRequest,
    DetectRequest,
    EnrolRequest,
    FiqaRequest,
    Headers,
    MatchRequest,
    Request,
    decode_request,
)
from contract.site_requests import (
    DevicesRequest,
    GroupRequest,
    ImportRequest,
    KeyRequest,
    MembersRequest,
    PermissionRequest,
    ReembedRequest,
    SettingsRequest,
    WipeRequest,
)
from contract.topics import Topics
from ingest.server import Ingress
from tests.support.faulty_log import FaultyLog
from tests.support.waiting import until

Script = Callable[[Request], Awaitable[Answer | None]]


class ScriptedPeople:
    """A people view that holds what a test put there."""

    def __init__(self) -> None:
        self.version = 0
        self.site = PeopleSite()
        self.persons: dict[str, PersonRecord] = {}
        self.photos: dict[tuple[str, int], PhotoReference] = {}
        self.unreadable: dict[bytes, UnreadableRecord] = {}

    def hides(self, identity_id: str) -> bool:
        return any(record.identity_id == identity_id for record in self.unreadable.values())

    def person(self, identity_id: str) -> PersonRecord | None:
        return self.persons.get(identity_id)

    def photo(self, identity_id: str, number: int) -> PhotoReference | None:
        return self.photos.get((identity_id, number))

    def page(self, wanted: PeopleFilter, skip: int, limit: int) -> ListedPage:
        listing = Listing(self.persons.get)
        for identity_id, person in self.persons.items():
            listing.put(identity_id, None, person)
        return listing.page(wanted, skip, limit)

    async def reached(self, version: int, timeout_s: float) -> bool:
        try:
            await until(lambda: self.version >= version, timeout_s)
        except TimeoutError:
            return False
        return True


def site_answer(request: Request) -> Answer | None:
    """What a processor says on a good day to a request about the site."""
    if isinstance(request, GroupRequest):
        return GroupAnswer(
            group_id="g-1",
            name=request.name,
            description=request.description or "",
            info=request.info or {},
            people_deleted=3 if request.recursive else 0,
        )
    if isinstance(request, PermissionRequest):
        return PermissionAnswer(
            permission_id="p-1",
            name=request.name or "",
            description=request.description or "",
            info=request.info or {},
            people_deleted=3 if request.recursive else 0,
        )
    if isinstance(request, SettingsRequest):
        return SettingsAnswer(values=request.values)
    if isinstance(request, WipeRequest):
        return WipedAnswer(people=3, devices=2)
    if isinstance(request, ReembedRequest):
        return ReembeddedAnswer(outcomes=("added" if request.action == "add" else "removed",) * len(request.faces))
    if isinstance(request, ImportRequest):
        return ImportedAnswer(added=len(request.people), faces=sum(len(person.faces) for person in request.people))
    if isinstance(request, KeyRequest):
        return KeyAnswer(key_id="k1", name=request.name, role=request.role, created_s=request.received_time_s)
    if isinstance(request, MembersRequest):
        return MembersAnswer(group_id="g-1", group_name=request.group_name, failed=request.identity_ids[1:])
    return None


async def answer_well(request: Request) -> Answer | None:
    """What a processor says on a good day."""
    if isinstance(request, MatchRequest):
        return MatchAnswer(
            retcode="1",
            identity_id="666666",
            name="Ada",
            score=0.75,
            identity_info={"type": 1},
            reg_pic=b"photo" if request.need_register_photo else None,
        )
    if isinstance(request, EnrolRequest):
        return PersonAnswer(
            identity_id=request.identity_id,
            group_names=request.group_names or ("default_group",),
            info=request.info or {},
            image_id=f"{request.identity_id}-1" if request.photo else None,
            photo=request.photo,
        )
    if isinstance(request, CompareRequest):
        return CompareAnswer(retcode="1", score=0.75)
    if isinstance(request, FiqaRequest):
        largest = FaceQuality(
            passed=False,
            face=FaceBox(x=10.4, y=20.6, width=100.0, height=120.5, confidence=0.99),
            checks=(
                CheckResult(name="face_size", value=100.0, limit=112.0, passed=False),
                CheckResult(
                    name="headpose",
                    value=6.0,
                    limit=60.0,
                    passed=True,
                    detail={"yaw": 1.0, "pitch": -2.0, "roll": 3.0},
                ),
                CheckResult(name="partial", value=0.02, limit=0.1, passed=True),
                CheckResult(name="brightness", value=120.0, limit=30.0, passed=True),
            ),
            measured=(MeasuredItem(name="clarity", value=350.5),),
            quality_score=0.5,
        )
        return FiqaAnswer(faces=(largest,))
    if isinstance(request, DetectRequest):
        return DetectAnswer(faces=(detected(request),))
    if isinstance(request, DeleteRequest):
        return DeletedAnswer(identity_id=request.identity_id, group_names=("default_group",))
    if isinstance(request, DevicesRequest):
        return DevicesAnswer(
            succeeded=tuple(
                NamedDevice(
                    device_id=sent.device_id or f"d{number}",
                    name=sent.name or "",
                    device_type=sent.device_type or "photo",
                )
                for number, sent in enumerate(request.devices)
            )
        )
    answer = site_answer(request)
    if answer is not None:
        return answer
    raise AssertionError(f"answer_well has no answer to a {type(request).__name__}; add one")


def detected(request: DetectRequest) -> DetectedFace:
    """One face, with what the request asks for."""
    return DetectedFace(
        face=FaceBox(x=10.4, y=20.6, width=100.0, height=120.5, confidence=0.99),
        attributes=Attributes(age_years=27.4, sex="male") if request.with_attribute else None,
        angles=HeadAngles(yaw=1.0, pitch=-2.00001, roll=3.0) if request.with_headpose else None,
        landmarks=((1.4, 6.0), (2.0, 7.0), (3.0, 8.0), (4.0, 9.0), (5.0, 10.6)) if request.with_landmark else None,
        feature=struct.pack("<2f", 0.5, -0.25) if request.with_feature else None,
    )


@dataclass(slots=True)
class HttpReply:
    status: int
    headers: dict[str, str]
    body: bytes
    version: str = "HTTP/1.1"

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def code(self) -> int:
        """200, or the code of the error, whose shape is checked on the way."""
        assert len(self.headers["x-request-id"]) == 32
        assert self.headers["server"] == "PictureMatch"
        if self.status == 200:
            return 200
        document = self.json
        assert set(document) == {"error"}
        assert list(document["error"]) == ["code", "message", "status"]
        code = document["error"]["code"]
        assert code // 100 == self.status
        assert "Traceback" not in document["error"]["message"]
        return int(code)


@dataclass(slots=True)
class Site:
    ingress: Ingress
    log: FaultyLog
    people: ScriptedPeople
    registry: CollectorRegistry
    session: aiohttp.ClientSession
    picture: bytes
    script: Script
    requests: list[Request] = field(default_factory=list)
    records: list[Record] = field(default_factory=list)
    gallery_version: int = 7

    @property
    def picture_base64(self) -> str:
        return base64.b64encode(self.picture).decode()

    def body(self, **fields: Any) -> dict[str, Any]:
        """A good PictureMatch body, with changes; a field of ... is left out."""
        whole = {"device_ip": "192.168.1.22", "rgb_image_base64": self.picture_base64, **fields}
        return {name: value for name, value in whole.items() if value is not ...}

    async def call(self, method: str, path: str, **kw: Any) -> HttpReply:
        async with self.session.request(method, self.ingress.url + path, **kw) as response:
            headers = {name.lower(): value for name, value in response.headers.items()}
            return HttpReply(response.status, headers, await response.read())

    async def match(self, **fields: Any) -> HttpReply:
        return await self.call("POST", MATCH_PATH, json=self.body(**fields))

    async def match_bytes(self, body: bytes, **headers: str) -> HttpReply:
        return await self.call("POST", MATCH_PATH, data=body, headers={"Content-Type": "application/json", **headers})

    async def compare(self, **fields: Any) -> HttpReply:
        """A good body of compare, with changes; a field of ... is left out."""
        whole = {"face_image_base64": self.picture_base64, "card_image_base64": self.picture_base64, **fields}
        body = {name: value for name, value in whole.items() if value is not ...}
        return await self.call("POST", COMPARE_PATH, json=body)

    async def fiqa(self, **fields: Any) -> HttpReply:
        """A good body of FIQA, with changes; a field of ... is left out."""
        whole = {"image_base64_str": self.picture_base64, **fields}
        body = {name: value for name, value in whole.items() if value is not ...}
        return await self.call("POST", FIQA_PATH, json=body)

    async def users(self, method: str, body: Any) -> HttpReply:
        return await self.call(method, USERS_PATH, json=body)

    async def devices(self, method: str, body: Any) -> HttpReply:
        return await self.call(method, DEVICES_PATH, json=body)

    async def raw(self, *parts: bytes, half_close: bool = False, pause_s: float = 0.0) -> list[HttpReply]:
        """All answers to these bytes on one connection, until the server closes it."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.ingress.port)
        try:
            async with asyncio.timeout(15):
                for part in parts:
                    with contextlib.suppress(ConnectionError):
                        writer.write(part)
                        await writer.drain()
                    await asyncio.sleep(pause_s)
                if half_close:
                    writer.write_eof()
                return parse_replies(await reader.read())
        finally:
            writer.close()

    def metric(self, name: str, **labels: str) -> float:
        value = self.registry.get_sample_value(name, labels)
        assert value is not None or labels, f"there is no metric {name}"
        return value or 0.0


def parse_replies(data: bytes) -> list[HttpReply]:
    replies = []
    while data:
        head, _, data = data.partition(b"\r\n\r\n")
        first, *lines = head.decode().split("\r\n")
        status = int(first.split()[1])
        if status == 100:
            continue
        headers = {line.partition(":")[0].lower(): line.partition(":")[2].strip() for line in lines}
        length = int(headers["content-length"])
        assert len(data) >= length
        replies.append(HttpReply(status, headers, data[:length], first.split()[0]))
        data = data[length:]
    return replies


Serving = Callable[..., contextlib.AbstractAsyncContextManager[Site]]


async def respond(site: Site, topics: Topics) -> None:
    """The processor's stand-in: one task per request, so that a slow script holds up nobody else."""

    async def one(record: Record) -> None:
        request = decode_request(record.value or b"")
        answer = await site.script(request)
        if answer is None:
            return
        reply = Reply(request_id=request.request_id, answer=answer, gallery_version=site.gallery_version)
        names = (Headers.REQUEST_ID, Headers.REPLY_INSTANCE)
        headers = tuple((name, record.header(name) or b"") for name in names)
        partition = int(record.header(Headers.REPLY_PARTITION) or b"0")
        await site.log.append([NewRecord(topics.replies, None, encode(reply), headers, partition)])

    async def follow(topic: str) -> None:
        async with asyncio.TaskGroup() as group, site.log.reader(topic) as reader:
            while True:
                for record in await reader.fetch():
                    site.records.append(record)
                    site.requests.append(decode_request(record.value or b""))
                    group.create_task(one(record))

    async with asyncio.TaskGroup() as both:
        both.create_task(follow(topics.requests))
        both.create_task(follow(topics.admin))


def noise(height: int, width: int) -> np.ndarray:
    return np.random.default_rng(7).integers(0, 255, (height, width, 3), dtype=np.uint8)


def encoded(suffix: str, image: np.ndarray) -> bytes:
    ok, data = cv2.imencode(suffix, image)
    assert ok
    return bytes(data)


def unavailable() -> BrokerUnavailable:
    return BrokerUnavailable("the disk is full")


async def add_person(site: Site, identity_id: str, photo: bytes | None = None) -> None:
    """Put somebody into the people view, and the photo into the log."""
    info = {"name": identity_id, "type": 1, "permission_ids": ["0"]}
    site.people.persons[identity_id] = PersonRecord(
        identity_id=identity_id, group_ids=("default_group",), info=info, faces=(0,), next_face=1
    )
    if photo is not None:
        value = encode(PhotoRecord(identity_id=identity_id, number=0, jpeg=photo))
        (place,) = await site.log.append([NewRecord(Topics().photos, photo_key(identity_id, 0), value)])
        digest = sha256(photo).digest()
        site.people.photos[identity_id, 0] = PhotoReference(
            sha256=digest, partition=place.partition, offset=place.offset
        )
