"""A folder per person becomes a gallery and requests that expect the person."""

from pathlib import Path

import pytest

from capture.making.folders import PeopleFolders, photos_at
from capture.making.values import LeftOut, MadeRequest, Photo
from contract.captures.values import CaptureError
from tests.support.albums import album
from tests.support.records import jpeg

PEOPLE = {"anna": 3, "bert": 1, "strangers": 2}


def enrolled(folders: PeopleFolders) -> list[tuple[str, str]]:
    return [(photo.identity_id, photo.where) for photo in folders.gallery() if isinstance(photo, Photo)]


def expected(folders: PeopleFolders) -> list[tuple[str, str | None]]:
    requests = [found for found in folders.requests() if isinstance(found, MadeRequest)]
    return [(request.line.request_id, request.line.expected_identity_id) for request in requests]


def left_out(folders: PeopleFolders) -> list[LeftOut]:
    return [found for found in (*folders.gallery(), *folders.requests()) if isinstance(found, LeftOut)]


def test_the_first_photos_are_enrolled_and_the_others_expect_their_person(tmp_path: Path) -> None:
    folders = PeopleFolders(album(tmp_path / "album", PEOPLE), device_ip="gate")
    assert enrolled(folders) == [("anna", "anna/anna_0001.jpg"), ("bert", "bert/bert_0001.jpg")]
    assert expected(folders) == [
        ("anna/anna_0002.jpg", "anna"),
        ("anna/anna_0003.jpg", "anna"),
        ("strangers/strangers_0001.jpg", ""),
        ("strangers/strangers_0002.jpg", ""),
    ]
    (first, *_) = folders.requests()
    assert isinstance(first, MadeRequest)
    assert first.line.request.device_ip == "gate"
    assert first.pictures == ((tmp_path / "album/anna/anna_0002.jpg").read_bytes(),)
    assert left_out(folders) == []


@pytest.mark.parametrize(("number", "photos", "requests"), [(0, 0, 6), (2, 3, 3), (9, 4, 2)])
def test_every_photo_is_enrolled_or_a_request_and_never_both(
    tmp_path: Path, number: int, photos: int, requests: int
) -> None:
    folders = PeopleFolders(album(tmp_path / "album", PEOPLE), number)
    assert (len(enrolled(folders)), len(expected(folders))) == (photos, requests)
    assert not {where for _, where in enrolled(folders)} & {where for where, _ in expected(folders)}


def test_the_folder_of_strangers_can_have_another_name(tmp_path: Path) -> None:
    folders = PeopleFolders(album(tmp_path / "album", PEOPLE), 1, strangers="bert")
    assert ("strangers", "strangers/strangers_0001.jpg") in enrolled(folders)
    assert ("bert/bert_0001.jpg", "") in expected(folders)


def test_what_is_no_photo_of_a_person_is_left_out_with_its_reason(tmp_path: Path) -> None:
    root = album(tmp_path / "album", {"anna": 2})
    (root / "notes.txt").write_text("dear")
    (root / "alone.jpg").write_bytes(jpeg(1))
    (root / "empty").mkdir()
    (root / "anna" / "sub").mkdir()
    (root / "anna" / "z.jpg").write_text("no picture")
    (root / "anna" / "y.jpg").symlink_to("nowhere")
    (root / ".hidden").write_text("")
    reasons = {found.where: found.reason for found in left_out(PeopleFolders(root))}
    assert set(reasons) == {"notes.txt", "alone.jpg", "empty", "anna/sub", "anna/z.jpg", "anna/y.jpg"}
    assert reasons["alone.jpg"] == "it is in no person's folder"
    assert reasons["anna/z.jpg"] == "the picture is not a JPEG, PNG, WebP or BMP file"
    assert reasons["anna/y.jpg"] == "the picture does not exist or is not a file"


def test_what_is_no_photo_is_left_out_once_also_where_nobody_is_enrolled(tmp_path: Path) -> None:
    root = album(tmp_path / "album", {"anna": 2})
    (root / "notes.txt").write_text("dear")
    (root / "empty").mkdir()
    found = list(PeopleFolders(root, 0).requests())
    assert [each.where for each in found if isinstance(each, LeftOut)] == ["empty", "notes.txt"]
    assert [each.line.request_id for each in found if isinstance(each, MadeRequest)] == [
        "anna/anna_0001.jpg",
        "anna/anna_0002.jpg",
    ]
    assert not any(isinstance(each, LeftOut) for each in PeopleFolders(root, 1).requests())


def test_the_photos_of_a_gallery_can_be_a_list_with_groups_and_info_and_follow_each_other(tmp_path: Path) -> None:
    path = tmp_path / "people.csv"
    path.write_text(
        "path,identity_id,group_name,type,floor\na.jpg,1,staff,3,\nb.jpg,1,'staff,night',,\nc.jpg,2,,,5\n".replace(
            "'", '"'
        )
    )
    assert list(photos_at(path)) == [
        Photo("1", "people.csv line 2", tmp_path / "a.jpg", {"name": "1", "type": 3}, "staff"),
        Photo("1", "people.csv line 3", tmp_path / "b.jpg", {"name": "1"}, "staff,night"),
        Photo("2", "people.csv line 4", tmp_path / "c.jpg", {"name": "2", "floor": "5"}, None),
    ]
    path.write_text("path,identity_id\na.jpg,1\nb.jpg,2\nc.jpg,1\n")
    with pytest.raises(CaptureError, match=r"people\.csv line 4 is of 1, whose other photos come earlier"):
        list(photos_at(path))
    with pytest.raises(CaptureError, match="none does not exist"):
        list(photos_at(tmp_path / "none"))


def test_two_folders_of_one_name_in_two_encodings_are_refused(tmp_path: Path) -> None:
    album(tmp_path, {"Zoe\N{COMBINING DIAERESIS}": 1, "Zof": 1, "Zo\N{LATIN SMALL LETTER E WITH DIAERESIS}": 1})
    with pytest.raises(CaptureError, match="whose other photos come earlier"):
        list(PeopleFolders(tmp_path).gallery())
