"""Finds the look-alikes of a face that is enrolled: other people whose faces a search could take for it. Pure.

The new face is compared with the templates with which a match compares one: everybody's faces and, with
`matching.mean_templates`, the mean of the faces of each person with several. Everybody is searched, whatever the groups
and permissions: one person under two ids is a mistake in every group. A look-alike who shares no group or no permission
with the enrolled person is in no search of one group together with that person: `Lookalike.shares_scope` is false then.
"""

from collections.abc import Sequence
from typing import Protocol

import numpy as np

from contract.errors import Code, Refusal
from contract.findings import Lookalike
from contract.people.records import PersonRecord
from contract.vectors import Vector
from engine.context import Context
from engine.gallery.port import Candidate, Gallery, everybody
from engine.gallery.searched_ahead import SearchedAhead
from engine.threshold import search_threshold

MOST_NAMED = 5
"""The most look-alikes of one face that an answer and an event name."""

_MOST_AHEAD = 1000
"""The most faces near one face that the search ahead keeps; where there are more, the decision searches alone. With a
threshold that nearly every face reaches, all faces of a large gallery would be kept for every face of a transaction."""

_LOWER = 0.02
"""By how much the search ahead of the decisions goes below the threshold, which changes with the number of faces."""


class Searchable(Protocol):
    """The people among whom look-alikes are searched."""

    def templates(self, *, means: bool) -> int:
        """Return the number of faces that a search among everybody compares; with `means`, also that of their means."""
        ...

    def alike(self, vector: Vector, cosine: float, *, means: bool, most: int) -> Sequence[Candidate]:
        """Return the `most` nearest people who have a face with at least that cosine to a unit vector.

        They are in the order of the port. `means`: the mean of a person's faces counts like a face.
        """
        ...


def search_ahead(vectors: Sequence[Vector], gallery: Gallery, context: Context) -> SearchedAhead:
    """Search the look-alikes of many faces at once, in any thread, so that the decisions need no search of their own.

    One product of matrices for many faces takes much less time than one search after the other.
    """
    if not vectors or context.policy.enrolment_lookalikes == "off":
        return SearchedAhead(gallery.version)
    scope = everybody(means=context.policy.mean_templates)
    down_to = search_threshold(context.policy, context.models.embedder, gallery.count(scope)).cosine - _LOWER
    each = gallery.above_each(np.stack(vectors), scope, down_to, _MOST_AHEAD)
    found = {vector.tobytes(): people for vector, people in zip(vectors, each, strict=True) if people is not None}
    return SearchedAhead(gallery.version, scope, down_to, found)


def lookalikes_of(vector: Vector, person: PersonRecord, people: Searchable, context: Context) -> tuple[Lookalike, ...]:
    """Return the people other than `person` who are at or above the threshold of a search among everybody.

    The nearest is the first; at most `MOST_NAMED` are returned. Empty where `matching.enrolment_lookalikes` is off.
    """
    policy = context.policy
    if policy.enrolment_lookalikes == "off":
        return ()
    means = policy.mean_templates
    threshold = search_threshold(policy, context.models.embedder, people.templates(means=means))
    found = people.alike(vector, threshold.cosine, means=means, most=MOST_NAMED + 1)  # with the person, perhaps
    others = [one for one in found if one.person.identity_id != person.identity_id]
    return tuple(
        Lookalike(
            identity_id=other.person.identity_id,
            # Rounded, because the sum of a cosine has another last digit where the face has another place in memory.
            score=round(threshold.score(other.cosine, policy), 6),
            percent=round(threshold.percent(other.cosine, policy), 4),
            shares_scope=share_scope(person, other.person),
        )
        for other in others[:MOST_NAMED]
    )


def share_scope(one: PersonRecord, other: PersonRecord) -> bool:
    """Return whether two people have a group and a permission in common, so that a search of a group compares both."""
    return share_permission(one, other) and not set(one.group_ids).isdisjoint(other.group_ids)


def share_permission(one: PersonRecord, other: PersonRecord) -> bool:
    """Return whether two people have a permission in common, so that a search of all groups can compare both."""
    return not set(one.permission_ids).isdisjoint(other.permission_ids)


def refusal_of(found: Sequence[Lookalike]) -> Refusal:
    """Return the refusal of a face that has look-alikes.

    The code is 40071 and not 40011: callers take a person whom 40011 refuses for enrolled, and here nobody is.
    """
    names = ", ".join(one.identity_id for one in found)
    return Refusal(
        Code.PARAM_ERROR,
        f"the face is too similar to that of {names}, who is enrolled already: change or delete that person, or send"
        " another photo; matching.enrolment_lookalikes decides whether such a face is refused",
    )
