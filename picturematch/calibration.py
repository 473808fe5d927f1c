"""A curve of false match rates that is measured on the operator's photos, and the manifest that contains the curve."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import msgspec

from contract.files import half_written, sync_folder
from contract.terms import Cover
from engine.evaluation.curve import LEAST_PAIRS, RATES, extended_curve, is_measurable, measured_curve
from engine.evaluation.scores import Scores
from engine.policy import Policy
from engine.threshold import search_threshold
from engine.vision.ports import Embedder, Embedding, Face, Image
from models.errors import BadManifest
from models.manifest import FmrPoint, Manifest, load_manifest

# A placeholder for the curve that will be measured, to check that a manifest with a curve can be written.
_ANY_CURVE = (FmrPoint(fmr=1e-2, threshold=0.1), FmrPoint(fmr=1e-3, threshold=0.2))


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the trade-off between false matches and false non-matches.

    Attributes:
        fmr: the false match rate.
        threshold: the cosine at which the false match rate is `fmr`.
        fnmr: the share of pairs of one person below the threshold; None where nobody has two photos.
        measured: whether the rate was measured on the photos; False: it was extrapolated.
    """

    fmr: float
    threshold: float
    fnmr: float | None
    measured: bool


@dataclass(frozen=True, slots=True, eq=False)
class Calibration:
    """The measurements of an embedder on photos.

    Attributes:
        scores: the scores of all pairs of photos.
        measured: the measured part of the curve.
        curve: the whole curve, ready for searches; empty where the photos are too few for a curve.
    """

    scores: Scores
    measured: tuple[FmrPoint, ...]
    curve: tuple[FmrPoint, ...]

    def rows(self) -> list[Row]:
        """Return the trade-off, the highest false match rate first."""
        measured = {point.fmr for point in self.measured}
        return [
            Row(point.fmr, point.threshold, self.fnmr(point.threshold), point.fmr in measured)
            for point in self.curve or self.measured
        ]

    def fnmr(self, threshold: float) -> float | None:
        """Return the share of pairs of one person below a threshold; None where nobody has two photos."""
        return self.scores.fnmr(threshold) if len(self.scores.genuine) else None

    def search_threshold(self, policy: Policy, embedder: Embedder, faces: int) -> float:
        """Return the cosine threshold of a search among `faces` faces by this curve; a fixed threshold is ignored.

        Raises:
            ValueError: the photos are too few for a curve.
        """
        if not self.curve:
            raise ValueError("the photos are too few for a curve")
        by_curve = msgspec.structs.replace(policy, threshold=None)
        return search_threshold(by_curve, _Recalibrated(embedder, self.curve), faces).cosine

    def unmeasurable(self) -> list[float]:
        """Return the rates for whose measurement the photos are too few."""
        return [rate for rate in RATES if not is_measurable(self.scores.impostor_count, rate)]


@dataclass(frozen=True, slots=True)
class _Recalibrated:
    """An embedder with another curve than its own one."""

    embedder: Embedder
    fmr_curve: tuple[FmrPoint, ...]

    @property
    def dimension(self) -> int:
        """The dimension of the embedder's vectors."""
        return self.embedder.dimension

    @property
    def threshold(self) -> float:
        """The threshold of the embedder."""
        return self.embedder.threshold

    @property
    def covered_curves(self) -> Mapping[Cover, tuple[FmrPoint, ...]]:
        """The curves of covered faces of the embedder."""
        return self.embedder.covered_curves

    def __call__(self, image: Image, face: Face) -> Embedding:
        """Return the embedding by the embedder."""
        return self.embedder(image, face)


def calibrate(scores: Scores, reference: Sequence[FmrPoint]) -> Calibration:
    """Return the curve of scores, extrapolated by the `reference` curve of the embedder, if the embedder has one."""
    measured = measured_curve(scores) if scores.impostor_count else ()
    enough = scores.impostor_count >= LEAST_PAIRS and len(measured) > 1
    return Calibration(scores, measured, extended_curve(measured, reference) if enough else ())


def manifest_fragment(curve: Sequence[FmrPoint], embedder: str, measured_on: str) -> str:
    """Return the [[curves]] table of a manifest. `measured_on`: one line without quotes or backslashes."""
    points = "".join(f"    {{ fmr = {point.fmr:.6g}, threshold = {point.threshold:.6f} }},\n" for point in curve)
    return f'[[curves]]\nembedder = "{embedder}"\nmeasured_on = "{measured_on}"\nfmr_curve = [\n{points}]\n'


def require_writable(file: Path, embedder: str) -> None:
    """Check, before the measurement, that a curve can be written to the manifest `file`.

    Raises:
        BadManifest: the file cannot be written, is no manifest, or contains a curve of this embedder, which is never
            replaced.
    """
    try:
        if not file.parent.is_dir():
            raise BadManifest(
                f"{file} cannot be written: there is no folder {file.parent}; create the folder, or name another file"
            )
        if file.exists():
            if not file.is_file():
                raise BadManifest(f"{file} cannot be written: it is not a regular file; name another file")
            if any(curve.embedder == embedder for curve in load_manifest(file).curves):
                raise BadManifest(
                    f"{file} contains a curve of this embedder already; remove the curve, or name another file"
                )
        with _extended(file, manifest_fragment(_ANY_CURVE, embedder, "")):
            pass
    except OSError as error:
        raise BadManifest(f"{file} cannot be written: {error.strerror or error}; name another file") from error


def write_fragment(file: Path, fragment: str) -> Manifest:
    """Add a fragment to the manifest `file`, or create the file, atomically; return the new manifest.

    Raises:
        BadManifest: the result would be no valid manifest.
        OSError: the file cannot be written.
    """
    with _extended(file, fragment) as (temporary, manifest):
        temporary.replace(file)
        sync_folder(file.parent)
    return manifest


@contextmanager
def _extended(file: Path, fragment: str) -> Iterator[tuple[Path, Manifest]]:
    """Write `file` with the fragment to a temporary file beside it, which is deleted at the end unless it was moved."""
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
