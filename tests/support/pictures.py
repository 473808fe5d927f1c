"""Picture files for the tests, made byte by byte where an encoder would not make them."""

import struct
import zlib

import cv2
import numpy as np
import simplejpeg

from engine.vision.ports import Image

PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"


def colours(width: int = 96, height: int = 64) -> Image:
    """A smooth picture whose four quarters differ: red, green, blue and white, from the top left."""
    picture = np.zeros((height, width, 3), np.uint8)
    top, left = height // 2, width // 2
    picture[:top, :left], picture[:top, left:] = (20, 20, 230), (20, 230, 20)
    picture[top:, :left], picture[top:, left:] = (230, 20, 20), (240, 240, 240)
    return picture


def busy(width: int = 160, height: int = 120, seed: int = 1) -> Image:
    """A picture with detail everywhere, so that its file has data for every part."""
    noise = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return np.asarray(cv2.GaussianBlur(noise, (5, 5), 2), np.uint8)


def jpeg(picture: Image, quality: int = 90) -> bytes:
    """A baseline JPEG."""
    return bytes(simplejpeg.encode_jpeg(np.ascontiguousarray(picture), quality, "BGR", "420"))


def progressive_jpeg(picture: Image) -> bytes:
    """A progressive JPEG."""
    return encoded(picture, ".jpg", cv2.IMWRITE_JPEG_PROGRESSIVE, 1)


def encoded(picture: Image, suffix: str, *parameters: int) -> bytes:
    """The picture as OpenCV encodes it."""
    done, data = cv2.imencode(suffix, picture, list(parameters))
    assert done
    return bytes(data.tobytes())


def png_chunk(kind: bytes, payload: bytes) -> bytes:
    """One PNG chunk with its checksum."""
    return struct.pack(">I", len(payload)) + kind + payload + struct.pack(">I", zlib.crc32(kind + payload))


def png(width: int, height: int, rows: bytes, *, depth: int = 8, colour: int = 2, extra: bytes = b"") -> bytes:
    """A PNG whose header says what the arguments say, whatever the rows hold."""
    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    parts = (png_chunk(b"IHDR", header), extra, png_chunk(b"IDAT", zlib.compress(rows)), png_chunk(b"IEND", b""))
    return PNG_SIGNATURE + b"".join(parts)


def png_bomb(side: int = 30_000) -> bytes:
    """A few bytes that say they are side x side pixels."""
    return png(side, side, bytes(1000))


def bmp(width: int, height: int, rows: bytes, *, bits: int = 24, compression: int = 0, palette: bytes = b"") -> bytes:
    """A BMP file; a negative height means stored from the top down."""
    start = 54 + len(palette)
    info = struct.pack("<IiiHHIIiiII", 40, width, height, 1, bits, compression, len(rows), 0, 0, len(palette) // 4, 0)
    return b"BM" + struct.pack("<IHHI", start + len(rows), 0, 0, start) + info + palette + rows


def webp_extended(simple: bytes, width: int, height: int, *chunks: tuple[bytes, bytes], flags: int = 0) -> bytes:
    """A simple WebP file made an extended one with that canvas and those chunks after the frame."""
    canvas = bytes([flags, 0, 0, 0]) + (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")
    body = b"WEBP" + _riff_chunk(b"VP8X", canvas) + simple[12:]
    for kind, payload in chunks:
        body += _riff_chunk(kind, payload)
    return b"RIFF" + struct.pack("<I", len(body)) + body


def exif(orientation: int, *, little: bool = False) -> bytes:
    """An EXIF block (TIFF header and one entry)."""
    order = "<" if little else ">"
    head = (b"II*\x00" if little else b"MM\x00*") + struct.pack(order + "I", 8)
    return head + struct.pack(order + "HHHIHHI", 1, 0x0112, 3, 1, orientation, 0, 0)


def with_exif(jpeg_file: bytes, orientation: int, *, little: bool = False) -> bytes:
    """The JPEG with an APP1 segment right after its start."""
    payload = b"Exif\x00\x00" + exif(orientation, little=little)
    return jpeg_file[:2] + b"\xff\xe1" + struct.pack(">H", len(payload) + 2) + payload + jpeg_file[2:]


def frame_of(jpeg_file: bytes) -> tuple[int, bytes]:
    """Where a baseline JPEG's frame header stands, and the header."""
    place = jpeg_file.index(b"\xff\xc0")
    length = int.from_bytes(jpeg_file[place + 2 : place + 4], "big")
    return place, jpeg_file[place : place + 2 + length]


def resized_frame(frame: bytes, width: int, height: int) -> bytes:
    """A frame header that says other dimensions."""
    return frame[:5] + struct.pack(">HH", height, width) + frame[9:]


def _riff_chunk(kind: bytes, payload: bytes) -> bytes:
    return kind + struct.pack("<I", len(payload)) + payload + b"\x00" * (len(payload) & 1)
