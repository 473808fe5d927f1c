"""The sources of an import, which may come from anywhere, and its journal."""

import base64
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from clients.bulk import items as bulk_items
from clients.bulk.exported import Export, is_export
from clients.bulk.folder import PhotoFolder
from clients.bulk.items import Item, Person, Source, Unusable
from clients.bulk.journal import Failure, Journal, Tally
from clients.bulk.lists import ArrayList, CompreFaceTable, JsonLines, lines_of
from clients.errors import CannotRun


def array(folder: Path, rows: int = 3, lines: list[str] | None = None) -> ArrayList:
    np.save(folder / "f.npy", np.eye(rows, 4, dtype=np.float32))
    (folder / "f.csv").write_text("\n".join(lines or ["identity_id", *"abc"[:rows]]) + "\n")
    return ArrayList(folder / "f.npy", folder / "f.csv", "e-r1")


def numbers(face: dict[str, Any]) -> list[float]:
    return list(np.frombuffer(base64.b64decode(face["templates"]["whole"]), "<f4"))


def people(source: Source) -> dict[str, Person]:
    return {item.identity_id: item for item in source.items() if isinstance(item, Person)}


def unusable(source: Source) -> list[tuple[str, str]]:
    return [(item.where, item.reason) for item in source.items() if isinstance(item, Unusable)]


def test_rows_of_an_array_are_faces_of_the_people_of_its_list_in_any_order(tmp_path: Path) -> None:
    lines = ["identity_id,name,type,group_name,badge", "a,Ada,5,staff,7", "b,,,,", "a,Other,1,,"]
    source = array(tmp_path, 3, lines)
    found = people(source)
    assert source.count() == len(found) == 2
    assert found["a"].fields["info"] == {"name": "Ada", "type": 5, "badge": "7"}
    assert found["a"].fields["group_name"] == "staff"
    assert [numbers(face) for face in found["a"].fields["faces"]] == [[1, 0, 0, 0], [0, 0, 1, 0]]
    assert found["b"].fields["info"] == {"name": "b"}
    assert found["b"].fields["faces"][0]["embedder"] == "e-r1"


def test_an_array_that_is_no_array_of_numbers_or_has_other_rows_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CannotRun, match="has 2 lines below the first"):
        array(tmp_path, 3, ["identity_id", "a", "b"])
    np.save(tmp_path / "f.npy", np.array([{"a": 1}], object), allow_pickle=True)
    with pytest.raises(CannotRun, match="no array of numbers"):
        ArrayList(tmp_path / "f.npy", tmp_path / "f.csv", None)
    np.save(tmp_path / "f.npy", np.zeros(3))
    with pytest.raises(CannotRun, match="one row of floating-point numbers"):
        ArrayList(tmp_path / "f.npy", tmp_path / "f.csv", None)
    (tmp_path / "f.npy").write_bytes(b"PK\x03\x04 an archive")
    with pytest.raises(CannotRun, match="no array of numbers"):
        ArrayList(tmp_path / "f.npy", tmp_path / "f.csv", None)


def lines_source(folder: Path, *rows: Any) -> JsonLines:
    path = folder / "p.jsonl"
    path.write_text("".join(f"{row if isinstance(row, str) else json.dumps(row)}\n" for row in rows))
    return JsonLines(path, None)


def test_lines_of_one_person_that_follow_each_other_are_one_person(tmp_path: Path) -> None:
    whole = base64.b64encode(np.zeros(4, "<f4").tobytes()).decode()
    source = lines_source(
        tmp_path,
        {"identity_id": "a", "feature": [1, 0.5], "feature_model": "m-r1", "info": {"name": "Ada"}, "age": 3},
        {"identity_id": "a", "feature": whole, "embedder": "n-r1"},
        {"identity_id": "a", "path": "a.jpg"},
        {"identity_id": "b", "faces": [{"photo": "AAAA"}]},
    )
    found = people(source)
    assert [face.get("embedder") for face in found["a"].fields["faces"]] == ["m-r1", "n-r1", None]
    assert found["a"].fields["info"] == {"name": "Ada", "age": 3}
    assert found["a"].photos == {2: (tmp_path / "a.jpg").resolve()}
    assert found["b"].fields["faces"] == [{"photo": "AAAA"}]
    assert source.count() == 4


@pytest.mark.parametrize(
    "row",
    [
        "{",
        "[1]",
        {"identity_id": 3},
        {"identity_id": "a", "info": 3},
        {"identity_id": "a", "feature": ["x"]},
        {"identity_id": "a", "feature": {"x": 1}},
        {"identity_id": "a", "type": "x"},
        {"identity_id": "a", "path": "/etc/passwd"},
        {"identity_id": "a", "path": "../a.jpg"},
        {"identity_id": "a", "path": "link/a.jpg"},
        {"identity_id": "a", "path": "a\u0000.jpg"},
        {"identity_id": "a", "path": 3},
    ],
)
def test_a_line_that_cannot_be_used_is_an_item_with_its_reason(tmp_path: Path, row: Any) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "link").symlink_to(tmp_path)
    (item,) = lines_source(tmp_path / "in", row).items()
    assert isinstance(item, Unusable)
    assert item.where == "p.jsonl line 1"


