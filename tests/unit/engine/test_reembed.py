"""Adding templates of another embedder to enrolled faces, and removing those of the former one."""

from dataclasses import replace
from hashlib import sha256

import numpy as np
import pytest
from msgspec import structs

from contract.answers import FaceOutcome, ReembeddedAnswer
from contract.errors import Code
from contract.people.coverage import faces_with_others, faces_without, people_without
from contract.people.keys import FaceKey, face_key, person_key
from contract.people.unreadable import read_face
from contract.requests import DeleteRequest, EnrolRequest
from contract.site_requests import EmbeddedFace, ReembedRequest
from engine.calls.delete import DeleteCall
from engine.calls.enrol import EnrolCall
from engine.calls.people import NOTHING_PREPARED, ChangeDecision
from engine.calls.reembed import ReembedCall
from engine.context import Context
from engine.gallery.pending import PendingPeople
from engine.gallery.people import People
from tests.support.faces import MODELS, Entry, circumstances, context, photo

OTHER = "other-embedder-r1"
IN_USE = MODELS.embedder_identity


class Town:
    """A fold of the people topic to which decisions are written one by one."""

    def __init__(self) -> None:
        self.people = People(MODELS.embedder.dimension, IN_USE)
        self.offset = 0

    def write(self, decision: ChangeDecision) -> None:
        for key, value in decision.people_records([(0, 7)] * len(decision.photos)):
            self.people.apply([Entry(key, value, self.offset)])
            self.offset += 1

    def enrol(self, identity_id: str, seed: int, **fields: object) -> None:
        request = EnrolRequest(
            request_id="e", identity_id=identity_id, received_time_s=1.0, photo=photo(seed), **fields
        )
        self.write(self.decide(EnrolCall(), request))

    def decide(self, call: EnrolCall | DeleteCall, request: EnrolRequest | DeleteRequest) -> ChangeDecision:
        return call.decide(request, call.prepare(request, context()), PendingPeople(self.people), context())

    def reembed(self, *faces: EmbeddedFace, action: str = "add", embedder: str = OTHER) -> ChangeDecision:
        return reembed(PendingPeople(self.people), *faces, action=action, embedder=embedder)


def reembed(people: PendingPeople, *faces: EmbeddedFace, action: str = "add", embedder: str = OTHER) -> ChangeDecision:
    request = ReembedRequest(request_id="r", received_time_s=1.0, action=action, embedder=embedder, faces=faces)
    return ReembedCall().decide(request, NOTHING_PREPARED, people, context())


def face(identity_id: str, number: int, seed: int, length: int = 16) -> EmbeddedFace:
    vector = np.zeros(length, "<f4")
    vector[seed] = 1
    return EmbeddedFace(
        identity_id=identity_id,
        number=number,
        photo_sha256=sha256(photo(seed)).digest(),
        templates={"whole": vector.tobytes()},
    )


def outcomes(decision: ChangeDecision) -> tuple[FaceOutcome, ...]:
    assert isinstance(decision.answer, ReembeddedAnswer), decision.refusal
    return decision.answer.outcomes


@pytest.fixture
def town() -> Town:
    town = Town()
    town.enrol("ada", 1)
    town.enrol("ben", 2)
    return town


def test_a_face_gets_the_templates_beside_those_that_it_has_and_names_the_same_photo(town: Town) -> None:
    assert [each.identity_id for each in faces_without(town.people, OTHER)] == ["ada", "ben"]
    decision = town.reembed(face("ada", 0, 1))
    assert (outcomes(decision), decision.photos) == (("added",), ())
    ((key, value),) = decision.people_records()
    assert key == face_key("ada", 0, OTHER)
    town.write(decision)
    assert town.people.embedders("ada", 0) == (IN_USE, OTHER)
    record, vector = read_face(FaceKey("ada", 0, OTHER), value or b"", OTHER, 16)
    assert (record.photo, vector[1]) == (town.people.photo("ada", 0), 1.0)
    assert town.people.foreign_faces == 0, "the face can be searched"
    assert [each.identity_id for each in faces_without(town.people, OTHER)] == ["ben"]
    assert people_without(town.people, OTHER) == ["ben"]


def test_what_was_added_before_stays_as_it_is(town: Town) -> None:
    town.write(town.reembed(face("ada", 0, 1)))
    again = town.reembed(face("ada", 0, 1), face("ben", 0, 2))
    assert outcomes(again) == ("present", "added")
    assert [key for key, _ in again.people_records()] == [face_key("ben", 0, OTHER)]


