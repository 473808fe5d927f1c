"""Hostile and odd JPEGs."""

import struct

from tests.fuzz.recipe import TOO_LARGE, Hostile
from tests.fuzz.wholes import HEIGHT, WIDTH, jpeg_in_scans, jpeg_sampled, jpeg_segment, whole_pictures
from tests.support import pictures

_SOI, _EOI = b"\xff\xd8", b"\xff\xd9"
_ORIENTATION = 0x0112


def hostile_jpegs() -> dict[str, Hostile]:
    """Name -> file and answer."""
    made = {**_frames(), **_tables_and_scans(), **_segments(), **_exifs()}
    return {f"jpeg: {name}": file for name, file in made.items()}


def _frames() -> dict[str, Hostile]:
    whole = whole_pictures()["jpeg"]
    place, frame = pictures.frame_of(whole)

    def framed(changed: bytes) -> bytes:
        return whole[:place] + changed + whole[place + len(frame) :]

    def with_byte(index: int, value: int) -> bytes:
        return framed(frame[:index] + bytes([value]) + frame[index + 1 :])

    def sized(width: int, height: int) -> bytes:
        return framed(pictures.resized_frame(frame, width, height))

    unserved = {
        "lossless": 0xC3,
        "differential": 0xC5,
        "differential progressive": 0xC6,
        "differential lossless": 0xC7,
        "reserved": 0xC8,
        "lossless arithmetic": 0xCB,
        "differential arithmetic": 0xCD,
        "differential progressive arithmetic": 0xCE,
        "differential lossless arithmetic": 0xCF,
    }
    return {
        **{f"{name} frame": Hostile(with_byte(1, marker)) for name, marker in unserved.items()},
        "arithmetic frame over Huffman data": Hostile(with_byte(1, 0xC9), "either"),
        "progressive frame over sequential scans": Hostile(with_byte(1, 0xC2)),
        "arithmetic progressive frame over sequential scans": Hostile(with_byte(1, 0xCA)),
        "12 bits": Hostile(with_byte(4, 12)),
        "16 bits": Hostile(with_byte(4, 16)),
        "no bits": Hostile(with_byte(4, 0)),
        "gigapixels": Hostile(sized(65_535, 65_535), TOO_LARGE),
        "a side beyond libjpeg's": Hostile(sized(65_535, 1), TOO_LARGE),
        "more rows than data": Hostile(sized(WIDTH, 8 * HEIGHT)),
        "wider than its data": Hostile(sized(8 * WIDTH, HEIGHT)),
        "no rows (told after the scan)": Hostile(sized(WIDTH, 0)),
        "no columns": Hostile(sized(0, HEIGHT)),
        "fewer rows than data": Hostile(sized(WIDTH, 8), "either"),
        "no components": Hostile(framed(jpeg_segment(0xC0, frame[4:9] + b"\x00"))),
        "two components": Hostile(framed(jpeg_segment(0xC0, frame[4:9] + b"\x02" + frame[10:16]))),
        "five components": Hostile(framed(jpeg_segment(0xC0, frame[4:9] + b"\x05" + frame[10:] + frame[10:16]))),
        "255 components that are not there": Hostile(with_byte(9, 255)),
        "one component twice": Hostile(with_byte(13, frame[10]), "either"),
        "sampled by nothing": Hostile(with_byte(11, 0x00)),
        "sampled by five": Hostile(with_byte(11, 0x55)),
        "sampled by thirds, which TurboJPEG does not know": Hostile(jpeg_sampled(0x31), "either"),
        "a table that does not exist": Hostile(with_byte(12, 3)),
        "no frame": Hostile(framed(b"")),
        "a frame of one byte": Hostile(framed(b"\xff\xc0\x00\x03\x08")),
        "a frame that is longer than the file": Hostile(whole[:place] + b"\xff\xc0\xff\xff" + frame[4:]),
    }


