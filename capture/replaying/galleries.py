"""The people of then and of now, for every decision of a capture."""

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

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

    @property
    def embedders(self) -> frozenset[str]:
        """The embedders that have computed a face at any version."""
        faces = (face_of(record) for record in self.records if record.value is not None)
        return frozenset(face.embedder for face in faces if face is not None)

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


class VersionTimes:
    """Finds the gallery version of a time in few steps.

    A capture leaves out records that no decision reads, such as API keys, also the last ones below the first version.
    So the first version is that of every time that is not before the last record below it.
    """

    def __init__(self, people: PeopleRecords) -> None:
        self._first = people.first
        before = (record.time for record in people.records if record.offset < people.first)
        self._first_time_s = max(before, default=float("-inf"))
        in_time = sorted(people.records, key=lambda record: record.time)
        self._times = [record.time for record in in_time]
        self._versions = list(accumulate((record.offset + 1 for record in in_time), max))

    def at(self, time_s: float) -> int:
        """Return the gallery version that contains the records written until a time (epoch seconds)."""
        place = bisect_right(self._times, time_s)
        version = self._versions[place - 1] if place else 0
        return max(version, self._first) if time_s >= self._first_time_s else version


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
        version = VersionTimes(people).at(what_if.gallery_time)
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
        self._version_times: VersionTimes | None = None

    def version_of(self, line: CaptureLine) -> int:
        """Return the gallery version that a line is decided at: one for all lines, or that of then.

        A line without a decision has the version of the time at which it was received, but not one below the first; if
        that time is not known, the last version.
        """
        choice = self.choice
        if choice.version is not None:
            return choice.version
        if line.decision is not None:
            return line.decision.gallery_version
        if line.received_time is None:
            return choice.now.end
        if self._version_times is None:
            self._version_times = VersionTimes(choice.now)
        return max(choice.now.first, self._version_times.at(line.received_time))

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

    def is_foreign(self, version: int, embedder: str) -> bool:
        """Return whether the people of now have faces at a version, and none of one embedder."""
        return self._timeline(self.choice.now, embedder, now=True).is_foreign(version)

    def _at(self, people: PeopleRecords, version: int, embedder: str, *, now: bool) -> Snapshot:
        key = (now, embedder)
        last = self._last.get(key)
        if last is not None and last[0] == version:
            return last[1]
        snapshot = self._timeline(people, embedder, now=now).at(version)
        self._last[key] = version, snapshot
        return snapshot

    def _timeline(self, people: PeopleRecords, embedder: str, *, now: bool) -> Timeline:
        key = (now, embedder)
        if key not in self._timelines:
            self._timelines[key] = Timeline(people.records, self._dimension(people, embedder), embedder)
        return self._timelines[key]

    def _dimension(self, people: PeopleRecords, embedder: str) -> int:
        if self._installed is not None and self._installed.identity == embedder:
            return self._installed.dimension
        return next((found for record in people.records if (found := _length(record, embedder))), 1)


def face_of(record: PeopleLine) -> FaceKey | None:
    """Return the key of a record that is about a face; None: it is about something else."""
    try:
        key = parse_key(record.key)
    except NotReadable:
        return None
    return key if isinstance(key, FaceKey) else None


def _length(record: PeopleLine, embedder: str) -> int | None:
    """Return the length of the vector of a record that is a face of the embedder; None: it is none."""
    key = face_of(record)
    if record.value is None or key is None or key.embedder != embedder:
        return None
    try:
        return len(read_face(key, record.value, None, 0)[1])
    except NotReadable:
        return None
