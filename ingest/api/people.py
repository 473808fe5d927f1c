"""The handlers of the people calls: POST, GET, PUT and DELETE of users.

A change of people is a request through the log. The people topic is the only store; GET answers from the records of the
people topic that this process has read.
"""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

from msgspec import UNSET

from contract.answers import DeletedAnswer, PersonAnswer, Reply
from contract.calls.declaration import Values
from contract.calls.people import (
    CHANGE,
    ENROL,
    LIST,
    REMOVE,
    ChangedPerson,
    EnrolledPerson,
    Failed,
    ListedPerson,
    PeoplePage,
    RemovedPeople,
    RemovedPerson,
)
from contract.calls.rules import param_error
from contract.calls.shared import Data, Pagination
from contract.errors import Code, Refusal, Refused
from contract.http import UNCHANGED_HEADER
from contract.people.listing import ListedPage, PeopleFilter
from contract.people.records import PersonRecord
from contract.people.site import Site
from contract.requests import DeleteRequest, EnrolRequest
from ingest.api.binding import Binding, Services, ask, read_body, read_url, request_of, up_to_date, version_header
from ingest.api.photos import enrolled_photo, whole_info
from ingest.call import Call
from ingest.line import Shed
from ingest.pictures import PictureField, to_base64
from ingest.render import Headers, Rendered, success

_READ_AT_A_TIME = 8
"""The number of people of a list whose records are read at the same time."""
_PICTURES = (PictureField("reg_photo", "photo"),)


def people_unreadable() -> Shed:
    """Return the refusal 50380: while a record of the people cannot be read, a decision could miss a person."""
    return Shed("people", "a record of the enrolled people cannot be read; the operator must replace it")


async def _enrol(call: Call, services: Services) -> Rendered:
    answer, reply = await ask(call, services, ENROL, _enrolment, _PICTURES, PersonAnswer)
    person = EnrolledPerson(
        identity_id=answer.identity_id,
        group_name=",".join(answer.group_names),
        reg_photo=to_base64(answer.photo or b""),
        info=_shown(answer.identity_id, answer.info),
        lookalikes=list(answer.lookalikes) or UNSET,
    )
    return success(Data(person), headers_of(answer, reply))


async def _change(call: Call, services: Services) -> Rendered:
    answer, reply = await ask(call, services, CHANGE, _changing, _PICTURES, PersonAnswer)
    image_id = answer.image_id or ""
    person = ChangedPerson(
        identity_id=answer.identity_id,
        image_id=image_id,
        group_name=list(answer.group_names),
        info=_shown(answer.identity_id, answer.info, image_id),
        lookalikes=list(answer.lookalikes) or UNSET,
    )
    return success(Data(person), headers_of(answer, reply))


async def _remove(call: Call, services: Services) -> Rendered:
    """Remove one person, or each person of a list.

    The answer to a list names the people who could not be removed, and the reasons. Where nobody could be removed, the
    answer is the first of these refusals. A person whose record cannot be read can be removed too.
    """
    one, several = _wanted(await read_body(call, services, REMOVE), call.settings.max_delete)
    people = services.people
    if people.unreadable and not all(map(people.hides, (one,) if several is None else several)):
        raise people_unreadable()
    return await (_remove_one(call, services, one) if several is None else _remove_several(call, services, several))


async def _remove_one(call: Call, services: Services, identity_id: str) -> Rendered:
    request = request_of(DeleteRequest, call, {"identity_id": identity_id})
    reply = await services.exchange.ask(call, request)
    if not isinstance(reply.answer, DeletedAnswer):
        raise TypeError(f"a delete was answered with {type(reply.answer).__name__}")
    person = RemovedPerson(identity_id=identity_id, group_name=list(reply.answer.group_names))
    return success(Data(person), version_header(reply.gallery_version))


async def _remove_several(call: Call, services: Services, identity_ids: Sequence[str]) -> Rendered:
    requests = [
        # Each request in the log needs an id of its own.
        request_of(DeleteRequest, call, {"identity_id": who}, request_id=f"{call.request_id}-{number}")
        for number, who in enumerate(identity_ids, 1)
    ]
    outcomes = dict(zip(identity_ids, await services.exchange.ask_all(call, requests), strict=True))
    failed = {who: outcome for who, outcome in outcomes.items() if isinstance(outcome, Refusal)}
    versions = [outcome.gallery_version for outcome in outcomes.values() if isinstance(outcome, Reply)]
    if not versions:
        raise Refused.of(next(iter(failed.values())))
    people = RemovedPeople(
        identity_ids=[who for who in outcomes if who not in failed],
        failed=[Failed(identity_id=who, error=REMOVE.dialect.detail(refusal)) for who, refusal in failed.items()],
    )
    return success(Data(people), version_header(max(versions)))


