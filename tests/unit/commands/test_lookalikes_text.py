"""What `picturematch people lookalikes` says of a pair of people."""

import numpy as np
import pytest

from contract.people.records import PersonRecord
from engine.gallery.pairs import AlikePair
from engine.policy import Policy
from engine.threshold import AppliedThreshold
from picturematch.lookalikes import ListedFaces, line_of


def person(identity_id: str, group: str, permission: str) -> PersonRecord:
    return PersonRecord(
        identity_id=identity_id, group_ids=(group,), info={"permission_ids": [permission]}, faces=(0, 1), next_face=2
    )


@pytest.mark.parametrize(
    ("group", "permission", "scope", "advice"),
    [
        ("g", "0", "searched together", "enrol a further photo of each"),
        ("other", "0", "in no search of one group together", "only searches of version 6"),
        ("g", "night", "in no search of one group together", "nothing needs to be done"),
        ("other", "night", "in no search of one group together", "nothing needs to be done"),
    ],
)
def test_a_line_says_which_searches_can_confuse_both_and_names_a_mean_in_words(group, permission, scope, advice):
    """A search of version 6 compares the people of all groups who have its permission."""
    people = [person("a", "g", "0"), person("b", group, permission)]
    means = np.array([False, True, False])
    faces = ListedFaces(people, np.array([0, 0, 1]), [4, -1, 7], np.zeros((3, 2), np.float32), means)
    line = line_of(AlikePair(0, 1, 1, 2, 0.75), faces, AppliedThreshold(0.5, "setting"), Policy())
    assert (line.faces, line.shares_scope) == (("mean", 7), scope == "searched together")
    text = line.text()
    assert text.startswith("a (no name, mean of the faces) and b (no name, face 7): cosine 0.750")
    assert f", {scope}; " in text
    assert advice in text
