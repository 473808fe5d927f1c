"""The fold of the people topic with the embeddings of the embedder in use, from which galleries are taken."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from contract.people.directory import Directory, Entry
from contract.people.held import HeldPerson
from contract.people.keys import FaceKey
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
    """What `People` consist of: the directory, the rows of the index with the means, and the covered templates.

    `rows` computes the rows, in any thread.
    """

    directory: DirectoryParts
    rows: Callable[[], StoredRows]
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
        rows = parts.rows()
        found = map(self._persons.get, rows.ids)
        owners = [
            person if is_searched else None for person, is_searched in zip(found, rows.searched.tolist(), strict=True)
        ]
        self._templates.fill(rows, owners)
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

    def _put_person(self, identity_id: str, person: PersonRecord | None) -> None:
        before = self._held(identity_id)
        super()._put_person(identity_id, person)
        after = self._held(identity_id)
        self.strangers.put(before.record() if before is not None and before.frame.by_match else None, person)
        self._templates.put_person(self._one_id(identity_id), before, after)

    def _put_face(self, key: FaceKey, record: FaceRecord, vector: Vector) -> None:
        before = self._held(key.identity_id)
        super()._put_face(key, record, vector)
        self._follow(before)
        if key.embedder == self._embedder:
            face = self._one_id(key.identity_id), key.number
            self._templates.put_face(face, vector, self._held(key.identity_id))
            self._covered.put(face, record.templates)

    def _remove_face(self, key: FaceKey) -> None:
        before = self._held(key.identity_id)
        super()._remove_face(key)
        self._follow(before)
        if key.embedder == self._embedder:
            face = key.identity_id, key.number
            self._templates.remove_face(face, self._held(key.identity_id))
            self._covered.remove(face)

    def _follow(self, before: HeldPerson | None) -> None:
        """Give the rows of a person the object that the directory has now, so that there is only one of each."""
        if before is not None:
            self._templates.put_person(before.identity_id, before, self._held(before.identity_id))
