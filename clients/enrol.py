"""Enrols people at a running server: posts every entry, tries again while the server is busy, and reports the result.

The entries of one person are posted in their order:

- The first entry enrols a new person. A person who is enrolled already is left unchanged, or is replaced with `update`.
- Each further entry adds a face.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any

import pybase64

from clients.answers import ServerAnswer
from clients.enrol_list import Entry, Found, Unusable
from clients.errors import CannotRun
from clients.http import Client, NoAnswer, all_or_first_error
from clients.picture_file import UnusablePicture, read_picture
from clients.retry import ATTEMPTS, ask_patiently
from contract.errors import Code
from contract.http import USERS_PATH
from contract.terms import DEFAULT_GROUP, QualityLevel

GIVE_UP_AFTER = 5
"""The number of entries in a row without an answer, each tried ATTEMPTS times, after which the run ends, because the
server is gone."""
_WAITING_PER_WORKER = 4


class Outcome(Enum):
    """The result of one entry."""

    ENROLLED = "enrolled"
    UPDATED = "updated"
    FACE_ADDED = "face added"
    UNCHANGED = "already enrolled"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class EnrolResult:
    """The report about one entry.

    `reason` is a sentence where the entry failed, else empty. `lookalikes`: the ids and percentages of other enrolled
    people whose faces are too similar.
    """

    where: str
    outcome: Outcome
    reason: str = ""
    lookalikes: tuple[tuple[str, float], ...] = ()


@dataclass(frozen=True, slots=True)
class EnrolOptions:
    """The options of an enrolment.

    `quality_level` None means the server's own level. `feature_model`: the network that computed the features of those
    entries that name none.
    """

    group_name: str = DEFAULT_GROUP
    quality_level: QualityLevel | None = None
    update: bool = False
    concurrency: int = 4
    feature_model: str | None = None


async def enrol(
    entries: Iterable[Found],
    client: Client,
    report: Callable[[EnrolResult], None],
    options: EnrolOptions,
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
) -> None:
    """Post all entries and report each once; entries of one person keep their order.

    Args:
        entries: The entries to enrol, which are read as they are needed.
        client: The entered client of the server.
        report: Called once per entry.
        options: The options of the enrolment.
        sleep: Waits that many seconds between attempts.

    Raises:
        CannotRun: no server can be reached, the server demands an API key, or it does not answer any more. Entries that
            were not reported were not enrolled.
    """
    run = _Run(client, report, options, sleep)
    queues = [asyncio.Queue[Entry | None](_WAITING_PER_WORKER) for _ in range(options.concurrency)]

    async def hand_out() -> None:
        for entry in entries:
            if isinstance(entry, Unusable):
                report(EnrolResult(entry.where, Outcome.FAILED, entry.reason))
            else:
                await queues[hash(entry.identity_id) % len(queues)].put(entry)
        for queue in queues:
            await queue.put(None)

    await all_or_first_error(hand_out(), *(run.work(queue) for queue in queues))


class _Run:
    """The state that the workers of one enrolment share; all entries of a person go to the same worker."""

    def __init__(
        self,
        client: Client,
        report: Callable[[EnrolResult], None],
        options: EnrolOptions,
        sleep: Callable[[float], Awaitable[None]],
    ) -> None:
        self._client = client
        self._report = report
        self._options = options
        self._sleep = sleep
        self._enrolled: set[str] = set()
        self._left_alone: set[str] = set()
        self._unanswered_in_a_row = 0
        self._answered = False

    async def work(self, queue: "asyncio.Queue[Entry | None]") -> None:
        while (entry := await queue.get()) is not None:
            self._report(await self._one(entry))

    async def _one(self, entry: Entry) -> EnrolResult:
        person = entry.identity_id
        if person in self._left_alone:
            return EnrolResult(entry.where, Outcome.UNCHANGED)
        first = person not in self._enrolled
        try:
            body = await asyncio.to_thread(_body, entry, self._options, first)
        except OSError as error:
            return EnrolResult(entry.where, Outcome.FAILED, f"the photo cannot be read: {error.strerror or error}")
        except UnusablePicture as error:
            return EnrolResult(entry.where, Outcome.FAILED, str(error))
        try:
            answer, doubtful = await self._post(body)
        except NoAnswer as error:
            self._note_silence(error)
            return EnrolResult(entry.where, Outcome.FAILED, f"{error} ({ATTEMPTS} attempts)")
        alike = lookalikes_in(answer)
        if first and (answer.unchanged or answer.code == Code.IDENTITY_EXSIT_ERROR):
            # After an earlier attempt without an answer, the enrolled person is most likely from this same entry.
            (self._enrolled if doubtful else self._left_alone).add(person)
            return EnrolResult(entry.where, Outcome.ENROLLED if doubtful else Outcome.UNCHANGED, "", alike)
        if answer.http_status != 200 or answer.code is not None:
            return EnrolResult(entry.where, Outcome.FAILED, answer.error_text)
        self._enrolled.add(person)
        if not first:
            return EnrolResult(entry.where, Outcome.FACE_ADDED, "", alike)
        return EnrolResult(entry.where, Outcome.UPDATED if self._options.update else Outcome.ENROLLED, "", alike)

    async def _post(self, body: dict[str, Any]) -> tuple[ServerAnswer, bool]:
        """Return the answer, and whether an earlier attempt without an answer may have enrolled the person.

        Raises:
            NoAnswer: the last attempt had no answer.
        """

        async def post_once() -> ServerAnswer:
            answer = await self._client.post(USERS_PATH, body)
            self._answered = True
            self._unanswered_in_a_row = 0
            return answer

        return await ask_patiently(post_once, self._sleep)

    def _note_silence(self, error: NoAnswer) -> None:
        self._unanswered_in_a_row += 1
        if not self._answered and not error.reached:
            raise error.final() from error
        if self._unanswered_in_a_row >= GIVE_UP_AFTER:
            raise CannotRun(f"the server does not answer any more: {error}; run the same command again") from error


def lookalikes_in(answer: ServerAnswer) -> tuple[tuple[str, float], ...]:
    """Return id and percentage of each look-alike that the answer to an enrolment names; a server may name none."""
    data = answer.fields.get("data")
    found = data.get("lookalikes") if isinstance(data, Mapping) else None
    return tuple(
        (str(one["identity_id"]), float(one["percent"]))
        for one in (found if isinstance(found, list) else ())
        if isinstance(one, Mapping) and "identity_id" in one and isinstance(one.get("percent"), int | float)
    )


def _body(entry: Entry, options: EnrolOptions, first: bool) -> dict[str, Any]:
    """Return the body of the users call for an entry.

    Raises:
        OSError: the photo cannot be read.
        UnusablePicture: the photo is missing, is no regular file, or is too large.
    """
    body: dict[str, Any] = {
        "group_name": entry.group_name or options.group_name,
        "identity_id": entry.identity_id,
        "info": entry.info,
        "ignore_exist": options.update or not first,
        "support_single_face": options.update and first,
    }
    if options.quality_level is not None:
        body["fiqa_level"] = options.quality_level
    if entry.photo is not None:
        body["reg_photo"] = pybase64.b64encode_as_string(read_picture(entry.photo))
    if entry.feature is not None:
        model = entry.feature_model or options.feature_model
        body |= {"import_mode": True, "feature": entry.feature} | ({} if model is None else {"feature_model": model})
    return body
