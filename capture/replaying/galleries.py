"""The people of then and of now, for every decision of a capture."""

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass

from capture.replaying.embedder import EmbedderFacts
from capture.replaying.whatif import WhatIf
from capture.timeline import Timeline
from contract.captures.values import CaptureError, CaptureLine, PeopleLine
from contract.people.keys import FaceKey, NotReadable, parse_key
from contract.people.unreadable import read_face
from engine.gallery.people import Snapshot


@dataclass(frozen=True, slots=True)
class PeopleRecords:
    """The records of the people topic that a capture has, by rising offset.

    The people can be folded at the gallery version `first` and at every later one; of a damaged capture, only up to
    `until`.
    """

    records: Sequence[PeopleLine]
    first: int
    until: int | None = None

    @property
    def end(self) -> int:
        """The gallery version that contains all records."""
        return max(self.first, self.records[-1].offset + 1 if self.records else 0)

    def version_at(self, time_s: float) -> int:
        """Return the gallery version that contains the records written until a time (epoch seconds)."""
        return max((record.offset + 1 for record in self.records if record.time <= time_s), default=0)

    def unknown_at(self, version: int) -> str | None:
        """Return in a sentence why the people of a gallery version are not known; None: they are."""
        if version < self.first:
            return (
                f"it was decided at gallery version {version}, and the people of the capture are known from version "
                f"{self.first} on"
            )
        if self.until is not None and version > self.until:
            return (
                f"it was decided at gallery version {version}, and the damaged capture has the people up to version "
                f"{self.until}"
            )
        return None


@dataclass(frozen=True, slots=True)
class GalleryChoice:
    """Which people are searched: `then` are those of the capture, None where it has none; `now` are those to search,
    always at `version` where that is set."""

    then: PeopleRecords | None
    now: PeopleRecords
    version: int | None = None


def chosen_version(people: PeopleRecords, what_if: WhatIf, *, other: bool) -> int | None:
    """Return the one gallery version that a replay searches; None: each decision has its own.

    `other`: the people are not those of the capture, so that their last version counts where none is asked for.

    Raises:
        CaptureError: the people cannot be folded at that version.
    """
    version = what_if.gallery_version
    if what_if.gallery_time is not None:
        version = people.version_at(what_if.gallery_time)
    if version is None:
        return people.end if other else None
    if version < people.first:
        raise CaptureError(
            f"the people are known from gallery version {people.first} on, and version {version} was asked for; choose "
            "a later version or time"
        )
    return version


class Galleries:
    """Snapshots of the people of then and of now. Only one thread may use it; any thread may search a snapshot.

    `installed`: the facts about the installed embedder, None where none is known.
    """

    def __init__(self, choice: GalleryChoice, installed: EmbedderFacts | None) -> None:
        self.choice = choice
        self._installed = installed
        self._timelines: dict[tuple[bool, str], Timeline] = {}
        self._last: dict[tuple[bool, str], tuple[int, Snapshot]] = {}
        self._times: list[tuple[float, int]] = []

    def version_of(self, line: CaptureLine) -> int:
        """Return the gallery version that a line is decided at: one for all lines, or that of then.

        A line without a decision has the version of the time at which it was received, and else the last one.
        """
        if self.choice.version is not None:
            return self.choice.version
        if line.decision is not None:
            return line.decision.gallery_version
        return self.choice.now.end if line.received_time is None else self._version_at(line.received_time)

    def unknown(self, line: CaptureLine) -> str | None:
        """Return in a sentence why the people of then are not known for a line; None: they are, or are not needed."""
        people = self.choice.then
        return None if people is None or line.decision is None else people.unknown_at(line.decision.gallery_version)

    def then(self, version: int, embedder: str) -> Snapshot | None:
        """Return the people of then, with the faces of one embedder; None where the capture cannot give them."""
        people = self.choice.then
        if people is None or version < people.first:
            return None
        return self._at(people, version, embedder, now=people is self.choice.now)

    def now(self, version: int, embedder: str) -> Snapshot:
        """Return the people of now at a version that is not below the first one, with the faces of one embedder."""
        return self._at(self.choice.now, version, embedder, now=True)

    def _version_at(self, time_s: float) -> int:
        """Return the version of `PeopleRecords.version_at` that is not below the first one, in few steps."""
        if not self._times:
            highest = self.choice.now.first
            for record in sorted(self.choice.now.records, key=lambda record: record.time):
                highest = max(highest, record.offset + 1)
                self._times.append((record.time, highest))
        place = bisect_right(self._times, time_s, key=lambda entry: entry[0])
        return self._times[place - 1][1] if place else self.choice.now.first

    def _at(self, people: PeopleRecords, version: int, embedder: str, *, now: bool) -> Snapshot:
        key = (now, embedder)
        last = self._last.get(key)
        if last is not None and last[0] == version:
            return last[1]
        if key not in self._timelines:
            self._timelines[key] = Timeline(people.records, self._dimension(people, embedder), embedder)
        snapshot = self._timelines[key].at(version)
        self._last[key] = version, snapshot
        return snapshot

    def _dimension(self, people: PeopleRecords, embedder: str) -> int:
        if self._installed is not None and self._installed.identity == embedder:
            return self._installed.dimension
        return next((found for record in people.records if (found := _length(record, embedder))), 1)


def _length(record: PeopleLine, embedder: str) -> int | None:
    """Return the length of the vector of a record that is a face of the embedder; None: it is none."""
    try:
        key = parse_key(record.key)
    except NotReadable:
        return None
    if record.value is None or not isinstance(key, FaceKey) or key.embedder != embedder:
        return None
    try:
        return len(read_face(key, record.value, None, 0)[1])
    except NotReadable:
        return None
