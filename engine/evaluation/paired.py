"""Compares two systems on the same trials: McNemar's exact test."""

import math


def mcnemar(only_first: int, only_second: int) -> float:
    """Return the two-sided p value of McNemar's exact test.

    It is the probability that chance alone divides the trials that exactly one system decided wrongly at least so
    unevenly, if both systems were equally good. 1.0 where there is no such trial.

    Args:
        only_first: the number of trials that only the first system decided wrongly.
        only_second: the number of trials that only the second system decided wrongly.
    """
    trials, fewer = only_first + only_second, min(only_first, only_second)
    if only_first == only_second:
        return 1.0
    chosen = (math.lgamma(trials + 1) - math.lgamma(i + 1) - math.lgamma(trials - i + 1) for i in range(fewer + 1))
    return min(1.0, 2 * math.fsum(math.exp(ways - trials * math.log(2)) for ways in chosen))
