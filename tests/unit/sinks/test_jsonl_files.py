import base64
import errno
import json
import stat
from collections.abc import Sequence
from pathlib import Path

import pytest

from broker.port import Record
from sinks.jsonl import JsonlSink
from sinks.jsonl_files import JsonlFiles, line_of
from sinks.port import SinkError, Standing

NOW_S = 1_700_000_000.0
ENDS = {0: Standing(0, 1000), 1: Standing(0, 1000)}


def record(offset: int, partition: int = 0, value: bytes | None = None) -> Record:
    body = json.dumps({"id": f"{partition}-{offset}"}).encode() if value is None else value
    return Record("events", partition, offset, 0, None, body)


def files(folder: Path, **changes: object) -> JsonlFiles:
    arguments: dict[str, object] = {"topic": "events", "group": "g", "max_bytes": 10_000, "max_age_s": 3600.0}
    return JsonlFiles(folder, **(arguments | changes))  # type: ignore[arg-type]


def written(folder: Path) -> list[str]:
    lines = [line for path in sorted(folder.glob("events-*")) for line in path.read_text().splitlines()]
    return [json.loads(line)["id"] for line in lines]


def write_all(target: JsonlFiles, records: Sequence[Record], now_s: float = NOW_S, *, committed: bool = True) -> None:
    target.write(records, now_s)
    target.sync()
    if committed:
        target.mark_committed()


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


@pytest.mark.parametrize("value", [b"", b"[1]", b"\xff\x00", b'{"id":', b"17"])
def test_what_is_no_event_is_kept_as_it_came(value: bytes) -> None:
    assert base64.b64decode(json.loads(line_of(record(7, 1, value)))["unreadable"]) == value


def test_files_and_folder_are_private(tmp_path: Path) -> None:
    folder = tmp_path / "new" / "out"
    target = files(folder)
    target.open(ENDS)
    write_all(target, [record(0)])
    target.close()
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert {stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()} == {0o600}
    assert len(list(folder.iterdir())) == 2


def test_records_that_come_again_are_written_once(tmp_path: Path) -> None:
    first = files(tmp_path)
    first.open(ENDS)
    write_all(first, [record(0), record(0, 1), record(1)], committed=False)
    write_all(first, [record(0), record(1), record(2)], committed=False)
    first.close()

    again = files(tmp_path)
    again.open(ENDS)
    write_all(again, [record(0), record(0, 1), record(1), record(2), record(3), record(1, 1)])
    again.close()
    assert written(tmp_path) == ["0-0", "1-0", "0-1", "0-2", "0-3", "1-1"]


@pytest.mark.parametrize("cut", range(1, 70, 7))
def test_a_half_line_is_cut_off_and_written_again(tmp_path: Path, cut: int) -> None:
    first = files(tmp_path)
    first.open(ENDS)
    write_all(first, [record(0), record(1)], committed=False)
    first.close()
    (path,) = tmp_path.glob("events-*")
    path.write_bytes(path.read_bytes()[:-cut])

    again = files(tmp_path)
    again.open(ENDS)
    write_all(again, [record(0), record(1)])
    again.close()
    assert written(tmp_path) == ["0-0", "0-1"]


def test_a_full_file_is_followed_by_another(tmp_path: Path) -> None:
    target = files(tmp_path, max_bytes=200)
    target.open(ENDS)
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
    target.open(ENDS)
    write_all(target, [record(0)], NOW_S)
    write_all(target, [record(1)], NOW_S + 59)
    write_all(target, [record(2)], NOW_S + 60)
    target.close()
    target = files(tmp_path, max_age_s=60)
    target.open({0: Standing(3, 1000)})
    write_all(target, [record(3)], NOW_S + 121)
    target.close()
    assert [len(path.read_text().splitlines()) for path in sorted(tmp_path.glob("events-*"))] == [2, 1, 1]


def test_no_file_begins_while_the_last_holds_uncommitted_lines(tmp_path: Path) -> None:
    first = files(tmp_path, max_bytes=1)
    first.open(ENDS)
    write_all(first, [record(0)], committed=False)
    write_all(first, [record(1)], committed=False)
    first.close()
    assert len(list(tmp_path.glob("events-*"))) == 1

    again = files(tmp_path, max_bytes=1)
    again.open({0: Standing(1, 1000)})
    write_all(again, [record(2)])
    write_all(again, [record(3)])
    again.close()
    assert [len(path.read_text().splitlines()) for path in sorted(tmp_path.glob("events-*"))] == [3, 1]


def test_a_folder_of_something_else_is_refused(tmp_path: Path) -> None:
    (tmp_path / "letter.txt").write_text("dear")
    with pytest.raises(SinkError, match="not empty and not a folder of this sink"):
        files(tmp_path).open(ENDS)


def test_a_folder_belongs_to_one_group_and_topic(tmp_path: Path) -> None:
    first = files(tmp_path)
    first.open(ENDS)
    first.close()
    for change in ({"group": "h"}, {"topic": "other"}):
        other = files(tmp_path, **change)
        with pytest.raises(SinkError, match="holds the events of topic events for group g"):
            other.open(ENDS)
        other.close()


def test_a_folder_has_one_writer(tmp_path: Path) -> None:
    first, second = files(tmp_path), files(tmp_path)
    first.open(ENDS)
    with pytest.raises(SinkError, match="another process writes"):
        second.open(ENDS)
    second.close()
    first.close()


def test_a_folder_of_another_log_is_refused(tmp_path: Path) -> None:
    first = files(tmp_path)
    first.open(ENDS)
    write_all(first, [record(20)])
    first.close()
    for ends in ({0: Standing(None, 20)}, {1: Standing(0, 1000)}):
        other = files(tmp_path)
        with pytest.raises(SinkError, match="another data folder"):
            other.open(ends)
        other.close()


def test_a_damaged_line_is_named_and_nothing_is_cut(tmp_path: Path) -> None:
    first = files(tmp_path)
    first.open(ENDS)
    write_all(first, [record(0), record(1)])
    first.close()
    (path,) = tmp_path.glob("events-*")
    damaged = b"scribble\n" + path.read_bytes()
    path.write_bytes(damaged)
    again = files(tmp_path)
    with pytest.raises(SinkError, match="line 1 of"):
        again.open(ENDS)
    again.close()
    assert path.read_bytes() == damaged


def test_a_half_written_owner_note_is_written_again(tmp_path: Path) -> None:
    (tmp_path / "sink.json").write_bytes(b'{"form')
    target = files(tmp_path)
    target.open(ENDS)
    write_all(target, [record(0)])
    target.close()
    assert json.loads((tmp_path / "sink.json").read_bytes())["group"] == "g"


def test_a_full_disk_leaves_no_half_line_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = files(tmp_path)
    target.open(ENDS)
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
    await sink.setup(ENDS)
    monkeypatch.setattr("sinks.jsonl_files.os.write", full)
    with pytest.raises(SinkError) as error:
        await sink.add([record(0)])
    monkeypatch.undo()
    await sink.close()
    assert str(error.value) == (
        f"{tmp_path} cannot be written (No space left on device): "
        "free some space on its disk and run the same command again: it goes on where it was"
    )