def test_a_face_named_twice_is_added_once(town: Town) -> None:
    assert outcomes(town.reembed(face("ada", 0, 1), face("ada", 0, 1))) == ("added", "present")


def test_who_was_deleted_meanwhile_does_not_come_back(town: Town) -> None:
    town.write(town.decide(DeleteCall(), DeleteRequest(request_id="d", identity_id="ada", received_time_s=1.0)))
    decision = town.reembed(face("ada", 0, 1), face("ada", 5, 1), face("nobody", 0, 1))
    assert (outcomes(decision), decision.changes) == (("gone",) * 3, False)


def test_a_photo_that_was_replaced_meanwhile_wins(town: Town) -> None:
    town.enrol("ada", 3, ignore_exist=True, support_single_face=True)
    assert outcomes(town.reembed(face("ada", 0, 1), face("ada", 1, 1), face("ada", 1, 3))) == (
        "gone",
        "other_photo",
        "added",
    )


def test_a_deletion_in_the_same_transaction_removes_what_was_just_added(town: Town) -> None:
    pending = PendingPeople(town.people)
    added = reembed(pending, face("ada", 0, 1))
    pending.decided(added.people, added.site)
    request = DeleteRequest(request_id="d", identity_id="ada", received_time_s=1.0)
    deleted = DeleteCall().decide(request, NOTHING_PREPARED, pending, context())
    assert {key for key, value in deleted.people_records([(0, 0)]) if value is None} == {
        person_key("ada"),
        face_key("ada", 0, IN_USE),
        face_key("ada", 0, OTHER),
    }


def test_templates_of_the_embedder_in_use_can_be_searched_by_the_next_decision(town: Town) -> None:
    other = Context(
        replace(MODELS, identities=(*MODELS.identities[:1], ("embedder", OTHER), *MODELS.identities[2:])),
        context().policy,
        context().max_pixels,
        context().clock,
    )
    request = ReembedRequest(
        request_id="r", received_time_s=1.0, action="add", embedder=OTHER, faces=(face("ada", 0, 1, 256),)
    )
    decision = ReembedCall().decide(request, NOTHING_PREPARED, PendingPeople(town.people), other)
    assert decision.people["ada"].vectors[0].shape == (256,)


@pytest.mark.parametrize(
    ("templates", "words"),
    [
        ({"whole": np.ones(16, "<f4").tobytes()}, "unit length"),
        ({"whole": np.full(16, np.nan, "<f4").tobytes()}, "unit length"),
        ({"mask": np.eye(1, 16, dtype="<f4").tobytes()}, "whole face"),
        ({"whole": b"123"}, "number of values"),
    ],
)
def test_templates_that_no_reader_could_read_are_refused(town: Town, templates: dict[str, bytes], words: str) -> None:
    bad = EmbeddedFace(identity_id="ada", number=0, photo_sha256=sha256(photo(1)).digest(), templates=templates)
    decision = town.reembed(face("ben", 0, 2), bad)
    assert decision.refusal is not None
    assert (decision.refusal.code, decision.changes) == (Code.BAD_FEATURE_ERROR, False)
    assert words in decision.refusal.message


def test_embeddings_of_two_lengths_are_refused(town: Town) -> None:
    decision = town.reembed(face("ada", 0, 1), face("ben", 0, 2, 32))
    assert decision.refusal is not None
    assert (decision.refusal.code, decision.changes) == (Code.BAD_FEATURE_ERROR, False)


def test_embeddings_of_another_length_than_those_that_an_embedder_has_are_refused_until_these_are_removed(
    town: Town,
) -> None:
    town.write(town.reembed(face("ada", 0, 1, 32)))
    refused = town.reembed(face("ben", 0, 2))
    assert refused.refusal is not None
    assert (refused.refusal.code, refused.changes) == (Code.BAD_FEATURE_ERROR, False)
    assert "face 0 of ben has 16 numbers, and others of other-embedder-r1 have 32" in refused.refusal.message
    assert "people reembed --drop-old" in refused.refusal.message
    assert outcomes(town.reembed(face("ben", 0, 2), embedder="a-third-r1")) == ("added",), "its length is its own"
    town.write(town.reembed(EmbeddedFace(identity_id="ada", number=0), action="remove", embedder=IN_USE))
    town.write(town.reembed(face("ben", 0, 2)))
    assert town.people.embedding_length(OTHER) == 16


def test_templates_of_one_face_have_one_length(town: Town) -> None:
    short = np.eye(1, 8, dtype="<f4").tobytes()
    odd = structs.replace(face("ada", 0, 1), templates={**face("ada", 0, 1).templates, "covered_mouth": short})
    assert town.reembed(odd).refusal is not None


