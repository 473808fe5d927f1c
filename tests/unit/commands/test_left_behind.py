"""The faces that an embedder cannot get, which `picturematch people reembed --left-behind` lists with their reasons."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from broker.embedded import open_embedded
from broker.port import NewRecord, TopicSpec
from contract.codec import encode
from contract.people.keys import face_key
from contract.people.records import WHOLE_FACE, FaceRecord, PhotoReference
from engine.policy import Policy
from picturematch.left_behind import Left, find_left_behind
from picturematch.reembedding import NO_PHOTO, PHOTO_GONE, EnrolledPeople, LeftBehind, Pace, Reembedding
from tests.support.covered import COVERED_MODELS
from tests.support.faces import context, scene
from tests.unit.commands.test_reembedding_covers import IN_USE, TOPICS, Town

OTHER = "another-r1"
MODELS = replace(COVERED_MODELS, identities=(*dict(COVERED_MODELS.identities, embedder=OTHER).items(),))


@pytest.mark.parametrize("at_once", [1, 32])
async def test_each_face_that_cannot_be_embedded_is_named_with_its_reason_before_and_after_a_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at_once: int
) -> None:
    monkeypatch.setattr("picturematch.left_behind.FACES_AT_ONCE", at_once)
    async with open_embedded(tmp_path, role="owner", clock_ms=lambda: 1_700_000_000_000) as log:
        await log.ensure_topics([TopicSpec(name, 1) for name in (TOPICS.people, TOPICS.photos)])
        town = Town(log)
        for seed, who in enumerate(("ada", "ben", "gone")):
            await town.enrol(who, seed, Policy())
        feature: dict[str, Any] = {"feature": tuple(town.people.known("ada").vectors[0].tolist())}
        await town.enrol("dot", 0, Policy(), photo=None, feature_model=IN_USE, **feature)
        await town.enrol("empty", 0, Policy(), photo=scene(), feature_model=IN_USE, **feature)
        await log.append([with_photo_that_is_gone(town, "gone")])
        expected = [
            LeftBehind("dot", 0, NO_PHOTO),
            LeftBehind("empty", 0, "its photo cannot be embedded: no face found in the picture"),
            LeftBehind("gone", 0, PHOTO_GONE),
        ]
        async with EnrolledPeople(log, TOPICS, OTHER) as people:
            assert await find_left_behind(people, context(models=MODELS), 2) == Left(expected, 2)
            client: Any = town
            running = Reembedding(people, client, context(models=MODELS), Pace())
            await running.run()
            assert await people.left_behind(running.tally.unusable) == expected, "as the end of a run says"
            assert await find_left_behind(people, context(models=MODELS), 2) == Left(expected, 0)


def with_photo_that_is_gone(town: Town, identity_id: str) -> NewRecord:
    """The record of the person's face that names a photo which is not in the log."""
    whole = town.people.known(identity_id).vectors[0].tobytes()
    photo = PhotoReference(sha256=bytes(32), partition=0, offset=0)
    face = FaceRecord(identity_id=identity_id, number=0, embedder=IN_USE, templates={WHOLE_FACE: whole}, photo=photo)
    return NewRecord(TOPICS.people, face_key(identity_id, 0, IN_USE), encode(face))
