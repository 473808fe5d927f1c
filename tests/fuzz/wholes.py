"""Whole pictures of every kind that is served, small: what the fuzz target starts from and what the corpus spoils."""

import struct
import zlib

import cv2
import numpy as np
import simplejpeg

from tests.support import pictures

WIDTH, HEIGHT = 48, 40
_ADAM7 = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))


def whole_pictures() -> dict[str, bytes]:
    """Name -> file; each is WIDTH x HEIGHT as stored."""
    return {**_jpegs(), **_pngs(), **_webps(), **_bmps()}


def _jpegs() -> dict[str, bytes]:
    picture = pictures.busy(WIDTH, HEIGHT)
    baseline = pictures.jpeg(picture)
    ink = np.dstack([picture, picture[:, :, :1]])
    made = {
        "jpeg": baseline,
        "jpeg progressive": pictures.progressive_jpeg(picture),
        "jpeg grey": bytes(simplejpeg.encode_jpeg(picture[:, :, :1].copy(), 85, "GRAY", "Gray")),
        "jpeg cmyk": bytes(simplejpeg.encode_jpeg(ink, 85, "CMYK", "444")),
        "jpeg restarts": pictures.encoded(picture, ".jpg", cv2.IMWRITE_JPEG_RST_INTERVAL, 2),
        "jpeg optimised": pictures.encoded(picture, ".jpg", cv2.IMWRITE_JPEG_OPTIMIZE, 1),
        "jpeg progressive grey": pictures.encoded(picture[:, :, 0].copy(), ".jpg", cv2.IMWRITE_JPEG_PROGRESSIVE, 1),
        "jpeg without end": baseline[:-2],
        "jpeg with bytes behind": baseline + b"PK\x03\x04 appended",
        "jpeg in three scans": jpeg_in_scans(),
        # Found by the fuzz target: legal, rare, and unknown to simplejpeg's reading of headers.
        "jpeg 441": jpeg_sampled(0x14),
    }
    made |= {
        f"jpeg {sampling}": bytes(simplejpeg.encode_jpeg(picture, 85, "BGR", sampling))
        for sampling in ("444", "422", "440", "411")
    }
    made |= {f"jpeg orientation {n}": pictures.with_exif(baseline, n, little=bool(n & 1)) for n in range(1, 9)}
    return made


def jpeg_sampled(factors: int) -> bytes:
    """A JPEG whose chroma is that much coarser (across, down), which OpenCV writes for a few factors only."""
    scans = jpeg_in_scans()
    place, frame = pictures.frame_of(scans)
    return scans[:place] + frame[:11] + bytes([factors]) + frame[12:] + scans[place + len(frame) :]


def jpeg_in_scans(width: int = WIDTH, height: int = HEIGHT, frame: int = 0xC0) -> bytes:
    """A flat sequential JPEG whose three components come in a scan each, which no encoder at hand writes."""
    blocks = ((width + 7) // 8) * ((height + 7) // 8)
    parts = [b"\xff\xd8", jpeg_segment(0xDB, b"\x00" + bytes([16] * 64))]
    shape = struct.pack(">BHHB", 8, height, width, 3) + bytes([1, 0x11, 0, 2, 0x11, 0, 3, 0x11, 0])
    parts.append(jpeg_segment(frame, shape))
    # One code of one bit in each table: "the same as before" and "no more in this block".
    parts += [jpeg_segment(0xC4, table + bytes([1] + [0] * 15) + b"\x00") for table in (b"\x00", b"\x10")]
    bits = 2 * blocks
    data = bytearray((bits + 7) // 8)
    if bits % 8:
        data[-1] = (1 << (8 - bits % 8)) - 1
    for component in (1, 2, 3):
        parts += [jpeg_segment(0xDA, bytes([1, component, 0, 0, 63, 0])), bytes(data)]
    return b"".join([*parts, b"\xff\xd9"])


def jpeg_segment(marker: int, payload: bytes) -> bytes:
    """One JPEG segment with its length."""
    return bytes((0xFF, marker)) + struct.pack(">H", len(payload) + 2) + payload


def _pngs() -> dict[str, bytes]:
    picture = pictures.busy(WIDTH, HEIGHT)
    palette = pictures.png_chunk(b"PLTE", bytes(range(192)) * 4)
    indexes = b"".join(b"\x00" + bytes(row) for row in picture[:, :, 0])
    upside_down = pictures.png_chunk(b"eXIf", pictures.exif(3))
    rgb = b"".join(b"\x00" + row.tobytes() for row in picture)
    return {
        "png": pictures.encoded(picture, ".png"),
        "png grey": pictures.encoded(picture[:, :, 0].copy(), ".png"),
        "png alpha": pictures.encoded(np.dstack([picture, picture[:, :, 0]]), ".png"),
        "png 16 bits": pictures.encoded(picture.astype(np.uint16) * 257, ".png"),
        "png 1 bit": pictures.png(WIDTH, HEIGHT, (b"\x00" + b"\xa5" * 6) * HEIGHT, depth=1, colour=0),
        "png palette": pictures.png(WIDTH, HEIGHT, indexes, colour=3, extra=palette),
        "png palette of 4 bits": pictures.png(
            WIDTH, HEIGHT, (b"\x00" + b"\x12" * 24) * HEIGHT, depth=4, colour=3, extra=palette
        ),
        "png grey and alpha": pictures.png(WIDTH, HEIGHT, (b"\x00" + b"\x80\xff" * WIDTH) * HEIGHT, colour=4),
        "png with exif": pictures.png(WIDTH, HEIGHT, rgb, extra=upside_down),
        "png interlaced": _interlaced(picture),
    }


def _interlaced(picture: np.ndarray) -> bytes:
    rows = b"".join(
        b"\x00" + row.tobytes() for left, top, right, down in _ADAM7 for row in picture[top::down, left::right]
    )
    header = struct.pack(">IIBBBBB", picture.shape[1], picture.shape[0], 8, 2, 0, 0, 1)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(rows)), (b"IEND", b""))
    return pictures.PNG_SIGNATURE + b"".join(pictures.png_chunk(kind, payload) for kind, payload in chunks)


