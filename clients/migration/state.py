"""The state file of a migration: how far it is, so that a later run goes on where an earlier one ended.

A line of JSON is appended for each page of people and each group, permission or device that was created. A line that a
crash cut off is ignored, and its page is read again.
"""

import os
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from pathlib import Path
from types import TracebackType
from typing import Any, Self, get_args

import orjson

from clients.errors import CannotRun
from clients.migration.report import Kind, LeftOut, Outcome, Report
from contract.files import try_lock

_FORMAT = 1


class State:
    """How far a migration is; enter it to append to its file.

    `people`: identity_id -> names of the groups in which the person is enrolled here. `places`: name of a group ->
    `(skip, step)` of its next page; `finished`: the groups that were read to their end; `made`: kind and name of the
    groups, permissions and devices that the migration created; `incomplete`: the groups whose list may lack people.
    `report` has what earlier runs did with people.

    Raises (on entering):
        CannotRun: the file belongs to another migration, is no state file, or is used by another process.
        OSError: the file cannot be read or written.
    """

    def __init__(self, path: Path, box_url: str, server_url: str) -> None:
        self._path = path
        self._about = {"format": _FORMAT, "from": box_url, "to": server_url}
        self.people: dict[str, frozenset[str]] = {}
        self.places: dict[str, tuple[int, int | None]] = {}
        self.finished: set[str] = set()
        self.made: set[tuple[str, str]] = set()
        self.incomplete: set[str] = set()
        self.report = Report()

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

    def note_made(self, kind: Kind, name: str) -> None:
        """Note a group, a permission or a device that the migration has created here."""
        self._append({"made": [kind, name]})
        self.made.add((kind, name))

    def note_incomplete(self, group_name: str) -> None:
        """Note a group in which the box may have people whom it did not list."""
        if group_name not in self.incomplete:
            self._append({"incomplete": group_name})
            self.incomplete.add(group_name)

    def note_page(
        self,
        group_name: str,
        place: tuple[int, int | None] | None,
        people: Mapping[str, frozenset[str]],
        counted: Iterable[tuple[Kind, Outcome]],
        left_out: Iterable[LeftOut],
    ) -> None:
        """Note a page that is done: its people, and where the group goes on; `place` None: the group is finished."""
        line = {
            "group": group_name,
            "place": place,
            "people": {who: sorted(groups) for who, groups in people.items()},
            "counted": list(counted),
            "left_out": [asdict(one) for one in left_out],
        }
        self._append(line)
        self._apply(line)

    def _read(self) -> None:
        if not try_lock(self._file.fileno()):
            raise CannotRun(f"another migration uses {self._path}; name another file with --state")
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

    def remove(self) -> None:
        """Delete the file, after the migration has come to its end."""
        self._path.unlink()

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
                f"{self._path} is not the state of a migration from {self._about['from']} to {self._about['to']};"
                " name another file with --state, or delete it"
            )

    def _take(self, line: bytes) -> None:
        try:
            self._apply(orjson.loads(line))
        except (orjson.JSONDecodeError, KeyError, TypeError, ValueError):
            raise CannotRun(f"{self._path} is damaged; delete it, and the migration begins anew") from None

    def _apply(self, line: Mapping[str, Any]) -> None:
        if "made" in line:
            self.made.add((str(line["made"][0]), str(line["made"][1])))
            return
        if "incomplete" in line:
            self.incomplete.add(str(line["incomplete"]))
            return
        group, place = line["group"], line["place"]
        if place is None:
            self.finished.add(group)
        else:
            self.places[group] = (place[0], place[1])
        self.people.update((who, frozenset(groups)) for who, groups in line["people"].items())
        for kind, outcome in line["counted"]:
            if kind not in get_args(Kind) or outcome not in get_args(Outcome):
                raise ValueError("unknown kind or outcome")
            self.report.add(kind, outcome)
        self.report.leave_out(*(LeftOut(**one) for one in line["left_out"]))
