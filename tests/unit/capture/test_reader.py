"""What a reader refuses, and what it reads of a damaged capture where it is told to keep going."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from msgspec import structs

from capture.folder import CaptureFolder
from capture.reader import MOST_DAMAGE, CaptureReader
from contract.captures.convert import format_manifest, new_manifest, parse_manifest
from contract.captures.sealed import LONGEST_LINE
from contract.captures.values import CaptureError, PeopleLine
from contract.pictures.digest import picture_digest
from tests.support.captures import MODEL_SET, captured, whole_capture
from tests.support.records import jpeg, match_request

GOLDEN = Path(__file__).parents[2] / "golden" / "0.1.0" / "capture"


@pytest.fixture
def capture(tmp_path: Path) -> Path:
    return whole_capture(tmp_path / "capture")


def spoil(path: Path, line: int) -> None:
    """Change a byte of a line, which is counted from 1."""
    lines = path.read_bytes().splitlines(keepends=True)
    lines[line - 1] = lines[line - 1].replace(b"1", b"2", 1)
    path.write_bytes(b"".join(lines))


def ids(reader: CaptureReader) -> list[str]:
    return [line.request_id for _, line in reader.lines()]


def test_a_capture_is_read_up_to_its_damage_and_says_what_was_wrong(capture: Path) -> None:
    spoil(capture / "requests.jsonl", 3)
    with pytest.raises(CaptureError, match=r"^line 3 of requests\.jsonl is damaged"):
        CaptureReader(capture)
    reader = CaptureReader(capture, keep_going=True)
    assert reader.count == 4
    assert reader.damage == ()
    assert ids(reader) == ["r0", "r1"]
    (sentence,) = reader.damage
    assert sentence.startswith("line 3 of requests.jsonl is damaged")
    assert ids(reader) == ["r0", "r1"]
    assert len(reader.damage) == 1, "what was found twice is told once"


def test_people_are_known_up_to_their_damage(capture: Path) -> None:
    spoil(capture / "people.jsonl", 2)
    reader = CaptureReader(capture, keep_going=True)
    assert reader.people_until is None
    assert [line.offset for _, line in reader.people()] == [0]
    assert reader.people_until == 1
    assert ids(reader) == ["r0", "r1", "r2", "r3"]


def test_people_of_a_whole_capture_are_known_without_limit(capture: Path) -> None:
    reader = CaptureReader(capture, keep_going=True)
    assert len(list(reader.people())) == 3
    assert (reader.people_until, reader.damage) == (None, ())


def test_people_whose_offsets_do_not_rise_are_damaged(tmp_path: Path) -> None:
    with CaptureFolder(tmp_path) as folder:
        folder.append_people([PeopleLine(offset=n, time=1.0, key=b"person/a", value=None) for n in (4, 4)])
    with pytest.raises(CaptureError, match=r"line 2 of people\.jsonl is damaged: its offset is not the next higher"):
        CaptureReader(tmp_path)
    reader = CaptureReader(tmp_path, keep_going=True)
    assert len(list(reader.people())) == 1
    assert reader.people_until == 5


def test_a_recording_that_did_not_end_is_refused_with_both_ways_on(tmp_path: Path) -> None:
    out = tmp_path / "out"
    folder = CaptureFolder(out).__enter__()
    folder.append_people([PeopleLine(offset=7, time=1.0, key=b"person/a", value=None)])
    folder.append([captured(folder, match_request(1), 1)])
    with pytest.raises(CaptureError, match=rf"is not complete.*picturematch record --out {out}, or .*--keep-going"):
        CaptureReader(out)
    reader = CaptureReader(out, keep_going=True)
    assert reader.count is None
    assert (ids(reader), len(list(reader.people()))) == (["r1"], 1)
    assert reader.people_until == 8, "later people may not have been written yet"
    assert len(reader.damage) == 1
    folder.__exit__(None, None, None)
    assert CaptureReader(out).count == 1


def test_a_missing_picture_does_not_stop_who_keeps_going(capture: Path) -> None:
    sha256 = next(line.request.picture for n, line in CaptureReader(capture).lines() if n == 2)
    (capture / "pictures" / f"{sha256}.jpg").unlink()
    reader = CaptureReader(capture, keep_going=True)
    assert not reader.has_picture(sha256)
    assert ids(reader) == ["r0", "r1", "r2", "r3"]
    assert [sentence.partition(": ")[0] for sentence in reader.damage] == ["line 2 of requests.jsonl"]


def test_a_picture_that_is_another_is_noted_when_it_is_read(capture: Path) -> None:
    sha256 = next(line.request.picture for _, line in CaptureReader(capture).lines())
    (capture / "pictures" / f"{sha256}.jpg").write_bytes(b"another")
    reader = CaptureReader(capture, keep_going=True)
    with pytest.raises(CaptureError, match="its sha256 is not its name"):
        reader.picture(sha256)
    assert len(reader.damage) == 1


def test_only_so_many_sentences_are_kept(tmp_path: Path) -> None:
    capture = whole_capture(tmp_path / "many", requests=MOST_DAMAGE + 5)
    for path in (capture / "pictures").iterdir():
        path.unlink()
    reader = CaptureReader(capture, keep_going=True)
    assert len(ids(reader)) == MOST_DAMAGE + 5
    assert len(reader.damage) == MOST_DAMAGE


@pytest.mark.parametrize("name", ["requests.jsonl", "people.jsonl", "configs.jsonl"])
def test_lines_that_are_missing_at_the_end_are_noticed(capture: Path, name: str) -> None:
    lines = (capture / name).read_bytes().splitlines(keepends=True)
    (capture / name).write_bytes(b"".join(lines[:-1]))
    with pytest.raises(CaptureError, match=rf"line {len(lines)} of {name} is missing: the file ends after"):
        CaptureReader(capture)


def test_a_manifest_without_a_seal_is_damaged(capture: Path) -> None:
    manifest = parse_manifest((capture / "capture.json").read_bytes())
    (capture / "capture.json").write_bytes(format_manifest(structs.replace(manifest, files={})))
    with pytest.raises(CaptureError, match=r"capture\.json is damaged: it has no seal of requests\.jsonl"):
        CaptureReader(capture)


def test_a_manifest_that_is_none_or_of_another_version_is_refused_in_every_mode(capture: Path) -> None:
    for data in (b"", b"{", format_manifest(structs.replace(new_manifest(), version=9)), b"x" * 2_000_000):
        (capture / "capture.json").write_bytes(data)
        for keep_going in (False, True):
            with pytest.raises(CaptureError, match=r"capture\.json|format version 9"):
                CaptureReader(capture, keep_going=keep_going)


@pytest.mark.parametrize("keep_going", [False, True])
def test_a_line_that_is_too_long_is_not_read_to_its_end(capture: Path, keep_going: bool) -> None:
    with (capture / "requests.jsonl").open("ab") as file:
        file.truncate(file.tell() + 1024**4)  # a terabyte without a line break, which takes no space on the disk
    if keep_going:
        reader = CaptureReader(capture, keep_going=True)
        assert len(ids(reader)) == 4
        (sentence,) = reader.damage
    else:
        with pytest.raises(CaptureError) as error:
            CaptureReader(capture)
        sentence = str(error.value)
    assert sentence == f"line 5 of requests.jsonl is longer than {LONGEST_LINE} bytes"


def replaced_by_link(path: Path) -> None:
    target = path.rename(path.parent.parent / "elsewhere")
    path.symlink_to(target)


def replaced_by_fifo(path: Path) -> None:
    path.rename(path.parent.parent / "elsewhere")
    os.mkfifo(path)


def replaced_by_folder(path: Path) -> None:
    path.rename(path.parent.parent / "elsewhere")
    path.mkdir()


@pytest.mark.parametrize("replace", [replaced_by_link, replaced_by_fifo, replaced_by_folder])
@pytest.mark.parametrize("name", ["capture.json", "requests.jsonl", "people.jsonl", "configs.jsonl"])
def test_only_regular_files_are_read(capture: Path, name: str, replace: Callable[[Path], None]) -> None:
    replace(capture / name)
    with pytest.raises(CaptureError, match=rf"{name} (is not a regular file|cannot be opened: it is a symbolic link)"):
        CaptureReader(capture)


@pytest.mark.parametrize("replace", [replaced_by_link, replaced_by_fifo, replaced_by_folder])
def test_only_regular_files_are_pictures_and_looks(capture: Path, replace: Callable[[Path], None]) -> None:
    picture = next((capture / "pictures").iterdir())
    replace(picture)
    with pytest.raises(CaptureError, match=r"line \d of requests\.jsonl: .* is missing or not a regular file"):
        CaptureReader(capture)
    reader = CaptureReader(capture, keep_going=True)
    with pytest.raises(CaptureError, match=r"not a regular file|symbolic link"):
        reader.picture(picture.stem)
    (capture / "elsewhere").unlink(missing_ok=True)
    replace(capture / "looks" / f"{MODEL_SET}.jsonl")
    assert list(reader.looks(MODEL_SET)) == []
    assert "delete the file" in reader.damage[-1]


@pytest.mark.parametrize("name", ["pictures", "looks"])
def test_a_folder_of_the_capture_may_not_lead_elsewhere(capture: Path, name: str) -> None:
    replaced_by_link(capture / name)
    for keep_going in (False, True):
        with pytest.raises(CaptureError, match=f"{name} is not a folder inside"):
            CaptureReader(capture, keep_going=keep_going)


@pytest.mark.parametrize("model_set", ["", "../requests", "a/b", "a" * 65, "a\n"])
def test_looks_are_of_a_model_set_and_no_path(capture: Path, model_set: str) -> None:
    with pytest.raises(CaptureError, match="is not the id of a model set"):
        CaptureReader(capture).looks(model_set)


def test_a_capture_of_version_1_is_read_for_posting() -> None:
    reader = CaptureReader(GOLDEN)
    assert reader.manifest.version == 1
    assert reader.count == len(ids(reader)) > 0
    assert list(reader.people()) == list(reader.configs()) == list(reader.looks(MODEL_SET)) == []
    keeping = CaptureReader(GOLDEN, keep_going=True)
    assert (len(ids(keeping)), keeping.damage, keeping.people_until) == (reader.count, (), None)


def test_what_a_device_calls_a_picture_is_none_of_the_capture(tmp_path: Path) -> None:
    request = structs.replace(match_request(1), grab_fiqa_info={"picture": "a" * 64})
    with CaptureFolder(tmp_path) as folder:
        folder.append([captured(folder, request, 1)])
    assert CaptureReader(tmp_path).count == 1


def test_a_missing_infrared_picture_is_noticed(tmp_path: Path) -> None:
    request = structs.replace(match_request(1), ir_picture=jpeg(2))
    with CaptureFolder(tmp_path) as folder:
        folder.append([captured(folder, request, 1)])
    (tmp_path / "pictures" / f"{picture_digest(jpeg(2))}.jpg").unlink()
    with pytest.raises(CaptureError, match=rf"line 1 of requests\.jsonl: pictures/{picture_digest(jpeg(2))}\.jpg is"):
        CaptureReader(tmp_path)


def test_values_of_other_types_are_refused_when_the_line_is_read(tmp_path: Path) -> None:
    with CaptureFolder(tmp_path) as folder:
        folder.append([captured(folder, match_request(1), 1)])
        folder.append([PeopleLine(offset=1, time=1.0, key=b"k", value=None)])  # type: ignore[list-item]
    reader = CaptureReader(tmp_path)
    lines = reader.lines()
    assert next(lines)[0] == 1
    with pytest.raises(CaptureError, match=r"line 2 of requests\.jsonl cannot be read"):
        next(lines)
