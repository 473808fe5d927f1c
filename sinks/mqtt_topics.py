"""The MQTT topics of the mqtt sink. Pure.

PREFIX/DEVICE_ID/OUTCOME has events, PREFIX/DEVICE_ID/image/PICTURE pictures, and PREFIX/status whether the sink runs. A
subscription to PREFIX/DEVICE_ID/+ so gets all events of a device and no picture.
"""

from dataclasses import dataclass
from typing import Literal
from urllib.parse import quote

Picture = Literal["face", "spot"]
"""A picture of an event: its face, cut out of the picture of the request, or the whole picture of the request."""

_NOTHING = "-"
_ESCAPED = frozenset("%+#/")


def is_usable(prefix: str) -> bool:
    """Return whether topics can begin with a prefix: it has no empty level, no + or #, no control character, and no $
    at its beginning, which brokers keep for themselves."""
    levels = prefix.split("/")
    return all(levels) and prefix.isprintable() and not prefix.startswith("$") and not {"+", "#"} & set(prefix)


def level(text: str) -> str:
    """Return a text as one level of a topic.

    Characters that a topic level must not contain (+, #, /, control characters and what is no character) and % are
    percent-encoded, as in a URL; "" is "-", so different texts have different levels.
    """
    if not text:
        return _NOTHING
    if text == _NOTHING:
        return "%2D"
    return "".join(map(_escaped, text))


def _escaped(character: str) -> str:
    if character.isprintable() and character not in _ESCAPED:
        return character
    return quote(character.encode("utf-8", "surrogatepass"), safe="")


@dataclass(frozen=True, slots=True)
class MqttTopics:
    """The topics below a prefix."""

    prefix: str

    @property
    def status(self) -> str:
        """The topic of `online` and `offline`."""
        return f"{self.prefix}/status"

    def event(self, device_id: str, outcome: str) -> str:
        """Return the topic of the events of a device with an outcome."""
        return f"{self.prefix}/{level(device_id)}/{level(outcome)}"

    def events_of(self, device_id: str) -> str:
        """Return the topic filter of all events of a device."""
        return f"{self.prefix}/{level(device_id)}/+"

    def picture(self, device_id: str, picture: Picture) -> str:
        """Return the topic of a kind of pictures of a device."""
        return f"{self.prefix}/{level(device_id)}/image/{picture}"
