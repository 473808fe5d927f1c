"""A replay with further people: they are enrolled by the decisions of the engine before the first request."""

from pathlib import Path

import pytest

from capture.replaying.whatif import WhatIf
from contract.captures.values import CaptureError
from tests.support.faces import photo, scene
from tests.support.recorded_site import RecordedSite
from tests.support.replays import differing, means, replayed


@pytest.fixture
def site() -> RecordedSite:
    site = RecordedSite()
    site.match(photo(3))
    site.enrol("a", 1)
    site.group("create", "staff")
    site.match(photo(1))
    site.match(photo(3))
    site.match(photo(3), group_name="staff")
    site.match(photo(4))
    site.delete("a")
    site.match(photo(1))
    return site


def test_added_people_are_recognised_at_every_version(site: RecordedSite, tmp_path: Path) -> None:
    (tmp_path / "new" / "n").mkdir(parents=True)
    (tmp_path / "new" / "n" / "1.jpg").write_bytes(photo(3))
    (tmp_path / "new" / "n" / "2.jpg").write_bytes(photo(4))
    what_if = WhatIf(add_people=tmp_path / "new")
    rows = replayed(site.capture(tmp_path / "c"), what_if)
    assert [row.now.outcome for row in rows] == ["matched", "matched", "matched", "empty_group", "matched", "stranger"]
    assert [row.now.identity_id for row in rows] == ["n", "a", "n", "", "n", ""]
    assert differing(rows).keys() == {1, 3, 5, 6}
    assert {row.tier for row in rows} == {"decide"}, "people are added without a look at the requests"


def test_the_same_face_under_a_smaller_identity_wins_as_it_would_have_then(site: RecordedSite, tmp_path: Path) -> None:
    (tmp_path / "A.jpg").write_bytes(photo(1))
    (tmp_path / "list.csv").write_text("path,identity_id,group_name\nA.jpg,A,default_group\n")
    rows = replayed(site.capture(tmp_path / "c"), WhatIf(add_people=tmp_path / "list.csv"))
    assert (rows[1].now.identity_id, rows[1].now.score) == ("A", rows[1].line.decision.score)


def test_people_who_cannot_be_added_are_named(site: RecordedSite, tmp_path: Path) -> None:
    folder = site.capture(tmp_path / "c")
    for name, content, reason in (
        ("a.jpg", photo(3), "a is among the people of the capture"),
        ("n.jpg", scene(), "no face"),
        ("n.txt", b"", "not a photo"),
    ):
        people = tmp_path / name.replace(".", "-")
        people.mkdir()
        (people / name).write_bytes(content)
        with pytest.raises(CaptureError, match=f"{name} of .*{reason}"):
            replayed(folder, WhatIf(add_people=people))
    (tmp_path / "list.csv").write_text("path,identity_id,group_name\nn-jpg/n.jpg,n,unknown\n")
    with pytest.raises(CaptureError, match=r"list.csv line 2 of .* cannot be enrolled"):
        replayed(folder, WhatIf(add_people=tmp_path / "list.csv"))


def test_people_cannot_be_added_without_networks(site: RecordedSite, tmp_path: Path) -> None:
    with pytest.raises(Exception, match="not installed"):
        replayed(site.capture(tmp_path / "c"), WhatIf(add_people=tmp_path), means(None))
