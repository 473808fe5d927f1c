"""The parts of bench.search that its figures depend on."""

import math

import numpy as np
import pytest

from bench.search import decide_many, filled, size_aware
from bench.search_data import at_cosine, isotropic, like_embeddings, probes_near, spectrum_of
from bench.search_misses import interval, try_mates
from bench.search_ways import all_compared, hamming_radius, others, two_stages


def test_drawn_vectors_have_the_stored_spectrum_and_unit_length():
    kind = like_embeddings()
    drawn = np.concatenate(list(kind.draw(20_000, np.random.default_rng(1))))
    assert drawn.shape == (20_000, 512)
    assert np.linalg.norm(drawn, axis=1) == pytest.approx(1.0, abs=1e-5)
    spectrum, mean = spectrum_of(drawn)
    assert spectrum[:20] == pytest.approx(kind.spread[:20] ** 2, rel=0.15)
    assert mean == pytest.approx(kind.mean, rel=0.1)


def test_real_embeddings_are_the_first_of_the_drawn_ones():
    real = np.concatenate(list(isotropic(16).draw(50, np.random.default_rng(2))))
    drawn = np.concatenate(list(like_embeddings(real).draw(80, np.random.default_rng(3))))
    assert drawn.shape == (80, 16)
    assert np.array_equal(drawn[:50], real)


def test_the_interval_of_a_rare_event_is_that_of_garwood():
    assert interval(0, 1) == pytest.approx((0.0, 3.689), abs=1e-3)
    assert interval(1, 1) == pytest.approx((0.0253, 5.572), abs=1e-3)
    assert interval(10, 100) == pytest.approx((0.04795, 0.18390), abs=1e-4)


def test_simulated_mates_are_missed_about_as_often_as_stated():
    sample = np.concatenate(list(isotropic(128).draw(512, np.random.default_rng(4))))
    tried = try_mates(sample, 0.6, mates=40_000, rotations=2)
    assert tried.mates == 40_000
    assert 20 <= tried.missed[3.0] <= 120, "54 are expected"
    assert tried.missed_by_signs[3.0] <= 90, "at most 54 are expected: the numbers of signs vary less than tosses"
    assert tried.missed[5.0] == tried.missed_by_signs[5.0] == 0


def test_every_way_finds_the_same_people_in_a_small_gallery():
    rng = np.random.default_rng(5)
    gallery = filled(isotropic(128), 1500, rng)
    vectors = gallery.rows.take(np.arange(0, 1500, 100))
    ways = {"exact": all_compared(gallery), "sketch": two_stages(gallery)}
    ways |= {name: prepared() for name, prepared in others(gallery.rows).items()}
    probes = probes_near(vectors, 0.75, 0.85, rng)
    for probe in probes:
        found = {name: way(probe, 0.7).people for name, way in ways.items()}
        assert len(found["exact"]) == 1
        assert all(people == found["exact"] for people in found.values())
    steps = list[int]()
    assert decide_many(gallery, probes, 0.8, lambda: steps.append(1)) == (0, len(probes))
    assert steps == [1]


def test_radius_and_threshold_are_those_of_the_documents():
    assert hamming_radius(0.672, 512) == math.ceil(512 * 0.26544 + 5 * math.sqrt(512 * 0.26544 * 0.73456))
    assert size_aware(1_000_000) == pytest.approx(0.672, abs=1e-3)
    assert at_cosine(np.eye(4, dtype=np.float32), np.full(4, 0.5), np.random.default_rng(1)).shape == (4, 4)
