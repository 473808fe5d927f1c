"""The settings of the ingress, with their allowed values."""

from pathlib import Path
from typing import Annotated

import msgspec
from msgspec import Meta

from contract.hosts import HOST_NAME, Hosts, hosts_of, receiver_hosts
from contract.networks import networks

MIB = 1024 * 1024

Count = Annotated[int, Meta(ge=1)]
Seconds = Annotated[float, Meta(gt=0, le=600)]
PRIVATE_NETWORKS = ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "127.0.0.0/8", "fc00::/7", "::1/128")


class IngestSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The server's settings, as docs/settings.md describes them."""

    host: str = "127.0.0.1"
    """Address to listen on. Other machines can reach the server at an address other than loopback; they need an API
    key for all calls except those of devices."""
    port: Annotated[int, Meta(ge=0, le=65535)] = 5555
    """Port to listen on; 0 lets the system choose one."""
    image_roots: tuple[str, ...] = ("/data",)
    """Folders in which calls may name picture files by path; empty: every path is refused."""
    max_body_bytes: Count = 24 * MIB
    """Largest request body."""
    max_json_values: Count = 20_000
    """Most JSON values in a body: small values need far more memory than their bytes in the body."""
    max_in_flight: Count = 64
    """Most API calls at a time, counted when their bodies have arrived; calls beyond are refused with Retry-After."""
    max_body_memory_bytes: Count = 512 * MIB
    """Most bytes of bodies, listed photos and answers in memory at a time; an answer counts until it has been sent."""
    max_connections: Count = 1024
    """Most open connections; connections beyond are answered with 503 and closed."""
    deadline_ms: Annotated[int, Meta(ge=50, le=600_000)] = 3000
    """Milliseconds from the arrival of a whole request to its answer."""
    body_read_s: Seconds = 5
    """Longest time for the arrival of a body."""
    header_read_s: Seconds = 5
    """Longest time for the arrival of a request's head, from its first byte."""
    keep_alive_s: Seconds = 75
    """Longest time for which a connection stays open without a request."""
    write_s: Seconds = 10
    """Longest time in which a client must read its answer."""
    drain_s: Seconds | None = None
    """Longest time for finishing the calls in flight when the server stops; absent: the deadline plus one second, in
    which bodies may still arrive."""
    trusted_proxies: tuple[str, ...] = ()
    """Addresses and networks (CIDR) of the proxies whose Forwarded or X-Forwarded-For names the client; empty: these
    headers are ignored. Name only addresses from which nobody but a proxy can send."""
    retry_after_s: Count = 1
    """Seconds in Retry-After when a request is shed."""
    api_keys: tuple[Annotated[str, Meta(min_length=8)], ...] = ()
    """Keys of administrators (header X-API-Key, Authorization: Bearer, or the password of HTTP Basic), besides the keys
    that `picturematch keys add` creates."""
    picture_search: bool = False
    """Whether operators may search the faces of past matches by a picture; each search leaves an audit record."""
    max_seen_faces: Annotated[int, Meta(ge=1000, le=100_000_000)] = 1_000_000
    """Most faces of past matches in memory for these searches, the newest ones; a face takes about 1.2 KB."""
    trusted_networks: tuple[str, ...] = ("127.0.0.0/8", "::1/128")
    """Networks (CIDR) whose callers need no key and are administrators."""
    event_url_hosts: tuple[str, ...] = PRIVATE_NETWORKS
    """Hosts that HistoryEventUrl may name, because events contain faces: addresses and networks (CIDR) for URLs with an
    address, host names for URLs with a name; by default the addresses of private networks. Addresses in
    `trusted_networks` are allowed as well."""
    host_names: tuple[str, ...] = ()
    """Host names, besides localhost, by which callers without a key may call the server; its addresses are always
    allowed."""
    api_key_for_match: bool = False
    """Whether calls that judge pictures (PictureMatch, compare, FIQA) need a key as well."""
    need_api_key_from_loopback: bool = False
    """Whether calls from this machine need a key as well, even if `trusted_networks` contains it; set true behind a
    reverse proxy on the same machine, because all its calls come from loopback."""
    keys_over_plain_http: bool = False
    """Whether keys are accepted over plain HTTP from beyond `trusted_networks`, where others may read them."""
    tls_cert: Path | None = None
    """File (PEM) of the server's certificate and the certificates of its issuers; the server then speaks https only.
    SIGHUP reads both files again."""
    tls_key: Path | None = None
    """File (PEM) of the private key of `tls_cert`, without a pass phrase."""
    max_delete: Count = 1000
    """Most people that one DELETE of users may name."""
    max_members: Count = 500
    """Most people that one call of GroupUsers may name: on Kafka the stored info of each is looked up in the log, some
    two milliseconds each."""
    max_devices: Count = 500
    """Most devices that one POST, PUT or DELETE of devices may name."""
    max_listed_photo_bytes: Count = 32 * MIB
    """Most bytes of photos in one list of people; people beyond are listed with an empty reg_photo."""

    def __post_init__(self) -> None:
        """Check what types alone cannot check.

        Raises:
            ValueError: a text is no host name or no network, or only one of the files of TLS is named.
        """
        if (self.tls_cert is None) != (self.tls_key is None):
            raise ValueError("tls_cert and tls_key are needed together: the certificate and its private key")
        for name in self.host_names:
            if not HOST_NAME.fullmatch(name):
                raise ValueError(
                    f"host_names must be host names such as gatekeeper.example, without a port: {name!r} is not"
                )
        for setting, read in (
            ("trusted_networks", networks),
            ("trusted_proxies", networks),
            ("event_url_hosts", hosts_of),
        ):
            try:
                read(getattr(self, setting))
            except ValueError as error:
                raise ValueError(f"{setting}: {error}") from error

    @property
    def receiver_hosts(self) -> Hosts:
        """The hosts to which events may be sent."""
        return receiver_hosts(self.event_url_hosts, self.trusted_networks)

    @property
    def deadline_s(self) -> float:
        """The deadline in seconds."""
        return self.deadline_ms / 1000

    @property
    def drain_limit_s(self) -> float:
        """The seconds that stopping may take."""
        return self.drain_s if self.drain_s is not None else self.deadline_s + 1

    @property
    def drain_bodies_s(self) -> float:
        """The seconds for which a stopping server waits for bodies that are arriving.

        A call whose body arrives by then still has its deadline, or most of it where `drain_s` is short.
        """
        return max(self.drain_limit_s - self.deadline_s, self.drain_limit_s / 4)
