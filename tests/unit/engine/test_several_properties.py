"""What holds of every match of a picture with several faces, whatever the people, the settings and the request are."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from typing import Any

import cv2
import jsonschema
import numpy as np
import orjson
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from contract.answers import MatchAnswer
from contract.events import Event, encode_event
from contract.requests import MatchRequest
from contract.schemas import schema_of
from contract.terms import STRANGER, Cover
from engine.calls.match import MatchCall
from engine.calls.matching import RECOGNISED, MatchDecision
from engine.calls.reporting import refused_answer
from engine.gallery.people import Snapshot
from engine.policy import Policy
from engine.vision.covering import covered_copy
from engine.vision.networks.standin import detect, draw_face, draw_scene
from engine.vision.ports import Image
from tests.support.covered import COVERED_MODELS
from tests.support.faces import Enrolled, circumstances, context

SLOTS = ((304, 224), (64, 32), (544, 32), (64, 416))
"""The places of faces in a picture of 800 x 600 pixels, the first in the middle."""
FAR = (560, 432)
"""The place of a face that is added, and its size at most: half of the smallest face is less than any face is near."""
KNOWN = (1, 2, 3)
VALID = jsonschema.Draft202012Validator(schema_of("event"))
SOMEBODY = (*KNOWN, 1, 77, 78)


@dataclass(frozen=True)
class Drawn:
    """One face of a picture."""

    seed: int
    size: int
    live: bool
    yaw: float
    cover: Cover | None

    @cached_property
    def image(self) -> Image:
        plain = draw_face(self.seed, self.size, live=self.live, yaw=self.yaw)
        if self.cover is None:
            return plain
        alone = draw_scene(640, 480, [(plain, 240, 160)])
        copy, face = covered_copy(alone, detect(alone)[0], self.cover)
        x, y, side = round(face.box.x), round(face.box.y), self.size
        return np.ascontiguousarray(copy[y : y + side, x : x + side])


faces = st.builds(
    Drawn,
    seed=st.sampled_from(SOMEBODY),
    size=st.sampled_from((96, 120, 150, 156)),
    live=st.sampled_from((True, True, True, False)),
    yaw=st.sampled_from((0.0, 0.0, 25.0, 60.0)),
    cover=st.sampled_from((None, None, "mouth", "eyes")),
)
policies = st.builds(
    Policy,
    face=st.sampled_from(("chosen", "chosen", "largest")),
    covered_templates=st.booleans(),
    threshold=st.sampled_from((None, None, 0.3, 0.9)),
    accepted_score=st.sampled_from((None, 60.0)),
    score_scale=st.sampled_from(("raw", "percent")),
    match_quality=st.sampled_from(("no", "low", "high")),
    allow_keep_info=st.booleans(),
)
requests = st.fixed_dictionaries(
    {
        "need_keep_info": st.booleans(),
        "min_face_size": st.sampled_from((0, 0, 100, 155)),
        "liveness_mode": st.sampled_from(("liveness_off", "liveness_rgb")),
    }
)
types = st.tuples(*[st.sampled_from((1, 1, 3)) for _ in KNOWN])


@cache
def gallery(kinds: Sequence[int]) -> Snapshot:
    """Three people, some of them on the blacklist."""
    enrolled = Enrolled(models=COVERED_MODELS)
    for seed, kind in zip(KNOWN, kinds, strict=True):
        enrolled.enrol(f"p{seed}", seed, info={"name": f"P{seed}", "type": kind})
    return enrolled.people.snapshot()


def picture(drawn: Sequence[Drawn], *further: tuple[Image, int, int]) -> bytes:
    """A PNG, so that a further face changes no pixel of the others."""
    placed = [(face.image, *slot) for face, slot in zip(drawn, SLOTS, strict=False)]
    image = draw_scene(800, 600, [*placed, *further])
    whole, data = cv2.imencode(".png", image)
    assert whole
    return data.tobytes()


def match(
    image: bytes, snapshot: Snapshot, policy: Policy, fields: dict[str, Any], **more: Any
) -> tuple[MatchDecision, Any, Event]:
    request = MatchRequest(
        request_id="r1",
        device_ip="10.0.0.1",
        compare_time_s=1.5,
        received_time_s=2.5,
        picture=image,
        **fields,
        **more,
    )
    call, given = MatchCall(), context(policy, COVERED_MODELS)
    decision = call.decide(request, snapshot, given)
    answer = refused_answer(decision.refusal) if decision.refusal else call.answer(request, decision, given, None)
    event = call.event(request, decision, given, circumstances(call, request))
    VALID.validate(orjson.loads(encode_event(event)))
    return decision, answer, event


def about(answer: Any, event: Event) -> tuple[Any, ...]:
    """Everything that an answer and its event say about the answered face, and what was decided."""
    told = (answer.retcode, answer.identity_id, answer.score) if isinstance(answer, MatchAnswer) else (answer.code,)
    return (
        *told,
        event.outcome,
        event.identity_id,
        event.name,
        event.score,
        event.threshold,
        event.face,
        event.error,
        event.quality,
        event.liveness,
    )


RANDOM = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@RANDOM
@given(st.lists(faces, min_size=1, max_size=4), types, policies, requests)
def test_the_answer_is_the_same_with_all_faces_and_nobody_is_found_twice(
    drawn: list[Drawn], kinds: tuple[int, ...], policy: Policy, fields: dict[str, Any]
) -> None:
    snapshot, image = gallery(kinds), picture(drawn)
    _, plain, event = match(image, snapshot, policy, fields)
    decision, answer, event_of_all = match(image, snapshot, policy, fields, match_all_faces=True)
    assert about(answer, event_of_all) == about(plain, event)
    searched = event_of_all.searched
    recognised = [face.nearest[0].person.identity_id for face in decision.searched if face.outcome in RECOGNISED]
    assert len(recognised) == len(set(recognised))
    named = [face.identity_id for face in searched if face.outcome in RECOGNISED]
    assert named == recognised
    for face, shown in zip(decision.searched, searched, strict=True):
        if face.kept_by_another:
            assert face.nearest[0].person.identity_id in recognised
            assert (shown.outcome, shown.retcode, shown.identity_id, shown.name) == (STRANGER, "0", "", STRANGER)
    shown_people = [face.identity_id for face in searched if face.identity_id]
    assert len(shown_people) == len(set(shown_people))
    if searched:
        (answered,) = (face for face in searched if face.answered)
        assert answered.face == event_of_all.face
        assert (answered.outcome, answered.score) == (event_of_all.outcome, event_of_all.score)
        assert [face.chosen for face in searched] == [True] + [False] * (len(searched) - 1)


@RANDOM
@given(st.lists(faces, min_size=1, max_size=3), types, policies, requests, st.sampled_from((24, 40)), st.booleans())
def test_a_small_face_of_a_stranger_far_away_changes_no_answer(
    drawn: list[Drawn], kinds: tuple[int, ...], policy: Policy, fields: dict[str, Any], size: int, all_faces: bool
) -> None:
    snapshot, stranger = gallery(kinds), (draw_face(99, size), *FAR)
    _, before, event = match(picture(drawn), snapshot, policy, fields, match_all_faces=all_faces)
    _, after, event_with = match(picture(drawn, stranger), snapshot, policy, fields, match_all_faces=all_faces)
    if event_with.faces == event.faces:
        return  # the detector does not find so small a face
    assert about(after, event_with) == about(before, event)


@RANDOM
@given(faces, types, policies, requests)
def test_the_only_face_and_the_chosen_one_without_a_rival_are_decided_alike(
    face: Drawn, kinds: tuple[int, ...], policy: Policy, fields: dict[str, Any]
) -> None:
    """The other face has a third of the size, so that also a covered face is decided as if it were alone."""
    snapshot, other = gallery(kinds), (draw_face(2 if face.seed != 2 else 3, face.size // 3), *FAR)
    decision, alone, event = match(picture([face]), snapshot, policy, fields)
    beside, answer, event_of_both = match(picture([face], other), snapshot, policy, fields, match_all_faces=True)
    assert about(answer, event_of_both) == about(alone, event)
    assert [c.cosine for c in beside.candidates] == [c.cosine for c in decision.candidates]
