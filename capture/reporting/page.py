"""Writes a report as one HTML file, which opens from a mail: no script, no request, and every text escaped.

The file's content security policy allows the file's own style, by its hash, and pictures inside the file; nothing else.
"""

import base64
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from hashlib import sha256
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from capture.reporting.kinds import KIND_WORDS, KINDS
from capture.reporting.lines import then_text
from capture.reporting.plots import BOTTOM, HEIGHT, LEFT, RIGHT, TOP, WIDTH, plots
from capture.reporting.tables import RESULT_WORDS, tables
from capture.reporting.thumbnails import Album, Thumbnails
from capture.reporting.values import Findings, ReportedRow, Shown
from clients.answers import code_name
from contract.text import printable

MOST_PICTURE_BYTES = 15_000_000
"""The most bytes of all thumbnails, so that the file with 500 rows of text has at most 20 MB."""

_HERE = Path(__file__).parent
_MOST_CHARACTERS = 200
_POLICY = "default-src 'none'; style-src 'sha256-{}'; img-src data:; base-uri 'none'; form-action 'none'"


@dataclass(frozen=True, slots=True)
class Pictured:
    """A thumbnail (a data: URL, or None where there is no picture), what is in it, and whose it is."""

    url: str | None
    caption: str
    name: str


@dataclass(frozen=True)
class Card:
    """A differing row with its thumbnails."""

    row: ReportedRow
    thumbnails: Thumbnails

    @cached_property
    def pictures(self) -> list[Pictured]:
        """The thumbnails of the request, and of the candidates of then and now."""
        row = self.row
        found = [Pictured(self.thumbnails.of_request(row.picture, row.face), "request", "")]
        then, now, thumbnails = row.then, row.now, self.thumbnails
        if then is not None and now is not None and self._is_same_photo(then, now):
            return [*found, *self._of(thumbnails.then, then, "candidate then and now")]
        found += [] if then is None else self._of(thumbnails.then, then, "candidate then")
        return found + ([] if now is None else self._of(thumbnails.now, now, "candidate now"))

    def _is_same_photo(self, then: Shown, now: Shown) -> bool:
        """Return whether both decisions name the same person and face, with the same photo if there is one."""
        albums = self.thumbnails
        before = albums.then.photo_of(then.candidate, then.candidate_face, then.gallery_version)
        after = albums.now.photo_of(now.candidate, now.candidate_face, now.gallery_version)
        is_known = albums.then is albums.now or before is not None
        return _candidate(then) == _candidate(now) and before == after and is_known

    def _of(self, album: Album, decision: Shown, caption: str) -> list[Pictured]:
        who, number, version = decision.candidate, decision.candidate_face, decision.gallery_version
        if not who:
            return []
        return [Pictured(self.thumbnails.of_candidate(album, who, number, version), caption, who)]


def _candidate(decision: Shown) -> tuple[str, int | None]:
    return decision.candidate, decision.candidate_face


def html_page(
    title: str,
    findings: Findings,
    rows: Sequence[ReportedRow],
    troubles: Sequence[ReportedRow],
    thumbnails: Thumbnails,
) -> Iterator[str]:
    """Yield the parts of the file; thumbnails are made one after the other.

    `rows`: the differing rows to show. `troubles`: rows that could not be decided.
    """
    style = (_HERE / "page.css").read_text("utf-8") + "".join(_filter(kind) for kind in ("all", *KINDS))
    digest = base64.b64encode(sha256(style.encode()).digest()).decode()
    yield from (
        _environment()
        .get_template("page.html.j2")
        .generate(
            title=title,
            findings=findings,
            is_whole=not (findings.could_not_run or findings.stopped or findings.damage),
            results=RESULT_WORDS,
            kinds={kind: words for kind, words in KIND_WORDS.items() if kind in findings.kinds},
            tables=tables(findings),
            plots=plots(findings),
            width=WIDTH,
            height=HEIGHT,
            left=LEFT,
            right=RIGHT,
            top=TOP,
            bottom=BOTTOM,
            shown=len(rows),
            cards=(Card(row, thumbnails) for row in rows),
            troubles=troubles,
            policy=_POLICY.format(digest),
            style=style,
        )
    )


def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(_HERE), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters.update(text=_text, code=code_name, when=_when, number=_number, signed=_signed)
    environment.globals.update(then_text=then_text)
    return environment


def _filter(kind: str) -> str:
    """Return the rules of style that mark the label of a kind, and hide the rows of other kinds, while it is chosen."""
    label = f"~ .kinds [for=show-{kind}]"
    marked = (
        f"#show-{kind}:checked {label}{{background:var(--ink);color:var(--sheet)}}\n"
        f"#show-{kind}:focus-visible {label}{{outline:2px solid var(--now);outline-offset:2px}}\n"
    )
    hidden = f"#show-{kind}:checked ~ .rows > .row:not(.{kind}){{display:none}}\n"
    return marked if kind == "all" else marked + hidden


def _text(value: object) -> str:
    """Return a text of anybody for a reader: visible characters only, and not too many."""
    text = printable(str(value))
    return text if len(text) <= _MOST_CHARACTERS else text[:_MOST_CHARACTERS] + "..."


def _when(seconds: float) -> str:
    try:
        return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d %H:%M:%S} UTC"
    except (OverflowError, OSError, ValueError):
        return f"{seconds:g}"


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.4f}"


def _signed(value: float | None) -> str:
    return "" if value is None else f"{value:+.4f}"
