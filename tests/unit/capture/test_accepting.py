"""Accepted decisions replace those of then all at once: whatever happens, the capture can be read, and accepted."""

import errno
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from msgspec import structs

from capture import replacement
from capture.accepting import Accepted, accepting
from capture.archive import pack, unpack
from capture.folder import CaptureFolder
from capture.reader import CaptureReader
from capture.rows import Difference, Row
from contract.captures.convert import ACCEPTED_FOLDER
from contract.captures.values import CaptureError
from contract.configs import model_set_record
from tests.support.captures import DECISION, captured, whole_capture
from tests.support.records import match_request

CALLS = ("mkdir", "open", "write", "fsync", "rename", "replace", "unlink", "rmdir")
"""The functions by which a capture is changed on its disk."""
OLD, NEW = ["matched"] * 4, ["matched", "stranger", "matched", "stranger"]
MODEL_SET = model_set_record(DECISION.models).key.decode()


def rows(folder: Path, differing: tuple[int, ...] = (2, 4)) -> Iterator[Row]:
    for number, line in CaptureReader(folder).lines():
        assert line.decision is not None
        if number not in differing:
            yield Row(number, line, "decide", line.decision)
            continue
        now = structs.replace(line.decision, outcome="stranger", retcode="0", identity_id="")
        yield Row(number, line, "look", now, (Difference("outcome", line.decision.outcome, "stranger"),))


def accept(folder: Path, differing: tuple[int, ...] = (2, 4)) -> int:
    accepted = Accepted()
    for _ in accepting(folder, rows(folder, differing), accepted):
        pass
    return accepted.decisions


def outcomes(folder: Path) -> list[str]:
    """The outcomes, after everything in the capture was checked; a new decision has its model set with it."""
    reader = CaptureReader(folder)
    found = [line.decision.outcome for _, line in reader.lines() if line.decision is not None]
    keys = [line.key for _, line in reader.configs()]
    assert keys == ["policy/0", "policy/1", *([MODEL_SET] if found == NEW else [])]
    return found


def call_number(wanted: int, then: Callable[[], None]) -> dict[str, Callable[..., Any]]:
    """Functions in place of `CALLS` of which the one that is called as number `wanted` does something else first."""
    count = 0

    def instead_of(real: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **named: Any) -> Any:
            nonlocal count
            count += 1
            if count == wanted:
                then()
            return real(*args, **named)

        return call

    return {name: instead_of(getattr(os, name)) for name in CALLS}


def killed_at(call: int, folder: Path) -> bool:
    """Accept in another process, which dies before the call with that number; return whether it came so far."""
    child = os.fork()
    if child == 0:
        for name, function in call_number(call, lambda: os._exit(9)).items():
            setattr(os, name, function)
        try:
            accept(folder)
        finally:
            os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 9


def fresh(template: Path, folder: Path) -> Path:
    shutil.rmtree(folder, ignore_errors=True)
    return Path(shutil.copytree(template, folder))


def test_accepted_decisions_replace_those_of_then(tmp_path: Path) -> None:
    folder = whole_capture(tmp_path / "c")
    assert (outcomes(folder), accept(folder), outcomes(folder)) == (OLD, 2, NEW)
    assert {path.name for path in folder.iterdir() if path.is_dir()} == {"pictures", "looks"}
    assert (folder / "requests.jsonl").stat().st_mode & 0o777 == 0o600
    assert (folder / "configs.jsonl").stat().st_mode & 0o777 == 0o600


def test_a_process_that_is_killed_leaves_the_old_or_the_new_decisions(tmp_path: Path) -> None:
    template, seen, call = whole_capture(tmp_path / "template"), list[list[str]](), 1
    while killed_at(call, folder := fresh(template, tmp_path / "c")):
        seen.append(outcomes(folder))
        assert CaptureReader(folder).manifest.complete
        assert accept(folder) == 2
        assert outcomes(folder) == NEW
        call += 1
    assert outcomes(folder) == NEW
    first_new = seen.index(NEW)
    assert seen == [OLD] * first_new + [NEW] * (len(seen) - first_new), "at one moment all decisions change"
    assert 0 < first_new < len(seen) - 3, "it also died while the new files were moved"


