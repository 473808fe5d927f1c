"""The files of the JSON lines sink: synchronous, with one owner, and with exactly one line per record after any crash.

Invariants:

- Every file but the last is finished and never changed again. Files are named `events-<number>-<UTC time>.jsonl`, with
  rising numbers.
- A line contains its place in the log (`place`), and the offsets of each partition rise from line to line, over all
  files.
- `written.json` records the state of the folder (`sinks.jsonl_state`): the last file, its size, and the last line of
  each partition. It is replaced after these lines are durable, and is durable itself before the group commits. The
  lines that it covers are therefore never written again, whichever partitions were committed. Any later lines in the
  last file were not committed, so they may be cut off.
"""

import logging
import os
import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from broker.port import Record
from contract.files import sync_folder, try_lock, write_whole
from sinks.jsonl_lines import Place, line_of, place_of
from sinks.jsonl_state import Written, decode_written, encode_written, foreign_partition, keep_of_tail
from sinks.port import SinkError

_log = logging.getLogger(__name__)

OWNER_FILE = "sink.json"
STATE_FILE = "written.json"
_NAME = re.compile(r"events-(\d{8,})-(\d{8}T\d{6})Z\.jsonl", re.ASCII)


class _Owner(msgspec.Struct, frozen=True):
    format: str
    topic: str
    group: str


