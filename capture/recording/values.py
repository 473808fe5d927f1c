"""The values of a recording: which requests it records, and its counts."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from contract.captures.values import PhotoChoice


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which requests are recorded: those written from `since_s` until `until_s` (epoch seconds), of `device_ip`, and
    with one of `outcomes`; at most `limit`. None, or no outcome, means no such restriction.

    `photos`: whose photos are recorded; None: as so far in a capture that is continued, else those of candidates.
    `pictures`: whether the pictures of requests are recorded; None: as so far, else they are.
    """

    since_s: float | None = None
    until_s: float | None = None
    device_ip: str | None = None
    outcomes: frozenset[str] = frozenset()
    limit: int | None = None
    photos: PhotoChoice | None = None
    pictures: bool | None = None


@dataclass(slots=True)
class Tally:
    """The counts of a recording.

    `recorded`: requests. Of these, `undecided` have no decision, and `without_evidence` a decision about a compared
    face whose evidence is gone. `replays`: requests that were left out because they replayed others.
    `missing_photos`: photos that are gone. `lost_pictures`: the numbers of the lines, recorded earlier, whose pictures
    a crash of the machine has damaged, and the log does not have any more. `people_from`: as in the manifest.
    `versions`: gallery version -> decisions.
    """

    recorded: int = 0
    undecided: int = 0
    without_evidence: int = 0
    replays: int = 0
    missing_photos: int = 0
    lost_pictures: Sequence[int] = ()
    people_from: int | None = None
    versions: Counter[int] = field(default_factory=Counter)

    @property
    def too_old(self) -> int:
        """The number of recorded decisions whose people cannot be folded any more."""
        first = self.people_from
        return 0 if first is None else sum(count for version, count in self.versions.items() if version < first)
