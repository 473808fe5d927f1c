"""Reading what may be anything: one error for whatever is wrong with it."""

from typing import TypeVar

import msgspec

T = TypeVar("T")


def decode_with(decoder: msgspec.msgpack.Decoder[T] | msgspec.json.Decoder[T], data: bytes) -> T:
    """What the decoder makes of the bytes.

    Raises:
        msgspec.DecodeError: they are nothing of its type.
    """
    try:
        return decoder.decode(data)
    except (UnicodeDecodeError, RecursionError) as error:
        raise msgspec.DecodeError("text that is not UTF-8, or values nested too deeply") from error
