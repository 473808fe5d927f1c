"""The number of signs that may differ at a cosine is that of the binomial distribution."""

import math

import numpy as np
import pytest

from engine.gallery.signs import cosine_at, most_differing, sign_bits


@pytest.mark.parametrize("cosine", [-0.3, 0.0, 0.478, 0.672, 0.9])
@pytest.mark.parametrize("chance", [1e-2, 2.87e-7])
def test_no_more_signs_differ_but_for_the_chance(cosine, chance):
    share = math.acos(cosine) / math.pi
    pmf = [math.comb(512, n) * share**n * (1 - share) ** (512 - n) for n in range(513)]
    most = most_differing(cosine, 512, chance)
    assert sum(pmf[most + 1 :]) <= chance < sum(pmf[most:])
    assert cosine_at(most, 512) < cosine


def test_equal_vectors_differ_in_no_sign_and_opposite_ones_in_all():
    assert most_differing(1.0, 512, 1e-7) == 0
    assert most_differing(-1.0, 512, 1e-7) == 512
    vector = np.random.default_rng(1).normal(size=(1, 12))
    assert np.bitwise_count(sign_bits(vector) ^ sign_bits(-vector)).sum() == 12
