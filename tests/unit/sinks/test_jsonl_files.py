import base64
import errno
import json
import shutil
import stat
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import pytest

from broker.port import Record
from sinks.jsonl import JsonlSink
from sinks.jsonl_files import JsonlFiles
from sinks.jsonl_lines import line_of
from sinks.port import PartitionOffsets, SinkError

NOW_S = 1_700_000_000.0
ENDS = {0: 1000, 1: 1000, 2: 1000}


def record(offset: int, partition: int = 0, value: bytes | None = None) -> Record:
    body = json.dumps({"id": f"{partition}-{offset}"}).encode() if value is None else value
    return Record("events", partition, offset, 0, None, body)


def files(folder: Path, **changes: object) -> JsonlFiles:
    arguments: dict[str, object] = {"topic": "events", "group": "g", "max_bytes": 10_000, "max_age_s": 3600.0}
    return JsonlFiles(folder, **(arguments | changes))  # type: ignore[arg-type]


def take(
    target: JsonlFiles, ends: Mapping[int, int] = ENDS, there: Callable[[int, int], Record | None] | None = None
) -> None:
    """Open the files on a log that holds `record(offset, partition)` at every place, or what `there` says."""
    found = there or (lambda partition, offset: record(offset, partition))
    target.settle(ends, {place: found(*place) for place in target.open()})


def written(folder: Path) -> list[str]:
    lines = [line for path in sorted(folder.glob("events-*")) for line in path.read_text().splitlines()]
    return [json.loads(line)["id"] for line in lines]


def write_all(target: JsonlFiles, records: Sequence[Record], now_s: float = NOW_S) -> None:
    target.write(records, now_s)
    target.sync()


def test_a_line_is_the_event_with_its_place_before_it() -> None:
    value = b'{"id":"a","score":0.10000000000000001,"big":123456789012345678901234567890}'
    line = line_of(record(7, 1, value))
    place = b'{"place":{"topic":"events","partition":1,"offset":7},'
    assert line == place + value[1:] + b"\n"


@pytest.mark.parametrize("value", [b"{}", b" {} ", b'{\n "id": "a"\n}\n', b'{"id":"a\\nb"}'])
def test_a_line_is_one_line_and_holds_the_whole_event(value: bytes) -> None:
    line = line_of(record(7, 1, value))
    assert line.count(b"\n") == 1
    parsed = json.loads(line)
    assert parsed.pop("place") == {"topic": "events", "partition": 1, "offset": 7}
    assert parsed == json.loads(value)


@pytest.mark.parametrize("value", [b"", b"[1]", b"\xff\x00", b'{"id":', b"17", b'{"id":"a","place":{"offset":99}}'])
def test_what_is_no_event_is_kept_as_it_came(value: bytes) -> None:
    assert base64.b64decode(json.loads(line_of(record(7, 1, value)))["unreadable"]) == value


def test_files_and_folder_are_private(tmp_path: Path) -> None:
    folder = tmp_path / "new" / "out"
    target = files(folder)
    take(target)
    write_all(target, [record(0)])
    target.close()
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert {stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()} == {0o600}
    assert sorted(path.name for path in folder.iterdir())[1:] == ["sink.json", "written.json"]


def test_records_that_come_again_are_written_once(tmp_path: Path) -> None:
    first = files(tmp_path)
    take(first)
    write_all(first, [record(0), record(0, 1), record(1)])
    write_all(first, [record(0), record(1), record(2)])
    first.close()

    again = files(tmp_path)
    take(again)
    write_all(again, [record(0), record(0, 1), record(1), record(2), record(3), record(1, 1)])
    again.close()
    assert written(tmp_path) == ["0-0", "1-0", "0-1", "0-2", "0-3", "1-1"]


