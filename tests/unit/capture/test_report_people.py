"""Who counts as enrolled, and whose photo is shown, where other people are searched than then."""

from pathlib import Path

import msgspec
import pytest
from click.testing import CliRunner

from capture.reader import CaptureReader
from capture.replaying.galleries import GalleryChoice, PeopleRecords
from capture.reporting.people import enrolled_at
from contract.captures.values import PeopleLine
from contract.people.keys import face_key
from contract.pictures.digest import picture_digest
from engine.policy import Policy
from picturematch.commands.replay import command
from picturematch.replay_report import PeopleNow
from tests.support.faces import photo
from tests.support.recorded_site import RECEIVED_S, RecordedSite

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
    run = CliRunner().invoke(command, [str(capture), "--truth", str(badges), "--json", *map(str, options)])
    found: dict[str, dict[str, dict[str, dict[str, int]]]] = msgspec.json.decode(run.stdout.splitlines()[-1])["summary"]
    return found


def test_misses_of_a_person_of_the_other_gallery_are_misses_of_now(monday: Path) -> None:
    other = site(("x", 71)).capture(monday.with_name("other"))
    whole = summary(monday, "--gallery", other)["whole"]
    assert (whole["now"]["fnir"]["errors"], whole["now"]["fnir"]["trials"]) == (PASSAGES, PASSAGES)
    assert whole["now"]["fpir"]["trials"] == 0
    assert (whole["then"]["fnir"]["trials"], whole["then"]["fpir"]["trials"]) == (0, PASSAGES)


def test_a_person_is_enrolled_at_a_version_from_the_first_face_until_the_last_is_deleted() -> None:
    people = [PeopleLine(offset=3, time=0.0, key=KEY, value=b"face"), DELETED]
    found = [bool(enrolled_at(people, version, frozenset("a"))) for version in (3, 4, 7, 8)]
    assert found == [False, True, True, False]
    assert not enrolled_at(people, 4, frozenset("b"))


def test_the_photo_of_an_added_person_comes_from_the_file_and_others_from_the_capture(
    monday: Path, tmp_path: Path
) -> None:
    added = tmp_path / "added"
    added.mkdir()
    (added / "x.jpg").write_bytes(photo(71))
    reader = CaptureReader(monday)
    people = PeopleRecords([line for _, line in reader.people()], 0)
    album = PeopleNow(GalleryChoice(people, people), reader, added).album([])
    for seed in (71, 30):
        assert album.picture(picture_digest(photo(seed))) == photo(seed)