@pytest.mark.parametrize(
    ("used", "words"),
    [
        ({"face": "largest"}, 'matching.face = "largest", and this server enrols with "chosen"'),
        ({"covered_templates": False}, "matching.covered_templates = false, and this server enrols with true"),
    ],
)
def test_photos_that_were_embedded_with_other_settings_than_an_enrolment_uses_are_refused(
    town: Town, used: dict[str, str | bool], words: str
) -> None:
    asked = ReembedRequest(
        request_id="r", received_time_s=1.0, action="add", embedder=OTHER, faces=(face("ada", 0, 1),)
    )

    def decide(**settings: object) -> ChangeDecision:
        request = structs.replace(asked, **settings)
        return ReembedCall().decide(request, NOTHING_PREPARED, PendingPeople(town.people), context())

    refused = decide(**used)
    assert refused.refusal is not None
    assert (refused.refusal.code, refused.changes) == (Code.PARAM_ERROR, False)
    assert words in refused.refusal.message
    assert outcomes(decide(face="chosen", covered_templates=True)) == ("added",)
    assert outcomes(decide()) == ("added",), "a caller that does not say is not checked"


def test_only_the_records_of_others_are_removed_and_only_beside_one_of_the_embedder_in_use(town: Town) -> None:
    town.write(town.reembed(face("ada", 0, 1)))
    bare = [EmbeddedFace(identity_id=who, number=0) for who in ("ada", "ben", "nobody")]
    refused = town.reembed(*bare, action="remove")
    assert refused.refusal is not None
    assert "switch the server first" in refused.refusal.message
    assert [each.identity_id for each in faces_with_others(town.people, IN_USE)] == ["ada"]
    decision = town.reembed(*bare, action="remove", embedder=IN_USE)
    assert outcomes(decision) == ("removed", "kept", "gone")
    assert decision.people_records() == ((face_key("ada", 0, OTHER), None),)
    town.write(decision)
    assert town.people.embedders("ada", 0) == (IN_USE,)
    assert town.people.photo("ada", 0) is not None
    assert not list(faces_with_others(town.people, IN_USE))


def test_the_event_names_the_people_whose_records_changed(town: Town) -> None:
    request = ReembedRequest(
        request_id="r",
        received_time_s=1.0,
        action="add",
        embedder=OTHER,
        faces=(face("ada", 0, 1), face("nobody", 0, 1)),
    )
    call = ReembedCall()
    decision = call.decide(request, NOTHING_PREPARED, PendingPeople(town.people), context())
    event = call.event(request, decision, context(), circumstances(call, request))
    assert (event.kind, event.outcome, event.identity_ids) == ("reembed", "changed", ("ada",))


def test_a_face_that_the_embedder_in_use_knows_gets_templates_of_covered_faces_once(town: Town) -> None:
    before = town.people.known("ada")
    plain = face("ada", 0, 1, MODELS.embedder.dimension)
    assert outcomes(town.reembed(plain, embedder=IN_USE)) == ("present",)
    covers = {"covered_mouth": face("ada", 0, 2, 256).templates["whole"], "covered_eyes": plain.templates["whole"]}
    sent = structs.replace(plain, templates={**plain.templates, **covers})
    assert outcomes(town.reembed(sent, sent, embedder=IN_USE)) == ("added", "present")
    decision = town.reembed(sent, embedder=IN_USE)
    ((key, value),) = decision.people_records()
    record, vector = read_face(FaceKey("ada", 0, IN_USE), value or b"", IN_USE, MODELS.embedder.dimension)
    assert key == face_key("ada", 0, IN_USE)
    assert vector.tobytes() == before.vectors[0].tobytes(), "the embedding of the whole face is not that of the call"
    assert (record.photo, {kind: record.templates[kind] for kind in covers}) == (before.photos[0], covers)
    town.write(decision)
    assert town.people.known("ada").covered == {0}
    assert town.people.known("ada").embedders == before.embedders
    assert outcomes(town.reembed(sent, embedder=IN_USE)) == ("present",)


def test_templates_of_a_wrong_length_do_not_complete_a_face(town: Town) -> None:
    short = face("ada", 0, 1, length=4)
    sent = structs.replace(short, templates={**short.templates, "covered_mouth": short.templates["whole"]})
    refused = town.reembed(sent, embedder=IN_USE)
    assert refused.refusal is not None
    assert refused.refusal.code is Code.BAD_FEATURE_ERROR
    assert town.people.known("ada").covered == frozenset()
