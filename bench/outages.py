"""Seconds without answers, from the moments at which a door got its answers."""

from collections.abc import Mapping, Sequence
from itertools import pairwise


def without_answers(answers_s: Sequence[float], from_s: float, until_s: float) -> float:
    """The longest time without an answer that began or went on between `from_s` and `until_s`, in seconds.

    `answers_s` are the moments of one door's answers, ascending. The time before the first answer after `from_s` counts
    from the last one before it (or from `from_s`), that behind the last one until `until_s`.
    """
    before = [moment for moment in answers_s if moment <= from_s]
    within = [moment for moment in answers_s if from_s < moment <= until_s]
    moments = [before[-1] if before else from_s, *within, until_s]
    return max(later - earlier for earlier, later in pairwise(moments))


def worst_first(answers_s: Mapping[str, Sequence[float]], from_s: float, until_s: float) -> Mapping[str, float]:
    """`without_answers` of each door, the longest first."""
    found = {door: without_answers(times, from_s, until_s) for door, times in answers_s.items()}
    return dict(sorted(found.items(), key=lambda item: item[1], reverse=True))