def test_a_line_without_an_end_takes_no_memory_and_the_next_lines_are_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in ("clients.bulk.lists", "clients.bulk.items"):
        monkeypatch.setattr(f"{module}.MAX_LINE_BYTES", 100)
    source = lines_source(tmp_path, {"identity_id": "x" * 1000}, {"identity_id": "a"})
    found: list[Item] = list(source.items())
    assert [type(item) for item in found] == [Unusable, Person]
    path = tmp_path / "exact"
    path.write_bytes(b"x" * 100)
    with path.open("rb") as file:
        assert list(lines_of(file)) == [b"x" * 100]
    assert bulk_items.MAX_LINE_BYTES == 100


def test_the_folder_of_photos_has_no_links(tmp_path: Path) -> None:
    for name in ("a.jpg", "b/1.png", "b/2.jpg", "empty/x.txt", ".hidden.jpg"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"x")
    (tmp_path / "c.jpg").symlink_to("/etc/passwd")
    (tmp_path / "d").symlink_to("/etc")
    (tmp_path / "b" / "3.jpg").symlink_to("/etc/passwd")
    source = PhotoFolder(tmp_path)
    assert {who: len(item.photos) for who, item in people(source).items()} == {"a": 1, "b": 2}
    assert {where for where, _ in unusable(source)} == {"c.jpg", "d", "b/3.jpg", "empty/x.txt", "empty"}


def test_the_table_of_compreface(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text('subject_name,calculator,embedding\na,x/y,"{1,2e-1}"\na,x/y,"[3,4]"\nb,x/y,"{1,no}"\n')
    source = CompreFaceTable(path, None)
    found = people(source)
    assert [face["embedder"] for face in found["a"].fields["faces"]] == ["x-y", "x-y"]
    assert numbers(found["a"].fields["faces"][1]) == [3, 4]
    assert [where for where, _ in unusable(source)] == ["t.csv line 4"]
    (named,) = people(CompreFaceTable(path, "own-r1")).values()
    assert named.fields["faces"][0]["embedder"] == "own-r1"


def test_a_file_that_only_begins_like_an_export_imports_nobody(tmp_path: Path) -> None:
    path = tmp_path / "e.jsonl"
    for text in ("", '{"format":"picturematch people"}\n', '{"format":"picturematch people"', "\n\n"):
        path.write_text(text)
        with pytest.raises(CannotRun):
            Export(path)
    assert not is_export(path)


def test_the_journal_knows_what_is_done_and_ignores_half_a_line(tmp_path: Path) -> None:
    source, path = tmp_path / "s", tmp_path / "state"
    source.write_text("x")
    failed = Failure("line 3", "c", "no face", 40004)
    with Journal(path, [source], "http://here") as journal:
        journal.note([0, 1, 4], Tally(2, 0, 3, 1, [failed]))
        with pytest.raises(CannotRun, match="another import uses"), Journal(path, [source], "http://here"):
            pass
    assert path.stat().st_mode & 0o777 == 0o600
    with path.open("ab") as file:
        file.write(b'{"items":[[5')
    with Journal(path, [source], "http://here") as journal:
        assert [journal.is_done(item) for item in range(6)] == [True, True, False, False, True, False]
        assert journal.tally == Tally(2, 0, 3, 1, [failed])
        journal.note([2], Tally(1))
    with Journal(path, [source], "http://here") as journal:
        assert (journal.done, journal.tally.added) == (4, 3)
    with pytest.raises(CannotRun, match="another import"), Journal(path, [source], "http://elsewhere"):
        pass
    source.write_text("changed")
    with pytest.raises(CannotRun, match="has changed"), Journal(path, [source], "http://here"):
        pass


def test_a_journal_that_is_damaged_or_a_link_is_refused(tmp_path: Path) -> None:
    source, path = tmp_path / "s", tmp_path / "state"
    source.write_text("x")
    with Journal(path, [source], "u"):
        pass
    whole = path.read_bytes()
    for line in (b"[]\n", b'{"items":[[1,"x"]],"failures":[]}\n', b'{"items":[],"failures":[{}]}\n', b"\xff\n"):
        path.write_bytes(whole + line)
        with pytest.raises(CannotRun, match="damaged"), Journal(path, [source], "u"):
            pass
    path.unlink()
    path.symlink_to(source)
    with pytest.raises(OSError, match="symbolic links"), Journal(path, [source], "u"):
        pass
    assert source.read_text() == "x"
