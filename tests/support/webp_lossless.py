"""A lossless WebP that no encoder writes: as many sets of code tables as the format knows, for a flat picture."""

import struct

_CODE_LENGTHS_UP_TO_EIGHT = 12
_SETS = 65_536


class _Bits:
    """Bits, the lowest first."""

    def __init__(self) -> None:
        self._bytes, self._left, self._count = bytearray(), 0, 0

    def put(self, value: int, bits: int) -> None:
        self._left |= value << self._count
        self._count += bits
        while self._count >= 8:
            self._bytes.append(self._left & 0xFF)
            self._left >>= 8
            self._count -= 8

    def done(self) -> bytes:
        return bytes(self._bytes) + bytes([self._left & 0xFF]) + bytes(8)


def webp_of_many_tables(width: int, height: int, *, long: bool = False) -> bytes:
    """A WebP of that size whose every 4 x 4 pixels name a set of code tables, up to 65,536 of them; with `long` each
    table lists 256 codes instead of one."""
    bits = _Bits()
    bits.put(width - 1, 14)
    bits.put(height - 1, 14)
    # No alpha, version 0; no transform, no colour cache; sets of tables for each 4 x 4 pixels, without a cache.
    for value, count in ((0, 1), (0, 3), (0, 1), (0, 1), (1, 1), (0, 3), (0, 1)):
        bits.put(value, count)
    for whole in (True, True, False, False, False):
        _table(bits, whole)
    blocks = -(-width // 4) * -(-height // 4)
    reversed_byte = [int(f"{value:08b}"[::-1], 2) for value in range(256)]
    for block in range(blocks):
        bits.put(reversed_byte[block & 0xFF], 8)
        bits.put(reversed_byte[block >> 8 & 0xFF], 8)
    for _ in range(min(blocks, _SETS)):
        for _ in range(4):
            _table(bits, long)
        _table(bits, False)
    payload = b"\x2f" + bits.done() + (bytes(4 * width * height) if long else b"")
    body = b"WEBPVP8L" + struct.pack("<I", len(payload)) + payload + b"\x00" * (len(payload) & 1)
    return b"RIFF" + struct.pack("<I", len(body)) + body


def _table(bits: _Bits, whole: bool) -> None:
    if not whole:
        # One symbol of one bit, which is 0.
        bits.put(0b0001, 4)
        return
    # Of the lengths of codes only 8 occurs, which takes no bits; 256 codes have it.
    bits.put(0, 1)
    bits.put(_CODE_LENGTHS_UP_TO_EIGHT - 4, 4)
    for place in range(_CODE_LENGTHS_UP_TO_EIGHT):
        bits.put(1 if place == _CODE_LENGTHS_UP_TO_EIGHT - 1 else 0, 3)
    for value, count in ((1, 1), (3, 3), (254, 8)):
        bits.put(value, count)
