"""The state file of a migration: how far it is, so that a later run goes on where an earlier one ended.

A line of the file is a page of people, or a group, permission or device that was created. A page whose line is missing
is read again.
"""

from collections.abc import Iterable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, get_args

from clients.migration.report import Kind, LeftOut, Outcome, Report
from clients.state_file import StateFile

_FORMAT = 1


class State(StateFile):
    """How far a migration is (clients.state_file.StateFile).

    `people`: identity_id -> names of the groups in which the person is enrolled here. `places`: name of a group ->
    `(skip, step)` of its next page; `finished`: the groups that were read to their end; `made`: kind and name of the
    groups, permissions and devices that the migration created; `incomplete`: the groups whose list may lack people.
    `report` has what earlier runs did with people.
    """

    def __init__(self, path: Path, box_url: str, server_url: str) -> None:
        super().__init__(path, "migration", {"format": _FORMAT, "from": box_url, "to": server_url})
        self._urls = box_url, server_url
        self.people: dict[str, frozenset[str]] = {}
        self.places: dict[str, tuple[int, int | None]] = {}
        self.finished: set[str] = set()
        self.made: set[tuple[str, str]] = set()
        self.incomplete: set[str] = set()
        self.report = Report()

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
        self._take(line)

    def _belongs_elsewhere(self) -> str:
        box, server = self._urls
        return (
            f"{self._path} is not the state of a migration from {box} to {server}; name another file with --state, or"
            " delete it"
        )

    def _take(self, line: Any) -> None:
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
