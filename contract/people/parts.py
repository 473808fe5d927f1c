"""What the fold of the people topic consists of, so that a copy of the fold can be written and read. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from contract.people.held import HeldPerson
from contract.people.held_faces import HeldFaces
from contract.people.site import Site


@dataclass(frozen=True, slots=True, eq=False)
class DirectoryParts:
    """A directory (contract.people.directory.Directory) without unreadable records, at one version.

    `persons`: everybody who is enrolled, once. `others`: the records of faces of everybody else. `embedders`: the
    identity of each embedder -> the number of its records of faces, in the order of the numbers that `HeldFace` has.
    `lengths`: the identity of each embedder with faces -> the length of its vectors.
    """

    version: int
    site: Site
    persons: Sequence[HeldPerson]
    others: Sequence[HeldFaces]
    embedders: Mapping[str, int]
    lengths: Mapping[str, int]
