"""The handler of the call that writes embeddings of another embedder."""

from functools import partial

from msgspec import structs

from contract.answers import ReembeddedAnswer
from contract.calls.declaration import Values
from contract.calls.reembed import MOST_FACES, REEMBED, Reembedded
from contract.calls.rules import param_error
from contract.calls.shared import Data
from contract.requests import Request
from contract.site_requests import EmbeddedFace, ReembedRequest
from ingest.api.binding import (
    Binding,
    PeopleView,
    Services,
    read_body,
    request_of,
    send,
    up_to_date,
    version_header,
)
from ingest.call import Call
from ingest.render import Rendered, success


async def _reembed(call: Call, services: Services) -> Rendered:
    values = await read_body(call, services, REEMBED)
    if not 1 <= len(values["faces"]) <= MOST_FACES:
        raise param_error(f"faces must be a list of 1 to {MOST_FACES} objects")
    adds = values["action"] == "add"
    faces = tuple(_face(face, number, adds=adds) for number, face in enumerate(values["faces"]))
    request = request_of(ReembedRequest, call, {**values, "faces": faces})
    async with up_to_date(call, services):
        pass  # whoever was enrolled or deleted through this ingress before the call is known
    answer, reply = await send(call, services, request, ReembeddedAnswer, partial(_without_the_gone, services.people))
    return success(Data(Reembedded(outcomes=list(answer.outcomes))), version_header(reply.gallery_version))


def _without_the_gone(people: PeopleView, request: Request) -> Request:
    """Return the request without the templates of faces that are not enrolled with the named photo any more.

    They would be written for nothing, and an erasure of a person who was deleted meanwhile would not find them: it
    reads the log once, a second after the deletion. The processor answers for such a face as for any other.
    """
    if not isinstance(request, ReembedRequest) or request.action != "add":
        return request
    return structs.replace(request, faces=tuple(_as_enrolled(people, face) for face in request.faces))


def _as_enrolled(people: PeopleView, face: EmbeddedFace) -> EmbeddedFace:
    person, photo = people.person(face.identity_id), people.photo(face.identity_id, face.number)
    enrolled = person is not None and face.number in person.faces
    if enrolled and photo is not None and photo.sha256 == face.photo_sha256:
        return face
    return EmbeddedFace(identity_id=face.identity_id, number=face.number)


def _face(values: Values, number: int, *, adds: bool) -> EmbeddedFace:
    who = {"identity_id": values["identity_id"], "number": values["number"]}
    if not adds:
        return EmbeddedFace(**who)
    if values["photo_sha256"] is None or values["templates"] is None:
        raise param_error(f"faces[{number}] needs photo_sha256 and templates, because action is add")
    return EmbeddedFace(**who, photo_sha256=values["photo_sha256"], templates=values["templates"])


CALLS = (
    Binding(declaration=REEMBED, handle=_reembed, role="administrator", request=ReembedRequest, needs_people=True),
)
