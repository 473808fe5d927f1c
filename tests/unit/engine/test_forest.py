"""A forest of trees is used only where it finds what exact search finds; it is skipped where annoy is not installed."""

import logging
import os
import sys
from dataclasses import replace
from importlib.util import find_spec

import numpy as np
import pytest

from contract.people.held import HeldPerson
from contract.people.records import PersonRecord
from engine.gallery.choosing import index_of
from engine.gallery.exact import ExactGallery, ExactIndex
from engine.gallery.forest import ForestMaker
from engine.gallery.port import EVERYBODY, FaceIndex, IndexUnavailable
from engine.gallery.sketch import at_cosine
from engine.gallery.two_stage import TwoStageGallery, TwoStageIndex


def need_annoy() -> None:
    """Skip the test where annoy is not installed; CI, which installs it, fails there."""
    if find_spec("annoy") is None:
        if os.environ.get("TESTS_REQUIRE_ANNOY") == "1":
            pytest.fail("annoy is not installed: pip install -e '.[annoy]'")
        pytest.skip("annoy is not installed")


def units(count: int, dimension: int, seed: int) -> np.ndarray:
    found = np.random.default_rng(seed).normal(size=(count, dimension)).astype(np.float32)
    return found / np.linalg.norm(found, axis=1, keepdims=True)


def owner(identity_id: str) -> HeldPerson:
    groups = ("default_group",)
    return HeldPerson.of(PersonRecord(identity_id=identity_id, group_ids=groups, info={}, faces=(0,), next_face=1))


def fill(index: FaceIndex, vectors: np.ndarray) -> None:
    for number, vector in enumerate(vectors):
        index.add((f"p{number:05}", 0), vector, owner(f"p{number:05}"))


def test_without_annoy_the_index_is_refused_with_the_command_that_installs_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "annoy", None)
    with pytest.raises(IndexUnavailable, match=r"pip install 'picturematch\[annoy\]'"):
        index_of("annoy", 5.0)


def test_a_forest_that_misses_mates_is_refused_in_one_sentence_and_every_face_is_compared(caplog):
    need_annoy()
    index = TwoStageIndex(256, lambda: ForestMaker(256, trees=4), starts_at=1)
    fill(index, units(3000, 256, 1))
    index.snapshot(0)
    with caplog.at_level(logging.WARNING):
        index.wait()
    (said,) = [record.getMessage() for record in caplog.records]
    assert "`annoy` is not used, and every face is compared: its trees miss" in said
    assert said.endswith("of 1000 simulated mates among 3,000 templates; set gallery.index to auto")
    assert isinstance(index.snapshot(1), ExactGallery)
    index.wait()
    assert len(caplog.records) == 1, "it is not built again and again"


def test_a_good_forest_finds_what_exact_search_finds_and_changes_are_in_force_at_once():
    need_annoy()
    few, exact = 8, ExactIndex(8)
    vectors = units(4000, few, 2)
    index = TwoStageIndex(few, lambda: ForestMaker(few, trees=64), starts_at=1)
    for one in (exact, index):
        fill(one, vectors)
    # Mates at a cosine of .5 are not alone in 8 dimensions, so the gate is tried with nearer ones here.
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("engine.gallery.forest._AT_COSINE", 0.999)
        index.snapshot(0)
        index.wait()
    for one in (exact, index):
        one.remove(("p00007", 0))
        one.add(("p00008", 0), vectors[9], owner("p00008"))
        one.add(("new", 0), vectors[7], owner("new"))
    reference, gallery = exact.snapshot(1), index.snapshot(1)
    assert isinstance(gallery, TwoStageGallery)
    probes = at_cosine(vectors[:200], np.full(200, 0.9999), np.random.default_rng(3))
    for probe in probes:
        search = gallery.search(probe, EVERYBODY, 0.9991)
        (found,), (expected,) = search.best(1), reference.best(probe, EVERYBODY, 1)
        assert found == expected
        assert search.used is not None
        assert (search.used.index, search.used.cut) == ("annoy", None)
        assert 0 < search.used.miss < 0.01
    assert gallery.best(vectors[7], EVERYBODY, 1, 0.9991)[0].person.identity_id == "new"


def test_everybody_who_reaches_the_floor_is_found_however_many_they_are():
    need_annoy()
    few, exact = 8, ExactIndex(8)
    index = TwoStageIndex(few, lambda: ForestMaker(few, trees=64), starts_at=1)
    vectors = units(4000, few, 2)
    crowd = at_cosine(vectors[:1].repeat(200, axis=0), np.full(200, 0.95), np.random.default_rng(4))
    for one in (exact, index):
        fill(one, np.concatenate([vectors, crowd]))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("engine.gallery.forest._AT_COSINE", 0.999)
        index.snapshot(0)
        index.wait()
    reference, built = exact.snapshot(1), index.snapshot(1)
    assert isinstance(built, TwoStageGallery)
    assert built.search(vectors[0], EVERYBODY, 0.94).used is None, "nobody has tried what the trees miss there"
    forest = replace(built.first.generation, least_floor=0.94)
    gallery = replace(built, first=replace(built.first, generation=forest))
    search = gallery.search(vectors[0], EVERYBODY, 0.94)
    assert search.used is not None
    assert search.above(0.94) == reference.above(vectors[0], EVERYBODY, 0.94)
    assert len(search.above(0.94)) >= 201
