"""A replay with further people: they are enrolled by the decisions of the engine before the first request."""

from pathlib import Path

import pytest

from capture.replaying.adding import add_people
from capture.replaying.whatif import WhatIf
from contract.captures.values import CaptureError
from tests.support.faces import context, photo, scene
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


def test_added_people_have_the_groups_and_the_type_of_the_list(tmp_path: Path) -> None:
    site = RecordedSite()
    site.group("create", "staff")
    begin = site.people.version
    site.match(photo(3))
    site.match(photo(3), group_name="staff")
    (tmp_path / "n.jpg").write_bytes(photo(3))
    (tmp_path / "list.csv").write_text('path,identity_id,group_name,type\nn.jpg,n,"staff, default_group",3\n')
    rows = replayed(site.capture(tmp_path / "c", people_from=begin), WhatIf(add_people=tmp_path / "list.csv"))
    assert [(row.trouble, row.now and row.now.outcome) for row in rows] == [(None, "blacklisted")] * 2


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ("x" * 300 + ".jpg,n,", "it cannot be read: File name too long|the picture does not exist"),
        ("n.jpg/x.jpg,n,", "the picture does not exist"),
        ("n.jpg,a/b,", "cannot be enrolled: identity_id must have"),
        ('n.jpg,n,"a,,b"', "cannot be enrolled: group_name must not be empty"),
    ],
)
def test_an_entry_that_no_server_would_accept_is_named_with_its_line(
    site: RecordedSite, tmp_path: Path, row: str, reason: str
) -> None:
    (tmp_path / "n.jpg").write_bytes(photo(3))
    (tmp_path / "list.csv").write_text(f"path,identity_id,group_name\n{row}\n")
    with pytest.raises(CaptureError, match=rf"list.csv line 2 of .*({reason})"):
        replayed(site.capture(tmp_path / "c"), WhatIf(add_people=tmp_path / "list.csv"))


def test_a_photo_or_a_folder_that_cannot_be_read_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The administrator may read everything, so the refusals of the system are made up."""
    people = tmp_path / "people"
    people.mkdir()
    (people / "n.jpg").write_bytes(photo(3))

    def refuse(path: Path, *_: object) -> None:
        raise PermissionError(13, "Permission denied", str(path))

    with monkeypatch.context() as patched:
        patched.setattr("clients.picture_file.os.open", refuse)
        with pytest.raises(CaptureError, match=r"n\.jpg of .*: it cannot be read: Permission denied"):
            add_people((), 1, people, context(), 1)
    monkeypatch.setattr(Path, "iterdir", refuse)
    with pytest.raises(CaptureError, match=r"people cannot be read: .*Permission denied"):
        add_people((), 1, people, context(), 1)
