"""The sources of an import, which may come from anywhere, and its journal."""

import base64
import hashlib
import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from clients.bulk import items as bulk_items
from clients.bulk.exported import Export, is_export
from clients.bulk.folder import PhotoFolder
from clients.bulk.items import Item, Person, Source, Unusable
from clients.bulk.journal import Failure, Journal, Tally
from clients.bulk.lists import ArrayList, CompreFaceTable, JsonLines, header_of, lines_of
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
        {"identity_id": "b", "faces": [{"photo": "AAAA"}], "feature": None, "path": None},
        {"identity_id": "b", "faces": None},
    )
    found = people(source)
    assert [face.get("embedder") for face in found["a"].fields["faces"]] == ["m-r1", "n-r1", None]
    assert found["a"].fields["info"] == {"name": "Ada", "age": 3}
    assert found["a"].photos == {2: (tmp_path / "a.jpg").resolve()}
    assert found["b"].fields["faces"] == [{"photo": "AAAA"}]
    assert source.count() == 2


def test_a_person_with_a_line_that_cannot_be_used_is_not_imported_in_parts(tmp_path: Path) -> None:
    good, bad = {"identity_id": "a", "feature": [1.0]}, {"identity_id": "a", "feature": ["x"]}
    source = lines_source(tmp_path, good, bad, good, {"identity_id": "b"}, "{", good, {"identity_id": "b"}, bad, good)
    found = list(source.items())
    assert [(type(item), item.identity_id) for item in found] == [
        (Unusable, "a"),
        (Person, "b"),
        (Unusable, ""),
        (Person, "a"),
        (Person, "b"),
        (Unusable, "a"),
    ]
    assert [item.where for item in found[::5]] == ["p.jsonl line 2", "p.jsonl line 8"]
    assert source.count() == len(found), "the progress reaches its end"


def test_cells_without_a_column_are_an_error_of_the_line(tmp_path: Path) -> None:
    """A comma without quotation marks moves the cells behind it to other columns."""
    source = array(tmp_path, 3, ["identity_id,name,badge", "a,Ada,1", "b,Bo, Jr,2", "c,Cy,3"])
    assert [where for where, _ in unusable(source)] == ["f.csv line 3"]
    assert people(source).keys() == {"a", "c"}
    path = tmp_path / "t.csv"
    path.write_text("subject,calculator,embedding\na,x,{1,2}\n")
    assert [reason for _, reason in unusable(CompreFaceTable(path, None))] == [
        "the line has more cells than the first line has columns: a cell with a comma needs quotation marks"
    ]


def test_an_array_of_more_rows_than_a_number_of_the_machine_is_refused(tmp_path: Path) -> None:
    source = array(tmp_path)
    whole, shape = source.files[0].read_bytes(), b"(%d, 4)" % 10**40
    source.files[0].write_bytes(whole.replace(b"(3, 4), }".ljust(len(shape) + 3), shape + b", }"))
    assert shape in source.files[0].read_bytes()
    with pytest.raises(CannotRun, match="no array of numbers"):
        ArrayList(*source.files, None)


def test_a_header_that_is_no_csv_is_one_sentence(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("x" * 200_000 + ",embedding\n")
    with pytest.raises(CannotRun, match="not a CSV file"):
        header_of(path)


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
        {"identity_id": "a", "path": "loop/a.jpg"},
        {"identity_id": "a", "faces": {"templates": {}}},
    ],
)
def test_a_line_that_cannot_be_used_is_an_item_with_its_reason(tmp_path: Path, row: Any) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "link").symlink_to(tmp_path)
    (tmp_path / "in" / "loop").symlink_to("loop")
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
    assert source.count() == 2
    (named,) = people(CompreFaceTable(path, "own-r1")).values()
    assert named.fields["faces"][0]["embedder"] == "own-r1"


def export_of(folder: Path, *lines: bytes, head: bytes | None = None) -> Path:
    """An export with a right checksum."""
    counts = {"photos": False, "people": len(lines), "faces": 0, "groups": 0, "permissions": 0, "embedders": {}}
    first = (
        head or json.dumps({"format": "picturematch people", "version": 1, **counts}, separators=(",", ":")).encode()
    )
    written = b"".join(line + b"\n" for line in (first, *lines))
    path = folder / "e.jsonl"
    path.write_bytes(written + b'{"end":true,"sha256":"%s"}\n' % hashlib.sha256(written).hexdigest().encode())
    return path


DEEP = b"[" * 100_000 + b"]" * 100_000


