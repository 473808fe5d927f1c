"""The values of a report. Their JSON is the report's, and docs/report.schema.json is generated from them.

A field never changes its meaning. Fields with their default value are left out of the JSON.
"""

from inspect import cleandoc
from typing import Any, Literal

import msgspec

from capture.reporting.kinds import Kind
from capture.rows import Difference, Tier
from contract.findings import FaceBox
from contract.terms import Message

Status = Literal["same", "different", "not_compared", "could_not_run"]
Scale = Literal["cosine", "score"]
"""The scale of a figure's scores: cosines of the networks, or the scores that a server answers."""
PairedOf = Literal["everybody", "enrolled", "strangers"]
TimesOf = Literal["recorded", "recorded_engine", "replayed_engine", "server"]


class Shown(Message, frozen=True, kw_only=True, omit_defaults=True):
    """One decision. `score` and `threshold` are on the wire's scale; `margin` is score minus threshold.

    `cosine` and `cosine_threshold` are the same on the networks' scale. `candidate` is the nearest person, whether or
    not the person was recognised, and `candidate_face` the number of that person's nearest face; -1: the mean of them.
    """

    outcome: str
    identity_id: str = ""
    error_code: int | None = None
    score: float | None = None
    threshold: float | None = None
    margin: float | None = None
    cosine: float | None = None
    cosine_threshold: float | None = None
    candidate: str = ""
    candidate_face: int | None = None
    gallery_version: int = 0


class ReportedRow(Message, frozen=True, kw_only=True, omit_defaults=True):
    """One row of a replay that is not the same, or that has a remark.

    `line`: the number of the line, counted from 1. `then` is the decision of then. `kind` is set where the row differs,
    and `trouble` where it could not be decided. `remark`: what a reader must know about the way in which the row was
    decided. `opens`: a door would open now that stayed closed then.
    `expected`: the identity that is known to be in the picture, "" for a stranger. `received_time`: epoch seconds.
    `picture`: the sha256 (hex) of the request's picture. `face`: the place of the face in the picture.
    """

    line: int
    request_id: str
    status: Status
    kind: Kind | None = None
    opens: bool = False
    device_ip: str | None = None
    received_time: float | None = None
    tier: Tier | None = None
    then: Shown | None = None
    now: Shown | None = None
    differences: tuple[Difference, ...] = ()
    trouble: str | None = None
    remark: str | None = None
    picture: str = ""
    face: FaceBox | None = None
    expected: str | None = None
    group: str | None = None


class Counts(Message, frozen=True, kw_only=True):
    """Numbers of rows."""

    same: int = 0
    different: int = 0
    not_compared: int = 0
    could_not_run: int = 0


class Rate(Message, frozen=True, kw_only=True):
    """A share of errors, with its 95 % confidence interval (Wilson); null where there was no trial."""

    errors: int
    trials: int
    rate: float | None
    low: float | None
    high: float | None


class Rates(Message, frozen=True, kw_only=True):
    """The error rates of one system at the thresholds in force.

    `failure_to_acquire`: the share of presentations with the outcome no_face, low_quality or image_error. The other
    rates need the truth. `fnir`: the share of searches for an enrolled person that did not recognise that person.
    `fnir_with_refusals`: the same over all presentations of enrolled people, refused ones included as errors. `fpir`:
    the share of searches by people who are not enrolled that recognised somebody. `another_person`: the share of
    searches for an enrolled person that recognised somebody else. A decision in whose scope nobody was enrolled
    (empty_group) is no search.
    """

    failure_to_acquire: Rate
    fnir: Rate
    fnir_with_refusals: Rate
    fpir: Rate
    another_person: Rate


class ThenAndNow(Message, frozen=True, kw_only=True):
    """One rate of both systems."""

    then: Rate
    now: Rate


class Part(Message, frozen=True, kw_only=True):
    """The figures of all rows, of one device, or of one group of people."""

    name: str
    counts: Counts
    then: Rates
    now: Rates


class FnirAt(Message, frozen=True, kw_only=True):
    """The FNIR at the lowest threshold with at most that FPIR, and the number of false positives there."""

    fpir: float
    threshold: float
    fnir: Rate
    false_positives: int


class FnmrAt(Message, frozen=True, kw_only=True):
    """The FNMR at the lowest threshold with at most that FMR."""

    fmr: float
    threshold: float
    fnmr: Rate


class EqualErrorRate(Message, frozen=True, kw_only=True):
    """The rate at which FMR and FNMR are nearest to each other, and its threshold."""

    rate: float
    threshold: float


class CurvePoint(Message, frozen=True, kw_only=True):
    """One point of the trade-off of searches."""

    threshold: float
    fpir: Rate
    fnir: Rate


