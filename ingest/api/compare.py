"""The handler of compare."""

from msgspec import UNSET

from contract.calls.compare import COMPARE, CompareResult
from contract.calls.declaration import Values
from contract.messages import CompareAnswer, CompareRequest
from ingest.api.binding import Binding, Services, ask, compare_times, request_of
from ingest.call import Call
from ingest.pictures import PictureField
from ingest.render import Rendered, success

_PICTURES = (PictureField("face_image_base64", "face_picture"), PictureField("card_image_base64", "card_picture"))


def _request(call: Call, values: Values) -> CompareRequest:
    # The info is for the event only; where no event is written, the info is not written to the log at all.
    info = values["identity_info"] if values["need_save"] else None
    return request_of(
        CompareRequest,
        call,
        values,
        face_picture=b"",
        card_picture=b"",
        level=values["threshold"],
        quality_level=values["fiqa_level"],
        identity_info=info,
        **compare_times(call, values),
    )


async def _compare(call: Call, services: Services) -> Rendered:
    answer, _ = await ask(call, services, COMPARE, _request, _PICTURES, CompareAnswer)
    return success(CompareResult(retcode=answer.retcode, score=answer.score, debug_info=answer.debug or UNSET))


CALLS = (Binding(declaration=COMPARE, handle=_compare, role="device", request=CompareRequest),)
