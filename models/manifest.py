"""The manifest: the list of networks, with the source and the input format of each.

The manifest is typed, and unknown keys are refused. The manifest of this release lies beside this file. An operator's
manifest has the same form; each of its networks replaces the network of the same role. Such a network may name a local
`file` (relative to the manifest) instead of a package::

    [[networks]]
    role = "embedder"
    name = "our-arcface"
    file = "our-arcface.onnx"
    licence = "proprietary"
    dimension = 512
    threshold = 0.42
    [networks.input]
    colour = "rgb"
    width = 112
    height = 112
    mean = [127.5, 127.5, 127.5]
    divisor = [127.5, 127.5, 127.5]

An operator's manifest may also contain a curve of false match rates for an embedder (the operator's own or that of this
release), which `picturematch calibrate` measured on the operator's photos::

    [[curves]]
    embedder = "87aa...3581-r3"    # the identity of the embedder with which the curve was measured
    measured_on = "..."
    fmr_curve = [{ fmr = 1e-3, threshold = 0.31 }, { fmr = 1e-5, threshold = 0.45 }]
"""

import math
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Literal

import msgspec

from contract.terms import Cover
from models.errors import BadManifest

Role = Literal["detector", "landmarks", "embedder", "liveness", "pose", "infrared_liveness", "age", "sex"]
REQUIRED_ROLES: tuple[Role, ...] = ("detector", "landmarks", "embedder", "liveness", "pose")
OPTIONAL_ROLES: tuple[Role, ...] = ("infrared_liveness", "age", "sex")

Sha256 = Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{64}$")]
Name = Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$")]
Side = Annotated[int, msgspec.Meta(ge=8, le=4096)]
Triple = tuple[float, float, float]


class _Strict(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    pass


class Package(_Strict, frozen=True, kw_only=True):
    """A package of a registry. `size_bytes`: the approximate size of its archive, which only the progress line uses."""

    ecosystem: Literal["pypi", "npm"]
    name: Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9@][A-Za-z0-9@/._-]{0,199}$")]
    version: Annotated[str, msgspec.Meta(pattern=r"^[0-9][A-Za-z0-9.+-]{0,49}$")]
    licence: str
    size_bytes: int
    note: str = ""


class InputSpec(_Strict, frozen=True, kw_only=True):
    """The input of a network: (pixel - mean) / divisor per channel, pixels 0..255, channels in the order `colour`.

    For grey input, which has one channel, the first mean and divisor apply. `shape` is present where the network's file
    fixes sides without need; names in it mean dynamic axes. `box_scale`: the factor by which the face box is enlarged
    (1 = the box alone); for age and sex, whose input is an aligned face, the factor relative to the embedder's input.
    The embedder ignores `box_scale`. `square`: the box is extended to a square of its longer side first, so that the
    face keeps its proportions where the network's input is a square.
    """

    colour: Literal["rgb", "bgr", "grey"]
    layout: Literal["nchw", "nhwc"] = "nchw"
    width: Side | None = None
    height: Side | None = None
    mean: Triple = (0.0, 0.0, 0.0)
    divisor: Triple = (1.0, 1.0, 1.0)
    box_scale: float = 1.0
    square: bool = False
    shape: tuple[int | str, ...] | None = None


class FmrPoint(_Strict, frozen=True, kw_only=True):
    """A point of an embedder's curve: the share `fmr` of pairs of different people has at least the cosine `threshold`.

    `fmr` is the false match rate of ISO/IEC 19795-1.
    """

    fmr: Annotated[float, msgspec.Meta(gt=0, lt=1)]
    threshold: Annotated[float, msgspec.Meta(gt=0, lt=1)]


