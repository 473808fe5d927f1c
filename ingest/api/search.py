"""The handlers of the searches by picture among the faces of past matches.

The picture's face is embedded by a request of the kind detect, so the picture is in the log as long as requests are.
The faces are searched in this process. Every search leaves an audit record before it is answered or refused.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

import numpy as np

from broker.port import BrokerError
from contract.addresses import canonical_address
from contract.answers import DetectAnswer, FiqaAnswer
from contract.audit import SearchRecord
from contract.calls.declaration import Declaration, Values
from contract.calls.rules import param_error
from contract.calls.search import (
    MOST_SPAN_S,
    PICTURE_SEARCH,
    SEEN,
    PictureSearched,
    RankedFace,
    RankedFaces,
    SeenEvent,
)
from contract.calls.shared import Data
from contract.errors import Code, Refused
from contract.event_store import StoredEvent, percent_of
from contract.people.site import Site
from contract.requests import DetectRequest, FiqaRequest
from contract.seen_faces import COMPARED_AS, SeenFace, SeenFaces, SeenFilter, cosine_of
from contract.terms import STRANGER, QualityLevel
from contract.vectors import Vector
from ingest.api.binding import Binding, Services, read_request, request_of, send
from ingest.api.events import asked, infos_of, listed, store_of
from ingest.call import Call
from ingest.pictures import PictureField
from ingest.render import Rendered, success

T = TypeVar("T")

_PICTURES = (PictureField("face_image_base64", "picture"),)
_DAY_S = 86_400.0


async def _picture_search(call: Call, services: Services) -> Rendered:
    begun = time.monotonic()
    seen = _seen(services)
    store_of(services)
    detect, values = await _asked_for(call, services, PICTURE_SEARCH)
    search = _Search(call, services, "picture_search", values["reason"], _span(call, services.people.site, values))
    limit = seen.likeness.threshold_of(COMPARED_AS)
    least = cosine_of(values["threshold"], limit)
    async with search.refusals_noted():
        probe = await _probe(call, services, detect, values["fiqa_level"])
        ask = partial(seen.in_time, probe, search.wanted, least, newest_first=values["reverse"])
        found = await _alone(services, ask)
        kept = await _kept(seen, found.found)
    await search.note(found.scanned, len(kept))
    events = await _events(services, kept)
    infos = await infos_of(services, list(events.values()))
    entries = [_entry(events[face.event_id], face, limit, infos) for face in kept if face.event_id in events]
    return success(
        PictureSearched(
            retcode="1",
            ret_code=1,
            have_more=found.more,
            total_time=round(time.monotonic() - begun, 4),
            total_count=len(entries),
            endtimestamp=found.end,
            event_list=entries,
        )
    )


async def _ranked(call: Call, services: Services) -> Rendered:
    seen = _seen(services)
    store_of(services)
    detect, values = await _asked_for(call, services, SEEN)
    until = call.received_time_s if values["until"] is None else values["until"][0]
    wanted = SeenFilter(values["since"][0], until, _addresses(services.people.site, values["device_id_list"]))
    search = _Search(call, services, "seen", values["reason"], wanted)
    async with search.refusals_noted():
        probe = await _probe(call, services, detect, "no")
        found = await _alone(services, lambda: seen.nearest(probe, wanted, values["most"]))
        kept = await _kept(seen, found.found)
    await search.note(found.among, len(kept))
    events = await _events(services, kept)
    rate_of, among = seen.likeness.rate_of, found.among
    ranked = [
        _ranked_face(rank, face, events.get(face.event_id), _expected(rate_of(face.cosine), among))
        for rank, face in enumerate(kept, 1)
    ]
    return success(Data(RankedFaces(among=found.among, faces=ranked)))


@dataclass(frozen=True, slots=True)
class _Search:
    """A search that is audited. `action`, `reason` and `wanted`: as in `contract.audit.SearchRecord`."""

    call: Call
    services: Services
    action: str
    reason: str | None
    wanted: SeenFilter

    @asynccontextmanager
    async def refusals_noted(self) -> AsyncIterator[None]:
        """Write the audit record of a search that is refused within the context."""
        try:
            yield
        except Refused as refused:
            await self.note(0, 0, refused)
            raise

    async def note(self, compared: int, found: int, refused: Refused | None = None) -> None:
        """Write the audit record.

        Raises:
            Refused: 50380: the record cannot be written, so the search is not answered.
        """
        actor, wanted = self.call.actor, self.wanted
        record = SearchRecord(
            request_id=self.call.request_id,
            actor=actor.name,
            key_id=actor.key_id,
            role=actor.role,
            peer=actor.peer,
            action=self.action,
            reason=self.reason or "",
            time=self.call.received_time_s,
            since=wanted.since,
            until=wanted.until,
            devices=tuple(sorted(wanted.device_ips or ())),
            compared=compared,
            found=found,
            error=None if refused is None else int(refused.code),
        )
        try:
            await self.services.audit(record)
        except BrokerError:
            raise Refused(Code.OVERLOADED, "the search cannot be audited now; try again") from None


async def _asked_for(call: Call, services: Services, declaration: Declaration) -> tuple[DetectRequest, Values]:
    """Return the request for the embedding of the largest face of the call's picture, and the other fields.

    Raises:
        Refused: the call is refused.
    """
    sent: Values = {}

    def request(call: Call, values: Values) -> DetectRequest:
        sent.update(values, face_image_base64=None)
        return request_of(DetectRequest, call, values, picture=b"", most_faces=1, with_feature=True)

    detect = await read_request(call, services, declaration, request, _PICTURES)
    if not isinstance(detect, DetectRequest):
        raise TypeError(f"a detect request became a {type(detect).__name__}")
    return detect, sent


async def _probe(call: Call, services: Services, detect: DetectRequest, level: QualityLevel) -> Vector:
    """Return the unit vector of the face of a picture.

    Raises:
        Refused: the picture shows no face, or its face does not have the quality level.
    """
    if not _seen(services).complete():
        raise Refused(Code.OVERLOADED, "the faces of past matches are still being read; try again")
    answer, _ = await send(call, services, detect, DetectAnswer)
    face = next(iter(answer.faces), None)
    if face is None or face.feature is None:
        raise Refused(Code.NO_FACE, "no face found in the picture")
    if level != "no":
        await _require_quality(call, services, detect.picture, level)
    return np.frombuffer(face.feature, "<f4")


async def _require_quality(call: Call, services: Services, picture: bytes, level: QualityLevel) -> None:
    # Each request in the log needs an id of its own.
    request_id = f"{call.request_id}-fiqa"
    request = FiqaRequest(
        request_id=request_id, picture=picture, received_time_s=call.received_time_s, quality_level=level
    )
    answer, _ = await send(call, services, request, FiqaAnswer)
    face = answer.faces[0]
    if not face.passed:
        failed = ", ".join(check.name for check in face.checks if not check.passed)
        raise Refused(Code.LOW_QUALITY_ERROR, f"the face in the picture fails the level {level}: {failed}")


def _seen(services: Services) -> SeenFaces:
    if services.seen is None:
        raise Refused(
            Code.NOT_FOUND,
            "searches by picture are switched off; the operator can allow them (ingest.picture_search) where this"
            " server also processes matches",
        )
    return services.seen


def _span(call: Call, site: Site, values: Values) -> SeenFilter:
    """Return the faces that the vendor's fields name.

    Raises:
        Refused: 40071: the times are in the wrong order, or too far apart.
    """
    until = call.received_time_s if values["endtime"] is None else values["endtime"][0]
    since = until - _DAY_S if values["starttime"] is None else values["starttime"][0]
    if not since <= until:
        raise param_error("endtime must not be before starttime")
    if until - since > MOST_SPAN_S:
        raise param_error("endtime must be at most a month after starttime")
    last = values["last_end_timestamp"]
    if last is not None and values["reverse"]:
        until = min(until, np.nextafter(last[0], -np.inf))
    elif last is not None:
        since = max(since, np.nextafter(last[0], np.inf))
    return SeenFilter(float(since), float(until), _addresses(site, values["device_id_list"]))


def _addresses(site: Site, device_ids: Sequence[str] | None) -> frozenset[str] | None:
    """Return the addresses of devices; an id that is that of no registered device has none."""
    if device_ids is None:
        return None
    return frozenset(
        canonical_address(site.devices[device_id].known_as) for device_id in device_ids if device_id in site.devices
    )


async def _alone(services: Services, search: Callable[[], T]) -> T:
    """Return the result of a search, which runs in a thread, one at a time.

    Raises:
        Refused: 50380: another search is running.
    """
    if services.searching.locked():
        raise Refused(Code.OVERLOADED, "another search by picture is running; try again")
    async with services.searching:
        return await asyncio.get_running_loop().run_in_executor(services.threads, search)


async def _kept(seen: SeenFaces, found: Sequence[SeenFace]) -> Sequence[SeenFace]:
    try:
        return await seen.kept(found)
    except BrokerError:
        raise Refused(Code.OVERLOADED, "the log cannot be read now; try again") from None


async def _events(services: Services, found: Sequence[SeenFace]) -> Mapping[str, StoredEvent]:
    store = store_of(services)
    events: Mapping[str, StoredEvent] = await asked(services, lambda: store.events([one.event_id for one in found]))
    return events


def _entry(event: StoredEvent, face: SeenFace, threshold: float, infos: Mapping[str, Mapping[str, Any]]) -> SeenEvent:
    shown = listed(event, infos)
    return SeenEvent(
        compare_score=round(percent_of(face.cosine, threshold) / 100, 4),
        timestamp=shown.timestamp,
        identity_id=shown.identity_id,
        identity_name=shown.identity_name or STRANGER,
        identity_info=shown.identity_info,
        recognize_face_pic_id=shown.recognize_face_pic_id,
        spot_pic_id=shown.spot_pic_id,
        person_type=shown.person_type,
        score=shown.score,
        ep_info=shown.ep_info,
        recognize_face_attr={name: value for name, value in shown.recognize_face_attr.items() if name != "feature"},
        event_id=event.id,
    )


def _expected(rate: float | None, among: int) -> float | None:
    """Return the number of faces of other people that are to be expected, to three digits."""
    return None if rate is None else float(f"{rate * among:.3g}")


def _ranked_face(rank: int, face: SeenFace, event: StoredEvent | None, chance_hits: float | None) -> RankedFace:
    return RankedFace(
        rank=rank,
        event_id=face.event_id,
        timestamp=face.time if event is None else event.compare_time,
        cosine=round(face.cosine, 4),
        chance_hits=chance_hits,
        outcome="" if event is None else event.outcome,
        identity_id="" if event is None else event.identity_id,
        identity_name=event.name if event is not None and event.identity_id else "",
        device_id="" if event is None else event.device_id,
        device_name="" if event is None else event.device_name,
        spot_pic_id="" if event is None else event.id,
    )


CALLS = (
    Binding(declaration=PICTURE_SEARCH, handle=_picture_search, role="operator", request=DetectRequest),
    Binding(declaration=SEEN, handle=_ranked, role="operator", request=DetectRequest),
)
