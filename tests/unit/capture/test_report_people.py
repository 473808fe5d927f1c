"""Who counts as enrolled, and whose photo is shown, where other people are searched than then."""

from pathlib import Path

import cv2
import msgspec
import numpy as np
import pytest
from click.testing import CliRunner
from msgspec import structs

from capture.reader import CaptureReader
from capture.replaying.adding import add_people
from capture.replaying.galleries import GalleryChoice, PeopleRecords
from capture.reporting.people import Enrolled, photos_of
from capture.reporting.report import Report
from capture.reporting.thumbnails import Album
from capture.reporting.values import ReportedRow
from capture.rows import Row
from contract.captures.values import PeopleLine
from contract.codec import encode
from contract.people.keys import MEAN_FACE, face_key, person_key
from contract.people.records import FaceRecord, PhotoReference
from engine.policy import Policy
from picturematch.commands.replay import command
from picturematch.replay_report import PeopleNow
from tests.support.faces import context, photo
from tests.support.recorded_site import RECEIVED_S, RecordedSite
from tests.support.rows import row, search

PASSAGES = 8
KEY = face_key("a", 0, "e")
DELETED = PeopleLine(offset=7, time=0.0, key=KEY, value=None)


def site(*people: tuple[str, int]) -> RecordedSite:
    made = RecordedSite()
    made.policy = Policy(threshold=0.5)
    for identity_id, seed in (*((f"q{i}", 30 + i) for i in range(9)), *people):
        made.enrol(identity_id, seed)
    return made


@pytest.fixture
def monday(tmp_path: Path) -> Path:
    """Passages of x, who is not enrolled; the badge log names x."""
    recorded = site()
    for _ in range(PASSAGES):
        recorded.match(photo(50, size=91), device_ip="10.0.0.1")
    lines = [f"10.0.0.1,{RECEIVED_S + number},x,\n" for number in range(PASSAGES)]
    (tmp_path / "badges.csv").write_text("device_ip,time,identity_id,group\n" + "".join(lines))
    return recorded.capture(tmp_path / "monday")


def summary(capture: Path, *options: object) -> dict[str, dict[str, dict[str, dict[str, int]]]]:
    badges = capture.with_name("badges.csv")
    truth = ["--truth", str(badges)] if badges.exists() else []
    run = CliRunner().invoke(command, [str(capture), *truth, "--json", *map(str, options)])
    found: dict[str, dict[str, dict[str, dict[str, int]]]] = msgspec.json.decode(run.stdout.splitlines()[-1])["summary"]
    return found


def shown(rows: list[Row]) -> list[ReportedRow]:
    report = Report()
    return [reported for one in rows if (reported := report.add(one)) is not None]


def as_png(picture: bytes) -> bytes:
    image = cv2.imdecode(np.frombuffer(picture, np.uint8), cv2.IMREAD_COLOR)
    assert image is not None
    return cv2.imencode(".png", image)[1].tobytes()


def test_misses_of_a_person_of_the_other_gallery_are_misses_of_now(monday: Path) -> None:
    other = site(("x", 71)).capture(monday.with_name("other"))
    whole = summary(monday, "--gallery", other)["whole"]
    assert (whole["now"]["fnir"]["errors"], whole["now"]["fnir"]["trials"]) == (PASSAGES, PASSAGES)
    assert whole["now"]["fpir"]["trials"] == 0
    assert (whole["then"]["fnir"]["trials"], whole["then"]["fpir"]["trials"]) == (0, PASSAGES)


