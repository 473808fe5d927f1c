"""What a real-time client has asked for: which events, in which form. Pure.

A WebSocket client says so in a JSON text: {need_face, need_register, event_list} in version 5 of the vendor's
interface, {with_face_image, with_register_image, media_device_ids} in version 6. The two are told apart by their keys.
A client of Server-Sent Events says so in the query of its URL: devices, kinds, outcomes.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import orjson
from multidict import MultiMapping

from contract.addresses import canonical_address
from contract.calls.dialects import Dialect
from contract.calls.rules import FLAG, param_error
from contract.errors import Code, Refusal, Refused
from contract.events import Event
from contract.vendor_words import is_passage

MAX_DEVICES = 20_000
"""The most devices of one client: as many as a site may have (matching.max_devices)."""
_MAX_ID_CHARS = 255


class Form(NamedTuple):
    """The form in which an event is sent: the shape, and whether with the face and the photo of the person."""

    shape: Literal["v5", "v6", "stream"]
    face: bool = False
    photo: bool = False


@dataclass(frozen=True, slots=True)
class Choice:
    """The events that a client has asked for.

    `devices`: device_ids; of an event stream also addresses in their one spelling, and None means all events.
    `kinds` and `outcomes`: of an event stream; empty: all.
    """

    form: Form
    devices: frozenset[str] | None
    kinds: frozenset[str] = frozenset()
    outcomes: frozenset[str] = frozenset()

    def contains(self, event: Event, device_id: str) -> bool:
        """Return whether the client gets an event. `device_id`: of its device; "": the event names no device.

        The vendor's forms have matches that were answered, and the enrolments of strangers; an event stream has all.
        """
        if self.form.shape != "stream":
            is_shown = event.kind in ("match", "stranger") and is_passage(event)
            return is_shown and self.devices is not None and device_id in self.devices
        if self.devices is not None and not self.devices & {device_id, canonical_address(event.device_ip or "")}:
            return False
        return (not self.kinds or event.kind in self.kinds) and (not self.outcomes or event.outcome in self.outcomes)


class BadConfiguration(Exception):
    """A configuration cannot be used; `refusal` says why, in the words of the version `dialect`."""

    def __init__(self, refusal: Refusal, dialect: Dialect = Dialect.V5) -> None:
        super().__init__(refusal.message)
        self.refusal, self.dialect = refusal, dialect


class _Names(NamedTuple):
    """The names of the fields of a configuration."""

    face: str
    photo: str
    devices: str


_V5 = _Names("need_face", "need_register", "event_list")
_V6 = _Names("with_face_image", "with_register_image", "media_device_ids")


def configured(text: str) -> Choice:
    """Return the choice in the configuration that a WebSocket client has sent.

    A field that is absent or null is false, or an empty list. Fields of neither version are ignored.

    Raises:
        BadConfiguration: the text is no configuration.
    """
    try:
        sent = orjson.loads(text)
    except orjson.JSONDecodeError:
        raise BadConfiguration(Refusal(Code.BAD_REQUEST, "the configuration is not valid JSON")) from None
    if not isinstance(sent, dict):
        raise BadConfiguration(Refusal(Code.BAD_REQUEST, "the configuration must be a JSON object"))
    is_v5, is_v6 = (any(name in sent for name in names) for names in (_V5, _V6))
    dialect = Dialect.V6 if is_v6 and not is_v5 else Dialect.V5
    try:
        if is_v5 and is_v6:
            raise param_error("the configuration has fields of version 5 and of version 6; send those of one version")
        if sent and not (is_v5 or is_v6):
            raise param_error("event_list is missing: a list of device_ids (in version 6: media_device_ids)")
        return _choice(sent, _V6, "v6") if is_v6 else _choice(sent, _V5, "v5")
    except Refused as refused:
        raise BadConfiguration(refused.refusal, dialect) from None


def _choice(sent: Mapping[str, Any], names: _Names, shape: Literal["v5", "v6"]) -> Choice:
    form = Form(shape, _flag(sent, names.face), _flag(sent, names.photo))
    ids = sent.get(names.devices)
    if ids is None:
        ids = []
    if not isinstance(ids, list) or not all(isinstance(one, str) and len(one) <= _MAX_ID_CHARS for one in ids):
        raise param_error(f"{names.devices} must be a list of device_ids")
    if len(ids) > MAX_DEVICES:
        raise param_error(f"{names.devices} must name at most {MAX_DEVICES} devices")
    return Choice(form, frozenset(ids))


def _flag(sent: Mapping[str, Any], name: str) -> bool:
    value = sent.get(name)
    return False if value is None else bool(FLAG.check(value, name))


def queried(query: MultiMapping[str]) -> Choice:
    """Return the choice in the query of an event stream.

    Each of `devices`, `kinds` and `outcomes` can be repeated, and can have several values with commas between them.
    Devices are device_ids or addresses; without any the client gets the events of all devices, and those of none.
    """
    devices = frozenset(each for one in _values(query, "devices") for each in (one, canonical_address(one)))
    kinds, outcomes = (frozenset(_values(query, name)) for name in ("kinds", "outcomes"))
    return Choice(Form("stream"), devices or None, kinds, outcomes)


def _values(query: MultiMapping[str], name: str) -> Iterable[str]:
    return [value for text in query.getall(name, ()) for one in text.split(",") if (value := one.strip())]