class ByThreshold(Message, frozen=True, kw_only=True):
    """The figures of one system at other thresholds than the one in force.

    Figures for which the trials are too few are left out. `fmr100` and `fmr1000` are the FNMR at an FMR of 1/100 and
    1/1000.
    """

    scale: Scale
    fnir_at: tuple[FnirAt, ...]
    eer: EqualErrorRate | None
    fmr100: FnmrAt | None
    fmr1000: FnmrAt | None
    det: tuple[CurvePoint, ...]


class Paired(Message, frozen=True, kw_only=True):
    """McNemar's exact test on the rows that both systems decided: errors that came, errors that went, and the p value.

    `trials` are the rows compared, and `of` the people in them.
    """

    of: PairedOf
    trials: int
    errors_then: int
    errors_now: int
    came: int
    went: int
    p_value: float


class Histogram(Message, frozen=True, kw_only=True):
    """Counted scores in equal bins from `low` to `high`.

    `of`: all decisions with a score, the searches for enrolled people (mated; the score of that person), or the
    searches by strangers (non_mated; the highest score).
    """

    side: Literal["then", "now"]
    of: Literal["all", "mated", "non_mated"]
    scale: Scale
    low: float
    high: float
    counts: tuple[int, ...]


class Thresholds(Message, frozen=True, kw_only=True):
    """The lowest and the highest threshold in force."""

    side: Literal["then", "now"]
    scale: Scale
    low: float
    high: float


class Latency(Message, frozen=True, kw_only=True):
    """Percentiles of a time in milliseconds, to within 1 %.

    `of`: recorded is the time from the arrival of a request to its decision; recorded_engine and replayed_engine are
    the sums of the engine's stages; server is the time of an answer by the server that was called. `bins`: the lower
    end of each tenth of a decade, and the number of times in it.
    """

    of: TimesOf
    count: int
    p50: float
    p95: float
    p99: float
    longest: float
    bins: tuple[tuple[float, int], ...]


class TruthCounts(Message, frozen=True, kw_only=True):
    """The result of joining a badge log with the passages of a capture (capture.reporting.truth has the rules).

    Matched: the truth is known. Ambiguous: badges of several people belong to one passage. Unmatched: a badge without a
    passage, or a passage without a badge, within the window.
    """

    badges: int
    matched_badges: int
    ambiguous_badges: int
    unmatched_badges: int
    passages: int
    matched_passages: int
    ambiguous_passages: int
    unmatched_passages: int


class OutcomeCount(Message, frozen=True, kw_only=True):
    """How many decisions have an outcome, then and now."""

    outcome: str
    then: int
    now: int


class Findings(Message, frozen=True, kw_only=True):
    """The report.

    `stopped`: why the replay ended before the last line; null where it did not. `damage`: what is wrong with a capture
    that was read up to its damage, in sentences. `tiers`: the rows by the way in which they were decided.
    `not_compared_because`: the outcome of then of rows that were not compared, `undecided` where there was no decision,
    and the number of rows. `opens`: the differing rows at which a door would open now that stayed closed then.
    `remarks`: the remarks of rows, and the number of rows with each. `failure_to_enrol`: the share of the people with a
    known truth who have no face among the people at any of their decisions. `then`, `now`, `paired` and `groups` need
    the truth. Of very many names of outcomes, devices or groups, those that come first in their order are counted
    apart, and all others together as `(all others)`.
    """

    same: int
    different: int
    not_compared: int
    could_not_run: int
    stopped: str | None
    damage: tuple[str, ...]
    tiers: dict[str, Counts]
    kinds: dict[str, int]
    opens: int
    not_compared_because: dict[str, int]
    remarks: dict[str, int]
    outcomes: tuple[OutcomeCount, ...]
    truth: TruthCounts | None
    whole: Part
    devices: tuple[Part, ...]
    groups: tuple[Part, ...]
    failure_to_enrol: ThenAndNow
    then: ByThreshold | None
    now: ByThreshold | None
    paired: tuple[Paired, ...]
    histograms: tuple[Histogram, ...]
    thresholds: tuple[Thresholds, ...]
    latency: tuple[Latency, ...]

    @property
    def rows(self) -> int:
        """The number of rows."""
        return self.same + self.different + self.not_compared + self.could_not_run


def report_schema() -> dict[str, Any]:
    """Return the JSON Schema (2020-12) of a report: its rows, and its summary."""
    (row, summary), definitions = msgspec.json.schema_components((ReportedRow, Findings), ref_template="#/$defs/{name}")
    for definition in definitions.values():
        if "description" in definition:
            definition["description"] = cleandoc(definition["description"])
        for field in definition.get("properties", {}).values():
            for alternatives in ("enum", "anyOf"):
                # msgspec returns the alternatives in the order of a set, which differs between runs.
                if alternatives in field:
                    field[alternatives].sort(key=str)
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "A line of the report of picturematch replay --json",
        "oneOf": [
            row,
            {"type": "object", "required": ["summary"], "properties": {"summary": summary}},
        ],
        "$defs": dict(sorted(definitions.items())),
    }
