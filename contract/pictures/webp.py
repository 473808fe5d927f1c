"""Extracts from a WebP the one chunk that contains the picture, or the first frame of an animation.

The decoder is given nothing else. Transparency is dropped anyway, and decoding it would cost as much as a second
picture.
"""

from contract.errors import PictureUnreadable
from contract.pictures.headers import riff_chunks, webp_chunks

LOSSY, LOSSLESS = b"VP8 ", b"VP8L"
_PICTURES = (LOSSY, LOSSLESS)
_FRAME_HEADER_BYTES = 16
_CANVAS_SIZE = slice(4, 10)
_FRAME_PLACE, _FRAME_SIZE = slice(0, 6), slice(6, 12)


def webp_picture(data: bytes) -> tuple[bytes, bytes]:
    """Return the type (`LOSSY` or `LOSSLESS`) and payload of the chunk that contains the picture.

    Raises:
        PictureUnreadable: no chunk contains a picture, or the first frame of an animation does not fill the canvas.
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
    """Return a WebP of the same picture without metadata, transparency and further frames.

    Raises:
        PictureUnreadable: no chunk contains a picture, or the first frame of an animation does not fill the canvas.
    """
    kind, payload = webp_picture(data)
    body = b"WEBP" + kind + len(payload).to_bytes(4, "little") + payload + b"\x00" * (len(payload) & 1)
    return b"RIFF" + len(body).to_bytes(4, "little") + body
