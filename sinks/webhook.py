"""The webhook sink: posts each event as a CloudEvent, signed as Standard Webhooks describes.

A request has the headers webhook-id (the event's id, also for a repeated delivery), webhook-timestamp (the time of the
try) and webhook-signature (one signature per secret, so that secrets can be rotated), and the body is the event in the
JSON event format of CloudEvents 1.0. Sources: the Standard Webhooks specification; CloudEvents 1.0.2 with its HTTP
protocol binding (structured content mode).
"""

import base64
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime

from standardwebhooks.webhooks import Webhook

from sinks.cloud_event import CONTENT_TYPE, cloud_event, valid_until
from sinks.context import SinkContext
from sinks.delivery import deliver_as, plan_of
from sinks.outgoing import Outgoing
from sinks.outward import Answer, Outward, Unreached
from sinks.port import SinkError
from sinks.receiver import Delivered, Delivery, Failed, NeverTakes, SwitchedOff
from sinks.settings import WebhookSettings

_NEVER_TAKEN = frozenset({400, 413, 414, 415, 422})
"""The statuses by which a receiver says that it will never take this event."""
_GONE = 410
_LEAST_SECRET_BYTES = 24
"""As the Standard Webhooks specification demands."""


def signatures(secrets: Sequence[str], event_id: str, at: datetime, body: bytes) -> str:
    """Return the value of webhook-signature: a signature by each secret, separated by blanks."""
    return " ".join(Webhook(secret).sign(event_id, at, body.decode()) for secret in secrets)


def _is_secret(text: str) -> bool:
    try:
        return len(base64.b64decode(text.removeprefix("whsec_"), validate=True)) >= _LEAST_SECRET_BYTES
    except ValueError:
        return False


def delivery_of(answer: Answer) -> Delivery:
    """Return what an answer means for the event."""
    if 200 <= answer.status < 300:
        return Delivered()
    if answer.status == _GONE:
        return SwitchedOff("the receiver answered 410 Gone, so it wants no events any more")
    reason = f"the receiver answered with status {answer.status}"
    return NeverTakes(reason) if answer.status in _NEVER_TAKEN else Failed(reason, answer.retry_after_s)


class WebhookReceiver:
    """A `sinks.receiver.Receiver` that posts to one URL.

    A post to a receiver that acts ends with the validity of the event, so that a slow connection opens no door late.

    Args:
        settings: The settings of the sink.
        clock: Returns epoch seconds.
    """

    def __init__(self, settings: WebhookSettings, clock: Callable[[], float] = time.time) -> None:
        self._settings, self._clock = settings, clock
        self._outward = Outward(lambda _: True, settings.timeout_s, settings.ca_file)

    async def open(self) -> None:
        """Check the secrets.

        Raises:
            SinkError: a secret or the file of certificates cannot be used.
        """
        for secret in self._settings.secrets:
            if not _is_secret(secret):
                raise SinkError(
                    f"sink {self._settings.name}: a secret must be base64 of at least {_LEAST_SECRET_BYTES} bytes, with"
                    " or without the prefix whsec_; make one with `openssl rand -base64 32`"
                )
        await self._outward.__aenter__()

    async def deliver(self, event: Outgoing) -> Delivery:
        """Post an event."""
        until_s = event.event.received_time + self._settings.acting.valid_s if self._settings.acts else None
        body = cloud_event(event, {} if until_s is None else valid_until(until_s))
        at = datetime.now(UTC)
        headers = {"Content-Type": CONTENT_TYPE, "webhook-id": event.id, **event.trace}
        headers["webhook-timestamp"] = str(int(at.timestamp()))
        if self._settings.secrets:
            headers["webhook-signature"] = signatures(self._settings.secrets, event.id, at, body)
        try:
            left_s = None if until_s is None else until_s - self._clock()
            return delivery_of(await self._outward.post(self._settings.url, body, headers, left_s))
        except Unreached as error:
            return Failed(f"the receiver cannot be reached: {error}", sent=error.sent)

    async def close(self) -> None:
        """Close the connections."""
        await self._outward.__aexit__(None, None, None)


async def run_sink_of(settings: WebhookSettings, context: SinkContext) -> int:
    """Post events until the context's `stop` is set; return the number of delivered events."""
    receiver = WebhookReceiver(settings, context.clock)
    return await deliver_as(settings.name, settings.group, receiver, plan_of(settings, context), context)
