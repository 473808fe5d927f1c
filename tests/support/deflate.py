"""Deflate (RFC 1951) as no encoder writes it."""

_ORDER = (16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15)
_REPEAT = 16
_LENGTHS = (*[8] * 226, *[9] * 60, *[4] * 2, *[5] * 28)
"""Code lengths of all 286 literals and of all 30 distances: both sets of codes are complete."""
_LENGTH_BITS = {_REPEAT: 1, 4: 3, 5: 3, 8: 3, 9: 3}
_LENGTH_CODES = {_REPEAT: "0", 4: "100", 5: "101", 8: "110", 9: "111"}
_END_OF_BLOCK = "111100010"  # literal 256, the 31st of the codes of nine bits, which begin at 226 * 2


def empty_blocks(size: int) -> bytes:
    """About so many bytes of blocks, none the last one, that bring two full code tables each and no data."""
    block = _empty_block()
    eight = int((block * 8)[::-1], 2).to_bytes(len(block), "little")
    return eight * (size // len(eight))


def _empty_block() -> str:
    """The bits of one block, in the order in which they are read."""
    used = max(map(_ORDER.index, _LENGTH_BITS)) + 1
    fields = [(0, 1), (2, 2), (len(_LENGTHS) - 30 - 257, 5), (30 - 1, 5), (used - 4, 4)]
    fields += [(_LENGTH_BITS.get(length, 0), 3) for length in _ORDER[:used]]
    return "".join([*(_number(*field) for field in fields), *_told_lengths(), _END_OF_BLOCK])


def _told_lengths() -> list[str]:
    told, place = [], 0
    while place < len(_LENGTHS):
        run = next((n for n, length in enumerate(_LENGTHS[place:]) if length != _LENGTHS[place]), len(_LENGTHS) - place)
        told.append(_LENGTH_CODES[_LENGTHS[place]])
        left = run - 1
        while left >= 3:
            taken = min(left, 6)
            told.append(_LENGTH_CODES[_REPEAT] + _number(taken - 3, 2))
            left -= taken
        told += [_LENGTH_CODES[_LENGTHS[place]]] * left
        place += run
    return told


def _number(value: int, bits: int) -> str:
    return "".join(str(value >> bit & 1) for bit in range(bits))
