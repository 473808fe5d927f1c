"""The corpus of hostile and odd files, each made by code and named after what is wrong with it."""

from tests.fuzz.hostile_jpeg import hostile_jpegs
from tests.fuzz.hostile_png import hostile_pngs
from tests.fuzz.hostile_webp_bmp import hostile_bmps, hostile_webps
from tests.fuzz.recipe import Hostile
from tests.fuzz.wholes import whole_pictures


def hostile_pictures() -> dict[str, Hostile]:
    """Name -> file and answer."""
    return {**_strangers(), **hostile_jpegs(), **hostile_pngs(), **hostile_webps(), **hostile_bmps()}


def _strangers() -> dict[str, Hostile]:
    """Files of kinds that are not served, though OpenCV would read many, and beginnings that promise another kind."""
    magics = {
        "gif": b"GIF89a\x01\x00\x01\x00\x80\x00\x00",
        "tiff": b"II*\x00\x08\x00\x00\x00",
        "tiff big-endian": b"MM\x00*\x00\x00\x00\x08",
        "jpeg 2000": b"\x00\x00\x00\x0cjP  \r\n\x87\n",
        "jpeg 2000 stream": b"\xff\x4f\xff\x51",
        "jpeg xl": b"\xff\x0a",
        "avif": b"\x00\x00\x00\x1cftypavif\x00\x00\x00\x00",
        "heic": b"\x00\x00\x00\x18ftypheic\x00\x00\x00\x00",
        "openexr": b"\x76\x2f\x31\x01\x02\x00\x00\x00",
        "hdr": b"#?RADIANCE\nFORMAT=32-bit_rle_rgbe\n\n-Y 9 +X 9\n",
        "portable map": b"P6\n40000 40000\n255\n",
        "portable any map": b"P7\nWIDTH 9\nHEIGHT 9\nDEPTH 3\nMAXVAL 255\nENDHDR\n",
        "sun raster": b"\x59\xa6\x6a\x95",
        "icon": b"\x00\x00\x01\x00\x01\x00",
        "pdf": b"%PDF-1.7\n",
        "zip": b"PK\x03\x04",
        "html": b"<!doctype html><title>404</title>",
        "json": b'{"error": {"code": 404}}',
        "riff of sound": b"RIFF\x40\x00\x00\x00WAVEfmt ",
    }
    whole = whole_pictures()
    promised = {"jpeg": b"\xff\xd8\xff", "png": b"\x89PNG\r\n\x1a\n", "webp": b"RIFF\x40\x00\x00\x00WEBP", "bmp": b"BM"}
    return {
        "nothing": Hostile(b""),
        "a byte": Hostile(b"\xff"),
        "a megabyte of zeros": Hostile(bytes(1 << 20)),
        "a megabyte of ones": Hostile(b"\xff" * (1 << 20)),
        **{f"a {name}": Hostile(magic + bytes(200)) for name, magic in magics.items()},
        **{f"nothing but the magic of a {name}": Hostile(magic) for name, magic in promised.items()},
        **{
            f"the magic of a {name} before a whole {other}": Hostile(magic + whole[other], "refused")
            for name, magic in promised.items()
            for other in promised
            if (name, other) != ("jpeg", "jpeg")
        },
        "a space before a jpeg": Hostile(b" " + whole["jpeg"]),
        "a jpeg as base64": Hostile(b"/9j/4AAQSkZJRgABAQAAAQABAAD/2wBDAAMCAgMCAgMDAwM="),
    }
