"""The journal of an import: which items of the source are done, so that a later run goes on where an earlier one ended.

A line of JSON is appended, and synced, for each chunk that the server has answered. A line that a crash cut off is
ignored; its chunk is sent again, and the server answers that the people are there.
"""

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import orjson

from clients.errors import CannotRun
from contract.files import try_lock

_FORMAT = 1


@dataclass(frozen=True, slots=True)
class Failure:
    """An item that was not imported. `code`: of the server's error; None: the item was not sent."""

    where: str
    identity_id: str
    message: str
    code: int | None = None


@dataclass(slots=True)
class Tally:
    """What came of the items: numbers of people and faces. `unsearched`: faces of other embedders, among `faces`."""

    added: int = 0
    present: int = 0
    faces: int = 0
    unsearched: int = 0
    failures: list[Failure] = field(default_factory=list)

    def take(self, other: "Tally") -> None:
        """Add what came of further items."""
        self.added += other.added
        self.present += other.present
        self.faces += other.faces
        self.unsearched += other.unsearched
        self.failures += other.failures


class Journal:
    """The journal of the import of a source; enter it to read its file and append to it.

    Raises (on entering):
        CannotRun: the file belongs to another import, is damaged, or is used by another process.
        OSError: the file cannot be read or written.
    """

    def __init__(self, path: Path, files: Sequence[Path], url: str) -> None:
        self._path = path
        self._about = {"format": _FORMAT, "to": url, "from": [_described(file) for file in files]}
        self._done: set[int] = set()
        self.tally = Tally()

    def __enter__(self) -> Self:
        self._file = os.fdopen(os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600), "r+b")
        try:
            self._read()
        except BaseException:
            self._file.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()

    @property
    def done(self) -> int:
        """The number of items that are done."""
        return len(self._done)

    def is_done(self, item: int) -> bool:
        """Return whether an item, by its place in the source, is done."""
        return item in self._done

    def note(self, items: Sequence[int], tally: Tally) -> None:
        """Note items that are done, and what came of them."""
        line = {"items": list(_ranges(items)), **asdict(tally)}
        self._append(line)
        self._done.update(items)
        self.tally.take(tally)

    def remove(self) -> None:
        """Delete the file, after the import has come to its end."""
        self._path.unlink()

    def _read(self) -> None:
        if not try_lock(self._file.fileno()):
            raise CannotRun(f"another import uses {self._path}; name another file with --state")
        written = self._file.read()
        whole = written[: written.rfind(b"\n") + 1]
        lines = whole.splitlines()
        if written:
            self._check(lines[0] if lines else b"")
        for line in lines[1:]:
            self._take(line)
        self._file.truncate(len(whole))
        self._file.seek(len(whole))
        if not lines:
            self._append(self._about)

    def _append(self, line: Mapping[str, Any]) -> None:
        self._file.write(orjson.dumps(line) + b"\n")
        self._file.flush()
        os.fsync(self._file.fileno())

    def _check(self, line: bytes) -> None:
        try:
            about = orjson.loads(line)
        except orjson.JSONDecodeError:
            about = None
        if about != self._about:
            raise CannotRun(
                f"{self._path} is the state of another import, or the source has changed since: name another file with"
                " --state, or delete it to begin anew (people who are there already are recognised)"
            )

    def _take(self, line: bytes) -> None:
        try:
            fields = orjson.loads(line)
            items = [item for first, end in fields.pop("items") for item in range(first, end)]
            failures = [Failure(**one) for one in fields.pop("failures")]
            tally = Tally(**fields, failures=failures)
        except (orjson.JSONDecodeError, KeyError, TypeError, ValueError):
            raise CannotRun(f"{self._path} is damaged; delete it, and the import begins anew") from None
        self._done.update(items)
        self.tally.take(tally)


def _described(path: Path) -> Mapping[str, Any]:
    """Return by what a change of a file is noticed; of a folder, whose times do not show it, only the path."""
    path = path.resolve()
    facts = path.stat()
    return {"path": str(path)} | ({} if path.is_dir() else {"bytes": facts.st_size, "time_ns": facts.st_mtime_ns})


def _ranges(items: Sequence[int]) -> Iterator[tuple[int, int]]:
    """Yield the items, which are in order, as ranges (first, end)."""
    first = end = None
    for item in items:
        if first is None or end is None or item != end:
            if first is not None and end is not None:
                yield first, end
            first = item
        end = item + 1
    if first is not None and end is not None:
        yield first, end
