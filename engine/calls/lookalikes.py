"""Finds the look-alikes of a face that is enrolled: other people whose faces a search could take for it. Pure.

The new face is compared with the templates with which a match compares one: everybody's faces and, with
`matching.mean_templates`, the mean of the faces of each person with several. Everybody is searched, whatever the groups
and permissions: one person under two ids is a mistake in every group. A look-alike who shares no group or no permission
with the enrolled person is in no search of one group together with that person: `Lookalike.shares_scope` is false then.

The threshold of a search rises with its scope, so each pair of people is judged by that of the smallest scope in which
a search can confuse them: a group and a permission that both have; without a common group, everybody with a common
permission (engine.gallery.scope: searches of all groups); without either, everybody. People of a small group are
therefore look-alikes from a lower cosine on than people of whom only a search of a large group compares both.

People of type 4 (stranger) are nobody's look-alikes: whoever is enrolled may have passed by as a stranger before.
"""

from collections.abc import Iterator, Sequence
from itertools import islice, product
from typing import Protocol

import numpy as np

from contract.errors import Code, Refusal
from contract.findings import Lookalike
from contract.people.records import PersonRecord
from contract.terms import PERSON_STRANGER
from contract.vectors import Vector
from engine.context import Context
from engine.gallery.port import Candidate, Gallery, Scope, everybody
from engine.gallery.searched_ahead import SearchedAhead
from engine.policy import Policy
from engine.threshold import AppliedThreshold, search_threshold

MOST_NAMED = 5
"""The most look-alikes of one face that an answer and an event name."""

MOST_SCOPES = 64
"""The most scopes of which the smallest one is taken; of people who share more, these are the first ones by id."""

_MOST_JUDGED = 1000
"""The most people near one face who are judged, the nearest ones."""

_MOST_AHEAD = 1000
"""The most faces near one face that the search ahead keeps; where there are more, the decision searches alone. With a
threshold that nearly every face reaches, all faces of a large gallery would be kept for every face of a transaction."""


class Searchable(Protocol):
    """The people among whom look-alikes are searched."""

    def templates(self, scope: Scope) -> int:
        """Return the number of templates that a search in that scope compares: faces, and means if it has them."""
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
    down_to = _least(context)
    each = gallery.above_each(np.stack(vectors), scope, down_to, _MOST_AHEAD)
    found = {vector.tobytes(): people for vector, people in zip(vectors, each, strict=True) if people is not None}
    return SearchedAhead(gallery.version, scope, down_to, found)


def lookalikes_of(vector: Vector, person: PersonRecord, people: Searchable, context: Context) -> tuple[Lookalike, ...]:
    """Return the people other than `person` who are at or above the threshold of the smallest scope that can confuse
    both.

    The nearest is the first; at most `MOST_NAMED` are returned. Score and percent are those of a search in that scope.
    Empty where `matching.enrolment_lookalikes` is off.
    """
    policy = context.policy
    if policy.enrolment_lookalikes == "off":
        return ()
    limits, named = _Limits(people, context), list[Lookalike]()
    for other in people.alike(vector, _least(context), means=policy.mean_templates, most=_MOST_JUDGED):
        if other.person.identity_id == person.identity_id or _is_nobodys(other.person, policy):
            continue
        threshold = limits.of(person, other.person)
        if other.cosine < threshold.cosine:
            continue
        named.append(
            Lookalike(
                identity_id=other.person.identity_id,
                # Rounded, because the sum of a cosine has another last digit where a face has another place in memory.
                score=round(threshold.score(other.cosine, policy), 6),
                percent=round(threshold.percent(other.cosine, policy), 4),
                shares_scope=share_scope(person, other.person),
            )
        )
        if len(named) == MOST_NAMED:
            break
    return tuple(named)


def _is_nobodys(person: PersonRecord, policy: Policy) -> bool:
    """Return whether a person is nobody's look-alike."""
    return person.person_type == PERSON_STRANGER and policy.bars_strangers


def _least(context: Context) -> float:
    """Return the threshold of the smallest scope, below which nobody is a look-alike."""
    return search_threshold(context.policy, context.models.embedder, 1).cosine


class _Limits:
    """The thresholds by which pairs of people are judged; the templates of a scope are counted once."""

    def __init__(self, people: Searchable, context: Context) -> None:
        self._people, self._context = people, context
        self._counts: dict[Scope, int] = {}

    def of(self, one: PersonRecord, other: PersonRecord) -> AppliedThreshold:
        """Return the threshold of the smallest scope in which a search can confuse two people."""
        scopes = islice(_common_scopes(one, other, means=self._context.policy.mean_templates), MOST_SCOPES)
        faces = min(map(self._count, scopes))
        return search_threshold(self._context.policy, self._context.models.embedder, faces)

    def _count(self, scope: Scope) -> int:
        if scope not in self._counts:
            self._counts[scope] = self._people.templates(scope)
        return self._counts[scope]


def _common_scopes(one: PersonRecord, other: PersonRecord, *, means: bool) -> Iterator[Scope]:
    """Yield the scopes in which a search compares both people; everybody where there is none."""
    permissions = sorted({*one.permission_ids} & {*other.permission_ids})
    groups: Sequence[str | None] = sorted({*one.group_ids} & {*other.group_ids})
    if not permissions or not one.group_ids or not other.group_ids:
        yield everybody(means=means)  # people who are in no group are found by no search
        return
    for group_id, permission_id in product(groups or [None], permissions):
        yield Scope(group_id, permission_id, means=means)


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
