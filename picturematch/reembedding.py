"""Embeds the stored photos of all people with another embedder, beside a running server, and writes the results.

The records are written by the server: each call is a request in the admin topic, which is decided in the order of all
changes of people. What is done is in the log, so that a run that was interrupted goes on where it ended. People who are
enrolled meanwhile are embedded too: the topic is read again until every face with a photo is embedded.
"""

import asyncio
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from functools import partial
from types import TracebackType
from typing import Any, Self, TypeVar

import pybase64

from broker.keyed import KeyedReader
from broker.port import Broker, Reader, Start
from clients.answers import ServerAnswer
from clients.http import Client, NoAnswer
from clients.retry import ask_patiently
from contract.answers import FaceOutcome
from contract.http import REEMBED_PATH
from contract.people.coverage import (
    CoverDirectory,
    EnrolledFace,
    faces_with_others,
    faces_without,
    faces_without_covers,
    people_without,
)
from contract.people.keys import photo_key
from contract.people.records import photo_of
from contract.topics import Topics
from engine.calls.enrol import prepare_photo
from engine.calls.people import PreparedFace
from engine.context import Context
from picturematch.options import UserError
from picturematch.shell import Steps, progress

T = TypeVar("T")

FACES_AT_ONCE = 32
"""The faces of one call, and so of one transaction."""
_REMOVED_AT_ONCE = 200
_READ_AT_ONCE = 1000
_POLL_S = 0.2
_PASSES_IN_VAIN = 2
_LAG_S = 1.0
"""An ingress may know of those who were enrolled last a moment later than this process."""
_SEARCH_S = 60.0
"""The longest search for photos whose positions are wrong because the log was restored; it happens once a partition."""


@dataclass(frozen=True, slots=True)
class Pace:
    """How fast faces are embedded: `jobs` threads, and at most `rate` faces a second (None: as fast as they can)."""

    jobs: int = 1
    rate: float | None = None


