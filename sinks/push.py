"""The push sink: the vendor's upload of events to a URL of the call HistoryEventUrl.

Each URL has a consumer group of its own, named by a hash of the URL, so that a slow or dead receiver delays no other.
What is sent, and how often, is asked of the site at each event, so that a change takes effect without a restart.
"""

import asyncio
import hashlib
from dataclasses import dataclass
from functools import partial
from urllib.parse import urlsplit

import aiohttp

from contract.hosts import Hosts
from contract.people.site import SettingRecord
from contract.site_settings import EVENT_FAMILY, EventUploads, event_uploads
from sinks.context import PeopleView, SinkContext
from sinks.delivery import deliver_as
from sinks.lane import Plan
from sinks.lookups import Lookups
from sinks.outgoing import Outgoing
from sinks.outward import Answer, Outward, Unreached
from sinks.pacing import Pacing
from sinks.push_body import Part, Person, Pushed, form_parts, json_body, push_fields, refusal_in
from sinks.receiver import Delivered, Delivery, Failed
from sinks.settings import PushSettings

NAME_PREFIX = "push-"
"""What the names of push sinks begin with; the beginning of the sha256 of the URL follows."""
_NAME_DIGITS = 12


@dataclass(frozen=True, slots=True)
class PushTarget:
    """One receiver: a URL that the site has set, the rules of the operator, and the hosts that may be receivers."""

    url: str
    settings: PushSettings
    hosts: Hosts

    @property
    def name(self) -> str:
        """The name of the sink."""
        return f"{NAME_PREFIX}{hashlib.sha256(self.url.encode()).hexdigest()[:_NAME_DIGITS]}"

    @property
    def group(self) -> str:
        """The consumer group of the receiver."""
        return f"sink-{self.name}"

    @property
    def shown(self) -> str:
        """The URL without path and query, which may contain a secret of the receiver."""
        parts = urlsplit(self.url)
        return f"{parts.scheme}://{parts.netloc}"


class SiteUploads:
    """What the site has set about the receivers of events; it is computed again only where the site has changed."""

    def __init__(self, people: PeopleView) -> None:
        self._people = people
        self._record: SettingRecord | None = None
        self._uploads = EventUploads()

    @property
    def now(self) -> EventUploads:
        """The values in force now."""
        site = self._people.site
        record = site.settings.get(EVENT_FAMILY)
        if record is not self._record:
            self._record, self._uploads = record, event_uploads(site)
        return self._uploads


def delivery_of(answer: Answer) -> Delivery:
    """Return what an answer means for the event: a success is 2xx without a status of failure in the JSON body."""
    if not 200 <= answer.status < 300:
        return Failed(f"the receiver answered with status {answer.status}", answer.retry_after_s)
    status = refusal_in(answer.body)
    if status is None:
        return Delivered()
    return Failed(f"the receiver answered with the status {status} in its JSON body", answer.retry_after_s)


class PushReceiver:
    """A `sinks.receiver.Receiver` that uploads events to one URL."""

    def __init__(self, target: PushTarget, context: SinkContext, uploads: SiteUploads) -> None:
        self._target, self._people, self._uploads = target, context.people, uploads
        self._lookups = Lookups(context)
        host = urlsplit(target.url).hostname or ""
        self._outward = Outward(
            lambda _: target.hosts.contains(host), target.settings.timeout_s, target.settings.ca_file
        )

    async def open(self) -> None:
        """Open the client."""
        await self._outward.__aenter__()

    async def deliver(self, event: Outgoing) -> Delivery:
        """Upload an event."""
        body, headers = await self._body(event, self._uploads.now)
        try:
            return delivery_of(await self._outward.post(self._target.url, body, {**headers, **event.trace}))
        except Unreached as error:
            return Failed(f"the receiver cannot be reached: {error}", sent=error.sent)

    async def close(self) -> None:
        """Close the connections."""
        await self._outward.__aexit__(None, None, None)

    async def _body(self, event: Outgoing, uploads: EventUploads) -> tuple[bytes | aiohttp.FormData, dict[str, str]]:
        """Return the body of an event, and the headers that describe it."""
        fields = push_fields(event.event, await self._person(event), self._people.site)
        pictures = await self._pictures(event, uploads)
        if uploads.as_form:
            return _form(form_parts(fields, pictures)), {}
        work = partial(json_body, fields, pictures)
        body = await asyncio.to_thread(work) if pictures else work()
        return body, {"Content-Type": "application/json"}

    async def _person(self, event: Outgoing) -> Person | None:
        found = event.event
        record = self._people.person(found.identity_id) if found.identity_id and found.kind != "compare" else None
        if record is None:
            return None
        info = await self._lookups.info(record.identity_id)
        return None if info is None else Person(record, info)

    async def _pictures(self, event: Outgoing, uploads: EventUploads) -> dict[str, bytes]:
        """Return the pictures that were asked for and that the log has, by field."""
        found, infrared, face, photo = None, None, None, None
        if uploads.picture or uploads.face:
            found, infrared = await self._lookups.pictures(event.event)
        if uploads.face:
            face = await self._lookups.face(event.event, found)
        if uploads.photo and event.event.kind != "compare":
            photo = await self._lookups.photo(event.event.identity_id)
        spot, infrared = (found, infrared) if uploads.picture else (None, None)
        pictures = {"reg_pic": photo, "spot_pic": spot, "ir_pic": infrared, "recognize_face": face}
        return {name: picture for name, picture in pictures.items() if picture}


def _form(parts: list[Part]) -> aiohttp.FormData:
    form = aiohttp.FormData(default_to_multipart=True)
    for part in parts:
        name, kind = part.file or (None, None)
        form.add_field(part.name, part.value, filename=name, content_type=kind)
    return form


async def run_push(target: PushTarget, context: SinkContext) -> int:
    """Upload events to a receiver until the context's `stop` is set; return the number of events that it has got.

    A new receiver begins with the events since the site's setting was changed, or where the time of the change is not
    known, with the newest event.
    """
    uploads = SiteUploads(context.people)
    plan = Plan(
        wanted=Pushed(),
        retrying=target.settings.retrying,
        retention_ms=context.events_retention_ms,
        pacing=Pacing(lambda: uploads.now.period_s),
        from_s=uploads.now.since_s or None,
        clock=context.clock,
    )
    return await deliver_as(target.name, target.group, PushReceiver(target, context, uploads), plan, context)
