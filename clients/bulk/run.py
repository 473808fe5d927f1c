"""One import: the items of a source are checked, put into chunks, and sent, a few chunks at a time."""

import asyncio
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec
import orjson
import pybase64

from clients.answers import ServerAnswer
from clients.bulk import AT_ONCE, CHUNK
from clients.bulk.exported import Export
from clients.bulk.items import Item, Source, Unusable
from clients.bulk.journal import Failure, Journal, Tally
from clients.errors import CannotRun
from clients.http import Client, NoAnswer, all_or_first_error
from clients.picture_file import UnusablePicture, read_picture
from clients.retry import ask_patiently
from contract.calls.imports import Imported, checked_person
from contract.calls.shared import Data
from contract.errors import Code, Refused
from contract.http import IMPORT_PATH
from contract.imports import MOST_FACES, MOST_LOOKED_AT, MOST_PEOPLE, is_looked_at

_MOST_LOOKED_AT = 8
"""The photos of a chunk that the server decodes whole (contract.imports.is_looked_at): an answer has a deadline, and a
slow core takes 200 ms for each."""
_SCOPES = 200
"""The groups, and the permissions, of one call; a record has 16 KiB at most."""
_LEAST_CHUNK = 20
"""The people of a chunk while the server is too busy for more."""
_MOST_BYTES = 12 * 1024 * 1024
"""Of the body of a chunk; a single person may have more."""