@pytest.mark.parametrize("line", [b'{"person":x', b'{"person":1}', b'{"person":{},"x":1}', b'{"x":{}}', b"3", DEEP])
def test_an_export_with_a_line_of_something_else_imports_nobody(tmp_path: Path, line: bytes) -> None:
    with pytest.raises(CannotRun, match="a line cannot be read"):
        Export(export_of(tmp_path, line))


def test_an_export_with_a_longer_line_than_an_import_reads_is_not_called_damaged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = export_of(tmp_path, b'{"person":{"identity_id":"%s"}}' % (b"x" * 1000))
    monkeypatch.setattr("clients.bulk.lists.MAX_LINE_BYTES", 1000)
    with pytest.raises(CannotRun, match="export the people without --photos"):
        Export(path)


def test_an_export_whose_first_line_is_nested_without_an_end_imports_nobody(tmp_path: Path) -> None:
    head = b'{"format":"picturematch people","x":%s}' % DEEP
    with pytest.raises(CannotRun, match="damaged"):
        Export(export_of(tmp_path, head=head))


@pytest.mark.parametrize("change", ["shorter", "other", "longer", "no export"])
def test_an_export_that_changes_while_it_is_imported_ends_the_import(tmp_path: Path, change: str) -> None:
    lines = [b'{"person":{"identity_id":"%s"}}' % who for who in (b"a", b"b")]
    source = Export(export_of(tmp_path, *lines))
    assert list(people(source)) == ["a", "b"]
    if change == "no export":
        source.files[0].write_bytes(b"x\n" * 9)
    else:
        count = {"shorter": 1, "other": 2, "longer": 3}[change]
        export_of(tmp_path, *[b'{"person":{"identity_id":"c"}}'] * count)
    with pytest.raises(CannotRun, match="was changed while it was imported"):
        list(source.items())


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


def test_a_journal_whose_first_line_a_crash_cut_off_begins_anew(tmp_path: Path) -> None:
    source, path = tmp_path / "s", tmp_path / "state"
    source.write_text("x")
    with Journal(path, [source], "u") as journal:
        first = path.read_bytes()
        journal.note([0], Tally(1))
    path.write_bytes(first[:-9])
    with Journal(path, [source], "u") as journal:
        assert (journal.done, path.read_bytes()) == (0, first)


@pytest.mark.parametrize("change", ["new", "new in a folder", "gone", "another photo"])
def test_a_folder_that_has_changed_is_not_gone_on_with(tmp_path: Path, change: str) -> None:
    """The journal has places, which a new photo moves: whoever takes the place of somebody done would be left out."""
    folder, path = tmp_path / "photos", tmp_path / "state"
    for name in ("b.jpg", "c/1.jpg"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"x")
    with Journal(path, [folder], "u") as journal:
        journal.note([0], Tally(1))
    (folder / ".hidden").write_bytes(b"x")
    with Journal(path, [folder], "u") as journal:
        assert journal.done == 1
    match change:
        case "new":
            (folder / "a.jpg").write_bytes(b"x")
        case "new in a folder":
            (folder / "c" / "0.jpg").write_bytes(b"x")
        case "gone":
            (folder / "b.jpg").unlink()
        case _:
            (folder / "c" / "1.jpg").write_bytes(b"other")
    with pytest.raises(CannotRun, match="has changed"), Journal(path, [folder], "u"):
        pass


def test_names_of_files_that_are_not_utf_8_are_errors_of_their_items(tmp_path: Path) -> None:
    folder = tmp_path / os.fsdecode(b"\xff-photos")
    (folder / os.fsdecode(b"\xfe")).mkdir(parents=True)
    for name in (b"\xfd.jpg", b"\xfc.txt", b"\xfe/1.jpg", b"\xfe/\xfb"):
        (folder / os.fsdecode(name)).write_bytes(b"x")
    source = PhotoFolder(folder)
    assert [where for where, _ in unusable(source)] == [r"\xfc.txt", r"\xfd.jpg", r"\xfe/\xfb", r"\xfe"]
    listed = tmp_path / os.fsdecode(b"\xfa.jsonl")
    listed.write_text("{")
    assert unusable(JsonLines(listed, None)) == [(r"\xfa.jsonl line 1", "not a JSON object")]
    with Journal(tmp_path / "state", source.files, "u") as journal:
        journal.note([0], Tally(failures=[Failure(where, "", "x") for where, _ in unusable(source)]))
    with Journal(tmp_path / "state", source.files, "u") as journal:
        assert len(journal.tally.failures) == 4


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