@pytest.mark.parametrize("cut", range(1, 70, 7))
def test_a_half_line_is_cut_off_and_written_again(tmp_path: Path, cut: int) -> None:
    first = files(tmp_path)
    take(first)
    write_all(first, [record(0), record(1)])
    first.close()
    (path,) = tmp_path.glob("events-*")
    path.write_bytes(path.read_bytes()[:-cut])

    again = files(tmp_path)
    take(again)
    write_all(again, [record(0), record(1)])
    again.close()
    assert written(tmp_path) == ["0-0", "0-1"]


def test_a_full_file_is_followed_by_another(tmp_path: Path) -> None:
    target = files(tmp_path, max_bytes=200)
    take(target)
    for offset in range(9):
        write_all(target, [record(offset)])
    target.close()
    paths = sorted(tmp_path.glob("events-*"))
    assert len(paths) > 2
    assert all(path.stat().st_size <= 200 for path in paths)
    assert written(tmp_path) == [f"0-{n}" for n in range(9)]
    assert paths[0].name == "events-00000001-20231114T221320Z.jsonl"


def test_an_old_file_is_followed_by_another_also_after_a_restart(tmp_path: Path) -> None:
    target = files(tmp_path, max_age_s=60)
    take(target)
    write_all(target, [record(0)], NOW_S)
    write_all(target, [record(1)], NOW_S + 59)
    write_all(target, [record(2)], NOW_S + 60)
    target.close()
    target = files(tmp_path, max_age_s=60)
    take(target)
    write_all(target, [record(3)], NOW_S + 121)
    target.close()
    assert [len(path.read_text().splitlines()) for path in sorted(tmp_path.glob("events-*"))] == [2, 1, 1]


def test_a_folder_of_something_else_is_refused(tmp_path: Path) -> None:
    (tmp_path / "letter.txt").write_text("dear")
    with pytest.raises(SinkError, match="not empty and not a folder of this sink"):
        take(files(tmp_path))


def test_a_folder_belongs_to_one_group_and_topic(tmp_path: Path) -> None:
    first = files(tmp_path)
    take(first)
    first.close()
    for change in ({"group": "h"}, {"topic": "other"}):
        other = files(tmp_path, **change)
        with pytest.raises(SinkError, match="contains the events of topic events for group g"):
            take(other)
        other.close()


def test_a_folder_has_one_writer(tmp_path: Path) -> None:
    first, second = files(tmp_path), files(tmp_path)
    take(first)
    with pytest.raises(SinkError, match="another process writes"):
        take(second)
    second.close()
    first.close()


def test_a_folder_of_another_log_is_refused(tmp_path: Path) -> None:
    first = files(tmp_path)
    take(first)
    write_all(first, [record(20)])
    first.close()
    for ends in ({0: 20}, {1: 1000}):
        other = files(tmp_path)
        with pytest.raises(SinkError, match="another data folder"):
            take(other, ends)
        other.close()


def test_a_folder_of_a_log_that_was_made_again_is_refused_and_of_one_that_was_shortened_goes_on(tmp_path: Path) -> None:
    first = files(tmp_path)
    take(first)
    write_all(first, [record(20)])
    first.close()
    other = files(tmp_path)
    with pytest.raises(SinkError, match="another data folder"):
        take(other, there=lambda partition, offset: record(offset, partition, b'{"id":"another"}'))
    other.close()
    take(first, there=lambda *_: None)  # its retention removed the event
    write_all(first, [record(20), record(21)])
    first.close()
    assert written(tmp_path) == ["0-20", "0-21"]


def test_a_folder_goes_on_when_the_log_has_damaged_the_record_of_its_last_line(tmp_path: Path) -> None:
    first = files(tmp_path)
    take(first)
    write_all(first, [record(0), record(1)])
    first.close()
    second = files(tmp_path)
    take(second, there=lambda partition, offset: Record("events", partition, offset, 0, None, b"", damaged=True))
    write_all(second, [record(1), record(2)])
    second.close()
    assert written(tmp_path) == ["0-0", "0-1", "0-2"]


