"""Enrols the photos of a hand-made capture with the engine, as a server does, into records of the people topic."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import reduce

from capture.enrolling import enrol_request
from capture.making.values import LeftOut, Photo, picture_at
from contract.captures.values import PeopleLine
from contract.codec import encode
from contract.errors import Refused
from contract.people.keys import site_key
from contract.people.site import GroupRecord, Site, site_key_of
from contract.requests import EnrolRequest
from engine.calls.enrol import EnrolCall
from engine.calls.people import KeyedValue, Prepared
from engine.context import Context
from engine.gallery.pending import PendingPeople
from engine.gallery.people import People
from engine.in_order import in_order


@dataclass(frozen=True, slots=True)
class GalleryPart:
    """The lines for people.jsonl that follow from one photo, and the JPEG that the record of its face names.

    `left_out`: the photo was not enrolled, for that reason; the lines are then at most the groups of its person.
    """

    lines: tuple[PeopleLine, ...] = ()
    jpeg: bytes | None = None
    left_out: LeftOut | None = None


@dataclass(frozen=True, slots=True, eq=False)
class _Asked:
    where: str
    request: EnrolRequest
    prepared: Prepared


class GalleryMaker:
    """Enrols photos, in several threads, with the networks and the policy of `context`; memory does not grow."""

    def __init__(self, context: Context, threads: int) -> None:
        self._context, self._threads = context, threads
        self._call, self._offset = EnrolCall(), 0
        self._person: str | None = None
        self._people = self._nobody()

    def parts(self, photos: Iterable[Photo | LeftOut]) -> Iterator[GalleryPart]:
        """Yield a part for every photo, in the order of the photos; those of one person follow each other.

        The lines are numbered as the records of a people topic that contains nothing else.
        """
        for asked in in_order(self._prepare, photos, self._threads):
            if isinstance(asked, LeftOut):
                yield GalleryPart(left_out=asked)
            else:
                yield self._decided(asked)

    def _prepare(self, photo: Photo | LeftOut) -> _Asked | LeftOut:
        if isinstance(photo, LeftOut):
            return photo
        try:
            request = enrol_request(
                photo.where,
                photo.identity_id,
                info=photo.info,
                group_name=photo.group_name,
                photo=picture_at(photo.path),
                creates_permissions=True,
            )
        except Refused as refused:
            return LeftOut(photo.where, refused.refusal.message)
        except ValueError as error:
            return LeftOut(photo.where, str(error))
        return _Asked(photo.where, request, self._call.prepare(request, self._context))

    def _decided(self, asked: _Asked) -> GalleryPart:
        request = asked.request
        if request.identity_id != self._person:
            # An enrolment depends on the earlier ones of the same person only.
            self._person, self._people = request.identity_id, self._nobody()
        records = self._new_groups(request.group_names or ())
        decision = self._call.decide(request, asked.prepared, self._people, self._context)
        if decision.refusal is not None:
            return GalleryPart(self._lines(records), left_out=LeftOut(asked.where, decision.refusal.message))
        self._people.decided(decision.people, decision.site)
        records += decision.people_records([(0, 0)] * len(decision.photos))
        return GalleryPart(self._lines(records), asked.prepared.face.jpeg if asked.prepared.face else None)

    def _new_groups(self, names: Iterable[str]) -> list[KeyedValue]:
        """Create those of the groups that do not exist, and return their records."""
        site = self._people.site
        groups = [GroupRecord(group_id=name, name=name) for name in names if site.group_named(name) is None]
        self._people.decided({}, reduce(Site.put, groups, site))
        return [(site_key(site_key_of(group)), encode(group)) for group in groups]

    def _lines(self, records: Sequence[KeyedValue]) -> tuple[PeopleLine, ...]:
        first, self._offset = self._offset, self._offset + len(records)
        return tuple(
            PeopleLine(offset=offset, time=0.0, key=key, value=value)
            for offset, (key, value) in enumerate(records, start=first)
        )

    def _nobody(self) -> PendingPeople:
        embedder = self._context.models.embedder
        return PendingPeople(People(embedder.dimension, self._context.models.embedder_identity))
