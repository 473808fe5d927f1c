"""The pictures that benchmarks send: a folder of JPEGs, versions of the sample portrait, or drawn faces."""

from pathlib import Path

import click
import cv2
import numpy as np
import pybase64

from engine.vision.decode.jpeg import encode_jpeg
from engine.vision.decode.versions import decode
from engine.vision.networks.standin import draw_face, draw_scene
from picturematch.networks import install_missing
from picturematch.settings import Settings

_VERSIONS = 16
_WIDTH, _HEIGHT = 640, 480


def bench_pictures(settings: Settings, folder: Path | None) -> list[bytes]:
    """The JPEGs of the folder in order of name; without one, 640x480 versions of the sample portrait.

    Raises:
        click.ClickException: the folder holds no JPEG.
    """
    if folder is not None:
        found = [path.read_bytes() for path in sorted(folder.rglob("*.jpg"))]
        if not found:
            raise click.ClickException(f"{folder} holds no .jpg file")
        return found
    portrait = decode(install_missing(settings, samples=True).sample("astronaut.png").read_bytes(), 32_000_000)
    versions = []
    for i in range(_VERSIONS):
        # Shifted and shaded differently, so that no cache along the way sees the same bytes twice in a row.
        place = np.array([[0.9, 0, 60 + 2 * i], [0, 0.9, i]], np.float32)
        view = cv2.warpAffine(portrait, place, (_WIDTH, _HEIGHT), borderMode=cv2.BORDER_REPLICATE)
        shaded = cv2.convertScaleAbs(view, alpha=0.8 + 0.02 * i)
        versions.append(encode_jpeg(np.ascontiguousarray(shaded, np.uint8)))
    return versions


def drawn_photo(number: int) -> str:
    """A small JPEG of a face drawn for the stand-in networks, as base64; equal numbers are equal faces."""
    scene = draw_scene(320, 240, [(draw_face(number, 140), 40, 30)])
    return pybase64.b64encode(encode_jpeg(scene, quality=95)).decode()