class NetworkEntry(_Strict, frozen=True, kw_only=True):
    """One network: its role, its source and its input.

    `outputs`: the names of the outputs that are read, in order; empty means all, in the file's order.

    `origin`: the project or release that publishes the file, for entries with a `file`; `note`: what else is known.

    Further fields of embedders: `dimension`; `threshold`, the cosine threshold for 1:N, used where there is no curve
    (None: nobody has measured one, and the embedder must be calibrated before it decides anything);
    `mirrored`, whether the embedding is the mean of those of the face and of its mirror image; `norm_typical`, the
    typical lengths of the vectors of faces that fail to match and of good photos (None: the length is not used to
    predict quality); `fmr_curve`, with falling rates and rising thresholds; `covered_curves`, by cover the same for
    pairs of a covered face and a template of faces with that cover (without one, no such templates are made);
    `threshold_from`, `fmr_curve_from` and `covered_curves_from`, the names of the data on which these were measured.
    """

    role: Role
    name: Name
    licence: str
    input: InputSpec
    package: str | None = None
    path: str | None = None
    file: str | None = None
    sha256: Sha256 | None = None
    outputs: tuple[str, ...] = ()
    dimension: Annotated[int, msgspec.Meta(ge=8, le=8192)] | None = None
    threshold: Annotated[float, msgspec.Meta(gt=0, lt=1)] | None = None
    threshold_from: str = ""
    mirrored: bool = False
    norm_typical: tuple[float, float] | None = None
    fmr_curve: tuple[FmrPoint, ...] = ()
    fmr_curve_from: str = ""
    covered_curves: dict[Cover, tuple[FmrPoint, ...]] = {}
    covered_curves_from: str = ""
    origin: str = ""
    note: str = ""


class SampleEntry(_Strict, frozen=True, kw_only=True):
    """A freely usable picture for the demo and the tests, which is fetched only where samples are installed too."""

    name: Name
    package: str
    path: str
    sha256: Sha256
    licence: str


class CurveEntry(_Strict, frozen=True, kw_only=True):
    """A curve that was measured on the operator's own photos, and that replaces the curve of the embedder's entry.

    `embedder` is the identity of the embedder with which the curve was measured; its thresholds are valid for no other.
    """

    embedder: Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{64}-r[0-9]{1,4}(-i[0-9a-f]{8})?$")]
    measured_on: str
    fmr_curve: Annotated[tuple[FmrPoint, ...], msgspec.Meta(min_length=2)]


class Manifest(_Strict, frozen=True, kw_only=True):
    """All packages, networks, samples and curves of an installation."""

    packages: dict[str, Package] = {}
    networks: tuple[NetworkEntry, ...] = ()
    samples: tuple[SampleEntry, ...] = ()
    curves: tuple[CurveEntry, ...] = ()

    def offers(self, role: Role) -> bool:
        """Return whether the manifest has a network of that role."""
        return any(entry.role == role for entry in self.networks)

    def network(self, role: Role) -> NetworkEntry:
        """Return the network of that role.

        Raises:
            BadManifest: the manifest has no network of that role.
        """
        for entry in self.networks:
            if entry.role == role:
                return entry
        raise BadManifest(f"the manifest has no network for the role {role}; add a [[networks]] entry with it")

    def embedder_of(self, identity: str) -> NetworkEntry:
        """Return the embedder, whose identity is `identity`, with the operator's curve for it where there is one.

        Raises:
            BadManifest: the manifest has no embedder, or all its curves were measured with other embedders.
        """
        entry = self.network("embedder")
        if not self.curves:
            return entry
        for curve in self.curves:
            if curve.embedder == identity:
                return msgspec.structs.replace(entry, fmr_curve=curve.fmr_curve, fmr_curve_from=curve.measured_on)
        raise BadManifest(
            f"the manifest's [[curves]] were measured with another embedder than the installed {entry.name}; "
            "remove them, then measure again: picturematch calibrate PHOTOS"
        )


def is_needed(entry: NetworkEntry) -> bool:
    """Return whether the engine needs that network to start: its role is required, or it is the operator's own file."""
    return entry.role in REQUIRED_ROLES or entry.file is not None


NO_THRESHOLD = 1.0
"""The cosine threshold of an embedder for which nobody has measured one: no two pictures are that similar."""


def is_calibrated(entry: NetworkEntry) -> bool:
    """Return whether an embedder has a threshold, or a curve from which thresholds are computed."""
    return entry.threshold is not None or bool(entry.fmr_curve)


def default_manifest() -> Manifest:
    """Return the manifest of this release."""
    return _read(Path(__file__).with_name("manifest.toml"))