@dataclass(slots=True)
class Tally:
    """What was done: faces that were added, and passes over the people; `unusable`: why a face cannot be embedded.

    `completed`: faces that had a record of the embedder, and got templates of covered faces.
    """

    added: int = 0
    completed: int = 0
    passes: int = 0
    unusable: dict[EnrolledFace, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class LeftBehind:
    """A face that the embedder has no record of. `reason`: in a sentence, why it cannot be embedded."""

    identity_id: str
    number: int
    reason: str


class EnrolledPeople:
    """Everybody who is enrolled, read from a log beside its server, which must be entered.

    `embedder`: the identity of the embedder that is asked about.
    """

    def __init__(self, log: Broker, topics: Topics, embedder: str) -> None:
        self.directory = CoverDirectory()
        self.embedder = embedder
        self._log, self._topic = log, topics.people
        self._photos = KeyedReader(log, topics.photos, _SEARCH_S)
        self._reader: Reader
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        self._reader = await self._stack.enter_async_context(self._log.reader(self._topic, Start.EARLIEST, [0]))
        await self.catch_up()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._stack.aclose()

    async def catch_up(self) -> None:
        """Read the topic to its present end.

        Raises:
            UserError: a record cannot be read, so that people may be missing.
        """
        end = (await self._log.end_offsets(self._topic)).get(0, 0)
        while self._reader.positions()[0] < end:
            self.directory.apply(await self._reader.fetch(_READ_AT_ONCE, _POLL_S))
        if self.directory.unreadable:
            raise UserError(
                "a record of the people cannot be read: see `picturematch people check`, and repair it first"
            )

    def missing(self) -> list[EnrolledFace]:
        """Return the faces without a record of the embedder, in order."""
        return sorted(faces_without(self.directory, self.embedder), key=lambda face: (face.identity_id, face.number))

    def uncovered(self) -> list[EnrolledFace]:
        """Return the faces with a photo whose record of the embedder has no template of a covered face, in order."""
        found = faces_without_covers(self.directory, self.embedder)
        return sorted(found, key=lambda face: (face.identity_id, face.number))

    def others(self) -> list[EnrolledFace]:
        """Return the faces that have records of other embedders beside one of the embedder, in order."""
        found = faces_with_others(self.directory, self.embedder)
        return sorted(found, key=lambda face: (face.identity_id, face.number))

    def nowhere(self) -> list[str]:
        """Return the people of whom the embedder has no face at all, in order."""
        return people_without(self.directory, self.embedder)

    async def photo(self, face: EnrolledFace) -> bytes | None:
        """Return the JPEG with which a face was enrolled; None: it has none, or it is gone."""
        reference = face.photo
        if reference is None:
            return None
        key = photo_key(face.identity_id, face.number)
        accept = partial(photo_of, reference=reference)
        return await self._photos.read(key, reference.partition, reference.offset, accept)

    async def left_behind(self, unusable: dict[EnrolledFace, str]) -> list[LeftBehind]:
        """Return the faces that have no record of the embedder and cannot get one; photos are looked for."""
        found = []
        for face in self.missing():
            reason = unusable.get(face)
            if face.photo is None:
                reason = NO_PHOTO
            elif reason is None and await self.photo(face) is None:
                reason = PHOTO_GONE
            if reason is not None:
                found.append(LeftBehind(face.identity_id, face.number, reason))
        return found


NO_PHOTO = "was enrolled by a feature, without a photo"
PHOTO_GONE = "its photo is not in the log any more"


async def prepared_face(
    people: EnrolledPeople, face: EnrolledFace, context: Context, pool: ThreadPoolExecutor
) -> PreparedFace | str:
    """Return an enrolled face, embedded from its photo in `pool`; a string: why it cannot be embedded.

    `people` are entered; `context` has the networks.
    """
    jpeg = await people.photo(face)
    if jpeg is None:
        return NO_PHOTO if face.photo is None else PHOTO_GONE
    prepared = await asyncio.get_running_loop().run_in_executor(pool, prepare_photo, jpeg, (), context)
    if prepared.face is not None:
        return prepared.face
    reason = "no face" if prepared.refusal is None else prepared.refusal.message
    return f"its photo cannot be embedded: {reason}"


class Reembedding:
    """One run. `people` are entered, and `client` too; `context` has the networks of the new embedder."""

    def __init__(self, people: EnrolledPeople, client: Client, context: Context, pace: Pace) -> None:
        self._people, self._client, self._context, self._pace = people, client, context, pace
        self._covers = context.policy.covered_templates and bool(context.models.embedder.covered_curves)
        self._completed: set[EnrolledFace] = set()  # also those that the server does not complete: it is asked once
        self.tally = Tally()

    async def run(self) -> None:
        """Embed every face that has a photo, until those are embedded too that were enrolled meanwhile.

        Faces that the embedder knows get their templates of covered faces, where the embedder has curves for these.

        Raises:
            UserError: the server uses another log.
            CannotRun: the server cannot be reached, or refuses the call.
        """
        in_vain = 0
        with ThreadPoolExecutor(self._pace.jobs, "photo") as pool:
            while waiting := self._waiting():
                with progress("embedding faces", len(waiting)) as steps:
                    for some in _chunks(waiting, FACES_AT_ONCE):
                        await self._embed(some, pool, steps)
                self.tally.passes += 1
                await self._people.catch_up()
                if self._waiting() == waiting:  # the server knows none of the faces that this log has
                    in_vain += 1
                    if in_vain > _PASSES_IN_VAIN or len(waiting) > FACES_AT_ONCE:
                        raise self._other_log()
                    await asyncio.sleep(_LAG_S)
                    await self._people.catch_up()

    def _waiting(self) -> list[EnrolledFace]:
        """Return the faces to embed: those without a photo, or with one that cannot be embedded, are left out."""
        faces = self._people.missing()
        missing = [face for face in faces if face.photo is not None and face not in self.tally.unusable]
        if not self._covers:
            return missing
        return missing + [face for face in self._people.uncovered() if face not in self._completed]

    async def _embed(self, faces: Sequence[EnrolledFace], pool: ThreadPoolExecutor, steps: Steps) -> None:
        began = time.monotonic()
        at_once = asyncio.Semaphore(self._pace.jobs)

        async def one(face: EnrolledFace) -> dict[str, Any] | None:
            async with at_once:
                sent = await self._embedded(face, pool)
            steps.step()
            return sent

        known = {face for face in faces if self._is_known(face)}
        self._completed |= known
        sent = [(face, body) for face, body in zip(faces, await asyncio.gather(*map(one, faces)), strict=True) if body]
        if sent:
            policy = self._context.policy
            used = {"face": policy.face, "covered_templates": policy.covered_templates}
            outcomes = await post_faces(self._client, "add", self._people.embedder, [body for _, body in sent], **used)
            added = [face for (face, _), outcome in zip(sent, outcomes, strict=True) if outcome == "added"]
            self.tally.completed += len(known.intersection(added))
            self.tally.added += len(set(added) - known)
            await self._require_written(added, known)
        if self._pace.rate is not None:
            await asyncio.sleep(max(0.0, len(faces) / self._pace.rate - (time.monotonic() - began)))

    async def _embedded(self, face: EnrolledFace, pool: ThreadPoolExecutor) -> dict[str, Any] | None:
        """Return a face as the call takes it; None: it cannot be embedded, or only without a cover and is known."""
        if face.photo is None:
            self.tally.unusable[face] = NO_PHOTO
            return None
        prepared = await prepared_face(self._people, face, self._context, pool)
        if isinstance(prepared, str):
            self.tally.unusable[face] = prepared
            return None
        if self._is_known(face) and not prepared.covered:
            return None
        templates = {kind: pybase64.b64encode_as_string(data) for kind, data in prepared.templates.items()}
        return {**_named(face), "photo_sha256": face.photo.sha256.hex(), "templates": templates}

    def _is_known(self, face: EnrolledFace) -> bool:
        return self._people.embedder in self._people.directory.embedders(face.identity_id, face.number)

    async def _require_written(self, faces: Sequence[EnrolledFace], known: set[EnrolledFace]) -> None:
        """Check that the log which is read is that of the server, once: its answer says that the faces were added.

        `known`: the faces that had a record of the embedder before.

        Raises:
            UserError: the log does not contain them.
        """
        if not faces or self.tally.passes or self.tally.added + self.tally.completed > len(faces):
            return
        await self._people.catch_up()
        directory, embedder = self._people.directory, self._people.embedder
        completed = (
            directory.has_covers(face.identity_id, face.number, embedder) for face in known.intersection(faces)
        )
        if not any(completed) and not any(self._is_known(face) for face in faces if face not in known):
            raise self._other_log()

    def _other_log(self) -> UserError:
        return UserError(
            f"the server at {self._client.url} uses another log than the one that the settings name: give the"
            " --data-folder or --broker of that server"
        )


async def remove_others(people: EnrolledPeople, client: Client) -> int:
    """Remove the records of other embedders from the faces that have one of the embedder in use; return their number.

    Raises:
        CannotRun: the server cannot be reached, or refuses the call: its embedder is another one.
    """
    removed, faces = 0, people.others()
    with progress("removing records of former embedders", len(faces)) as steps:
        for some in _chunks(faces, _REMOVED_AT_ONCE):
            outcomes = await post_faces(client, "remove", people.embedder, list(map(_named, some)))
            removed += outcomes.count("removed")
            steps.step(len(some))
    return removed


async def post_faces(
    client: Client, action: str, embedder: str, faces: Sequence[dict[str, Any]], **used: str | bool
) -> list[FaceOutcome]:
    """Make one call and return what came of each face. `used`: the settings with which the faces were embedded.

    Raises:
        CannotRun: there is no answer, or the server refuses the call.
    """
    body = {"action": action, "embedder": embedder, **used, "faces": list(faces)}

    async def ask() -> ServerAnswer:
        return await client.post(REEMBED_PATH, body)

    try:
        answer, _ = await ask_patiently(ask)
    except NoAnswer as error:
        raise error.final() from error
    outcomes = answer.fields.get("data", {}).get("outcomes", []) if answer.http_status == 200 else []
    if len(outcomes) != len(faces):
        raise UserError(f"the server at {client.url} does not take the faces: {answer.error_text}")
    return list(outcomes)


def _named(face: EnrolledFace) -> dict[str, Any]:
    return {"identity_id": face.identity_id, "number": face.number}


def _chunks(items: Sequence[T], size: int) -> Iterator[Sequence[T]]:
    return (items[first : first + size] for first in range(0, len(items), size))
