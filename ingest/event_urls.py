"""Refuses receivers of events on hosts that are not allowed: events contain faces, which go to no other host. Pure."""

from collections.abc import Iterable, Sequence
from urllib.parse import urlsplit

from contract.calls.rules import param_error
from contract.hosts import hosts_of


def require_allowed(urls: Iterable[str], allowed: Sequence[str], field: str) -> None:
    """Return where every URL of a field is of an allowed host. `allowed`: the setting ingest.event_url_hosts.

    Raises:
        Refused: 40071: a URL is of another host.
    """
    hosts = hosts_of(tuple(allowed))
    if not all(hosts.contains(urlsplit(url).hostname or "") for url in urls):
        raise param_error(
            f"{field}: a URL is of a host to which events with faces must not be sent; the operator can add the host"
            " to the setting ingest.event_url_hosts"
        )
