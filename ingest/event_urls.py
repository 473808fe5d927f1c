"""Refuses receivers of events on hosts that are not allowed: events contain faces, which go to no other host. Pure."""

from collections.abc import Iterable
from urllib.parse import urlsplit

from contract.calls.rules import param_error
from contract.hosts import Hosts


def require_allowed(urls: Iterable[str], allowed: Hosts, field: str) -> None:
    """Return where every URL of a field is of an allowed host. `allowed`: IngestSettings.receiver_hosts.

    Raises:
        Refused: 40071: a URL is of another host.
    """
    if not all(allowed.contains(urlsplit(url).hostname or "") for url in urls):
        raise param_error(
            f"{field}: a URL is of a host to which events with faces must not be sent; the operator can add the host"
            " to the setting ingest.event_url_hosts"
        )