async def _list(call: Call, services: Services) -> Rendered:
    """List people as of a gallery version that contains every change made through this ingress."""
    wanted = read_url(call, services, LIST)
    async with up_to_date(call, services):
        headers = version_header(services.people.version)
        found = _selected(services, wanted)
        page = PeoplePage(
            identities_list=await _with_photos(call, services, found.people, wanted["need_bring_pic"]),
            pagination=Pagination.of(wanted["skip_num"], wanted["limit"], found.total),
        )
    return success(Data(page), headers)


def _enrolment(call: Call, values: Values) -> EnrolRequest:
    if values["need_bring_pic"] and values["reg_photo"] is None and values["feature"] is None:
        raise param_error(
            "reg_photo is needed, or import_mode with feature; need_bring_pic false enrols without a face"
        )
    return _person_request(call, values, update=False)


def _changing(call: Call, values: Values) -> EnrolRequest:
    return _person_request(call, values, update=True)


def _person_request(call: Call, values: Values, *, update: bool) -> EnrolRequest:
    if values["import_mode"] and values["feature"] is None:
        raise param_error("import_mode needs feature")
    names, level = values.get("group_name"), values["fiqa_level"]
    return request_of(EnrolRequest, call, values, update=update, group_names=names, quality_level=level)


def _wanted(values: Values, most: int) -> tuple[str, Sequence[str] | None]:
    """Return the one person to remove, or the list of several people."""
    one, several = values["identity_id"], values["identity_ids"]
    if one is not None and several is not None:
        raise param_error("either identity_id or identity_ids is needed, not both")
    if several is not None and len(several) > most:
        raise param_error(f"identity_ids must name at most {most} people")
    return one, several


def _selected(services: Services, wanted: Values) -> ListedPage:
    identity_id = wanted["identity_id"]
    if identity_id is None:
        return services.people.page(_filter(services.people.site, wanted), wanted["skip_num"], wanted["limit"])
    person = services.people.person(identity_id)
    if person is None:
        raise Refused(Code.ID_NOT_FOUND, "nobody with this identity_id is enrolled")
    return ListedPage([person], 1)


def _filter(site: Site, wanted: Values) -> PeopleFilter:
    group_name, permission_id = wanted["group_name"], wanted["permission_id"]
    group = None if group_name is None else site.group_named(group_name)
    if group_name is not None and group is None:
        raise Refused(Code.NOT_FOUND, "no group with this group_name exists")
    if permission_id is not None and permission_id not in site.permissions:
        raise Refused(Code.NOT_FOUND, "no permission with this permission_id exists")
    return PeopleFilter(group.group_id if group else None, permission_id, wanted["type"], wanted["name"])


async def _with_photos(
    call: Call, services: Services, people: Sequence[PersonRecord], with_photos: bool
) -> list[ListedPerson]:
    """Return the people with their newest photos, up to the limit on the bytes of photos."""
    listed: list[ListedPerson] = []
    remaining = call.settings.max_listed_photo_bytes if with_photos else 0
    for number, person in enumerate(people):
        if number % _READ_AT_A_TIME == 0:
            some = people[number : number + _READ_AT_A_TIME]
            stored = await asyncio.gather(*(_stored(services, one, with_photo=remaining > 0) for one in some))
        info, photo = stored[number % _READ_AT_A_TIME]
        if len(photo) > remaining:
            photo, remaining = b"", 0
        call.reservation.take(len(photo))
        remaining -= len(photo)
        listed.append(
            ListedPerson(
                identity_id=person.identity_id,
                group_name=list(services.people.site.group_names(person.group_ids)),
                reg_photo=to_base64(photo),
                info=_shown(person.identity_id, services.people.site.shown(info), person.image_id),
            )
        )
    return listed


async def _stored(services: Services, person: PersonRecord, *, with_photo: bool) -> tuple[Mapping[str, Any], bytes]:
    """Return the whole info of a person and, if it is wanted, the newest photo."""
    return await whole_info(services, person), await _photo(services, person) if with_photo else b""


async def _photo(services: Services, person: PersonRecord) -> bytes:
    for number in reversed(person.faces):
        if jpeg := await enrolled_photo(services, person.identity_id, number):
            return jpeg
    return b""


def _shown(identity_id: str, info: Mapping[str, Any], image_id: str | None = None) -> dict[str, Any]:
    """Return the info of a person as answers contain it; a user_id in the enrolled info wins over identity_id."""
    return {"user_id": identity_id, **info, **({} if image_id is None else {"image_id": image_id})}


def headers_of(answer: PersonAnswer, reply: Reply) -> Headers:
    """Return the headers of the answer to an enrolment: the gallery version, and whether nothing was changed."""
    unchanged = ((UNCHANGED_HEADER, "true"),) if answer.unchanged else ()
    return (*version_header(reply.gallery_version), *unchanged)


CALLS = (
    Binding(declaration=ENROL, handle=_enrol, role="operator", request=EnrolRequest, needs_people=True),
    Binding(declaration=LIST, handle=_list, role="operator", needs_people=True),
    Binding(declaration=CHANGE, handle=_change, role="operator", request=EnrolRequest, needs_people=True),
    Binding(declaration=REMOVE, handle=_remove, role="operator", request=DeleteRequest),
)