def _tables_and_scans() -> dict[str, Hostile]:
    whole = whole_pictures()["jpeg"]
    scan = whole.index(b"\xff\xda")
    data = scan + 2 + int.from_bytes(whole[scan + 2 : scan + 4], "big")
    no_huffman = b"".join(
        jpeg_segment(marker, payload) for marker, payload in _segments_of(whole[:scan]) if marker != 0xC4
    )
    no_quantisation = b"".join(
        jpeg_segment(marker, payload) for marker, payload in _segments_of(whole[:scan]) if marker != 0xDB
    )
    half_a_table = b"\xff\xc4\x00\x09\x00" + b"\x01" * 6
    over_full = jpeg_segment(0xC4, b"\x00" + bytes([255] * 16) + bytes(255 * 16))
    scans = jpeg_in_scans()
    first = scans.index(b"\xff\xda")
    progressive = whole_pictures()["jpeg progressive"]
    last = progressive[progressive.rindex(b"\xff\xda") : -2]
    return {
        # libjpeg knows the usual tables by heart, for the sake of motion JPEG.
        "no Huffman tables": Hostile(_SOI + no_huffman + whole[scan:], "either"),
        "no quantisation tables": Hostile(_SOI + no_quantisation + whole[scan:]),
        "a Huffman table with too many codes": Hostile(whole[:scan] + over_full + whole[scan:]),
        "a Huffman table of half a length": Hostile(whole[:scan] + half_a_table + whole[scan:]),
        "a quantisation table of zeros": Hostile(whole[:scan] + jpeg_segment(0xDB, bytes(65)) + whole[scan:], "either"),
        "restarts promised and not there": Hostile(whole[:scan] + b"\xff\xdd\x00\x04\x00\x01" + whole[scan:]),
        "a scan without data": Hostile(whole[:data] + _EOI),
        "no scan": Hostile(whole[:scan] + _EOI),
        "a scan of a component that is not there": Hostile(whole[: scan + 5] + b"\x77" + whole[scan + 6 :]),
        "a scan of no components": Hostile(whole[:scan] + jpeg_segment(0xDA, b"\x00\x00\x3f\x00") + whole[data:]),
        # It says itself that it ends there; cut off there without an end marker it is unreadable.
        "two of three scans": Hostile(scans[: scans.rindex(b"\xff\xda")] + _EOI, "picture"),
        "the same scan three times": Hostile(
            scans[:first] + scans[first : scans.index(b"\xff\xda", first + 2)] * 3 + _EOI, "picture"
        ),
        "arithmetic in three scans": Hostile(jpeg_in_scans(frame=0xC9), "either"),
        "a thousand scans": Hostile(progressive[:-2] + last * 1000 + _EOI),
        "a thousand scans of one component": Hostile(scans[:-2] + scans[scans.rindex(b"\xff\xda") : -2] * 1000 + _EOI),
        "scans of a million pixels, over and over": Hostile(
            jpeg_in_scans(1000, 1000)[:-2] + jpeg_segment(0xDA, b"\x01\x03\x00\x00\x3f\x00") * 1000 + _EOI
        ),
        "ones instead of data": Hostile(whole[:data] + b"\xff\x00" * 2000 + _EOI, "either"),
        "restart markers instead of data": Hostile(whole[:data] + b"\xff\xd0\xff\xd1" * 500 + _EOI),
        "an end amid the data": Hostile(whole[: data + 200] + _EOI + whole[data + 200 :]),
        "a second picture behind the first": Hostile(whole + whole, "picture"),
        "a megabyte behind its end": Hostile(whole + bytes(1 << 20), "picture"),
    }


