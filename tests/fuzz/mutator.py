"""Mutations that know how picture files are built: pieces (segments, chunks) are moved, dropped, doubled or changed and
put together again with right lengths and checksums. Without them nearly every changed PNG would end at its first sum.
"""

import random
import struct
import zlib
from collections.abc import Callable, Sequence

from tests.fuzz.wholes import jpeg_segment
from tests.support.pictures import PNG_SIGNATURE, png_chunk

Mutate = Callable[[bytes, int], bytes]
Piece = tuple[bytes, bytes]
"""Type and payload."""

_PLAIN_SHARE = 0.3
_HEADER_BYTES = 80
_RIFF_HEADER_BYTES = 12


def mutated(data: bytes, max_size: int, seed: int, mutate: Mutate) -> bytes:
    """A neighbour of the input, of at most `max_size` bytes; `mutate` changes plain bytes (libFuzzer's own way)."""
    chance = random.Random(seed)
    if chance.random() < _PLAIN_SHARE:
        return mutate(data, max_size)
    if data.startswith(PNG_SIGNATURE):
        pieces = _png_pieces(data)
        made = PNG_SIGNATURE + b"".join(png_chunk(*piece) for piece in _altered(pieces, chance, mutate))
    elif data.startswith(b"RIFF"):
        pieces = _riff_pieces(data)
        made = _riff(_altered(pieces, chance, mutate))
    elif data.startswith(b"\xff\xd8"):
        pieces = _jpeg_pieces(data)
        made = b"\xff\xd8" + b"".join(_jpeg_piece(*piece) for piece in _altered(pieces, chance, mutate))
    else:
        made = mutate(data[:_HEADER_BYTES], _HEADER_BYTES) + data[_HEADER_BYTES:]
    return made[:max_size]


def _altered(pieces: Sequence[Piece], chance: random.Random, mutate: Mutate) -> list[Piece]:
    made = list(pieces) or [(b"IDAT", b"")]
    for _ in range(chance.choice((1, 1, 2, 4))):
        if not made:
            break
        place = chance.randrange(len(made))
        kind, payload = made[place]
        match chance.randrange(8):
            case 0:
                del made[place]
            case 1:
                made.insert(chance.randrange(len(made) + 1), made[place])
            case 2:
                made.insert(chance.randrange(len(made)), made.pop(place))
            case 3:
                made[place] = (made[chance.randrange(len(made))][0], payload)
            case _:
                made[place] = (kind, _altered_payload(kind, payload, chance, mutate))
    return made


def _altered_payload(kind: bytes, payload: bytes, chance: random.Random, mutate: Mutate) -> bytes:
    room = len(payload) + 16
    if kind == b"IDAT" and chance.random() < 0.7:
        try:
            rows = zlib.decompressobj().decompress(payload, 1 << 20)
        except zlib.error:
            return mutate(payload, room)
        return zlib.compress(mutate(rows, len(rows) + 16))
    return mutate(payload, room)


def _png_pieces(data: bytes) -> list[Piece]:
    pieces, place = [], len(PNG_SIGNATURE)
    while place + 8 <= len(data):
        length = int.from_bytes(data[place : place + 4], "big")
        pieces.append((data[place + 4 : place + 8], data[place + 8 : place + 8 + length]))
        place += 12 + length
    return pieces


def _riff_pieces(data: bytes) -> list[Piece]:
    pieces, place = [], _RIFF_HEADER_BYTES
    while place + 8 <= len(data):
        length = int.from_bytes(data[place + 4 : place + 8], "little")
        pieces.append((data[place : place + 4], data[place + 8 : place + 8 + length]))
        place += 8 + length + (length & 1)
    return pieces


def _riff(pieces: Sequence[Piece]) -> bytes:
    body = b"WEBP" + b"".join(
        kind + struct.pack("<I", len(payload)) + payload + b"\x00" * (len(payload) & 1) for kind, payload in pieces
    )
    return b"RIFF" + struct.pack("<I", len(body)) + body


def _jpeg_pieces(data: bytes) -> list[Piece]:
    """Segments by their marker; what lies between them (the scans' data) has the empty type."""
    pieces, place = [], 2
    while place < len(data):
        marker = data[place + 1 : place + 2] if data[place : place + 1] == b"\xff" else b""
        if marker in (b"", b"\x00", b"\xff", b"\xd9") or b"\xd0" <= marker < b"\xd8":
            following = data.find(b"\xff", place + 2)
            end = following if following >= 0 else len(data)
            pieces.append((b"", data[place:end]))
        else:
            end = place + 2 + max(2, int.from_bytes(data[place + 2 : place + 4], "big"))
            pieces.append((marker, data[place + 4 : end]))
        place = end
    return pieces


def _jpeg_piece(kind: bytes, payload: bytes) -> bytes:
    return jpeg_segment(kind[0], payload[:65_533]) if len(kind) == 1 else payload
