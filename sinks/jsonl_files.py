"""The files of the JSON lines sink: synchronous, one owner, one line per record whatever happens.

Invariants:

- Every file but the last is finished and never touched again. Files are named `events-<number>-<UTC time>.jsonl`,
  numbers grow.
- A new file is begun only when all that was written is committed, so that what a crash leaves uncommitted stands in
  the last file, and reading that one tells what is already written.
- A line carries its place in the log (`place`), and per partition places grow from line to line.
"""

import base64
import fcntl
import os
import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import orjson

from broker.port import Record
from sinks.port import SinkError, Standing

OWNER_FILE = "sink.json"
_NAME = re.compile(r"events-(\d{8,})-(\d{8}T\d{6})Z\.jsonl", re.ASCII)


class _Owner(msgspec.Struct, frozen=True):
    format: str
    topic: str
    group: str


class _Place(msgspec.Struct, frozen=True):
    partition: int
    offset: int


class _Line(msgspec.Struct, frozen=True):
    place: _Place


_line_decoder = msgspec.json.Decoder(_Line)


def line_of(record: Record) -> bytes:
    """A record's line: the event's own JSON with `place` set before it.

    A value that is no JSON object is kept as base64 under `unreadable`: a sink passes on what it was given.
    """
    place = orjson.dumps({"topic": record.topic, "partition": record.partition, "offset": record.offset})
    value = (record.value or b"").strip()
    try:
        readable = isinstance(event := orjson.loads(value), dict)
    except orjson.JSONDecodeError:
        readable = False
    if not readable:
        rest = orjson.dumps({"unreadable": base64.b64encode(record.value or b"").decode()})[1:]
    elif b"\n" in value or b"\r" in value:
        rest = orjson.dumps(event)[1:]
    else:
        # spliced, not written anew: numbers keep every digit they came with
        rest = value[1:].lstrip()
    return b'{"place":' + place + (b"" if rest.startswith(b"}") else b",") + rest + b"\n"


class JsonlFiles:
    """Owns a folder of rotating files. Call `open` first and `close` last; nothing here is thread-safe."""

    def __init__(self, folder: Path, topic: str, group: str, max_bytes: int, max_age_s: float) -> None:
        self._folder = folder
        self._owner = _Owner("picturematch-jsonl", topic, group)
        self._max_bytes = max_bytes
        self._max_age_s = max_age_s
        self._lock: int | None = None
        self._file: int | None = None
        self._number = 0
        self._size = 0
        self._begun_s = 0.0
        self._written: dict[int, int] = {}
        self._committed = True
        self._is_new = False

    @property
    def is_new(self) -> bool:
        """Whether the folder was taken for the first time."""
        return self._is_new

    def open(self, standings: Mapping[int, Standing]) -> None:
        """Take the folder, cut a half line off the last file, and learn what it already holds.

        Raises:
            SinkError: the folder is another's, in use, or holds events of another log.
        """
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._own()
        names = sorted((int(m[1]), p, m[2]) for p in self._folder.iterdir() if (m := _NAME.fullmatch(p.name)))
        if not names:
            return
        self._number, last, begun = names[-1]
        self._begun_s = datetime.strptime(begun + "+0000", "%Y%m%dT%H%M%S%z").timestamp()
        self._file = os.open(last, os.O_RDWR | os.O_APPEND | os.O_NOFOLLOW)
        self._read_back(last)
        self._committed = all(self._is_committed(p, offset, standings) for p, offset in self._written.items())

    def write(self, records: Sequence[Record], now_s: float) -> None:
        """Append the records that are not written yet. They are durable only after `sync`."""
        new = [r for r in records if r.offset > self._written.get(r.partition, -1)]
        if not new:
            return
        data = b"".join(map(line_of, new))
        if self._file is None or (self._committed and self._is_full(len(data), now_s)):
            self._begin(now_s)
        self._append(data)
        for record in new:
            self._written[record.partition] = record.offset
        self._committed = False

    def sync(self) -> None:
        """Make everything written durable."""
        if self._file is not None:
            os.fsync(self._file)

    def mark_committed(self) -> None:
        """Everything written is committed; the next write may begin a new file."""
        self._committed = True

    def close(self) -> None:
        """Close the files and let the folder go."""
        for descriptor in (self._file, self._lock):
            if descriptor is not None:
                os.close(descriptor)
        self._file = self._lock = None

    def _own(self) -> None:
        path = self._folder / OWNER_FILE
        if not path.exists() and any(self._folder.iterdir()):
            raise SinkError(f"{self._folder} is not empty and not a folder of this sink; choose an empty one")
        self._lock = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise SinkError(f"another process writes to {self._folder}; stop it or choose another folder") from error
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
        except msgspec.DecodeError as error:
            raise SinkError(f"{path} cannot be read; choose another folder") from error
        if owner != self._owner:
            raise SinkError(
                f"{self._folder} holds the events of topic {owner.topic} for group {owner.group}; "
                "choose another folder, or that group"
            )

    def _read_back(self, path: Path) -> None:
        """Cut a half line, and note the highest offset per partition of the last file."""
        assert self._file is not None  # noqa: S101 - opened by the caller, for mypy
        good = 0
        with path.open("rb") as lines:
            for number, line in enumerate(lines, start=1):
                if not line.endswith(b"\n"):
                    break
                try:
                    place = _line_decoder.decode(line).place
                except (msgspec.DecodeError, UnicodeDecodeError) as error:
                    raise SinkError(
                        f"line {number} of {path} was not written by this sink; move the file away"
                    ) from error
                self._written[place.partition] = max(self._written.get(place.partition, -1), place.offset)
                good += len(line)
        os.ftruncate(self._file, good)
        self._size = good

    def _is_committed(self, partition: int, offset: int, standings: Mapping[int, Standing]) -> bool:
        standing = standings.get(partition)
        if standing is None or offset >= standing.end:
            raise SinkError(
                f"{self._folder} holds events that the log does not have; it belongs to another data folder, "
                "so choose another folder for this one"
            )
        return standing.committed is not None and offset < standing.committed

    def _is_full(self, coming_bytes: int, now_s: float) -> bool:
        over = self._size + coming_bytes > self._max_bytes or now_s - self._begun_s >= self._max_age_s
        return self._size > 0 and over

    def _begin(self, now_s: float) -> None:
        if self._file is not None:
            os.close(self._file)
            self._file = None
        self._number += 1
        name = f"events-{self._number:08d}-{datetime.fromtimestamp(now_s, UTC):%Y%m%dT%H%M%S}Z.jsonl"
        flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_NOFOLLOW
        self._file = os.open(self._folder / name, flags, 0o600)
        self._size = 0
        self._begun_s = now_s
        self._sync_folder()

    def _append(self, data: bytes) -> None:
        assert self._file is not None  # noqa: S101 - begun by the caller, for mypy
        left = memoryview(data)
        try:
            while left:
                left = left[os.write(self._file, left) :]
        except OSError:
            os.ftruncate(self._file, self._size)  # a full disk must leave no half line behind
            raise
        self._size += len(data)

    def _sync_folder(self) -> None:
        descriptor = os.open(self._folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
