"""The handler of the call that writes embeddings of another embedder."""

from contract.answers import ReembeddedAnswer
from contract.calls.declaration import Values
from contract.calls.reembed import MOST_FACES, REEMBED, Reembedded
from contract.calls.rules import param_error
from contract.calls.shared import Data
from contract.requests import EmbeddedFace, ReembedRequest
from ingest.api.binding import Binding, Services, read_body, request_of, send, version_header
from ingest.call import Call
from ingest.render import Rendered, success


async def _reembed(call: Call, services: Services) -> Rendered:
    values = await read_body(call, services, REEMBED)
    if not 1 <= len(values["faces"]) <= MOST_FACES:
        raise param_error(f"faces must be a list of 1 to {MOST_FACES} objects")
    adds = values["action"] == "add"
    faces = tuple(_face(face, number, adds=adds) for number, face in enumerate(values["faces"]))
    request = request_of(ReembedRequest, call, {**values, "faces": faces})
    answer, reply = await send(call, services, request, ReembeddedAnswer)
    return success(Data(Reembedded(outcomes=list(answer.outcomes))), version_header(reply.gallery_version))


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