_TOO_LARGE = (
    "; a person is sent whole: raise the server's limits (pictures.max_bytes for a photo, ingest.max_body_bytes for all"
    " photos of a person), or import the person with smaller or fewer photos"
)
_ABOUT_SOME = frozenset({Code.PAYLOAD_TOO_LARGE, Code.PARAM_ERROR, Code.BAD_REQUEST, Code.BAD_FEATURE_ERROR})
"""The codes with which a chunk is refused whole, although most of its people may be fine."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BulkOptions:
    """How people are imported. `rate`: at most so many people a second; None: as fast as the server takes them.

    `group_name`: the groups of people for whom the source names none.
    """

    chunk: int = CHUNK
    at_once: int = AT_ONCE
    rate: float | None = None
    group_name: str | None = None
    quality_level: str | None = None


@dataclass(frozen=True, slots=True)
class _Ready:
    """A person who is ready to be sent: where the source has the person, and the JSON.

    `looked_at`: the number of photos that the server decodes whole.
    """

    where: str
    identity_id: str
    body: bytes
    faces: int
    looked_at: int

    def failed(self, message: str, code: int | None) -> Failure:
        """Return the person as one who was not imported."""
        return Failure(self.where, self.identity_id, message, code)


@dataclass(slots=True)
class _Chunk:
    """People who are sent together, the places of all items in the source, and items that failed before."""

    items: list[int] = field(default_factory=list)
    people: list[_Ready] = field(default_factory=list)
    failures: list[Failure] = field(default_factory=list)
    size: int = 0
    faces: int = 0
    looked_at: int = 0

    def takes(self, person: _Ready, most: int) -> bool:
        """Return whether one more person fits in."""
        return not self.people or (
            len(self.people) < most
            and self.size + len(person.body) <= _MOST_BYTES
            and self.faces + person.faces <= MOST_FACES
            and self.looked_at + person.looked_at <= _MOST_LOOKED_AT
        )

    def add(self, place: int, person: _Ready) -> None:
        """Add a person."""
        self.items.append(place)
        self.people.append(person)
        self.size += len(person.body)
        self.faces += person.faces
        self.looked_at += person.looked_at


class BulkImport:
    """One run. `client` is entered, `journal` too; `step` is called with the number of items that are done."""

    def __init__(
        self, source: Source, client: Client, journal: Journal, options: BulkOptions, step: Callable[[int], None]
    ) -> None:
        self._source, self._client, self._journal = source, client, journal
        self._options, self._step = options, step
        self._most = options.chunk
        self._began = time.monotonic()
        self._sent = 0

    async def run(self) -> None:
        """Import everything that is not done yet.

        Raises:
            CannotRun: the source cannot be read, or the server cannot be reached, or refuses the call.
        """
        await self._send_site()
        chunks = self._chunks()
        lock = asyncio.Lock()

        async def worker() -> None:
            while True:
                async with lock:
                    chunk = await asyncio.to_thread(next, chunks, None)
                if chunk is None:
                    return
                await self._send(chunk)

        await all_or_first_error(*(worker() for _ in range(self._options.at_once)))

    async def _send_site(self) -> None:
        """Create the groups and permissions of an export, and learn by which ids the server knows them."""
        if not isinstance(self._source, Export):
            return
        site = self._source.site
        groups, permissions = dict[str, str](), dict[str, str]()
        for begin in range(0, max(map(len, site.values())), _SCOPES):
            part = {kind: records[begin : begin + _SCOPES] for kind, records in site.items()}
            done = _imported(await self._ask(orjson.dumps({**part, "restore": True})), self._client)
            groups |= done.groups
            permissions |= done.permissions
        self._source.known_as(groups, permissions)

    def _chunks(self) -> Iterator[_Chunk]:
        chunk = _Chunk()
        for place, item in enumerate(self._source.items()):
            if self._journal.is_done(place):
                continue
            checked = self._checked(item)
            if isinstance(checked, Failure):
                chunk.items.append(place)
                chunk.failures.append(checked)
                if len(chunk.failures) >= MOST_PEOPLE:
                    yield chunk
                    chunk = _Chunk()
                continue
            if not chunk.takes(checked, self._most):
                yield chunk
                chunk = _Chunk()
            chunk.add(place, checked)
        if chunk.items:
            yield chunk

    def _checked(self, item: Item) -> _Ready | Failure:
        """Return a person as the call takes it, with its JSON; or the reason why it cannot be sent."""
        if isinstance(item, Unusable):
            return Failure(item.where, item.identity_id, item.reason)
        fields = item.fields
        try:
            for place, path in item.photos.items():
                fields["faces"][place]["photo"] = pybase64.b64encode_as_string(read_picture(path))
            if self._options.group_name is not None and not fields.keys() & {"group_name", "group_ids"}:
                fields["group_name"] = self._options.group_name
            person = checked_person(fields, _beginning, restore=self._source.restore)
            body = orjson.dumps(fields)
        except Refused as refused:
            return Failure(item.where, item.identity_id, refused.message, int(refused.code))
        except orjson.JSONEncodeError:  # in a member that the call does not have; the others are checked
            return Failure(item.where, item.identity_id, "a member is nested too deeply")
        except UnusablePicture as error:
            return Failure(item.where, item.identity_id, str(error))
        except OSError as error:
            return Failure(item.where, item.identity_id, f"the photo cannot be read: {error.strerror or error}")
        looked_at = sum(map(is_looked_at, person.faces))
        if looked_at > MOST_LOOKED_AT:
            message = (
                f"{looked_at} photos of the person have no embedding or are no JPEG, and an import takes at most"
                f" {MOST_LOOKED_AT}: use `picturematch enrol`, which sends photos one by one, or JPEGs with embeddings"
            )
            return Failure(item.where, item.identity_id, message)
        return _Ready(item.where, item.identity_id, body, len(person.faces), looked_at)

    async def _send(self, chunk: _Chunk) -> None:
        tally = await self._sent_people(chunk.people)
        tally.failures += chunk.failures
        self._journal.note(chunk.items, tally)
        self._step(len(chunk.items))
        if self._options.rate is not None:
            self._sent += len(chunk.items)
            await asyncio.sleep(max(0.0, self._began + self._sent / self._options.rate - time.monotonic()))

    async def _sent_people(self, people: Sequence[_Ready]) -> Tally:
        """Send people; where the server refuses them together, or stays too busy for them, send the halves, and so on.

        Raises:
            CannotRun: the server cannot be reached, or refuses the call.
        """
        if not people:
            return Tally()
        answer, doubtful = await self._asked(self._body([person.body for person in people]))
        half = len(people) // 2
        if answer.is_busy and half:
            self._most = max(_LEAST_CHUNK, min(self._most, half))  # fewer people at once are in time
        about_some = answer.http_status != 200 and answer.code in _ABOUT_SOME
        if about_some and not half:
            too_large = answer.code == Code.PAYLOAD_TOO_LARGE
            message = f"{answer.message}{_TOO_LARGE}" if too_large else answer.message
            return Tally(failures=[people[0].failed(message, answer.code)])
        if about_some or (answer.is_busy and half):
            tally = await self._sent_people(people[:half])
            tally.take(await self._sent_people(people[half:]))
            return tally
        done = _imported(answer, self._client)
        # After an attempt without an answer, whoever is there may have been added by that attempt.
        added, present = done.added, len(done.present)
        tally = Tally(added + present, 0) if doubtful else Tally(added, present)
        tally.faces, tally.unsearched = done.faces, done.unsearched
        tally.failures = [people[one.place].failed(one.error.message, one.error.code) for one in done.failed]
        return tally

    def _body(self, people: Sequence[bytes]) -> bytes:
        rest: dict[str, Any] = {"restore": self._source.restore}
        if self._options.quality_level is not None:
            rest["fiqa_level"] = self._options.quality_level
        return b'{"people":[%s],%s' % (b",".join(people), orjson.dumps(rest)[1:])

    async def _ask(self, body: bytes) -> ServerAnswer:
        answer, _ = await self._asked(body)
        return answer

    async def _asked(self, body: bytes) -> tuple[ServerAnswer, bool]:
        async def ask() -> ServerAnswer:
            return await self._client.post_bytes(IMPORT_PATH, body)

        try:
            return await ask_patiently(ask)
        except NoAnswer as error:
            raise CannotRun(f"{error}; run the same command again: it goes on where it stopped") from error


def _beginning(photo: str, _: str) -> bytes:
    """Return the first bytes of a photo in base64, which say whether it is a JPEG; empty: it is no base64."""
    try:
        return pybase64.b64decode(photo[photo.find(",", 0, 100) + 1 :][:4], validate=True)  # without data:image/jpeg,
    except ValueError:
        return b""


def _imported(answer: ServerAnswer, client: Client) -> Imported:
    if answer.http_status != 200 or answer.code is not None:
        raise CannotRun(f"the server at {client.url} does not take the people: {answer.error_text}")
    try:
        return msgspec.convert(answer.fields, Data[Imported]).data
    except msgspec.ValidationError as error:
        raise CannotRun(
            f"{client.url} did not answer as a PictureMatch server does ({error}); check the URL"
        ) from error
