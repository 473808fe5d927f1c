"""What the fold of the people topic consists of, so that a copy of the fold can be written and read. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from contract.people.keys import FaceKey
from contract.people.records import PersonRecord, PhotoReference
from contract.people.site import Site


@dataclass(frozen=True, slots=True, eq=False)
class DirectoryParts:
    """A directory (contract.people.directory.Directory) without unreadable records, at one version.

    `persons`: the records of all people in brief, each person once. `faces`: for each face the reference to its photo,
    or None. `lengths`: identity of each embedder with faces -> the length of its vectors.
    """

    version: int
    site: Site
    persons: Sequence[PersonRecord]
    faces: Mapping[FaceKey, PhotoReference | None]
    lengths: Mapping[str, int]
