"""The body of a FIQA call, from bytes to a typed request. Pure."""

from dataclasses import dataclass

from contract.messages import FiqaRequest
from ingest.fields import Fields, param_error, read_object
from ingest.parse import Picture

FIQA_FIELDS = frozenset({"fiqa_level", "image_base64_str", "image_path"})


@dataclass(frozen=True, slots=True)
class FiqaCall:
    """A checked body. `request.image` is still to be filled from `picture`."""

    request: FiqaRequest
    picture: Picture
    unknown_fields: int


def parse_fiqa(body: bytes | bytearray, *, request_id: str, received_time_s: float, max_values: int) -> FiqaCall:
    """Check a FIQA body against every rule that it alone can tell (docs/interface.md).

    Raises:
        Refused: the row of the error table.
    """
    fields = Fields(read_object(body, max_values))
    path, base64 = fields.text("image_path"), fields.text("image_base64_str")
    if path:
        picture = Picture("image_path", path=path)
    elif base64:
        picture = Picture("image_base64_str", base64=base64)
    else:
        raise param_error("a picture is needed: image_base64_str or image_path")
    request = FiqaRequest(
        request_id=request_id,
        image=b"",
        received_time_s=received_time_s,
        quality_level=fields.quality_level("fiqa_level") or "high",
    )
    return FiqaCall(request, picture, fields.unknown(FIQA_FIELDS))
