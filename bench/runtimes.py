"""What changes with the runtime of the networks: `python -m bench.runtimes PHOTOS`.

Each photo is looked at with ONNX Runtime and with OpenVINO, for all networks and for single ones, also where the
settings do not allow it. Printed are the largest changes: of the cosine of any two photos, of the angles of a head, of
the probability that a face is live, and of age and sex. `--keep` writes what was computed into a file, and `--against`
compares with such a file of another machine. On one machine, the environment variable ONEDNN_MAX_CPU_ISA makes OpenVINO
compute as an older processor does.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from zipfile import BadZipFile

import click
import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from bench.accuracy import DEFAULT_SET
from bench.face_sets import PHOTO_SUFFIXES
from bench.runtime_cost import EXACT, available, with_runtimes
from contract.errors import PictureRefused, PictureUnreadable
from engine.vision.decode.versions import decode
from engine.vision.networks.build import build_model_set
from engine.vision.ports import Face, Image, ModelSet
from models.errors import ModelError
from models.manifest import Role
from models.runtimes import REFERENCE, ROUNDING, Runtime
from picturematch.networks import install_missing
from picturematch.options import UserError, config_option, settings_of
from picturematch.shell import progress
from picturematch.wiring import open_models

Values = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Outputs:
    """What the networks computed from each photo; nan where no face was found, or the network is not installed.

    `embeddings`: n x dimension. `angles`: n x 3, degrees. All others n x 1: the number of faces, the probability of a
    live face, the age in years, and the probability of a man.
    """

    embeddings: Values
    faces: Values
    angles: Values
    live: Values
    age: Values
    sex: Values


@dataclass(frozen=True, slots=True)
class Change:
    """The largest differences of two `Outputs`; nan where neither has a number."""

    cosine: float
    cosine_most: float
    """The difference that 1 in 1,000 pairs of photos exceeds."""
    photos: int
    """The photos in which another number of faces was found."""
    angle: float
    live: float
    age: float
    sex: float


def change(one: Outputs, other: Outputs) -> Change:
    """Return how far two outputs for the same photos differ."""
    known = ~(np.isnan(one.embeddings).any(axis=1) | np.isnan(other.embeddings).any(axis=1))
    cosines = [outputs.embeddings[known] @ outputs.embeddings[known].T for outputs in (one, other)]
    moved = np.abs(cosines[0] - cosines[1])[np.triu_indices(int(known.sum()), 1)]
    return Change(
        cosine=float(moved.max(initial=0.0)),
        cosine_most=float(np.quantile(moved, 0.999)) if moved.size else 0.0,
        photos=int((one.faces != other.faces).sum()),
        angle=_most(one.angles, other.angles),
        live=_most(one.live, other.live),
        age=_most(one.age, other.age),
        sex=_most(one.sex, other.sex),
    )


def _most(one: Values, other: Values) -> float:
    moved = np.abs(one - other)
    return float(np.nanmax(moved)) if not np.isnan(moved).all() else float("nan")


@click.command(epilog="Example: python -m bench.runtimes photos --photos 200 --keep here.npz")
@config_option
@click.argument("path", required=False, type=click.Path(path_type=Path))
@click.option("--photos", default=200, show_default=True, help="Photos that are looked at, spread over the folder.")
@click.option("--keep", type=click.Path(dir_okay=False, path_type=Path), help="Write what was computed into this file.")
@click.option(
    "--against",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Compare with such a file, of the same photos on another machine.",
)
@click.pass_context
def main(ctx: click.Context, path: Path | None, photos: int, keep: Path | None, against: Path | None) -> None:
    """Print what changes with the runtime of the networks, on the photos of the folder PATH.

    Default: ../shared/data/lfw-dev.
    """
    if path is None and not DEFAULT_SET.is_dir():
        click.echo(f"skipped: {DEFAULT_SET} is not here; give a folder of photos")
        return
    settings = settings_of(ctx)
    images = _images(path or DEFAULT_SET, photos, settings.pictures.max_pixels)
    runtimes = available()
    if len(runtimes) == 1:
        click.echo("skipped: OpenVINO is not installed; run: pip install 'picturematch[openvino]'")
        return
    store = install_missing(settings)
    open_models(settings)  # one thread for OpenCV and numpy too
    roles = [entry.role for entry in store.manifest.networks]
    found: dict[str, Outputs] = {}
    try:
        with progress("looking", len(images) * len(_variants(roles, runtimes))) as steps:
            for name, chosen in _variants(roles, runtimes).items():
                variant = with_runtimes(settings, store.manifest, chosen)
                models = build_model_set(variant.manifest, variant.open, store.identity)
                found[name] = _outputs(models, images, steps.step)
    except ModelError as error:
        raise UserError(str(error)) from error
    console = Console(width=120)
    reference = found[REFERENCE]
    title = f"largest change against ONNX Runtime, {len(images)} photos"
    _print(console, title, {name: change(reference, outputs) for name, outputs in found.items() if name != REFERENCE})
    if against is not None:
        kept = _read(against)
        same = {name: change(kept[name], outputs) for name, outputs in found.items() if name in kept}
        _print(console, f"largest change against {against.name}, runtime by runtime", same)
    if keep is not None:
        _write(keep, found)


def _variants(roles: Sequence[Role], runtimes: Sequence[Runtime]) -> Mapping[str, Mapping[Role, Runtime]]:
    exact: dict[str, Mapping[Role, Runtime]] = {
        REFERENCE: {},
        "openvino": dict.fromkeys(roles, "openvino"),
        "openvino, embedder alone": {"embedder": "openvino"},
    }
    if ROUNDING not in runtimes:
        return exact
    rest: dict[Role, Runtime] = {role: ROUNDING for role in roles if role not in EXACT}
    return exact | {f"{ROUNDING}, {role} alone": {role: ROUNDING} for role in EXACT} | {f"{ROUNDING}, the others": rest}


def _images(folder: Path, count: int, max_pixels: int) -> Sequence[Image]:
    files = [file for file in sorted(folder.rglob("*")) if file.suffix.lower() in PHOTO_SUFFIXES]
    chosen = files[:: max(1, len(files) // count)][:count]
    images = []
    for file in chosen:
        try:
            images.append(decode(file.read_bytes(), max_pixels))
        except PictureRefused:
            continue
    if not images:
        raise UserError(f"{folder} has no photos that can be read; give a folder of photos")
    return images


def _outputs(models: ModelSet, images: Sequence[Image], step: Callable[[], None]) -> Outputs:
    rows: list[tuple[Sequence[float], ...]] = []
    nothing = ([np.nan] * models.embedder.dimension, [np.nan] * 3, [np.nan], [np.nan], [np.nan])
    for image in images:
        faces = models.detector(image)
        embedding, *others = _seen(models, image, faces[0]) or nothing if faces else nothing
        rows.append((embedding, [len(faces)], *others))
        step()
    return Outputs(*(np.array(column, np.float64) for column in zip(*rows, strict=True)))


def _seen(models: ModelSet, image: Image, face: Face) -> tuple[Sequence[float], ...] | None:
    """Return what the networks compute from a face; None: it cannot be aligned."""
    try:
        embedding = models.embedder(image, face).vector.tolist()
        age, sex = (math.nan if network is None else network(image, face) for network in (models.age, models.sex))
    except PictureUnreadable:
        return None
    head = models.pose(image, face)
    return embedding, [head.yaw, head.pitch, head.roll], [models.liveness(image, face)], [age], [sex]


def _print(console: Console, title: str, changes: Mapping[str, Change]) -> None:
    table = Table(title=title)
    columns = ("cosine", "of 999 in 1,000", "photos", "degrees", "live", "years", "sex")
    table.add_column("runtime")
    for column in columns:
        table.add_column(column, justify="right")
    for name, found in changes.items():
        table.add_row(
            name,
            *(f"{value:.1e}" for value in (found.cosine, found.cosine_most)),
            str(found.photos),
            *(f"{value:.1e}" for value in (found.angle, found.live, found.age, found.sex)),
        )
    console.print(table)
    console.print("photos: those in which another number of faces is found. live, sex: of a probability.")


def _write(file: Path, found: Mapping[str, Outputs]) -> None:
    arrays = {
        f"{name}/{field.name}": getattr(outputs, field.name) for name, outputs in found.items() for field in _FIELDS
    }
    with file.open("wb") as opened:
        np.savez(opened, **arrays)


def _read(file: Path) -> Mapping[str, Outputs]:
    try:
        with np.load(file) as arrays:
            names = dict.fromkeys(name.rpartition("/")[0] for name in arrays.files)
            return {name: Outputs(*(arrays[f"{name}/{field.name}"] for field in _FIELDS)) for name in names}
    except (OSError, ValueError, KeyError, BadZipFile) as error:
        raise UserError(f"{file} is no file that --keep has written: {error}") from error


_FIELDS = fields(Outputs)


if __name__ == "__main__":
    main()
