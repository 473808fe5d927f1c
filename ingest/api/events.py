"""The handlers of the calls that ask the store of events, which a sink fills: a list, pictures, and counts."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from broker.port import BrokerError, Position
from contract.calls.declaration import Values
from contract.calls.events import (
    COUNTS,
    FACE_SUFFIX,
    IMAGE,
    INFRARED_SUFFIX,
    LIST,
    CountedEvents,
    EventPagination,
    EventSource,
    EventsPage,
    ListedEvent,
)
from contract.calls.shared import Data
from contract.errors import Code, Refused
from contract.event_pictures import EventPictures, pictures_in
from contract.event_store import EventFilter, EventStore, Grouping, StoredEvent, StoreUnavailable
from contract.findings import Attributes, FaceBox
from contract.terms import PERSON_STRANGER
from contract.vendor_words import endpoint_id, face_attributes
from ingest.api.binding import Binding, Services, read_url
from ingest.api.photos import whole_info
from ingest.call import Call
from ingest.render import Rendered, success

_READ_AT_A_TIME = 10
_LONGEST_QUESTION_S = 10.0
_JPEG_START = b"\xff\xd8"
_TYPES = ((_JPEG_START, "image/jpeg"), (b"\x89PNG", "image/png"), (b"RIFF", "image/webp"), (b"BM", "image/bmp"))


async def _list(call: Call, services: Services) -> Rendered:
    wanted = read_url(call, services, LIST)
    store = store_of(services)
    per_page, top_k = wanted["per_page"], wanted["top_k"]
    skip = wanted["page"] * per_page
    most = per_page if top_k is None else max(0, min(per_page, top_k - skip))
    found = await asked(services, lambda: store.page(_filter(wanted), skip, most))
    total = found.total if top_k is None else min(found.total, top_k)
    infos = await infos_of(services, found.events)
    pages = EventPagination(num_pages=-(-total // per_page), page=wanted["page"], per_page=per_page, total_count=total)
    return success(EventsPage(data=[listed(event, infos) for event in found.events], pagination=pages))


async def _counts(call: Call, services: Services) -> Rendered:
    wanted = read_url(call, services, COUNTS)
    store = store_of(services)
    by: Sequence[Grouping] = wanted["by"] or ("day",)
    counts = await asked(services, lambda: store.counts(_filter(wanted), by))
    return success(
        Data([CountedEvents(day=c.day, device_id=c.device_id, outcome=c.outcome, count=c.count) for c in counts])
    )


async def _image(call: Call, services: Services) -> Rendered:
    event_id, suffix = read_url(call, services, IMAGE)["image_id"]
    store = store_of(services)
    event = await asked(services, lambda: store.event(event_id))
    picture = None if event is None else await _picture(services, event, suffix)
    if picture is None:
        raise Refused(Code.NOT_FOUND, "no picture has this id, or the log no longer has it")
    call.reservation.take(len(picture))
    return Rendered(picture, content_type=_type_of(picture))


async def _picture(services: Services, event: StoredEvent, suffix: str) -> bytes | None:
    found = await _pictures(services, event)
    if suffix == INFRARED_SUFFIX:
        return found.infrared
    if suffix != FACE_SUFFIX:
        return found.picture
    box = (event.detail or {}).get("face")
    if found.picture is None or box is None or services.crop is None:
        return None
    face = msgspec.convert(box, FaceBox)
    loop, picture, crop = asyncio.get_running_loop(), found.picture, services.crop
    return await loop.run_in_executor(services.threads, lambda: crop(picture, face))


async def _pictures(services: Services, event: StoredEvent) -> EventPictures:
    if services.read_at is None:
        return EventPictures()
    try:
        record = await services.read_at(Position(*event.request))
    except BrokerError:
        raise Refused(Code.OVERLOADED, "the log cannot be read now; try again") from None
    if record is None or record.value is None or record.damaged:
        return EventPictures()
    return await asyncio.to_thread(pictures_in, record.value, event.id, event.picture or None)


def store_of(services: Services) -> EventStore:
    """Return the store of events.

    Raises:
        Refused: 40400: this server has none.
    """
    if services.event_store is None:
        raise Refused(Code.NOT_FOUND, "this server has no store of events; the operator can name one (store.url)")
    return services.event_store


async def asked(services: Services, question: Any) -> Any:
    """Return the answer of the store, which is asked in a thread.

    Raises:
        Refused: 50380: the store cannot be used now, or does not answer in time.
    """
    try:
        async with asyncio.timeout(_LONGEST_QUESTION_S):
            return await asyncio.get_running_loop().run_in_executor(services.store_threads, question)
    except StoreUnavailable:
        raise Refused(Code.OVERLOADED, "the store of events cannot be used now; try again") from None
    except TimeoutError:
        raise Refused(Code.OVERLOADED, "the store of events does not answer in time; try again") from None


def _filter(wanted: Values) -> EventFilter:
    since, until = wanted["datetime_gte"], wanted["datetime_lte"]
    return EventFilter(
        since=since and since[0],
        until=until and until[0],
        name=wanted["name"],
        identity_id=wanted["identity_id"],
        least=wanted["score_min"],
        most=wanted["score_max"],
        person_type=wanted["userType"],
        kinds=wanted["kinds"],
        outcomes=wanted["outcomes"],
        group_ids=wanted["groups"],
        device_ids=wanted["streams"],
        repeats=wanted["repeats"],
        replays=wanted["replays"],
    )


async def infos_of(services: Services, events: Sequence[StoredEvent]) -> Mapping[str, Mapping[str, Any]]:
    """Return the info of the people of the events who are still enrolled, as answers about people show it."""
    found: dict[str, Mapping[str, Any]] = {}
    ids = sorted({event.identity_id for event in events if event.identity_id})
    for first in range(0, len(ids), _READ_AT_A_TIME):
        people = [person for one in ids[first : first + _READ_AT_A_TIME] if (person := services.people.person(one))]
        infos = await asyncio.gather(*(whole_info(services, person) for person in people))
        for person, info in zip(people, infos, strict=True):
            shown = services.people.site.shown(info)
            found[person.identity_id] = {**shown, "face_ids": list(person.faces), "image_id": person.image_id}
    return found


def listed(event: StoredEvent, infos: Mapping[str, Mapping[str, Any]]) -> ListedEvent:
    """Return an event as the vendor's page describes it. `infos`: as `infos_of` returns them."""
    detail = event.detail or {}
    has_picture = bool(event.picture)
    return ListedEvent(
        id=event.id,
        timestamp=event.compare_time,
        identity_id=event.identity_id,
        identity_info=dict(infos.get(event.identity_id, {})),
        identity_name=event.name if event.identity_id else "",
        recognize_face_pic_id=f"{event.id}{FACE_SUFFIX}" if has_picture and "face" in detail else "",
        spot_pic_id=event.id if has_picture else "",
        group_id=event.group_id,
        group_name=event.group_name,
        permission_id=event.permission_id,
        permission_name=event.permission_name,
        person_type=event.person_type or PERSON_STRANGER,
        score=event.score,
        ep_info=EventSource(
            ep_id=endpoint_id(event.device_id, event.device_ip),
            ep_type="card" if event.kind == "compare" else "photo",
            ep_ip=event.device_ip,
            ep_name=event.device_name,
            device_id=event.device_id,
        ),
        want_action=event.want_action,
        frame_id=0,
        recognize_face_attr=_attributes(detail),
        is_send=0,
        card_id="",
        gate_data={"ir_image_id": f"{event.id}{INFRARED_SUFFIX}", "depth_image_id": ""} if event.infrared else {},
        grab_data={"grap_fiqa_info": detail["grab_fiqa_info"]} if "grab_fiqa_info" in detail else {},
        video_data={},
        kind=event.kind,
        outcome=event.outcome,
        repeat_of=event.repeat_of,
    )


def _attributes(detail: Mapping[str, Any]) -> dict[str, Any]:
    """Return recognize_face_attr, in which what was not measured is null."""
    face = msgspec.convert(detail.get("face"), FaceBox | None)
    known = msgspec.convert(detail.get("attributes"), Attributes | None)
    return {**face_attributes(face, known, None), "feature": None}


def _type_of(picture: bytes) -> str:
    return next((name for start, name in _TYPES if picture.startswith(start)), "application/octet-stream")


CALLS = (
    Binding(declaration=LIST, handle=_list, role="operator"),
    Binding(declaration=COUNTS, handle=_counts, role="operator"),
    Binding(declaration=IMAGE, handle=_image, role="operator"),
)