def _segments() -> dict[str, Hostile]:
    whole = whole_pictures()["jpeg"]
    body = whole[2:]
    profile = b"".join(jpeg_segment(0xE2, b"ICC_PROFILE\x00" + bytes([n, 9]) + bytes(60_000)) for n in range(1, 10))
    return {
        "start markers all the way": Hostile(_SOI * 5000),
        "a start within": Hostile(_SOI + _SOI + body),
        "an end at once": Hostile(_SOI + _EOI + body),
        "a segment of length 0": Hostile(_SOI + b"\xff\xe5\x00\x00" + body),
        "a segment of length 1": Hostile(_SOI + b"\xff\xe5\x00\x01" + body),
        "an empty segment": Hostile(_SOI + b"\xff\xe5\x00\x02" + body, "picture"),
        "a segment beyond the file's end": Hostile(_SOI + b"\xff\xe5\xff\xff" + body),
        "a long profile in pieces": Hostile(_SOI + profile + body, "picture"),
        "a profile with a piece missing": Hostile(
            _SOI + jpeg_segment(0xE2, b"ICC_PROFILE\x00\x02\x05" + bytes(500)) + body, "picture"
        ),
        "five thousand comments": Hostile(_SOI + jpeg_segment(0xFE, b"x") * 5000 + body),
        "a JFIF header cut short": Hostile(_SOI + jpeg_segment(0xE0, b"JFIF\x00") + body, "picture"),
        "an Adobe header that knows no colours": Hostile(
            _SOI + jpeg_segment(0xEE, b"Adobe\x00\x64\x00\x00\x00\x00\x07") + body, "either"
        ),
        "an Adobe header that says RGB": Hostile(
            _SOI + jpeg_segment(0xEE, b"Adobe\x00\x64\x00\x00\x00\x00\x00") + body, "picture"
        ),
    }


def _exifs() -> dict[str, Hostile]:
    """Blocks that lie or run in circles; the picture does not suffer for them."""

    def entry(tag: int, kind: int, count: int, value: int) -> bytes:
        return struct.pack("<HHII", tag, kind, count, value)

    def block(start: int, *entries: bytes, claimed: int | None = None, following: int = 0) -> bytes:
        head = b"II*\x00" + struct.pack("<I", start)
        directory = struct.pack("<H", len(entries) if claimed is None else claimed) + b"".join(entries)
        return head + directory + struct.pack("<I", following)

    sub = entry(0x8769, 4, 1, 8)
    blocks = {
        "a directory that follows itself": block(8, following=8),
        "a directory within itself": block(8, sub, sub, following=8),
        "a directory at the header": block(0, sub),
        "a directory beyond the end": block(0xFFFFFFF0, sub),
        "more entries than bytes": block(8, sub, claimed=65_535),
        "an orientation of a billion values": block(8, entry(_ORIENTATION, 3, 1 << 30, 6)),
        "an orientation as text": block(8, entry(_ORIENTATION, 2, 4, 6)),
        "an orientation as a fraction": block(8, entry(_ORIENTATION, 5, 1, 0xFFFFFFFF)),
        "a huge orientation": block(8, entry(_ORIENTATION, 4, 1, 0xFFFFFFFF)),
        "two orientations": block(8, entry(_ORIENTATION, 3, 1, 6), entry(_ORIENTATION, 3, 1, 1)),
        "an orientation cut in half": block(8, entry(_ORIENTATION, 3, 1, 6))[:18],
        "no directory": b"II*\x00",
        "no order of bytes": b"XX*\x00\x08\x00\x00\x00",
        "nothing": b"",
    }
    body = whole_pictures()["jpeg"][2:]
    return {
        f"EXIF with {name}": Hostile(_SOI + jpeg_segment(0xE1, b"Exif\x00\x00" + exif) + body, "picture")
        for name, exif in blocks.items()
    }


def _segments_of(data: bytes) -> list[tuple[int, bytes]]:
    """Marker and payload of each segment of a file's clean beginning."""
    segments, place = [], 2
    while place < len(data):
        end = place + 2 + int.from_bytes(data[place + 2 : place + 4], "big")
        segments.append((data[place + 1], data[place + 4 : end]))
        place = end
    return segments
