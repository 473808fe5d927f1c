"""Cosines at a threshold, explained on another machine than decided: several faces, several pictures and covers."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest
from msgspec import structs

from capture.explaining.matches import explain_match
from capture.explaining.values import Explanation, Then
from contract.captures.convert import decision_of
from contract.vectors import Vector
from engine.calls.match import MatchCall
from engine.calls.matching import MatchDecision
from engine.gallery.port import Scope
from engine.vision.decode.jpeg import encode_jpeg
from engine.vision.networks.standin import draw_face, draw_scene
from engine.vision.ports import Embedding, Face, Image, ModelSet
from models.manifest import FmrPoint
from tests.support.covered import COVERED_MODELS, NEAR, WHOLE, CoveredEmbedder, covered_photo, two_near
from tests.support.faces import context, photo, scene
from tests.support.then import Past, without_evidence

BY = 6e-4
"""How much of the nearest template the other machine mixes into each embedding."""


def flat(threshold: float) -> tuple[FmrPoint, ...]:
    return (
        FmrPoint(fmr=1e-2, threshold=NEAR),
        FmrPoint(fmr=9e-3, threshold=threshold),
        FmrPoint(fmr=1e-6, threshold=threshold),
    )


class Elsewhere(CoveredEmbedder):
    """The embedder on a machine that computes slightly other numbers."""

    def __init__(self, whole: float, covered: float, towards: Vector | None, by: float) -> None:
        self.fmr_curve = flat(whole)
        self.covered_curves = {"mouth": flat(covered), "eyes": flat(covered)}
        self._towards, self._by = towards, by

    def __call__(self, image: Image, face: Face) -> Embedding:
        found = super().__call__(image, face)
        if self._towards is None:
            return found
        vector = found.vector + np.float32(self._by) * self._towards
        return replace(found, vector=np.asarray(vector / np.linalg.norm(vector), np.float32))


def machine(whole: float, covered: float = 0.99, towards: Vector | None = None, by: float = 0.0) -> ModelSet:
    return replace(COVERED_MODELS, embedder=Elsewhere(whole, covered, towards, by))


@dataclass(frozen=True)
class Case:
    """A picture, and the cosine and template that are at the threshold."""

    picture: bytes
    cosine: float
    towards: Vector
    fields: dict[str, Any]
    covered: bool = False
    other: float = 0.99
    """The threshold of the stage that is not at its limit."""

    def then(self, past: Past, *, recognised: bool) -> Then:
        """What the other machine recorded, which recognised, or did not; this one does the contrary."""
        by = BY if recognised else -BY
        shift = by * (1 - self.cosine**2)
        limit = self.cosine + shift / 2
        limits = (self.other, limit) if self.covered else (limit, self.other)
        here, there = machine(*limits), machine(*limits, self.towards, by)
        found = past.then(self.picture, models=there, **self.fields)
        assert (found.decision.outcome == "matched") is recognised
        assert (past.then(self.picture, models=here, **self.fields).decision.outcome == "matched") is not recognised
        return replace(found, models=here)


@pytest.fixture
def past() -> Past:
    past = Past(models=COVERED_MODELS)
    for seed in range(1, 8):
        past.enrol(f"p{seed}", seed)
    return past


def decided(past: Past, picture: bytes, models: ModelSet, fields: dict[str, Any]) -> MatchDecision:
    request = past.then(picture, **fields).request
    assert request is not None
    return MatchCall().decide(request, past.people.snapshot(), context(models=models))


def template(past: Past, who: str) -> Vector:
    found = past.people.snapshot().gallery.vector((who, 0))
    assert found is not None
    return found


def template_with_mask(past: Past, who: str) -> Vector:
    """The template, from its cosines to the axes."""
    snapshot = past.people.snapshot()
    near = snapshot.gallery.above(template(past, who), Scope(), 0.99)
    axes = np.eye(len(template(past, who)), dtype=np.float32)
    return np.asarray([snapshot.covered.nearest("mouth", axis, near)[0].cosine for axis in axes], np.float32)


def case(past: Past, name: str) -> Case:
    nobody = machine(0.9999)
    covered = {
        "cover": (covered_photo(1), {}),
        "cover of the chosen face": (two_near(1, 77, covered=1), {}),
        "cover of the rival": (two_near(77, 1, covered=1), {"match_all_faces": True}),
    }
    if name in covered:
        picture, fields = covered[name]
        found = decided(past, picture, machine(WHOLE, 0.5), fields)
        assert found.threshold.cover == "mouth"
        return Case(picture, found.candidates[0].cosine, template_with_mask(past, "p1"), fields, True, WHOLE)
    if name == "whole of a covered face":
        found = decided(past, covered_photo(1), nobody, {})
        return Case(covered_photo(1), found.candidates[0].cosine, template(past, "p1"), {})
    placed = [(draw_face(77, 150), 240, 160), (draw_face(50, 150), 0, 0)]
    two = encode_jpeg(draw_scene(640, 480, placed), quality=95)
    picture, fields = {
        "one face": (photo(50), {}),
        "passage": (photo(50), {"further_pictures": (scene(),)}),
        "only face": (photo(50), {"match_all_faces": True}),
        "rival": (two, {}),
        "all faces": (two, {"match_all_faces": True}),
    }[name]
    found = decided(past, picture, nobody, fields)
    first = found.candidates[0] if len(found.searched) < 2 else found.searched[1].nearest[0]
    return Case(picture, first.cosine, template(past, first.person.identity_id), fields)


NAMES = [
    "one face",
    "passage",
    "only face",
    "rival",
    "all faces",
    "cover",
    "cover of the chosen face",
    "cover of the rival",
    "whole of a covered face",
]


@pytest.mark.parametrize("recognised", [True, False])
@pytest.mark.parametrize("name", NAMES)
def test_a_cosine_at_its_threshold_is_no_alarm(past: Past, name: str, recognised: bool) -> None:
    then = case(past, name).then(past, recognised=recognised)
    for left in (then, without_evidence(then)):
        explanation = explain_match(left)
        assert (explanation.way, explanation.alarms) == ("look", ())
        assert [sentence for sentence in explanation.sentences if "as two machines differ" in sentence]


@pytest.mark.parametrize("name", NAMES)
def test_what_does_not_follow_from_the_recorded_cosine_is_an_alarm(past: Past, name: str) -> None:
    then = case(past, name).then(past, recognised=True)
    assert then.event is not None
    for fields in ({"outcome": "blacklisted", "retcode": "0"}, {"identity_id": "p9"}, {"score": 0.9991}):
        forged = structs.replace(then.event, **fields)
        explanation = explain_match(replace(then, event=forged, decision=decision_of(forged, then.evidence)))
        assert alarms(explanation) & set(fields)


def alarms(explanation: Explanation) -> set[str]:
    return {alarm.what for alarm in explanation.alarms}