def flipped(content: bytes, old: bytes, new: bytes) -> bytes:
    assert content.count(old) == 1
    return content.replace(old, new)


def test_a_damaged_line_of_what_is_durable_has_nothing_doubled_or_left_out(tmp_path: Path) -> None:
    first = files(tmp_path)
    take(first)
    write_all(first, [record(0), record(1)])
    first.close()
    (path,) = tmp_path.glob("events-*")
    damaged = flipped(path.read_bytes(), b'"offset":1}', b'"offset":7}')
    path.write_bytes(damaged)
    take(first)
    write_all(first, [record(offset) for offset in range(9)])
    first.close()
    assert path.read_bytes().startswith(damaged)
    assert written(tmp_path) == [f"0-{offset}" for offset in range(9)]


@pytest.mark.parametrize("damage", [(b'"offset":2}', b'"offset":7}'), (b'"0-2"', b'"0-3"'), (b'{"place":{', b"{")])
def test_a_damaged_line_that_is_not_committed_is_cut_off_and_written_again(
    tmp_path: Path, damage: tuple[bytes, bytes], caplog: pytest.LogCaptureFixture
) -> None:
    first = files(tmp_path)
    take(first)
    write_all(first, [record(0)])
    first.write([record(1), record(0, 1), record(2), record(1, 1)], NOW_S)
    first.close()
    (path,) = tmp_path.glob("events-*")
    lines = path.read_bytes().splitlines(keepends=True)
    lines[3] = flipped(lines[3], *damage)
    path.write_bytes(b"".join(lines))
    take(first)
    write_all(first, [record(offset, p) for offset in range(9) for p in (0, 1)])
    first.close()
    assert sorted(written(tmp_path)) == sorted(f"{p}-{offset}" for offset in range(9) for p in (0, 1))
    (told,) = caplog.messages
    assert told.startswith(f"2 lines at the end of {path} were written before a crash and differ from the log")


@pytest.mark.parametrize("harm", ["none", "missing", "flipped", "half", "empty"])
def test_how_far_a_folder_is_is_read_off_its_files_when_the_note_is_lost(tmp_path: Path, harm: str) -> None:
    first = files(tmp_path, max_bytes=200)
    take(first)
    for offset in range(9):
        write_all(first, [record(offset, offset % 3)])
    for offset in (9, 12):
        write_all(first, [record(offset)])
    first.close()
    assert len(list(tmp_path.glob("events-*"))) > 3
    note = tmp_path / "written.json"
    content = note.read_bytes()
    match harm:
        case "missing":
            note.unlink()
        case "flipped":
            note.write_bytes(flipped(content, b'"offset":8', b'"offset":5'))
        case "half":
            note.write_bytes(content[:-40])
        case "empty":
            note.write_bytes(b"")
    take(first)
    write_all(first, [record(offset, offset % 3) for offset in (*range(10), 12, 13)])
    first.close()
    assert written(tmp_path) == [f"{offset % 3}-{offset}" for offset in (*range(10), 12, 13)]


def test_what_was_written_of_a_partition_is_not_written_again_in_a_later_file(tmp_path: Path) -> None:
    first = files(tmp_path, max_bytes=1)
    take(first)
    write_all(first, [record(0), record(0, 1)])
    write_all(first, [record(1)])
    first.close()
    take(first)
    write_all(first, [record(0, 1), record(1, 1)])
    first.close()
    assert written(tmp_path) == ["0-0", "1-0", "0-1", "1-1"]
    assert len(list(tmp_path.glob("events-*"))) == 3


def test_a_file_that_was_begun_and_got_no_line_hides_nothing_that_was_written_before(tmp_path: Path) -> None:
    first = files(tmp_path)
    take(first)
    write_all(first, [record(0), record(0, 1)])
    first.close()
    (tmp_path / "events-00000002-20231114T221321Z.jsonl").touch()
    take(first)
    write_all(first, [record(0, 1), record(1, 1)])
    first.close()
    assert written(tmp_path) == ["0-0", "1-0", "1-1"]