def test_after_an_error_the_capture_has_the_old_or_the_new_decisions(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    template, failed, call, seen = whole_capture(tmp_path / "template"), True, 1, list[str]()

    def fail() -> None:
        nonlocal failed
        failed = True
        raise OSError(errno.ENOSPC, "No space left on device")

    while failed:
        folder, failed = fresh(template, tmp_path / "c"), False
        with monkeypatch.context() as patched:
            for name, function in call_number(call, fail).items():
                patched.setattr(os, name, function)
            try:
                accept(folder)
            except CaptureError as error:
                seen.append(str(error))
        assert outcomes(folder) in (OLD, NEW)
        assert not folder.joinpath(f"{ACCEPTED_FOLDER}.half").exists(), "it would fill a disk that is full"
        assert accept(folder) == 2
        assert outcomes(folder) == NEW
        call += 1
    assert len(seen) > 10


@pytest.fixture
def half_moved(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A capture whose process ended when the new decisions were in force and no file was moved."""
    folder = whole_capture(tmp_path / "c")

    def end(_: Path) -> None:
        raise OSError(errno.EIO, "Input/output error")

    with monkeypatch.context() as patched:
        patched.setattr(replacement, "finish_replacement", end)
        with pytest.raises(CaptureError, match="Input/output error"):
            accept(folder)
    names = {path.name for path in (folder / ACCEPTED_FOLDER).iterdir()}
    assert names == {"capture.json", "configs.jsonl", "requests.jsonl"}
    return folder


def test_files_that_were_not_moved_yet_are_packed_as_they_count(half_moved: Path, tmp_path: Path) -> None:
    pack(half_moved, tmp_path / "half.tar.zst")
    unpack(tmp_path / "half.tar.zst", tmp_path / "again")
    assert outcomes(tmp_path / "again") == NEW
    accept(half_moved, ())
    pack(half_moved, tmp_path / "whole.tar.zst")
    assert (tmp_path / "half.tar.zst").read_bytes() == (tmp_path / "whole.tar.zst").read_bytes()


def test_files_that_were_not_moved_yet_are_moved_when_the_capture_is_continued(half_moved: Path) -> None:
    with CaptureFolder(half_moved) as out:
        assert not (half_moved / ACCEPTED_FOLDER).exists()
        out.append([captured(out, match_request(9), 9)])
    lines = [line for _, line in CaptureReader(half_moved).lines()]
    assert [line.decision.outcome for line in lines if line.decision] == [*NEW, "matched"]


def test_a_linked_folder_of_new_files_is_refused(tmp_path: Path) -> None:
    folder, other = whole_capture(tmp_path / "c"), whole_capture(tmp_path / "other")
    (folder / ACCEPTED_FOLDER).symlink_to(other)
    with pytest.raises(CaptureError, match="accepted is not a folder inside"):
        CaptureReader(folder)
    with pytest.raises(CaptureError, match="accepted is not a folder inside"), CaptureFolder(folder):
        pass
    assert outcomes(other) == OLD


def test_where_nothing_differs_nothing_is_written(tmp_path: Path) -> None:
    folder = whole_capture(tmp_path / "c")

    def files() -> dict[str, tuple[int, int]]:
        return {path.name: (path.stat().st_ino, path.stat().st_mtime_ns) for path in folder.iterdir() if path.is_file()}

    before = files()
    assert accept(folder, ()) == 0
    assert files() == before


def test_a_policy_line_keeps_fields_that_this_release_does_not_know(tmp_path: Path) -> None:
    folder = whole_capture(tmp_path / "c")
    before = (folder / "configs.jsonl").read_bytes()
    accept(folder)
    assert (folder / "configs.jsonl").read_bytes().startswith(before)
