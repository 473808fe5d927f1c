"""A curve of false match rates measured on the operator's photos: the trade-off, and the manifest that keeps it."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import msgspec

from contract.files import half_written, sync_folder
from engine.evaluation.curve import LEAST_PAIRS, RATES, extended_curve, is_measurable, measured_curve
from engine.evaluation.scores import Scores
from engine.policy import Policy
from engine.threshold import search_threshold, threshold_at
from engine.vision.ports import Embedder, Embedding, Face, Image
from models.errors import BadManifest
from models.manifest import FmrPoint, Manifest, load_manifest

# Stands for the one that is to be measured, to try whether a manifest can take a curve.
_ANY_CURVE = (FmrPoint(fmr=1e-2, threshold=0.1), FmrPoint(fmr=1e-3, threshold=0.2))


@dataclass(frozen=True, slots=True)
class Row:
    """One rate of the trade-off.

    Attributes:
        fmr: the false match rate.
        threshold: the cosine at which it is kept.
        fnmr: share of pairs of one person that miss the threshold; None where nobody has two photos.
        measured: whether the photos tell it; else the curve was carried on.
    """

    fmr: float
    threshold: float
    fnmr: float | None
    measured: bool


@dataclass(frozen=True, slots=True, eq=False)
class Calibration:
    """What photos tell about an embedder.

    Attributes:
        scores: of all pairs of the photos.
        measured: the part of the curve that they tell.
        curve: the whole curve, ready for searches; empty where too little was measured to make one.
    """

    scores: Scores
    measured: tuple[FmrPoint, ...]
    curve: tuple[FmrPoint, ...]

    def rows(self) -> list[Row]:
        """The trade-off, the highest rate first."""
        told = {point.fmr for point in self.measured}
        return [
            Row(point.fmr, point.threshold, self.fnmr(point.threshold), point.fmr in told)
            for point in self.curve or self.measured
        ]

    def fnmr(self, threshold: float) -> float | None:
        """The share of pairs of one person that miss a threshold; None where nobody has two photos."""
        return self.scores.fnmr(threshold) if len(self.scores.genuine) else None

    def search_threshold(self, policy: Policy, embedder: Embedder, faces: int) -> float:
        """What a search among so many faces would take by this curve, were no fixed threshold set.

        Raises:
            ValueError: there is no curve.
        """
        if not self.curve:
            raise ValueError("too little was measured for a curve")
        by_curve = msgspec.structs.replace(policy, threshold=None)
        return search_threshold(by_curve, _Recalibrated(embedder, self.curve), faces).cosine

    def untold(self) -> list[float]:
        """The rates that the photos are too few to tell."""
        return [rate for rate in RATES if not is_measurable(self.scores.impostor_count, rate)]


@dataclass(frozen=True, slots=True)
class _Recalibrated:
    """An embedder with another curve than its own."""

    embedder: Embedder
    fmr_curve: tuple[FmrPoint, ...]

    @property
    def dimension(self) -> int:
        """As the embedder's."""
        return self.embedder.dimension

    @property
    def threshold(self) -> float:
        """As the embedder's."""
        return self.embedder.threshold

    def __call__(self, image: Image, face: Face) -> Embedding:
        """As the embedder's."""
        return self.embedder(image, face)


def calibrate(scores: Scores, reference: Sequence[FmrPoint]) -> Calibration:
    """The curve of those scores, carried on by the `reference` that comes with the embedder, if any."""
    measured = measured_curve(scores) if scores.impostor_count else ()
    enough = scores.impostor_count >= LEAST_PAIRS and len(measured) > 1
    return Calibration(scores, measured, extended_curve(measured, reference) if enough else ())


def suspicious_from(scores: Scores, current: Sequence[FmrPoint]) -> float | None:
    """The score that chance brings in one of ten such sets at all, by the curve in use: pairs of different people that
    reach it are probably one person under two names. None without a curve."""
    if len(current) < 2 or not scores.impostor_count:
        return None
    return threshold_at(current, 0.1 / scores.impostor_count)


def manifest_fragment(curve: Sequence[FmrPoint], embedder: str, measured_on: str) -> str:
    """The [[curves]] table of a manifest. `measured_on`: one line without quotes or backslashes."""
    points = "".join(f"    {{ fmr = {point.fmr:.0e}, threshold = {point.threshold:.6f} }},\n" for point in curve)
    return f'[[curves]]\nembedder = "{embedder}"\nmeasured_on = "{measured_on}"\nfmr_curve = [\n{points}]\n'


def require_writable(file: Path, embedder: str) -> None:
    """Check, before the long work, that a curve can be written to the manifest `file`.

    Raises:
        BadManifest: it cannot be written, is no manifest, or has a curve of this embedder; nothing that is there is
            ever replaced.
    """
    try:
        if not file.parent.is_dir():
            raise BadManifest(f"{file} cannot be written: there is no folder {file.parent}; make it, or name another")
        if file.exists():
            if not file.is_file():
                raise BadManifest(f"{file} cannot be written: it is not a regular file; name another")
            if any(curve.embedder == embedder for curve in load_manifest(file).curves):
                raise BadManifest(
                    f"{file} has a curve of this embedder already; take it out first, or name another file"
                )
        with _extended(file, manifest_fragment(_ANY_CURVE, embedder, "")):
            pass
    except OSError as error:
        raise BadManifest(f"{file} cannot be written: {error.strerror or error}; name another file") from error


def write_fragment(file: Path, fragment: str) -> Manifest:
    """Add the fragment to the manifest `file`, or begin one with it; whole or not at all. The new manifest.

    Raises:
        BadManifest: the result would be no manifest.
        OSError: it cannot be written.
    """
    with _extended(file, fragment) as (temporary, manifest):
        temporary.replace(file)
        sync_folder(file.parent)
    return manifest


@contextmanager
def _extended(file: Path, fragment: str) -> Iterator[tuple[Path, Manifest]]:
    """The manifest `file` with the fragment, as a file beside it that goes at the end unless it was moved."""
    before = file.read_text("utf-8") if file.exists() else ""
    text = f"{before.rstrip()}\n\n{fragment}" if before.strip() else fragment
    mode = file.stat().st_mode & 0o777 if file.exists() else 0o644
    with half_written(file, text.encode(), mode=mode) as half:
        try:
            manifest = load_manifest(Path(half))
        except BadManifest as error:
            reason = str(error).replace(half, str(file))
            raise BadManifest(f"{file} cannot take the curve: with it, {reason}") from error
        yield Path(half), manifest
