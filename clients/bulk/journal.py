"""The journal of an import: which items of the source are done, so that a later run goes on where an earlier one ended.

A line of the journal is a chunk that the server has answered. A chunk whose line is missing is sent again, and the
server answers that its people are there.
"""

import os
import stat
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any

from clients.bulk.folder import is_folder, visible
from clients.bulk.items import readable
from clients.state_file import StateFile

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


class Journal(StateFile):
    """The journal of the import of a source (clients.state_file.StateFile)."""

    def __init__(self, path: Path, files: Sequence[Path], url: str) -> None:
        super().__init__(path, "import", {"format": _FORMAT, "to": url, "from": [_described(file) for file in files]})
        self._done: set[int] = set()
        self.tally = Tally()

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

    def _take(self, line: Any) -> None:
        items = [item for first, end in line.pop("items") for item in range(first, end)]
        failures = [Failure(**one) for one in line.pop("failures")]
        tally = Tally(**line, failures=failures)
        self._done.update(items)
        self.tally.take(tally)

    def _belongs_elsewhere(self) -> str:
        return (
            f"{self._path} is the state of another import, or the source has changed since: name another file with"
            " --state, or delete it to begin anew (people who are there already are recognised)"
        )


def _described(path: Path) -> Mapping[str, Any]:
    """Return by what a change of a file or folder is noticed."""
    path = path.resolve()
    named = {"path": readable(str(path))}
    if path.is_dir():
        return named | {"contents": _digest(path)}
    facts = path.stat()
    return named | {"bytes": facts.st_size, "time_ns": facts.st_mtime_ns}


def _digest(folder: Path) -> str:
    """Return a hash of the names, sizes and times of what is in a folder and its sub-folders and is not hidden.

    An item is known by its place in the source, so an entry that comes or goes gives others another place.
    """
    digest = sha256()
    for path in (*visible(folder), *(inner for one in visible(folder) if is_folder(one) for inner in visible(one))):
        facts = path.lstat()
        size_and_time = "" if stat.S_ISDIR(facts.st_mode) else f"{facts.st_size} {facts.st_mtime_ns}"
        digest.update(b"%s\0%s\0" % (os.fsencode(path.relative_to(folder)), size_and_time.encode()))
    return digest.hexdigest()


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
