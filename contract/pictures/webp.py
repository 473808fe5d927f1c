"""Of a WebP the one chunk that is its picture, or its first frame.

The decoder gets nothing else. Transparency is dropped anyway, and unpacking it costs as much as a second picture.
"""

from contract.errors import PictureUnreadable
from contract.pictures.headers import riff_chunks, webp_chunks

LOSSY, LOSSLESS = b"VP8 ", b"VP8L"
_PICTURES = (LOSSY, LOSSLESS)
_FRAME_HEADER_BYTES = 16
_CANVAS_SIZE = slice(4, 10)
_FRAME_PLACE, _FRAME_SIZE = slice(0, 6), slice(6, 12)


def webp_picture(data: bytes) -> tuple[bytes, bytes]:
    """Type (`LOSSY` or `LOSSLESS`) and payload of the chunk that is the picture.

    Raises:
        PictureUnreadable: there is none, or the first frame of a moving picture does not fill its canvas.
    """
    canvas = b""
    for kind, payload in webp_chunks(data):
        if kind in _PICTURES:
            return kind, payload
        if kind == b"VP8X":
            canvas = canvas or payload[_CANVAS_SIZE]
        elif kind == b"ANMF" and canvas:
            if any(payload[_FRAME_PLACE]) or payload[_FRAME_SIZE] != canvas:
                raise PictureUnreadable
            for inner, picture in riff_chunks(payload, _FRAME_HEADER_BYTES, len(payload)):
                if inner in _PICTURES:
                    return inner, picture
            raise PictureUnreadable
    raise PictureUnreadable


def plain_webp(data: bytes) -> bytes:
    """A WebP of the same picture without anything else in it: no metadata, no transparency, no further frames.

    Raises:
        PictureUnreadable: as `webp_picture`.
    """
    kind, payload = webp_picture(data)
    body = b"WEBP" + kind + len(payload).to_bytes(4, "little") + payload + b"\x00" * (len(payload) & 1)
    return b"RIFF" + len(body).to_bytes(4, "little") + body
