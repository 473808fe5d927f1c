"""The fold of the people topic with the embeddings of the embedder in use, from which galleries are taken."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from contract.people.directory import Directory, Entry
from contract.people.keys import MEAN_FACE, FaceKey
from contract.people.parts import DirectoryParts
from contract.people.records import FaceRecord, PersonRecord, PhotoReference
from contract.people.site import Site
from contract.people.unreadable import UnreadableRecord
from contract.vectors import Vector
from engine.gallery.covered import CoveredIndex, CoveredTemplates
from engine.gallery.exact import ExactIndex
from engine.gallery.port import FaceIndex, Gallery, StoredRows
from engine.gallery.strangers import Strangers
from engine.gallery.templates import Templates


@dataclass(frozen=True, slots=True, eq=False)
class KnownPerson:
    """Everything that a decision about one person needs; `record` is None where the person is not enrolled.

    By face number: `vectors`, the embeddings that can be searched; `embedders`, the identities of embedders with a
    record of the face; `photos`, references to the photos with which the faces were enrolled. `covered`: the numbers of
    faces with templates of covered faces. `info_lost`: the stored part of the person's info cannot be read any more;
    `record` is then in brief.
    """

    record: PersonRecord | None = None
    vectors: Mapping[int, Vector] = field(default_factory=dict)
    embedders: Mapping[int, tuple[str, ...]] = field(default_factory=dict)
    photos: Mapping[int, PhotoReference] = field(default_factory=dict)
    info_lost: bool = False
    covered: frozenset[int] = frozenset()


NOBODY = KnownPerson()
"""Everything that is known about somebody who is not enrolled."""


@dataclass(frozen=True, slots=True, eq=False)
class Snapshot:
    """The gallery and the site at one version: a value that never changes and that any thread may use.

    `covered`: the templates of covered faces of the people of the gallery.
    """

    gallery: Gallery
    site: Site
    covered: CoveredTemplates = field(default_factory=CoveredTemplates)

    @property
    def version(self) -> int:
        """The gallery version."""
        return self.gallery.version


@dataclass(frozen=True, slots=True, eq=False)
class PeopleParts:
    """What `People` consist of: the directory, the rows of the index with the means, and the covered templates."""

    directory: DirectoryParts
    rows: StoredRows
    covered: CoveredTemplates


class People(Directory):
    """Everybody who is enrolled at `version`. Only one thread may use it; any thread may search a `gallery()` of it.

    Faces of other embedders are stored and counted in `foreign_faces` but not searched, because embeddings of different
    embedders cannot be compared. Beside the faces of a person, the gallery has their mean (engine.gallery.templates).
    """

    def __init__(self, dimension: int, embedder: str, new_index: Callable[[int], FaceIndex] = ExactIndex) -> None:
        super().__init__(embedder, dimension)
        self._templates = Templates(new_index(dimension))
        self._covered = CoveredIndex(dimension)
        self._snapshot: Snapshot | None = None
        self.strangers = Strangers()
        """The people whom matches have enrolled as strangers."""

    def apply(self, entries: Iterable[Entry]) -> Sequence[UnreadableRecord]:
        """Apply the next records of the topic, in offset order; return those that could not be read."""
        found = super().apply(entries)
        self._snapshot = None
        return found

    def parts(self) -> PeopleParts:
        """Return what these people consist of, for any thread; later changes do not affect it.

        Raises:
            ValueError: a record is unreadable, so that the parts would lack somebody.
        """
        return PeopleParts(self.directory_parts(), self._templates.stored(), self._covered.snapshot())

    def fill(self, parts: PeopleParts) -> None:
        """Make empty `People` the same as those whose parts are given.

        Raises:
            ValueError: these people are not empty.
        """
        self._fill(parts.directory)
        owners = [self._owner(identity_id, number) for identity_id, number in parts.rows.faces]
        self._templates.fill(parts.rows, owners)
        self._covered.fill(parts.covered)
        self.strangers.fill(parts.directory.persons)
        self._snapshot = None

    def snapshot(self) -> Snapshot:
        """Return the gallery and the site at the present version: a value that later changes do not affect."""
        if self._snapshot is None or self._templates.renewed():
            self._snapshot = Snapshot(self._templates.gallery(self.version), self.site, self._covered.snapshot())
        return self._snapshot

    def known(self, identity_id: str) -> KnownPerson:
        """Return everything that a decision about this person needs."""
        person = self.person(identity_id)
        numbers = person.faces if person else ()
        vectors = {n: vector for n in numbers if (vector := self._templates.vector((identity_id, n))) is not None}
        photos = {n: photo for n in numbers if (photo := self.photo(identity_id, n)) is not None}
        covered = frozenset(n for n in numbers if (identity_id, n) in self._covered)
        embedders = {n: self.embedders(identity_id, n) for n in numbers}
        return KnownPerson(person, vectors, embedders, photos, covered=covered)

    def _owner(self, identity_id: str, number: int) -> PersonRecord | None:
        """Return the person whose record names a face, or who has a mean; None: the face is not searched."""
        person = self.person(identity_id)
        named = person is not None and (number == MEAN_FACE or number in person.faces)
        return person if named else None

    def _put_person(self, identity_id: str, person: PersonRecord | None) -> None:
        before = self.person(identity_id)
        super()._put_person(identity_id, person)
        self.strangers.put(before, person)
        self._templates.put_person(identity_id, before, person)

    def _put_face(self, key: FaceKey, record: FaceRecord, vector: Vector) -> None:
        super()._put_face(key, record, vector)
        if key.embedder == self._embedder:
            self._templates.put_face((key.identity_id, key.number), vector, self.person(key.identity_id))
            self._covered.put((key.identity_id, key.number), record.templates)

    def _remove_face(self, key: FaceKey) -> None:
        super()._remove_face(key)
        if key.embedder == self._embedder:
            self._templates.remove_face((key.identity_id, key.number), self.person(key.identity_id))
            self._covered.remove((key.identity_id, key.number))
