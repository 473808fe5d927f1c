"""Other people than then: of a time, of a version, and of another capture, also with faces of another embedder."""

from dataclasses import replace
from pathlib import Path

import msgspec
import pytest
from msgspec import structs

from capture.folder import CaptureFolder
from capture.reader import CaptureReader
from capture.replaying.decide import FOREIGN_PEOPLE
from capture.replaying.galleries import PeopleRecords, VersionTimes, chosen_version, face_of
from capture.replaying.whatif import WhatIf
from contract.captures.values import CapturedRequest, CaptureError, CaptureLine, PeopleLine
from contract.codec import encode
from contract.people.keys import face_key
from contract.people.records import FaceRecord
from tests.support.faces import MODELS, photo, scene
from tests.support.recorded_site import RecordedSite
from tests.support.replays import differing, means, replayed

OTHER = "other-embedder-r1"


def records(*places: tuple[int, float]) -> tuple[PeopleLine, ...]:
    return tuple(PeopleLine(offset=offset, time=time, key=b"group/x", value=None) for offset, time in places)


PEOPLE = PeopleRecords(records((3, 10.0), (4, 20.0), (9, 30.0), (12, 40.0)), first=7)
"""The records 5 and 6, which were API keys, are left out."""


@pytest.mark.parametrize(("time_s", "version"), [(20.0, 7), (29.0, 7), (30.0, 10), (39.0, 10), (40.0, 13), (99.0, 13)])
def test_the_version_of_a_time_is_at_least_the_first_where_no_record_below_it_is_missing(
    time_s: float, version: int
) -> None:
    assert VersionTimes(PEOPLE).at(time_s) == version
    assert chosen_version(PEOPLE, WhatIf(gallery_time=time_s), other=False) == version


@pytest.mark.parametrize("time_s", [5.0, 10.0, 19.0])
def test_a_time_before_the_people_are_known_is_refused(time_s: float) -> None:
    with pytest.raises(CaptureError, match="the people are known from gallery version 7 on"):
        chosen_version(PEOPLE, WhatIf(gallery_time=time_s), other=False)


def test_a_clock_that_was_set_back_hides_no_record() -> None:
    people = PeopleRecords(records((0, 100.0), (1, 50.0), (2, 60.0), (3, 110.0)), first=0)
    assert [VersionTimes(people).at(time) for time in (49, 50, 60, 100, 110)] == [0, 2, 3, 3, 4]


def test_people_of_a_capture_without_records_are_known_at_every_time() -> None:
    assert chosen_version(PeopleRecords((), 5), WhatIf(gallery_time=1.0), other=True) == 5


@pytest.fixture
def site() -> RecordedSite:
    site = RecordedSite()
    site.enrol("a", 1)
    site.match(photo(1))
    site.match(photo(2))
    site.match(scene())
    site.enrol("b", 2)
    site.match(photo(2))
    return site


def by_another_embedder(site: RecordedSite) -> RecordedSite:
    """The same people, whose faces another network has embedded."""

    def changed(line: PeopleLine) -> PeopleLine:
        key = face_of(line)
        if key is None or line.value is None:
            return line
        face = structs.replace(msgspec.msgpack.decode(line.value, type=FaceRecord), embedder=OTHER)
        return structs.replace(line, key=face_key(key.identity_id, key.number, OTHER), value=encode(face))

    return replace(site, records=[changed(line) for line in site.records])


def test_people_whom_another_network_has_embedded_are_not_taken_for_nobody(site: RecordedSite, tmp_path: Path) -> None:
    gallery = by_another_embedder(site).capture(tmp_path / "people")
    rows = replayed(site.capture(tmp_path / "c"), WhatIf(gallery=gallery), other=CaptureReader(gallery))
    assert [row.trouble for row in rows] == [FOREIGN_PEOPLE, FOREIGN_PEOPLE, None, FOREIGN_PEOPLE]
    assert rows[2].differences == (), "a picture without a face is compared with nobody"


def test_a_look_at_the_enrolled_photos_makes_such_people_comparable(site: RecordedSite, tmp_path: Path) -> None:
    gallery = by_another_embedder(site).capture(tmp_path / "people")
    what_if = WhatIf(gallery=gallery, look=True)
    rows = replayed(site.capture(tmp_path / "c"), what_if, other=CaptureReader(gallery))
    assert [row.now and row.now.outcome for row in rows] == ["matched", "matched", "no_face", "matched"]


def test_an_earlier_version_whose_people_another_network_has_embedded_is_not_empty(
    site: RecordedSite, tmp_path: Path
) -> None:
    before = by_another_embedder(site).records
    again = [structs.replace(line, offset=line.offset + 100) for line in site.records]
    site.records = [*before, *again]
    for place, line in enumerate(site.lines):
        assert line.decision is not None
        then = structs.replace(line.decision, gallery_version=line.decision.gallery_version + 100)
        site.lines[place] = structs.replace(line, decision=then)
    folder = site.capture(tmp_path / "c")
    assert differing(replayed(folder)) == {}
    rows = replayed(folder, WhatIf(gallery_version=50))
    assert [row.trouble for row in rows] == [FOREIGN_PEOPLE, FOREIGN_PEOPLE, None, FOREIGN_PEOPLE]


def test_a_decision_of_then_among_people_of_another_network_comes_out_again(tmp_path: Path) -> None:
    """The networks were changed, and nobody was embedded again: then, nobody could be compared."""
    site = RecordedSite()
    site.match(photo(1))
    assert site.lines[0].decision.outcome == "empty_group"
    people = RecordedSite()
    people.enrol("a", 1)
    site.records = by_another_embedder(people).records
    version = site.records[-1].offset + 1
    site.change_last(gallery_version=version)
    folder = site.capture(tmp_path / "c")
    (row,) = replayed(folder)
    assert (row.trouble, row.differences) == (None, ())
    (row,) = replayed(folder, WhatIf(gallery_version=0))
    assert (row.trouble, row.differences) == (None, ()), "then nobody was enrolled at all"


def test_made_requests_are_not_decided_among_people_of_another_network(site: RecordedSite, tmp_path: Path) -> None:
    gallery = by_another_embedder(site).capture(tmp_path / "people")
    with CaptureFolder(tmp_path / "made") as out:
        request = CapturedRequest(picture=out.keep_picture(photo(1)), device_ip="gate")
        out.append([CaptureLine(request_id="h", request=request, expected_identity_id="a")])
    for what_if, outcome in ((WhatIf(gallery=gallery), None), (WhatIf(gallery=gallery, look=True), "matched")):
        (row,) = replayed(tmp_path / "made", what_if, other=CaptureReader(gallery))
        assert (row.trouble, row.now and row.now.outcome) == (None if outcome else FOREIGN_PEOPLE, outcome)


def test_nobody_is_added_to_people_with_whom_they_cannot_be_compared(site: RecordedSite, tmp_path: Path) -> None:
    gallery = by_another_embedder(site).capture(tmp_path / "people")
    folder = site.capture(tmp_path / "c")
    (tmp_path / "new").mkdir()
    (tmp_path / "new" / "n.jpg").write_bytes(photo(3))
    what_if = WhatIf(gallery=gallery, add_people=tmp_path / "new")
    with pytest.raises(CaptureError, match="embedded by other networks than the installed ones"):
        replayed(folder, what_if, other=CaptureReader(gallery))
    rows = replayed(folder, replace(what_if, look=True), means(MODELS), other=CaptureReader(gallery))
    assert [row.now and row.now.outcome for row in rows] == ["matched", "matched", "no_face", "matched"]
