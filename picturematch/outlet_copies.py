"""What is left of a deleted person in the log, in the store of events and at the outlets, in sentences. Pure."""

from collections.abc import Iterator, Sequence
from urllib.parse import urlsplit

from picturematch.settings import Settings
from sinks.settings import JsonlSettings, MqttSettings, Sink, SqlSettings, WebhookSettings

_DAY_MS = 86_400_000


def copies_left(settings: Settings, uploaded_to: Sequence[str] = ()) -> Iterator[str]:
    """Yield what still names a person after a deletion, and for how long, by these settings.

    `uploaded_to`: the URLs of the receivers that the site has set (HistoryEventUrl).
    """
    log = settings.log
    yield (
        f"the log keeps the person's events for {_days(log.events_retention_ms / _DAY_MS)}, and pictures of matches for"
        f" {_days(log.requests_retention_ms / _DAY_MS)}; `picturematch people erase` removes the pictures"
    )
    if settings.store_url is not None:
        yield f"the store of events keeps the person's events for {_days(settings.store.keep_days)} (store.keep_days)"
    for host in dict.fromkeys(urlsplit(url).hostname for url in uploaded_to):
        yield (
            f"{host} (HistoryEventUrl) has received the person's events, photo and pictures, and decides how long it"
            " keeps them"
        )
    yield from (f"sink {sink.name} ({sink.__struct_config__.tag}): {_held(sink)}" for sink in settings.sinks)


def _held(sink: Sink) -> str:
    match sink:
        case JsonlSettings():
            return f"the files in {sink.out} keep the person's events until somebody deletes the files"
        case SqlSettings():
            return f"the database keeps the person's events for {_days(sink.keep_days)}"
        case WebhookSettings():
            return f"{urlsplit(sink.url).hostname} has received the person's events, and decides how long it keeps them"
        case MqttSettings():
            return f"clients of {sink.host} have received the person's events; the broker keeps no event"
    return "its receivers decide how long they keep the person's events"


def _days(days: float) -> str:
    return f"{days:g} days" if days != 1 else "1 day"