def test_a_person_is_enrolled_at_a_version_from_the_first_face_until_the_last_is_deleted() -> None:
    second = face_key("a", 1, "e")
    people = [
        PeopleLine(offset=3, time=0.0, key=KEY, value=b"face"),
        PeopleLine(offset=5, time=0.0, key=second, value=b"face"),
        DELETED,
        PeopleLine(offset=8, time=0.0, key=second, value=None),
        PeopleLine(offset=10, time=0.0, key=KEY, value=b"face"),
        PeopleLine(offset=12, time=0.0, key=person_key("a"), value=None),
    ]
    enrolled = Enrolled(people)
    found = {version: enrolled.has("a", version) for version in (3, 4, 8, 9, 10, 11, 12, 13, None)}
    assert [version for version, present in found.items() if present] == [4, 8, 11, 12]
    assert enrolled.has("b", 4) is False


def test_nobody_knows_who_was_enrolled_before_the_people_can_be_folded() -> None:
    enrolled = Enrolled([PeopleLine(offset=3, time=0.0, key=KEY, value=b"face")], first=4)
    assert (enrolled.has("a", 3), enrolled.has("a", 4)) == (None, True)


def test_a_photo_that_cannot_be_enrolled_is_a_failure_to_enrol(tmp_path: Path) -> None:
    recorded = site()
    recorded.match(photo(50, size=91), device_ip="10.0.0.1")
    line = recorded.lines[0]
    recorded.lines[0] = msgspec.structs.replace(line, expected_identity_id="faceless")
    found = summary(recorded.capture(tmp_path / "made"))
    assert found["failure_to_enrol"]["now"] == found["failure_to_enrol"]["then"]
    assert (found["failure_to_enrol"]["now"]["errors"], found["failure_to_enrol"]["now"]["trials"]) == (1, 1)
    assert found["whole"]["now"]["fnir"]["trials"] == 0


def test_the_photo_of_an_added_person_comes_from_the_file_and_others_from_the_capture(
    monday: Path, tmp_path: Path
) -> None:
    added = tmp_path / "added"
    added.mkdir()
    (added / "x.jpg").write_bytes(photo(71))
    (added / "y.png").write_bytes(as_png(photo(72)))
    reader = CaptureReader(monday)
    then = PeopleRecords([line for _, line in reader.people()], 0)
    now = PeopleRecords(add_people(then.records, 0, added, context(), 1), 0)
    rows = [row(search((who, 0.2)), search((who, 0.6)), number=n) for n, who in enumerate(("x", "y", "q0"))]
    album = PeopleNow(GalleryChoice(then, now), reader, added).album(shown(rows))
    for who, picture in (("x", photo(71)), ("y", as_png(photo(72))), ("q0", photo(30))):
        sha256 = album.photo_of(who, 0, 10)
        assert sha256 is not None
        assert album.picture(sha256) == picture


def test_a_candidate_found_by_the_mean_of_the_faces_is_shown_with_the_photo_of_the_newest_face() -> None:
    def face(offset: int, number: int, shown: bytes | None) -> PeopleLine:
        photo_ = None if shown is None else PhotoReference(sha256=shown, partition=0, offset=offset)
        record = FaceRecord(identity_id="a", number=number, embedder="e", templates={}, photo=photo_)
        return PeopleLine(offset=offset, time=0.0, key=face_key("a", number, "e"), value=encode(record))

    people = [
        face(0, 0, b"first"),
        face(1, 1, b"second"),
        face(4, 0, b"first again"),
        PeopleLine(offset=6, time=0.0, key=face_key("a", 1, "e"), value=None),
        face(8, 2, None),
    ]
    then = search(("a", 0.9))
    now = structs.replace(then, candidates=(structs.replace(then.candidates[0], number=MEAN_FACE),))
    reported_ = shown([row(then, structs.replace(now, outcome="stranger", identity_id=""))])
    album = Album(lambda sha256: b"", photos_of(people, reported_))
    found = [album.photo_of("a", MEAN_FACE, version) for version in (1, 3, 5, 7, 9)]
    photos = [b"first", b"second", b"second", b"first again", b"first again"]
    assert found == [sha256.hex() for sha256 in photos]
    assert album.photo_of("a", 0, 3) == b"first".hex()
    assert album.photo_of("a", 1, 9) is None, "that face is nobody's nearest"
