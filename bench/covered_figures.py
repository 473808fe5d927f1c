"""The figures of `bench.covered`: curves, the open set as a match decides it, and the errors of checks for covers."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from msgspec import structs
from numpy.typing import NDArray

from bench.covered_set import LOOKS, CoveredSet
from capture.timeline import CapturedEntry
from contract.captures.values import PeopleLine
from contract.codec import encode
from contract.people.keys import face_key, person_key
from contract.people.records import COVERED_FACE, WHOLE_FACE, FaceRecord, PersonRecord
from contract.terms import COVERS, DEFAULT_GROUP
from contract.vectors import Vectors
from engine.covered_search import covered_match, covered_thresholds, near_enough
from engine.evaluation.curve import RATES, measured_curve
from engine.evaluation.openset import Split, at_fpir, draw_split
from engine.evaluation.scores import Scores, scores_of
from engine.gallery.people import People, Snapshot
from engine.gallery.port import Scope
from engine.policy import Policy
from engine.threshold import search_threshold
from engine.vision.ports import Embedder
from models.manifest import FmrPoint

FPIRS = (0.1, 0.03, 0.01)
CURVE_RATES = (1e-1, *RATES)
EVERYBODY = Scope(None)
_EMBEDDER = "measured"
_PICTURES = 100_000
_CHOSEN = 0.5
"""The share of the pictures of two people as near in which the enrolled person's face is the chosen one."""


@dataclass(frozen=True, slots=True)
class Identified:
    """What a match makes of enrolled people and of strangers, as means over the splits.

    `identified`: the share of enrolled people who are recognised as themselves. `mistaken`: the share recognised as
    somebody else. `fpir`: the share of strangers who are recognised; `strangers`: their number in one split.
    `beside`: the share of enrolled people who are recognised in a picture beside a stranger who is as near.
    `fpir_of_two`: the share of pictures of two strangers in which one is recognised. Both people have the same look.
    """

    enrolled: int
    strangers: int
    identified: float
    mistaken: float
    fpir: float
    beside: float
    fpir_of_two: float


@dataclass(frozen=True, slots=True)
class RankOne:
    """Rank 1, and by FPIR the FNIR, of searches with one kind of template and the best threshold for each FPIR."""

    rank_one: float
    fnir: dict[float, float]


def cover_curve(seen: CoveredSet, look: str, templates: Vectors) -> tuple[Sequence[FmrPoint], int]:
    """Return the measured curve of probes of a look against templates of other people, and the number of pairs.

    The templates are those of the first photo of each person; each person's pairs of photos all count.
    """
    first = np.unique(seen.people, return_index=True)[1]
    there = np.flatnonzero(seen.found(look))
    cosines = seen.probe(look)[there] @ templates[first].T
    others = seen.people[there][:, np.newaxis] != seen.people[first][np.newaxis, :]
    impostor = cosines[others]
    return measured_curve(scores_of([], impostor), CURVE_RATES), len(impostor)


def rank_one(seen: CoveredSet, look: str, templates: Vectors, splits: Sequence[Split]) -> RankOne:
    """Return how well templates of one kind separate, whatever the threshold; the higher of two kinds is compared."""
    found, first, searches = seen.found(look), [], []
    for split in splits:
        probes, strangers = split.probes[found[split.probes]], split.strangers[found[split.strangers]]
        scores = seen.probe(look)[probes] @ templates[split.gallery].T
        mates = scores[np.arange(len(probes)), np.flatnonzero(found[split.probes])]
        is_first = mates >= scores.max(axis=1)
        first.append(is_first.mean())
        genuine = np.where(is_first, mates, np.float32(-2))
        searches.append(scores_of(genuine, (seen.probe(look)[strangers] @ templates[split.gallery].T).max(axis=1)))
    return RankOne(float(np.mean(first)), {fpir: _fnir(searches, fpir) for fpir in FPIRS})


def _fnir(searches: list[Scores], fpir: float) -> float:
    return at_fpir(searches, fpir).fnir


