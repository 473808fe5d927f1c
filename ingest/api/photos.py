"""Reads the photos of enrolled people, and answers GET of images."""

from functools import partial

from broker.port import BrokerError
from contract.calls.images import IMAGE
from contract.errors import Code, Refused
from contract.people.keys import photo_key
from contract.people.records import photo_of
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


async def _image(call: Call, services: Services) -> Rendered:
    identity_id, number = read_url(call, services, IMAGE)["image_id"]
    async with up_to_date(call, services):
        jpeg = await enrolled_photo(services, identity_id, number)
    if jpeg is None:
        raise Refused(Code.ID_NOT_FOUND, "no photo has this image_id")
    call.reservation.take(len(jpeg))
    return Rendered(jpeg, content_type="image/jpeg")


CALLS = (Binding(declaration=IMAGE, handle=_image, needs_people=True),)
