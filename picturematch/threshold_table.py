"""The table of the thresholds that searches take by a curve, at several rates of strangers and numbers of faces."""

from collections.abc import Sequence
from dataclasses import dataclass

from engine.policy import Policy
from engine.threshold import Calibrated, search_threshold

TABLE_FPIRS = (1e-2, 3e-3, 1e-3)
TABLE_FACES = (1_000, 10_000, 100_000, 1_000_000)


@dataclass(frozen=True, slots=True)
class Cell:
    """The cosine threshold of a search, and whether the curve was extrapolated for it."""

    threshold: float
    extrapolated: bool

    def __str__(self) -> str:
        return f"{self.threshold:.3f}{' *' if self.extrapolated else ''}"


def threshold_cells(
    embedder: Calibrated, fpirs: Sequence[float] = TABLE_FPIRS, faces: Sequence[int] = TABLE_FACES
) -> list[list[Cell]]:
    """Return a row per number of faces with a cell per false positive identification rate (FPIR)."""
    rows = []
    for size in faces:
        applied = [search_threshold(Policy(target_fpir=fpir), embedder, size) for fpir in fpirs]
        rows.append([Cell(each.cosine, each.extrapolated) for each in applied])
    return rows


def table_lines(embedder: Calibrated) -> list[str]:
    """Return the table as the lines of a Markdown table; an asterisk marks an extrapolated threshold."""
    head = ["faces", *(f"FPIR {fpir:g}" for fpir in TABLE_FPIRS)]
    rows = [
        [f"{faces:,}", *map(str, cells)] for faces, cells in zip(TABLE_FACES, threshold_cells(embedder), strict=True)
    ]
    return [_line(head), "|" + "---|" * len(head), *map(_line, rows)]


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"
