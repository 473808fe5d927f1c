"""Photos become the people of a capture as a server would enrol them."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from capture.making.gallery import GalleryMaker, GalleryPart
from capture.making.values import LeftOut, Photo
from capture.timeline import Timeline
from contract.pictures.digest import picture_digest
from contract.requests import MatchRequest
from engine.calls.match import MatchCall
from engine.calls.matching import MatchDecision
from engine.gallery.people import Snapshot
from engine.policy import Policy
from tests.support.faces import MODELS, Enrolled, context, photo, scene
from tests.support.records import jpeg


def at(folder: Path, identity_id: str, data: bytes, name: str = "", group: str | None = None, **info: Any) -> Photo:
    path = folder / f"{name or identity_id}.jpg"
    path.write_bytes(data)
    return Photo(identity_id, path.name, path, {"name": identity_id} | info, group)


def parts(*photos: Photo | LeftOut, policy: Policy | None = None) -> list[GalleryPart]:
    return list(GalleryMaker(context(policy), 2).parts(photos))


def snapshot(made: Sequence[GalleryPart]) -> Snapshot:
    lines = [line for part in made for line in part.lines]
    assert [line.offset for line in lines] == list(range(len(lines)))
    return Timeline(lines, MODELS.embedder.dimension, MODELS.embedder_identity).at(len(lines))


def decided(seed: int, people: Snapshot, **fields: str) -> MatchDecision:
    asked = MatchRequest(
        request_id="r", **({"device_ip": "gate"} | fields), picture=photo(seed), compare_time_s=1.0, received_time_s=1.0
    )  # type: ignore[arg-type]
    return MatchCall().decide(asked, people, context())


def reasons(made: Sequence[GalleryPart]) -> dict[str, str]:
    return {part.left_out.where: part.left_out.reason for part in made if part.left_out is not None}


def test_the_people_of_a_capture_are_found_in_the_order_of_their_photos(tmp_path: Path) -> None:
    made = parts(*(at(tmp_path, f"p{seed}", photo(seed)) for seed in range(12)))
    people = snapshot(made)
    for seed in range(12):
        assert (found := decided(seed, people).candidate) is not None
        assert found.person.identity_id == f"p{seed}"
    assert decided(50, people).outcome == "stranger"
    assert [part.jpeg for part in made] == [photo(seed) for seed in range(12)]


def test_the_records_are_those_of_a_server(tmp_path: Path) -> None:
    server = Enrolled()
    of_server = server.enrol("p1", 1, info={"name": "p1"}).people_records([(0, 0)])
    (part,) = parts(at(tmp_path, "p1", photo(1)))
    assert [(line.key, line.value) for line in part.lines] == list(of_server)


def test_several_photos_of_a_person_are_several_faces_and_a_photo_counts_once(tmp_path: Path) -> None:
    made = parts(
        at(tmp_path, "p", photo(1), "a"), at(tmp_path, "p", photo(2), "b"), at(tmp_path, "p", photo(1), "again")
    )
    people = snapshot(made)
    assert [(d.candidate and d.candidate.number) for d in (decided(1, people), decided(2, people))] == [0, 1]
    assert not any(line.key.startswith(b"face/") for line in made[2].lines)


def test_a_photo_that_is_refused_is_left_out_with_its_reason_and_the_others_are_enrolled(tmp_path: Path) -> None:
    made = parts(
        at(tmp_path, "empty", scene()),
        at(tmp_path, "noise", jpeg(1)),
        LeftOut("sub", "it is a folder"),
        at(tmp_path, "text", b"hello"),
        replace(at(tmp_path, "x", photo(1)), identity_id="a/b"),
        at(tmp_path, "p", photo(1), group="a,,b"),
        at(tmp_path, "typed", photo(1), type=9),
        at(tmp_path, "late", photo(1), valid_until="tomorrow"),
        at(tmp_path, "q", photo(2)),
    )
    assert set(reasons(made)) == {
        *("empty.jpg", "noise.jpg", "sub", "text.jpg", "x.jpg", "p.jpg", "typed.jpg", "late.jpg"),
    }
    assert reasons(made)["typed.jpg"] == "info.type must be from 1 to 5"
    assert reasons(made)["empty.jpg"] == "no face found in the picture"
    assert decided(2, snapshot(made)).outcome == "matched"


def test_a_group_of_its_own_makes_a_person_the_whole_scope(tmp_path: Path) -> None:
    made = parts(*(at(tmp_path, f"p{seed}", photo(seed), group=f"g{seed}") for seed in range(3)))
    people = snapshot(made)
    assert decided(1, people, group_name="g1").outcome == "matched"
    other = decided(1, people, group_name="g2")
    assert (other.outcome, [c.person.identity_id for c in other.candidates]) == ("stranger", ["p2"])


def test_the_group_of_a_person_exists_also_where_the_photo_was_refused(tmp_path: Path) -> None:
    made = parts(at(tmp_path, "p", scene(), group="g"))
    assert decided(1, snapshot(made), group_name="g").outcome == "empty_group"


def test_the_type_the_validity_and_the_permissions_of_a_person_decide(tmp_path: Path) -> None:
    people = snapshot(
        parts(
            at(tmp_path, "barred", photo(1), type=3),
            at(tmp_path, "gone", photo(2), valid_until=0.5),
            at(tmp_path, "night", photo(3), permission_ids=["night"]),
        )
    )
    assert [decided(seed, people).outcome for seed in (1, 2, 3)] == ["blacklisted", "not_valid", "stranger"]
    assert decided(3, people, group_name="default_group", permission_name="night").outcome == "matched"


def test_a_person_is_in_every_group_of_the_list_also_in_those_of_later_photos(tmp_path: Path) -> None:
    made = parts(
        at(tmp_path, "p", photo(1), "a", group="staff, night"),
        at(tmp_path, "p", photo(2), "b", group="staff,guests"),
        at(tmp_path, "q", photo(3), group="night,default_group"),
    )
    people = snapshot(made)
    for seed, group in ((1, "staff"), (1, "night"), (2, "guests"), (3, "night"), (3, "default_group")):
        assert decided(seed, people, group_name=group).outcome == "matched", (seed, group)
    assert decided(3, people, group_name="staff").outcome == "stranger"
    assert decided(1, people, group_name="default_group").outcome == "stranger"


def test_the_policy_of_the_operator_is_applied(tmp_path: Path) -> None:
    made = parts(
        at(tmp_path, "p", photo(1), "a"), at(tmp_path, "p", photo(2), "b"), policy=Policy(max_faces_per_person=1)
    )
    assert list(reasons(made)) == ["b.jpg"]


def test_the_jpeg_that_is_kept_is_the_one_that_the_record_of_the_face_names(tmp_path: Path) -> None:
    (part,) = parts(at(tmp_path, "p", photo(1)))
    people = snapshot([part])
    assert part.jpeg is not None
    assert decided(1, people).outcome == "matched"
    assert bytes.fromhex(picture_digest(part.jpeg)) in (part.lines[0].value or b"")
