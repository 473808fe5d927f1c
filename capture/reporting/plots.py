"""The geometry of a report's plots, which the HTML template writes as SVG: axes, lines and areas in pixels. Pure."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from capture.reporting.values import ByThreshold, Findings, Histogram, Rate, Rates

WIDTH, HEIGHT = 640, 300
LEFT, RIGHT, TOP, BOTTOM = 58, 14, 14, 44
Look = Literal["then", "now", "then-other", "now-other"]
"""How a series is drawn: the colour of its system; `other` is the second series of a system."""

Point = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Tick:
    """A labelled place on an axis, in pixels."""

    at: float
    label: str


@dataclass(frozen=True, slots=True)
class Series:
    """A line, or an area, as the path of an SVG; or a point, as a path of no length."""

    name: str
    look: Look
    shape: Literal["line", "area", "point"]
    path: str


@dataclass(frozen=True, slots=True)
class Plot:
    """A plot, with one sentence that explains it."""

    key: str
    title: str
    words: str
    x_label: str
    y_label: str
    x_ticks: Sequence[Tick]
    y_ticks: Sequence[Tick]
    series: Sequence[Series]


def plots(findings: Findings) -> list[Plot]:
    """Return the plots for which the report has figures."""
    found = [_scores(findings, scale) for scale in ("cosine", "score")]
    found += [_known_scores(findings, scale) for scale in ("cosine", "score")]
    found += [_det(findings), _by_threshold(findings), _latency(findings)]
    return [plot for plot in found if plot is not None]


class _Axis:
    """A linear or logarithmic axis from `low` to `high`, drawn from one pixel to another."""

    def __init__(self, low: float, high: float, start: float, end: float, *, logarithmic: bool = False) -> None:
        self._logarithmic, self._low = logarithmic, low
        self._from, self._to = (math.log10(low), math.log10(high)) if logarithmic else (low, high)
        self._start, self._scale = start, (end - start) / ((self._to - self._from) or 1.0)

    def __call__(self, value: float) -> float:
        """Return the pixel of a value; what lies below a logarithmic axis is drawn at its lower end."""
        place = math.log10(max(value, self._low)) if self._logarithmic else value
        return round(self._start + (place - self._from) * self._scale, 1)

    def ticks(self) -> list[Tick]:
        """Return ticks at the powers of ten, or at round numbers."""
        if self._logarithmic:
            powers = range(math.ceil(self._from - 1e-9), math.floor(self._to + 1e-9) + 1)
            return [Tick(self(10.0**power), f"{10.0**power:g}") for power in powers]
        step = _round_step((self._to - self._from) / 5)
        first = math.ceil(self._from / step - 1e-9)
        last = math.floor(self._to / step + 1e-9)
        return [Tick(self(n * step), f"{n * step:g}") for n in range(first, last + 1)]


def _round_step(least: float) -> float:
    """Return the next number of 1, 2 or 5 times a power of ten."""
    power = 10.0 ** math.floor(math.log10(least)) if least > 0 else 1.0
    return next(power * times for times in (1, 2, 5, 10) if power * times >= least * (1 - 1e-9))


def _x(low: float, high: float, *, logarithmic: bool = False) -> _Axis:
    return _Axis(low, high, LEFT, WIDTH - RIGHT, logarithmic=logarithmic)


def _y(low: float, high: float, *, logarithmic: bool = False) -> _Axis:
    return _Axis(low, high, HEIGHT - BOTTOM, TOP, logarithmic=logarithmic)


def _line(points: Iterable[Point]) -> str:
    return "M" + "L".join(f"{x:g} {y:g}" for x, y in points)


def _steps(edges: Sequence[float], heights: Sequence[float], x: _Axis, y: _Axis) -> str:
    """Return the outline of a histogram."""
    points: list[Point] = [(x(edges[0]), y(0))]
    for left, right, height in zip(edges, edges[1:], heights, strict=False):
        points += [(x(left), y(height)), (x(right), y(height))]
    return _line([*points, (x(edges[len(heights)]), y(0))])


def _scores(findings: Findings, scale: str) -> Plot | None:
    chosen = [h for h in findings.histograms if h.of == "all" and h.scale == scale]
    words = (
        "The highest score of every search. Vertical lines are the lowest and the highest threshold in force; whoever "
        "is on their right was recognised."
    )
    return _histogram(findings, "scores", "Scores of all searches", words, chosen)


def _known_scores(findings: Findings, scale: str) -> Plot | None:
    chosen = [h for h in findings.histograms if h.of != "all" and h.scale == scale]
    words = (
        "The score of the person in searches for enrolled people (mated), and the highest score in searches by "
        "strangers (non-mated), each as a share of its kind. The less the two overlap, the fewer errors there are."
    )
    return _histogram(findings, "known-scores", "Scores where the truth is known", words, chosen)


def _histogram(findings: Findings, key: str, title: str, words: str, chosen: list[Histogram]) -> Plot | None:
    if not chosen:
        return None
    scale = chosen[0].scale
    limits = [limit for limit in findings.thresholds if limit.scale == scale]
    shown = [edge for h in chosen for n, edge in zip(h.counts, _edges(h), strict=False) if n]
    shown += [value for limit in limits for value in (limit.low, limit.high)]
    bin_width = max((h.high - h.low) / len(h.counts) for h in chosen)
    x = _x(min(shown) - 2 * bin_width, max(shown) + 3 * bin_width)
    shares = [[n / sum(h.counts) for n in h.counts] for h in chosen]
    top = max(max(share) for share in shares)
    y = _y(0, top * 100)
    series = []
    for h, share in zip(chosen, shares, strict=True):
        first = next(i for i, n in enumerate(h.counts) if n)
        behind = len(h.counts) - next(i for i, n in enumerate(reversed(h.counts)) if n)
        name = f"{h.side}, {'' if h.of == 'all' else h.of.replace('_', '-') + ', '}{sum(h.counts)} searches"
        look = h.side if h.of != "non_mated" else _other(h.side)
        path = _steps(_edges(h)[first : behind + 1], [part * 100 for part in share[first:behind]], x, y)
        series.append(Series(name, look, "area" if h.side == "now" else "line", path))
    for limit in limits:
        path = "".join(f"M{at:g} {TOP}V{HEIGHT - BOTTOM}" for at in sorted({x(limit.low), x(limit.high)}))
        series.append(Series(f"threshold {limit.side}", _other(limit.side), "line", path))
    label = "cosine" if scale == "cosine" else "score of the server"
    return Plot(f"{key}-{scale}", title, words, label, "% of the searches", x.ticks(), y.ticks(), series)


def _edges(h: Histogram) -> list[float]:
    width = (h.high - h.low) / len(h.counts)
    return [h.low + i * width for i in range(len(h.counts) + 1)]


def _other(side: Literal["then", "now"]) -> Look:
    return "then-other" if side == "then" else "now-other"


def _sides(findings: Findings) -> list[tuple[Literal["then", "now"], ByThreshold, Rates]]:
    """Return the systems that have a trade-off: whose searches by enrolled people and by strangers are known."""
    found: list[tuple[Literal["then", "now"], ByThreshold, Rates]] = []
    if findings.then is not None and findings.then.det:
        found.append(("then", findings.then, findings.whole.then))
    if findings.now is not None and findings.now.det:
        found.append(("now", findings.now, findings.whole.now))
    return found


def _det(findings: Findings) -> Plot | None:
    sides = _sides(findings)
    if not sides:
        return None
    x = _x(_lowest(figures.det[0].fpir for _, figures, _ in sides), 1, logarithmic=True)
    y = _y(_lowest(figures.det[0].fnir for _, figures, _ in sides), 1, logarithmic=True)
    series = []
    for side, figures, rates in sides:
        band = [(x(_at(p.fpir)), y(p.fnir.low or 0.0)) for p in figures.det]
        band += [(x(_at(p.fpir)), y(_high(p.fnir))) for p in reversed(figures.det)]
        series.append(Series(f"{side}, 95 % interval of the FNIR", _other(side), "area", _line(band) + "Z"))
        series.append(Series(side, side, "line", _line((x(_at(p.fpir)), y(_at(p.fnir))) for p in figures.det)))
        if rates.fpir.rate is not None and rates.fnir.rate is not None:
            place = f"M{x(rates.fpir.rate):g} {y(rates.fnir.rate):g}h0"
            series.append(Series(f"{side}, thresholds in force", side, "point", place))
    words = (
        "The detection error trade-off: every threshold lets a share of strangers in (FPIR) and misses a share of "
        "enrolled people (FNIR). Lower is better. A rate of 0 is drawn at the edge."
    )
    title = "Trade-off of errors (DET)"
    return Plot("det", title, words, "FPIR", "FNIR", x.ticks(), y.ticks(), series)


def _by_threshold(findings: Findings) -> Plot | None:
    figures = findings.now
    if figures is None or not figures.det:
        return None
    x, y = _x(figures.det[0].threshold, figures.det[-1].threshold), _y(0, 100)
    fpir = _line((x(point.threshold), y(100 * _at(point.fpir))) for point in figures.det)
    fnir = _line((x(point.threshold), y(100 * _at(point.fnir))) for point in figures.det)
    series = [Series("FPIR now", "now-other", "line", fpir), Series("FNIR now", "now", "line", fnir)]
    words = (
        "The share of strangers who are recognised (FPIR) and of enrolled people who are missed (FNIR), by threshold."
    )
    label = f"threshold ({'cosine' if figures.scale == 'cosine' else 'score of the server'})"
    return Plot("by-threshold", "Errors by threshold", words, label, "%", x.ticks(), y.ticks(), series)


def _latency(findings: Findings) -> Plot | None:
    times = findings.latency
    if not times:
        return None
    tenth = 10**0.1
    low, high = min(t.bins[0][0] for t in times), max(t.bins[-1][0] for t in times) * tenth
    x = _x(low, high, logarithmic=True)
    shares = [[100 * n / t.count for _, n in t.bins] for t in times]
    y = _y(0, max(max(share) for share in shares))
    looks: dict[str, Look] = {
        "recorded": "then",
        "recorded_engine": "then-other",
        "replayed_engine": "now-other",
        "server": "now",
    }
    series = []
    for t, share in zip(times, shares, strict=True):
        edges = [*(left for left, _ in t.bins), t.bins[-1][0] * tenth]
        series.append(Series(t.of.replace("_", ", "), looks[t.of], "line", _steps(edges, share, x, y)))
    words = "How long decisions took, on a logarithmic scale; each bin is a tenth of a power of ten."
    return Plot("latency", "Latency", words, "ms", "% of the times", x.ticks(), y.ticks(), series)


def _lowest(rates: Iterable[Rate]) -> float:
    """Return the power of ten below the lowest rate that so many trials can show: one error, or none."""
    return 10.0 ** math.floor(math.log10(1 / (2 * max(rate.trials for rate in rates))))


def _at(rate: Rate) -> float:
    return rate.rate or 0.0


def _high(rate: Rate) -> float:
    return 1.0 if rate.high is None else rate.high
