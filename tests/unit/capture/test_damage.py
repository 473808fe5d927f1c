"""Whatever happens to a byte or a line of a capture is noticed, and told with the file and the line."""

import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from capture.reader import CaptureReader
from contract.captures.values import CaptureError
from tests.support.captures import MODEL_SET, whole_capture

LINES = ["configs.jsonl", "people.jsonl", "requests.jsonl", f"looks/{MODEL_SET}.jsonl"]
FILES = ["capture.json", *LINES]
MASKS = [1, 2, 4, 8, 16, 32, 64, 128, 255]

Damage = Callable[[list[bytes]], list[bytes]]


def read_all(folder: Path) -> int:
    """Read everything that a capture contains; the number of values."""
    reader = CaptureReader(folder)
    values = [*reader.lines(), *reader.people(), *reader.configs(), *reader.looks(MODEL_SET)]
    for _, line in reader.lines():
        reader.picture(line.request.picture)
    return len(values)


def sentence_about(folder: Path) -> str:
    with pytest.raises(CaptureError) as error:
        read_all(folder)
    return str(error.value)


def names(sentence: str, file: str) -> bool:
    """Whether a sentence names a file, and the line where the file has lines."""
    return re.search(rf"line \d+ of {re.escape(file)}\b", sentence) is not None or (
        file == "capture.json" and file in sentence
    )


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return whole_capture(tmp_path_factory.mktemp("whole") / "capture")


@pytest.fixture
def changed(whole: Path, tmp_path: Path) -> Path:
    """A copy of the capture, to be damaged."""
    return shutil.copytree(whole, tmp_path / "capture")


def test_a_whole_capture_is_read(changed: Path) -> None:
    assert read_all(changed) == 4 + 3 + 2 + 3


@pytest.mark.parametrize("file", FILES)
def test_no_byte_can_be_changed_unnoticed(changed: Path, file: str) -> None:
    path = changed / file
    data = path.read_bytes()
    for at in range(len(data)):
        path.write_bytes(data[:at] + bytes([data[at] ^ MASKS[at % len(MASKS)]]) + data[at + 1 :])
        if file in LINES and at == len(data) - 1 and file.startswith("looks"):
            continue  # the last newline of a file of looks: the look counts as half written
        assert names(sentence_about(changed), file), at


@pytest.mark.parametrize("file", FILES)
def test_a_file_cannot_be_cut_unnoticed(changed: Path, file: str) -> None:
    path = changed / file
    data = path.read_bytes()
    for size in range(len(data)):
        path.write_bytes(data[:size])
        if file.startswith("looks"):
            assert read_all(changed) == 4 + 3 + 2 + data[:size].count(b"\n"), "whole looks count, the rest is computed"
        else:
            assert names(sentence_about(changed), file), size


@pytest.mark.parametrize("file", [file for file in LINES if not file.startswith("looks")])
def test_a_missing_file_is_named(changed: Path, file: str) -> None:
    (changed / file).unlink()
    assert f"has no {file}" in sentence_about(changed)


def test_a_changed_or_missing_picture_is_named(changed: Path) -> None:
    for path in (changed / "pictures").iterdir():
        data = path.read_bytes()
        path.write_bytes(data[:100] + bytes([data[100] ^ 1]) + data[101:])
        assert f"pictures/{path.name} is damaged: its sha256 is not its name" in sentence_about(changed)
        path.write_bytes(b"")
        assert f"pictures/{path.name} is damaged" in sentence_about(changed)
        path.unlink()
        assert re.match(rf"line \d of requests\.jsonl: pictures/{path.name} is missing", sentence_about(changed))
        path.write_bytes(data)
    assert read_all(changed) == 12


def deleted(lines: list[bytes], at: int) -> list[bytes]:
    return lines[:at] + lines[at + 1 :]


@pytest.mark.parametrize("file", LINES)
def test_lines_cannot_be_removed_doubled_or_moved_unnoticed(changed: Path, file: str) -> None:
    path = changed / file
    lines = path.read_bytes().splitlines(keepends=True)
    last = len(lines) - 1
    damaged = [deleted(lines, at) for at in range(len(lines)) if at != last or not file.startswith("looks")]
    damaged += [[*lines[:at], line, *lines[at:]] for at, line in enumerate(lines)]
    damaged += [
        [*lines[:a], lines[b], *lines[a + 1 : b], lines[a], *lines[b + 1 :]]
        for b in range(len(lines))
        for a in range(b)
    ]
    damaged += [[*lines[:at], b"\n", *lines[at:]] for at in range(len(lines) + 1)]
    for version in damaged:
        path.write_bytes(b"".join(version))
        assert names(sentence_about(changed), file), version


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_bytes_anywhere_are_an_error_that_names_the_file(whole: Path, changed: Path, data: st.DataObject) -> None:
    file = data.draw(st.sampled_from(FILES[:4]))
    before = (whole / file).read_bytes()
    begin = data.draw(st.integers(0, len(before)))
    end = data.draw(st.integers(begin, len(before)))
    new = data.draw(st.binary(max_size=60) | st.sampled_from([b"[" * 5000, b"\n" * 3, b"{}", b'"', before]))
    (changed / file).write_bytes(before[:begin] + new + before[end:])
    same = (changed / file).read_bytes() == before
    try:
        assert read_all(changed) == 12 if same else names(sentence_about(changed), file)
        if same or file != "capture.json":
            reader = CaptureReader(changed, keep_going=True)
            kept = [*reader.lines(), *reader.people(), *reader.configs()]
            assert len(kept) == 9 if same else len(reader.damage) == 1
    finally:
        (changed / file).write_bytes(before)