class JsonlFiles:
    """Owns a folder of rotating files. Call `open`, then `settle`, and `close` last; no method is thread-safe."""

    def __init__(self, folder: Path, topic: str, group: str, max_bytes: int, max_age_s: float) -> None:
        self._folder = folder
        self._owner = _Owner("picturematch-jsonl", topic, group)
        self._max_bytes = max_bytes
        self._max_age_s = max_age_s
        self._dir: int | None = None
        self._lock: int | None = None
        self._file: int | None = None
        self._name = ""
        self._begun_s = 0.0
        self._written = Written()
        self._durable = Written()
        self._tail: Sequence[bytes] = ()
        self._is_new = False

    @property
    def is_new(self) -> bool:
        """Whether the folder was used for the first time."""
        return self._is_new

    def open(self) -> Sequence[tuple[int, int]]:
        """Open the folder, and return the places (partition, offset) for which `settle` needs the log's records.

        Raises:
            SinkError: the folder belongs to another sink, topic or group, or another process writes to it.
        """
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._dir = os.open(self._folder, os.O_RDONLY | os.O_DIRECTORY)
        self._own()
        files = self._files()
        self._durable = self._written = self._state(files)
        if files:
            self._take_up(*files[-1])
        in_tail = [place for line in self._tail if (place := place_of(line)) is not None]
        lasts = [(partition, last.offset) for partition, last in self._written.last.items()]
        return [*lasts, *((place.partition, place.offset) for place in in_tail)]

    def settle(self, ends: Mapping[int, int], there: Mapping[tuple[int, int], Record | None]) -> None:
        """Keep the uncommitted lines that equal the log's records, and cut off the rest, which is delivered again.

        Args:
            ends: Partition -> end offset of the topic.
            there: The log's records at the places that `open` returned.

        Raises:
            SinkError: the folder contains events of another log.
        """
        if foreign_partition(self._written, ends, there) is not None:
            raise SinkError(
                f"{self._folder} contains events that the log does not have; it belongs to another data folder, "
                "so choose another folder for these events"
            )
        kept = keep_of_tail(self._written, self._tail, ends, there)
        cut = self._tail[kept.lines :]
        self._tail = ()
        if cut and self._file is not None:
            os.ftruncate(self._file, kept.written.size)
            if whole := sum(line.endswith(b"\n") for line in cut):
                _log.warning(
                    "%d lines at the end of %s were written before a crash and differ from the log; "
                    "they are cut off, and their events are written again",
                    whole,
                    self._folder / self._name,
                )
        self._written = kept.written

    def write(self, records: Sequence[Record], now_s: float) -> None:
        """Append the records that are not written yet. They are durable only after `sync`.

        Raises:
            SinkError: the folder was moved or deleted.
        """
        lines = [
            (Place(record.topic, record.partition, record.offset), line_of(record))
            for record in records
            if not self._written.contains(record.partition, record.offset)
        ]
        if not lines:
            return
        self._require_in_place()
        data = b"".join(line for _, line in lines)
        if self._file is None or self._is_full(len(data), now_s) or not self._is_at_its_name():
            self._begin(now_s)
        self._append(data)
        self._written = self._written.with_lines(lines)

    def sync(self) -> None:
        """Make everything written durable.

        Raises:
            SinkError: the folder or its last file was moved or deleted, and the written lines with it.
        """
        if self._file is not None and self._written != self._durable:
            try:
                os.fsync(self._file)
            except OSError:
                os.ftruncate(self._file, self._durable.size if self._durable.file == self._written.file else 0)
                raise
        self._require_in_place()
        if self._written != self._durable:
            self._save(self._written)

    def close(self) -> None:
        """Close the files and unlock the folder."""
        for descriptor in (self._file, self._lock, self._dir):
            if descriptor is not None:
                os.close(descriptor)
        self._file = self._lock = self._dir = None

    def _own(self) -> None:
        path = self._folder / OWNER_FILE
        if not path.exists() and any(self._folder.iterdir()):
            raise SinkError(f"{self._folder} is not empty and not a folder of this sink; choose an empty folder")
        self._lock = os.open(OWNER_FILE, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600, dir_fd=self._dir)
        if not try_lock(self._lock):
            raise SinkError(f"another process writes to {self._folder}; stop it or choose another folder")
        note = os.pread(self._lock, 65536, 0)
        if not note.endswith(b"\n"):  # new, or cut off by a crash before anything else was written
            os.ftruncate(self._lock, 0)
            os.pwrite(self._lock, msgspec.json.encode(self._owner) + b"\n", 0)
            os.fsync(self._lock)
            self._sync_folder()
            self._is_new = True
            return
        try:
            owner = msgspec.json.decode(note, type=_Owner)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise SinkError(f"{path} cannot be read; choose another folder") from error
        if owner != self._owner:
            raise SinkError(
                f"{self._folder} contains the events of topic {owner.topic} for group {owner.group}; "
                "choose another folder, or that group"
            )

    def _files(self) -> list[tuple[int, str, str]]:
        """Return (number, name, UTC time of creation) of every file, sorted by number."""
        return sorted((int(m[1]), m[0], m[2]) for path in self._folder.iterdir() if (m := _NAME.fullmatch(path.name)))

    def _state(self, files: Sequence[tuple[int, str, str]]) -> Written:
        """Return the state of the folder from `written.json`, or from all files where that is missing or wrong."""
        note = self._folder / STATE_FILE
        try:
            written = decode_written(note.read_bytes())
        except FileNotFoundError:
            return self._read_files(files)
        if written is None:
            _log.warning("%s is damaged; it is written again from the other files of the folder", note)
            return self._read_files(files)
        short = [name for number, name, _ in files if number == written.file and self._size(name) < written.size]
        if short:
            _log.warning("%s is shorter than it was: lines at its end are lost", self._folder / short[0])
            return self._read_files(files)
        return written

    def _size(self, name: str) -> int:
        return os.stat(name, dir_fd=self._dir).st_size

    def _read_files(self, files: Sequence[tuple[int, str, str]]) -> Written:
        written = Written()
        for number, name, _ in files:
            written = Written(number, 0, written.last)
            with (self._folder / name).open("rb") as lines:
                for count, line in enumerate(lines, start=1):
                    place = place_of(line)
                    if place is not None and not written.contains(place.partition, place.offset):
                        written = written.with_lines([(place, line)])
                    elif line.endswith(b"\n"):
                        _log.warning("line %d of %s is damaged", count, self._folder / name)
                        written = Written(number, written.size + len(line), written.last)
        return written

    def _take_up(self, number: int, name: str, begun: str) -> None:
        """Open the last file for appending, and read its lines behind those that `written.json` covers."""
        if number < self._written.file:
            return  # the last file was removed; the next file has the number after it
        start = self._written.size if number == self._written.file else 0
        self._file, self._name = os.open(name, os.O_RDWR | os.O_APPEND | os.O_NOFOLLOW, dir_fd=self._dir), name
        with (self._folder / name).open("rb") as lines:
            lines.seek(start)
            self._tail = lines.readlines()
        self._begun_s = datetime.strptime(begun + "+0000", "%Y%m%dT%H%M%S%z").timestamp()
        self._written = Written(number, start, self._written.last)

    def _is_full(self, coming_bytes: int, now_s: float) -> bool:
        size = self._written.size
        return size > 0 and (size + coming_bytes > self._max_bytes or now_s - self._begun_s >= self._max_age_s)

    def _begin(self, now_s: float) -> None:
        self.sync()  # so that only the last file can contain lines that `written.json` does not cover
        if self._file is not None:
            os.close(self._file)
            self._file = None
        number = self._written.file + 1
        name = f"events-{number:08d}-{datetime.fromtimestamp(now_s, UTC):%Y%m%dT%H%M%S}Z.jsonl"
        flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_NOFOLLOW
        self._file = os.open(name, flags, 0o600, dir_fd=self._dir)
        self._name, self._begun_s = name, now_s
        self._written = Written(number, 0, self._written.last)
        self._sync_folder()

    def _append(self, data: bytes) -> None:
        assert self._file is not None  # noqa: S101 - begun by the caller, for mypy
        left = memoryview(data)
        try:
            while left:
                left = left[os.write(self._file, left) :]
        except OSError:
            os.ftruncate(self._file, self._written.size)  # a full disk must not leave an incomplete line
            raise

    def _save(self, written: Written) -> None:
        """Replace `written.json`, durably."""
        write_whole(STATE_FILE, encode_written(written), folder=self._dir)
        self._durable = written

    def _is_at_its_name(self) -> bool:
        assert self._file is not None  # noqa: S101 - called with an open file only, for mypy
        try:
            return os.path.samestat(os.stat(self._name, dir_fd=self._dir), os.fstat(self._file))
        except FileNotFoundError:
            return False

    def _require_in_place(self) -> None:
        """Raise SinkError where the folder or the last file was moved or deleted: its lines must not be committed."""
        assert self._lock is not None  # noqa: S101 - the folder is owned, for mypy
        try:
            in_place = os.path.samestat((self._folder / OWNER_FILE).stat(), os.fstat(self._lock))
        except (FileNotFoundError, NotADirectoryError):
            in_place = False
        if not in_place:
            raise SinkError(
                f"{self._folder} was moved, deleted or unmounted while events were written to it: put it back and run "
                "the same command again, or choose another folder; uncommitted events are written there again"
            )
        if self._file is not None and os.fstat(self._file).st_nlink == 0:
            raise SinkError(
                f"{self._folder / self._name} was deleted while events were written to it: run the same command again, "
                "and uncommitted events are written to another file"
            )

    def _sync_folder(self) -> None:
        assert self._dir is not None  # noqa: S101 - the folder is open, for mypy
        sync_folder(self._dir)
