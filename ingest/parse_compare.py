"""The body of a compare call, from bytes to a typed request. Pure."""

from dataclasses import dataclass
from typing import Any

from contract.messages import CompareRequest
from contract.terms import CompareLevel
from contract.text import misleads
from ingest.fields import MISLEADING, Fields, param_error, read_object
from ingest.numbers import compare_time, number_of

COMPARE_FIELDS = frozenset(
    {
        "card_image_base64",
        "compare_time",
        "face_image_base64",
        "fiqa_level",
        "identity_info",
        "need_save",
        "threshold",
    }
)

# The vendor's cosines of these levels. They are its own network's; here they are other names of the levels.
_LEVELS_BY_FIGURE: dict[float, CompareLevel] = {0.275: "high", 0.225: "middle", 0.175: "low"}
_LEVELS_BY_WORD: dict[str, CompareLevel] = {level: level for level in _LEVELS_BY_FIGURE.values()}


@dataclass(frozen=True, slots=True)
class CompareCall:
    """A checked body. The request's pictures are still to be filled from the base64 texts."""

    request: CompareRequest
    face_base64: str
    card_base64: str
    unknown_fields: int


def parse_compare(body: bytes | bytearray, *, request_id: str, received_time_s: float, max_values: int) -> CompareCall:
    """Check a compare body against every rule that it alone can tell (docs/interface.md).

    Raises:
        Refused: the row of the error table.
    """
    fields = Fields(read_object(body, max_values))
    face, card = fields.text("face_image_base64"), fields.text("card_image_base64")
    if not face or not card:
        raise param_error("two pictures are needed: face_image_base64 and card_image_base64")
    need_save, identity_info = fields.flag("need_save"), _identity_info(fields)
    compare_time_s, compare_time_raw = compare_time(fields.raw("compare_time"), received_time_s)
    request = CompareRequest(
        request_id=request_id,
        face_image=b"",
        card_image=b"",
        compare_time_s=compare_time_s,
        compare_time_raw=compare_time_raw,
        received_time_s=received_time_s,
        level=_level(fields.raw("threshold")),
        quality_level=fields.quality_level("fiqa_level"),
        need_save=need_save,
        # It is for the event alone; without one it does not even enter the log.
        identity_info=identity_info if need_save else None,
    )
    return CompareCall(request, face, card, fields.unknown(COMPARE_FIELDS))


def _identity_info(fields: Fields) -> dict[str, Any] | None:
    """The object as it came. Only the two fields are checked that become the event's own where they are texts."""
    values = fields.free_object("identity_info")
    inside = Fields(values or {}, "identity_info")
    for field in ("identity_id", "name"):
        if isinstance(value := inside.raw(field), str) and misleads(value):
            raise param_error(f"{inside.name(field)} must not hold {MISLEADING}")
    return values


def _level(value: Any) -> CompareLevel:
    if value is None:
        return "middle"
    level = _LEVELS_BY_WORD.get(value) if isinstance(value, str) else None
    number = number_of(value)
    if level is None and number is not None:
        level = _LEVELS_BY_FIGURE.get(number)
    if level is None:
        figures = ", ".join(f"{name} ({figure})" for figure, name in _LEVELS_BY_FIGURE.items())
        raise param_error(f"threshold must be one of {figures}: the word, or the figure that stands for it")
    return level
