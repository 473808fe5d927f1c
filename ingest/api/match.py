"""The handler of PictureMatch."""

from msgspec import UNSET

from contract.answers import MatchAnswer
from contract.calls.declaration import Values
from contract.calls.match import MATCH, FaceInPicture, MatchResult
from contract.calls.rules import param_error
from contract.requests import MatchRequest
from ingest.api.binding import Binding, Services, ask, compare_times, request_of
from ingest.burst import BurstField
from ingest.call import Call
from ingest.pictures import PictureField, to_base64
from ingest.render import Rendered, success

_PASSAGE = BurstField(
    PictureField("rgb_image_base64", "picture", path="image_file_path"), "rgb_images_base64", "further_pictures"
)
_PICTURES = (_PASSAGE, PictureField("ir_image_base64", "ir_picture"))


def _request(call: Call, values: Values) -> MatchRequest:
    mode = values["liveness_mode"]
    _PASSAGE.require_few(values)
    if values["permission_name"] is not None and values["group_name"] is None:
        raise param_error("permission_name needs group_name")
    if values["ir_image_base64"] is not None:
        mode = "liveness_rgb_ir"
    elif mode == "liveness_rgb_ir":
        raise param_error("liveness_mode liveness_rgb_ir needs ir_image_base64")
    return request_of(MatchRequest, call, values, picture=b"", liveness_mode=mode, **compare_times(call, values))


async def _match(call: Call, services: Services) -> Rendered:
    answer, _ = await ask(call, services, MATCH, _request, _PICTURES, MatchAnswer)
    return success(
        MatchResult(
            retcode=answer.retcode,
            identity_id=answer.identity_id,
            name=answer.name,
            score=answer.score,
            identity_info=answer.identity_info,
            reg_pic=UNSET if answer.reg_pic is None else to_base64(answer.reg_pic),
            attributes=answer.attributes or UNSET,
            debug_info=answer.debug or UNSET,
            faces=UNSET if answer.faces is None else tuple(map(FaceInPicture.of, answer.faces)),
        )
    )


CALLS = (Binding(declaration=MATCH, handle=_match, role="device", request=MatchRequest, needs_people=True),)