def load_manifest(own: Path | None = None) -> Manifest:
    """Return the manifest of this release, in which the networks of the manifest `own` replace those of the same role.

    Raises:
        BadManifest: a file cannot be read or is not a manifest; the message names the file and the field.
    """
    base = default_manifest()
    if own is None:
        return base
    theirs = _read(own)
    replaced = {entry.role for entry in theirs.networks}
    merged = Manifest(
        packages={**base.packages, **theirs.packages},
        networks=tuple(entry for entry in base.networks if entry.role not in replaced) + theirs.networks,
        samples=base.samples + theirs.samples,
        curves=theirs.curves,
    )
    _check(merged, own)
    return merged


def _read(path: Path) -> Manifest:
    try:
        manifest = msgspec.toml.decode(path.read_bytes(), type=Manifest)
    except OSError as error:
        raise BadManifest(f"the manifest {path} cannot be read: {error.strerror}") from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise BadManifest(f"the manifest {path} is not valid: {error}") from error
    anchored = tuple(
        msgspec.structs.replace(entry, file=str((path.parent / entry.file).resolve())) if entry.file else entry
        for entry in manifest.networks
    )
    return msgspec.structs.replace(manifest, networks=anchored)


def _check(manifest: Manifest, path: Path) -> None:
    roles = [entry.role for entry in manifest.networks]
    for entry in manifest.networks:
        problem = (
            f"is one of several for the role {entry.role}; keep one"
            if roles.count(entry.role) > 1
            else _source_problem(entry, manifest) or _input_problem(entry)
        )
        if problem is not None:
            raise BadManifest(f"the manifest {path} is not valid: network {entry.name} {problem}")
    measured_with = [curve.embedder for curve in manifest.curves]
    for curve in manifest.curves:
        if measured_with.count(curve.embedder) > 1:
            raise BadManifest(f"the manifest {path} is not valid: two [[curves]] are of the same embedder; keep one")
        if not _in_order(curve.fmr_curve):
            raise BadManifest(f"the manifest {path} is not valid: a [[curves]] entry {_OUT_OF_ORDER}")


def _source_problem(entry: NetworkEntry, manifest: Manifest) -> str | None:
    if (entry.file is None) == (entry.package is None):
        return "needs either a file or a package"
    if entry.package is None:
        return None
    if entry.package not in manifest.packages:
        return f"names the package {entry.package}, which [packages] does not describe"
    if entry.path is None or entry.sha256 is None:
        return "needs path and sha256, because it comes from a package"
    return None


def _input_problem(entry: NetworkEntry) -> str | None:
    if entry.role == "embedder" and entry.dimension is None:
        return "needs dimension, because it is an embedder"
    if entry.norm_typical is not None and not 0 <= entry.norm_typical[0] < entry.norm_typical[1] < math.inf:
        return "has a norm_typical that is not two rising lengths"
    problem = _curve_problem(entry)
    if problem is not None:
        return problem
    if entry.role != "detector" and (entry.input.width is None or entry.input.height is None):
        return "needs input.width and input.height"
    if not all(math.isfinite(value) and value != 0 for value in entry.input.divisor):
        return "has an input.divisor that is zero or not finite"
    if not 0.5 <= entry.input.box_scale <= 10:
        return "has an input.box_scale outside 0.5..10"
    return None


def _curve_problem(entry: NetworkEntry) -> str | None:
    if len(entry.fmr_curve) == 1:
        return "has an fmr_curve of one point; give two or more points, or none"
    if not _in_order(entry.fmr_curve):
        return _OUT_OF_ORDER
    for cover, curve in entry.covered_curves.items():
        if len(curve) < 2:
            return f"has no two points in covered_curves.{cover}; give two or more points, or leave the cover out"
        if not _in_order(curve):
            return f"has points in covered_curves.{cover} that are not in order: rates must fall and thresholds rise"
    return None


_OUT_OF_ORDER = "has an fmr_curve that is not in order: rates must fall and thresholds rise from point to point"


def _in_order(curve: tuple[FmrPoint, ...]) -> bool:
    return all(a.fmr > b.fmr and a.threshold < b.threshold for a, b in pairwise(curve))