@pytest.mark.parametrize("way", ["moved", "deleted", "replaced"])
def test_a_folder_that_goes_away_while_it_is_written_fails_before_anything_is_committed(
    tmp_path: Path, way: str
) -> None:
    folder, target = tmp_path / "out", files(tmp_path / "out")
    take(target)
    write_all(target, [record(0)])
    if way == "deleted":
        shutil.rmtree(folder)
    else:
        folder.rename(tmp_path / "elsewhere")
    if way == "replaced":
        take(files(folder))
    with pytest.raises(SinkError, match="was moved, deleted or unmounted"):
        write_all(target, [record(1)])
    target.close()


def test_a_last_file_that_is_taken_away_is_followed_by_another_and_its_events_are_not_written_again(
    tmp_path: Path,
) -> None:
    target, away = files(tmp_path / "out"), tmp_path / "away"
    away.mkdir()

    def take_away() -> None:
        for path in (tmp_path / "out").glob("events-*"):
            path.rename(away / path.name)

    take(target)
    write_all(target, [record(0)])
    take_away()
    write_all(target, [record(1)])
    target.close()
    take_away()
    take(target)
    write_all(target, [record(0), record(1), record(2)])
    target.close()
    take_away()
    assert written(away) == ["0-0", "0-1", "0-2"]


def test_a_last_file_that_is_deleted_with_what_was_just_written_fails_before_that_is_committed(tmp_path: Path) -> None:
    target = files(tmp_path)
    take(target)
    target.write([record(0)], NOW_S)
    next(tmp_path.glob("events-*")).unlink()
    with pytest.raises(SinkError, match="was deleted while events were written"):
        target.sync()
    target.close()
    take(target)
    write_all(target, [record(0)])
    target.close()
    assert written(tmp_path) == ["0-0"]


def test_a_half_written_owner_note_is_written_again(tmp_path: Path) -> None:
    (tmp_path / "sink.json").write_bytes(b'{"form')
    target = files(tmp_path)
    take(target)
    write_all(target, [record(0)])
    target.close()
    assert json.loads((tmp_path / "sink.json").read_bytes())["group"] == "g"


def test_a_full_disk_leaves_no_half_line_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = files(tmp_path)
    take(target)
    write_all(target, [record(0)])
    (path,) = tmp_path.glob("events-*")
    before = path.read_bytes()
    real = __import__("os").write
    calls = []

    def full(descriptor: int, data: memoryview) -> int:
        calls.append(1)
        if len(calls) > 1:
            raise OSError(28, "No space left on device")
        return int(real(descriptor, data[:5]))

    monkeypatch.setattr("sinks.jsonl_files.os.write", full)
    with pytest.raises(OSError, match="No space"):
        target.write([record(1)], NOW_S)
    monkeypatch.undo()
    assert path.read_bytes() == before
    write_all(target, [record(1)])
    target.close()
    assert written(tmp_path) == ["0-0", "0-1"]


async def test_a_full_disk_is_told_with_the_folder_and_the_way_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    sink = JsonlSink(tmp_path, "events", "g", max_bytes=1000, max_age_s=60.0, clock_s=lambda: NOW_S)

    async def nothing_there(partition: int, offset: int) -> Record | None:
        return None

    await sink.setup({partition: PartitionOffsets(0, end) for partition, end in ENDS.items()}, nothing_there)
    monkeypatch.setattr("sinks.jsonl_files.os.write", full)
    with pytest.raises(SinkError) as error:
        await sink.add([record(0)])
    monkeypatch.undo()
    await sink.close()
    assert str(error.value) == (
        f"{tmp_path} cannot be written (No space left on device): "
        "free some space on its disk and run the same command again: the command continues where it stopped"
    )
