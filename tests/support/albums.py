"""Folders of drawn people, one photo or several each."""

from pathlib import Path

from engine.vision.decode.jpeg import encode_jpeg
from engine.vision.networks.standin import draw_face, draw_scene
from engine.vision.ports import Image


def portrait(seed: int, variant: int = 0) -> Image:
    """A small picture of the drawn face of that seed; variants differ in the face's size and place."""
    size = 72 + 12 * (variant % 4)
    return draw_scene(160, 140, [(draw_face(seed, size), 10 + 7 * variant % 40, 15)])


def album(folder: Path, photos_of: dict[str, int], first_seed: int = 1000) -> Path:
    """A folder NAME/NAME_0001.jpg ... with so many photos of each name; every name is another person."""
    for seed, (name, count) in enumerate(photos_of.items(), start=first_seed):
        (folder / name).mkdir(parents=True)
        for number in range(1, count + 1):
            (folder / name / f"{name}_{number:04d}.jpg").write_bytes(encode_jpeg(portrait(seed, number), quality=95))
    return folder
