"""A source that is an export of PictureMatch (contract.people.exported), which is checked before anything is sent."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import msgspec
import orjson

from clients.bulk.items import MAX_LINE_BYTES, Person, readable
from clients.bulk.lists import lines_of, open_source
from clients.errors import CannotRun
from contract.people.exported import FORMAT, VERSION, ExportEnd, ExportHead

Ids = Mapping[str, str]
"""The id of a group or permission in an export -> the id by which the server knows it."""

_END = b'{"end":'
"""What the last line begins with."""


def is_export(path: Path) -> bool:
    """Return whether a file begins like an export."""
    with open_source(path) as file:
        return file.readline(4096).startswith(b'{"format":"%s"' % FORMAT.encode())


@dataclass(frozen=True, slots=True)
class _Checked:
    """What the file contained when it was checked. `sha256`: of all lines but the last."""

    head: ExportHead
    site: Mapping[str, Sequence[Mapping[str, Any]]]
    sha256: str


class Export:
    """An export. The people are sent as they were; the ids of groups and permissions are those of `known_as`."""

    restore = True

    def __init__(self, path: Path, step: Callable[[], None] = lambda: None) -> None:
        """Read the file to its end and check it; `step` is called for each line.

        Raises:
            CannotRun: the file is no export of a version that is known here, is cut off, was changed, or has a line of
                more than MAX_LINE_BYTES.
        """
        self.files: Sequence[Path] = (path,)
        self._path = path
        self._checked = _checked(path, step)
        self.head = self._checked.head
        self.site: Mapping[str, Any] = self._checked.site
        self._groups: Ids = {}
        self._permissions: Ids = {}

    def known_as(self, groups: Ids, permissions: Ids) -> None:
        """Set the ids by which the server knows groups and permissions, where they differ."""
        self._groups = {sent: known for sent, known in groups.items() if sent != known}
        self._permissions = {sent: known for sent, known in permissions.items() if sent != known}

    def count(self) -> int:
        """Return the number of people."""
        return self.head.people

    def items(self) -> Iterator[Person]:
        """Yield the people in the order of their ids.

        Raises:
            CannotRun: the file cannot be read, or is not what it was when it was checked.
        """
        digest = sha256()
        with open_source(self._path) as file:
            for number, line in enumerate(lines_of(file), start=1):
                if line is None or line.startswith(_END):
                    break
                digest.update(line)
                try:
                    kind, fields = _content(line) if number > 1 else ("", {})
                except ValueError:
                    break
                if kind == "person":
                    yield self._person(f"{readable(self._path.name)} line {number}", fields)
        if digest.hexdigest() != self._checked.sha256:
            raise CannotRun(f"{self._path} was changed while it was imported: export the people once more")

    def _person(self, where: str, fields: dict[str, Any]) -> Person:
        if self._groups and isinstance(fields.get("group_ids"), list):
            fields["group_ids"] = [self._groups.get(one, one) for one in fields["group_ids"]]
        info = fields.get("info")
        if self._permissions and isinstance(info, dict) and isinstance(info.get("permission_ids"), list):
            info["permission_ids"] = [self._permissions.get(one, one) for one in info["permission_ids"]]
        return Person(where, fields)


def _checked(path: Path, step: Callable[[], None]) -> _Checked:
    digest, head, end = sha256(), None, None
    site: dict[str, list[Mapping[str, Any]]] = {"groups": [], "permissions": []}
    people = 0
    with open_source(path) as file:
        for line in lines_of(file):
            if line is None:
                raise CannotRun(
                    f"{path} has a line of more than {MAX_LINE_BYTES} bytes; nothing was imported: where a person has"
                    " so many photos, export the people without --photos"
                )
            if end is not None or not line.endswith(b"\n"):
                raise _damaged(path, "a line has no end, or follows the end")
            try:
                if head is None:
                    head = _head(path, line)
                elif line.startswith(_END):
                    end = msgspec.json.decode(line, type=ExportEnd)
                    continue
                else:
                    kind, fields = _content(line)
                    if kind == "person":
                        people += 1
                    else:
                        site[f"{kind}s"].append(fields)
            except (msgspec.DecodeError, RecursionError, ValueError):
                raise _damaged(path, "a line cannot be read") from None
            digest.update(line)
            step()
    if head is None or end is None:
        raise _damaged(path, "the end is missing")
    counts = (people, len(site["groups"]), len(site["permissions"]))
    if end.sha256 != digest.hexdigest() or counts != (head.people, head.groups, head.permissions):
        raise _damaged(path, "its checksum or its counts are others than those of its contents")
    return _Checked(head, site, end.sha256)


def _head(path: Path, line: bytes) -> ExportHead:
    head = msgspec.json.decode(line, type=ExportHead)
    if (head.format, head.version) != (FORMAT, VERSION):
        raise CannotRun(f"{path} has version {head.version} of the format; this release reads version {VERSION}")
    return head


def _content(line: bytes) -> tuple[str, dict[str, Any]]:
    """Return what a line between the first and the last is (person, group or permission), and its fields.

    Raises:
        ValueError: it is none of these.
    """
    content = orjson.loads(line)
    if not isinstance(content, dict) or len(content) != 1:
        raise ValueError
    ((kind, fields),) = content.items()
    if kind not in ("person", "group", "permission") or not isinstance(fields, dict):
        raise ValueError
    return kind, fields


def _damaged(path: Path, why: str) -> CannotRun:
    return CannotRun(f"{path} is damaged: {why}; nothing was imported, export the people once more")