def _webps() -> dict[str, bytes]:
    picture = pictures.busy(WIDTH, HEIGHT)
    lossy = pictures.encoded(picture, ".webp", cv2.IMWRITE_WEBP_QUALITY, 60)
    see_through = np.dstack([picture, picture[:, :, 0]])
    return {
        "webp": lossy,
        "webp lossless": pictures.encoded(picture, ".webp", cv2.IMWRITE_WEBP_QUALITY, 101),
        "webp alpha": pictures.encoded(see_through, ".webp", cv2.IMWRITE_WEBP_QUALITY, 60),
        "webp lossless alpha": pictures.encoded(see_through, ".webp", cv2.IMWRITE_WEBP_QUALITY, 101),
        "webp with exif": pictures.webp_extended(lossy, WIDTH, HEIGHT, (b"EXIF", pictures.exif(6)), flags=8),
        "webp animated": animated_webp(),
    }


def animated_webp() -> bytes:
    """Two frames."""
    animation = cv2.Animation()
    animation.frames = [pictures.colours(WIDTH, HEIGHT), 255 - pictures.colours(WIDTH, HEIGHT)]
    animation.durations = [100, 100]
    done, data = cv2.imencodeanimation(".webp", animation)
    assert done
    return bytes(data.tobytes())


def _bmps() -> dict[str, bytes]:
    picture = pictures.busy(WIDTH, HEIGHT)
    palette = bytes(range(256)) * 4
    core = struct.pack("<IHHHH", 12, WIDTH, HEIGHT, 1, 24)
    return {
        "bmp": pictures.encoded(picture, ".bmp"),
        "bmp grey": pictures.encoded(picture[:, :, 0].copy(), ".bmp"),
        "bmp alpha": pictures.encoded(np.dstack([picture, picture[:, :, 0]]), ".bmp"),
        "bmp from the top": pictures.bmp(WIDTH, -HEIGHT, picture.tobytes()),
        "bmp 16 bits": pictures.bmp(WIDTH, HEIGHT, picture[:, :, :2].tobytes(), bits=16),
        "bmp 4 bits": pictures.bmp(WIDTH, HEIGHT, bytes(24 * HEIGHT), bits=4, palette=palette[:64]),
        "bmp 1 bit": pictures.bmp(WIDTH, HEIGHT, b"\xa5" * 8 * HEIGHT, bits=1, palette=palette[:8]),
        "bmp runs": pictures.bmp(
            WIDTH, HEIGHT, (b"\x30\x05\x00\x00" * HEIGHT) + b"\x00\x01", bits=8, compression=1, palette=palette
        ),
        "bmp runs of 4 bits": pictures.bmp(
            WIDTH, HEIGHT, (b"\x30\x12\x00\x00" * HEIGHT) + b"\x00\x01", bits=4, compression=2, palette=palette[:64]
        ),
        "bmp of OS/2": b"BM" + struct.pack("<IHHI", 26 + picture.nbytes, 0, 0, 26) + core + picture.tobytes(),
    }
