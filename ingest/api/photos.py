"""Reads the photos and the whole info of enrolled people by position, and answers GET of images."""

from collections.abc import Mapping
from functools import partial
from typing import Any

from broker.port import BrokerError
from contract.calls.images import IMAGE
from contract.errors import Code, Refused
from contract.people.keys import person_key, photo_key
from contract.people.records import PersonRecord, info_of, photo_of
from ingest.api.binding import Binding, Services, read_url, up_to_date
from ingest.call import Call
from ingest.render import Rendered


async def enrolled_photo(services: Services, identity_id: str, number: int) -> bytes | None:
    """Return the JPEG with which the face `number` of a person was enrolled; None where the face has none.

    Raises:
        Refused: 50380: the log cannot be read.
    """
    person, found = services.people.person(identity_id), services.people.photo(identity_id, number)
    if person is None or number not in person.faces or found is None:
        return None
    key = photo_key(identity_id, number)
    try:
        return await services.photos.read(key, found.partition, found.offset, partial(photo_of, reference=found))
    except BrokerError:
        raise Refused(Code.OVERLOADED, "the log cannot be read now; try again") from None


async def whole_info(services: Services, person: PersonRecord) -> Mapping[str, Any]:
    """Return the whole info of a person; the part that is in memory where the stored one cannot be found.

    Raises:
        Refused: 50380: the log cannot be read.
    """
    if person.stored_at is None:
        return person.info
    key = person_key(person.identity_id)
    try:
        return await services.records.read(key, 0, person.stored_at, info_of) or person.info
    except BrokerError:
        raise Refused(Code.OVERLOADED, "the log cannot be read now; try again") from None


async def _image(call: Call, services: Services) -> Rendered:
    identity_id, number = read_url(call, services, IMAGE)["image_id"]
    async with up_to_date(call, services):
        jpeg = await enrolled_photo(services, identity_id, number)
    if jpeg is None:
        raise Refused(Code.ID_NOT_FOUND, "no photo has this image_id")
    call.reservation.take(len(jpeg))
    return Rendered(jpeg, content_type="image/jpeg")


CALLS = (Binding(declaration=IMAGE, handle=_image, role="operator", needs_people=True),)
