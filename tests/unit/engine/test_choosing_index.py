"""The index of a gallery is chosen by a setting, by what is installed, and by the number of templates."""

import sys

import numpy as np
import pytest

from contract.people.held import HeldPerson
from contract.people.records import PersonRecord
from engine.gallery import choosing
from engine.gallery.choosing import CROSSING, index_of, slow_search
from engine.gallery.exact import ExactGallery, ExactIndex
from engine.gallery.people import People
from engine.gallery.port import FaceIndex, IndexUnavailable
from engine.gallery.two_stage import TwoStageGallery, TwoStageIndex


def fill(index: FaceIndex, count: int) -> None:
    vectors = np.random.default_rng(1).normal(size=(count, 16)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    for number, vector in enumerate(vectors):
        owner = PersonRecord(identity_id=str(number), group_ids=("default_group",), info={}, faces=(0,), next_face=1)
        index.add((str(number), 0), vector, HeldPerson.of(owner))


@pytest.fixture
def without_faiss(monkeypatch):
    monkeypatch.setitem(sys.modules, "faiss", None)
    monkeypatch.setattr(choosing, "sketch_is_installed", lambda: False)


def test_exact_compares_every_face_whatever_is_installed():
    assert isinstance(index_of("exact", 5.0)(16), ExactIndex)


def test_auto_builds_a_sketch_once_there_are_many_templates(monkeypatch):
    monkeypatch.setattr(choosing, "CROSSING", 300)
    index = index_of("auto", 5.0)(16)
    assert isinstance(index, TwoStageIndex)
    fill(index, 299)
    assert isinstance(index.snapshot(1), ExactGallery)
    assert not index.renewed()
    fill(index, 300)
    index.snapshot(2)
    index.wait()
    assert index.renewed()
    assert isinstance(index.snapshot(3), TwoStageGallery)
    assert not index.renewed()


def test_people_who_do_not_change_are_searched_by_the_sketch_once_it_is_built():
    indexes = list[TwoStageIndex]()

    def new_index(dimension: int) -> FaceIndex:
        indexes.append(TwoStageIndex(dimension, index_of("sketch", 5.0)(dimension)._maker, starts_at=1))  # type: ignore[attr-defined]
        return indexes[-1]

    people = People(16, "model+1", new_index)
    fill(indexes[0], 50)
    assert isinstance(people.snapshot().gallery, ExactGallery)
    indexes[0].wait()
    assert isinstance(people.snapshot().gallery, TwoStageGallery)
    assert people.snapshot() is people.snapshot()


def test_without_faiss_auto_is_exact_and_says_so_for_many_templates_only(without_faiss):
    assert isinstance(index_of("auto", 5.0)(16), ExactIndex)
    assert slow_search("auto", CROSSING - 1) is None
    assert slow_search("exact", 1_000_000) is None, "that was the operator's choice"
    said = slow_search("auto", 1_000_000)
    assert said is not None
    assert "picturematch[sketch]" in said


def test_without_faiss_a_sketch_is_refused_with_the_command_that_installs_it(without_faiss):
    with pytest.raises(IndexUnavailable, match=r"pip install 'picturematch\[sketch\]'"):
        index_of("sketch", 5.0)


def test_with_faiss_nothing_is_said():
    assert slow_search("auto", 1_000_000) is None
