"""Encodes messages, and decodes bytes that may contain anything: every fault is reported as one kind of error."""

from typing import TypeVar

import msgspec

from contract.terms import Message

T = TypeVar("T")

_encoder = msgspec.msgpack.Encoder()


def encode(message: Message) -> bytes:
    """Return a message as MessagePack."""
    return _encoder.encode(message)


def decode_with(decoder: msgspec.msgpack.Decoder[T] | msgspec.json.Decoder[T], data: bytes) -> T:
    """Decode the bytes.

    Raises:
        msgspec.DecodeError: the bytes do not contain a value of the decoder's type.
    """
    try:
        return decoder.decode(data)
    except (UnicodeDecodeError, RecursionError) as error:
        raise msgspec.DecodeError("the bytes contain text that is not UTF-8, or values nested too deeply") from error
