"""The number of signs that may differ at a cosine is exceeded with at most the stated chance."""

import math

import numpy as np
import pytest

from engine.gallery.signs import _most_tosses, cosine_at, deviation, most_differing, sign_bits
from engine.gallery.sketch import at_cosine, random_rotation


@pytest.mark.parametrize("cosine", [-0.3, 0.0, 0.478, 0.672, 0.9])
@pytest.mark.parametrize("chance", [1e-2, 2.87e-7])
def test_no_more_tosses_differ_but_for_the_chance(cosine, chance):
    share = math.acos(cosine) / math.pi
    pmf = [math.comb(512, n) * share**n * (1 - share) ** (512 - n) for n in range(513)]
    most = _most_tosses(share, 512, chance)
    assert sum(pmf[most + 1 :]) <= chance < sum(pmf[most:])
    assert cosine_at(most, 512) < cosine


def signs_of_mates(cosine: np.ndarray) -> np.ndarray:
    """How many signs of 512 differ between mates at a cosine, under many rotations."""
    rng, found = np.random.default_rng(7), []
    for rotation in range(24):
        ones = at_cosine(np.eye(512, dtype=np.float32)[[0]].repeat(1500, axis=0), np.zeros(1500), rng)
        bits = [sign_bits(some @ random_rotation(512, rotation).T) for some in (ones, at_cosine(ones, cosine, rng))]
        found.append(np.bitwise_count(bits[0] ^ bits[1]).sum(axis=1, dtype=np.int64))
    return np.concatenate(found)


@pytest.mark.parametrize("cosine", [-0.3, 0.0, 0.478, 0.672, 0.9])
def test_signs_of_rotated_vectors_differ_less_than_tosses_and_no_more_than_stated(cosine):
    differing = signs_of_mates(np.full(1500, cosine))
    expected = 512 * math.acos(cosine) / math.pi
    assert differing.mean() == pytest.approx(expected, abs=0.3)
    assert differing.std() == pytest.approx(float(deviation(np.array(cosine), 512)), rel=0.03)
    assert differing.std() < 0.95 * math.sqrt(expected * (1 - expected / 512))
    for chance in (1e-1, 1e-2, 1e-3):
        rate = np.mean(differing > most_differing(cosine, 512, chance, 1.0))
        assert rate < 1.2 * chance, "of 36,000 mates, 36 with a deviation of 6 are expected at the least chance"
        assert rate > 0.3 * chance, "and no more candidates are compared than need be"


def test_where_more_was_measured_more_signs_may_differ():
    expected = 512 * math.acos(0.6) / math.pi
    one, other = (most_differing(0.6, 512, 1e-6, sigma) - expected for sigma in (1.0, 1.5))
    assert other == pytest.approx(1.5 * one, abs=1.5)


def test_equal_vectors_differ_in_no_sign_and_opposite_ones_in_all():
    assert most_differing(1.0, 512, 1e-7, 1.0) == 0
    assert most_differing(-1.0, 512, 1e-7, 1.0) == 512
    vector = np.random.default_rng(1).normal(size=(1, 12))
    assert np.bitwise_count(sign_bits(vector) ^ sign_bits(-vector)).sum() == 12