def splits_of(seen: CoveredSet, enrolled: int, count: int) -> list[Split]:
    """Return splits with at most so many enrolled people; everybody else is a stranger."""
    found = []
    for seed in range(count):
        split, chance = draw_split(seen.people, seed), np.random.default_rng(seed)
        kept = chance.permutation(len(split.gallery))[:enrolled]
        left = np.setdiff1d(np.arange(len(split.gallery)), kept)
        strangers = np.concatenate([split.strangers, split.gallery[left]])
        found.append(Split(split.gallery[kept], split.probes[kept], strangers))
    return found


def identified(seen: CoveredSet, look: str, splits: Sequence[Split], embedder: Embedder, policy: Policy) -> Identified:
    """Return what the engine's own search decides."""
    shares = []
    for seed, split in enumerate(splits):
        snapshot = enrolled_people(seen, split.gallery).snapshot()
        rows, others = _there(seen, look, split.probes), _there(seen, look, split.strangers)
        mates = [_recognised(seen, row, look, snapshot, embedder, policy) for row in rows]
        right = np.array([_name(seen, row) == mate for row, mate in zip(rows, mates, strict=True)])
        let_in = np.array([_recognised(seen, row, look, snapshot, embedder, policy) != "" for row in others])
        chance = np.random.default_rng(seed)
        one, other = (let_in[chance.integers(len(others), size=_PICTURES)] for _ in range(2))
        mate, chosen = right[chance.integers(len(rows), size=_PICTURES)], chance.random(_PICTURES) < _CHOSEN
        shares.append(
            (
                right.mean(),
                np.mean([name != "" for name in mates]) - right.mean(),
                let_in.mean(),
                np.mean(mate & (chosen | ~one)),  # the rival is searched for where the chosen face recognises nobody
                np.mean(one | other),
            )
        )
    first = splits[0]
    return Identified(len(first.gallery), len(first.strangers), *np.mean(shares, axis=0).tolist())


def _there(seen: CoveredSet, look: str, rows: NDArray[np.int64]) -> NDArray[np.int64]:
    return rows[seen.found(look)[rows]]


def _recognised(seen: CoveredSet, row: int, look: str, snapshot: Snapshot, embedder: Embedder, policy: Policy) -> str:
    """Return the identity_id of whom a search recognises; "": nobody. The same steps as engine.calls.match.search."""
    probe, faces = seen.probe(look)[row], snapshot.gallery.count(EVERYBODY)
    search = snapshot.gallery.search(probe, EVERYBODY)
    best = search.best()
    if best and best[0].cosine >= search_threshold(policy, embedder, faces).cosine:
        return best[0].person.identity_id
    thresholds = covered_thresholds(policy, embedder, faces)
    match = covered_match(probe, search, snapshot, thresholds, near_enough(embedder, faces)) if thresholds else None
    return "" if match is None else match.candidates[0].person.identity_id


def enrolled_people(seen: CoveredSet, rows: NDArray[np.int64]) -> People:
    """Return the fold of people with the photos in these rows, named by the numbers of the people."""
    kinds = {WHOLE_FACE: seen.probe("plain"), **{COVERED_FACE[cover]: seen.template(cover) for cover in COVERS}}
    records = list[tuple[bytes, bytes]]()
    for row in rows:
        name, templates = _name(seen, row), {kind: each[row].astype("<f4").tobytes() for kind, each in kinds.items()}
        face = FaceRecord(identity_id=name, number=0, embedder=_EMBEDDER, templates=templates)
        person = PersonRecord(identity_id=name, group_ids=(DEFAULT_GROUP,), info={}, faces=(0,), next_face=1)
        records += [(face_key(name, 0, _EMBEDDER), encode(face)), (person_key(name), encode(person))]
    lines = (PeopleLine(offset=at, time=0.0, key=key, value=value) for at, (key, value) in enumerate(records))
    people = People(seen.probes.shape[2], _EMBEDDER)
    people.apply(map(CapturedEntry, lines))
    return people


def _name(seen: CoveredSet, row: int) -> str:
    return f"{seen.people[row]:06}"


def without_covers(policy: Policy) -> Policy:
    """Return the policy with which covered templates are not compared."""
    return structs.replace(policy, covered_templates=False)


def mask_item_errors(seen: CoveredSet) -> dict[str, float]:
    """Return by look the share of faces of which the item mask says that the mouth is covered (below 1)."""
    return {look: float(np.mean(seen.mouth[seen.found(look), at] < 1)) for at, look in enumerate(LOOKS)}
