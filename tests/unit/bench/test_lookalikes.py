"""The people of bench.lookalikes: what is compared pair by pair is what the gallery of the same people has."""

import numpy as np
import pytest

from bench.lookalikes import templates_of
from bench.people import made_up_features, name_of, people_records
from contract.people.keys import MEAN_FACE
from engine.gallery.people import People
from engine.gallery.port import everybody
from tests.support.faces import Entry


@pytest.mark.parametrize(("faces", "means"), [(1, 0), (3, 5)])
def test_faces_and_means_are_those_of_the_gallery(faces, means):
    features = made_up_features(5 * faces, 16)
    people = People(16, "e")
    people.apply(Entry(line.key, line.value, line.offset) for line in people_records(features, "e", faces=faces))
    gallery = people.snapshot().gallery
    vectors, owners, is_mean = templates_of(features, faces)
    assert (len(people), gallery.count(everybody(means=True)), int(is_mean.sum())) == (5, len(vectors), means)
    numbers = [MEAN_FACE if mean else row % (faces + (means > 0)) for row, mean in enumerate(is_mean)]
    for vector, owner, number in zip(vectors, owners.tolist(), numbers, strict=True):
        assert vector == pytest.approx(gallery.vector((name_of(owner), number)), abs=2.0**-15)
    assert np.all(np.diff(owners) >= 0)
