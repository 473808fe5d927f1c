import errno
import json
import os
from pathlib import Path

import pytest

from clients.enrol_list import Entry, Unusable, count_entries, find_entries
from clients.errors import CannotRun


def touch(folder: Path, *names: str) -> Path:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"x")
    return folder


def test_a_photo_is_named_by_its_stem_and_a_folder_by_its_name(tmp_path: Path) -> None:
    touch(tmp_path, "7.jpg", "b.c.png", "anna/2.webp", "anna/1.bmp")
    found = [(e.where, e.identity_id, e.info) for e in find_entries(tmp_path) if isinstance(e, Entry)]
    assert found == [
        ("7.jpg", "7", {"name": "7"}),
        ("anna/1.bmp", "anna", {"name": "anna"}),
        ("anna/2.webp", "anna", {"name": "anna"}),
        ("b.c.png", "b.c", {"name": "b.c"}),
    ]
    assert count_entries(tmp_path) == 4


def test_what_cannot_be_enrolled_is_told_and_hidden_files_are_not(tmp_path: Path) -> None:
    touch(tmp_path, ".DS_Store", "anna/.hidden", "readme.md", "anna/deep/1.jpg")
    (tmp_path / "nobody").mkdir()
    found = list(find_entries(tmp_path))
    assert all(isinstance(e, Unusable) for e in found)
    assert [e.where for e in found] == ["anna/deep", "nobody", "readme.md"]


def test_a_name_is_the_same_person_on_every_system(tmp_path: Path) -> None:
    touch(tmp_path, "Zoe\u0308.jpg")
    (entry,) = find_entries(tmp_path)
    assert isinstance(entry, Entry)
    assert entry.identity_id == "Zo\u00eb"


def test_a_name_that_is_not_utf_8_is_told(tmp_path: Path) -> None:
    try:
        (tmp_path / os.fsdecode(b"\xff.jpg")).write_bytes(b"x")
    except OSError as error:
        if error.errno != errno.EILSEQ:
            raise
        pytest.skip("this file system has UTF-8 names only, so no list of it has another name")
    (entry,) = find_entries(tmp_path)
    assert isinstance(entry, Unusable)


def test_a_csv_list_names_people_and_its_other_columns_are_facts_about_them(tmp_path: Path) -> None:
    path = tmp_path / "list.csv"
    path.write_text(
        "\ufeffpath,identity_id,name,type,group_name,department\n"
        'a.jpg,1,"Roe, Ann",2,staff,Sales\n'
        "sub/b.jpg,2,,,,\n"
        "c.jpg,,x,,,\n"
        "d.jpg,4,,boss,,\n"
        "e.jpg,5,,99999999999999999999999,,\n"
        "f.jpg,6,,,,,,too many\n"
        ",7,,,,\n",
        "utf-8",
    )
    first, second, *rest = find_entries(path)
    assert first == Entry(
        "list.csv line 2",
        "1",
        photo=tmp_path / "a.jpg",
        info={"name": "Roe, Ann", "type": 2, "department": "Sales"},
        group_name="staff",
    )
    assert second == Entry("list.csv line 3", "2", photo=tmp_path / "sub/b.jpg", info={"name": "2"})
    assert [(type(e), e.where) for e in rest] == [(Unusable, f"list.csv line {n}") for n in range(4, 9)]
    assert count_entries(path) == 7


def test_a_jsonl_list_may_hold_features_and_info(tmp_path: Path) -> None:
    path = tmp_path / "list.jsonl"
    good = [
        {"identity_id": "1", "path": "a.jpg", "info": {"name": "Ann", "badge": 4}},
        {"identity_id": "2", "feature": [0.5, 1, -2e-3], "type": 3, "path": None, "feature_model": "net+1"},
    ]
    bad = ["{", "[]", '{"identity_id": 3, "path": "x"}', '{"identity_id": "3"}', '{"identity_id":"3","feature":"0.5"}']
    bad += ['{"identity_id":"3","feature":[true]}', '{"identity_id":"3","path":["x"]}']
    bad += ['{"identity_id":"3","feature":[1],"feature_model":2}']
    bad += ['{"identity_id":"3","path":"x","feature":[1]}', '{"identity_id":"3","path":"x","info":[]}']
    path.write_text("\n\n".join([*map(json.dumps, good), *bad]))
    first, second, *rest = find_entries(path)
    assert first == Entry("list.jsonl line 1", "1", photo=tmp_path / "a.jpg", info={"name": "Ann", "badge": 4})
    info = {"name": "2", "type": 3}
    assert second == Entry("list.jsonl line 3", "2", feature=(0.5, 1, -2e-3), feature_model="net+1", info=info)
    assert len(rest) == len(bad)
    assert all(isinstance(e, Unusable) for e in rest)
    assert count_entries(path) == len(good) + len(bad)


def test_what_is_no_list_as_a_whole_is_refused(tmp_path: Path) -> None:
    touch(tmp_path, "x.txt")
    (tmp_path / "latin.csv").write_bytes(b"path,identity_id\n\xff.jpg,1\n")
    (tmp_path / "columns.csv").write_text("photo,id\na,b\n")
    for name in ("x.txt", "latin.csv", "columns.csv", "none"):
        with pytest.raises(CannotRun):
            count_entries(tmp_path / name)
