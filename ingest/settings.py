"""What an operator may say about the server, with its limits."""

import re
from typing import Annotated

import msgspec
from msgspec import Meta

from ingest.peer import networks

MIB = 1024 * 1024

Count = Annotated[int, Meta(ge=1)]
Seconds = Annotated[float, Meta(gt=0, le=600)]
_HOST_NAME = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9_.-]*[A-Za-z0-9_])?")


class IngestSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The server's settings, as docs/settings.md describes them."""

    host: str = "127.0.0.1"
    """Address to listen on. Other machines reach an address beyond loopback; they need an API key for all calls but
    PictureMatch."""
    port: Annotated[int, Meta(ge=0, le=65535)] = 5555
    """Port to listen on; 0 lets the system choose one."""
    image_roots: tuple[str, ...] = ("/data",)
    """Folders that image_file_path may name files in; empty forbids it altogether."""
    max_body_bytes: Count = 24 * MIB
    """Largest request body."""
    max_json_values: Count = 20_000
    """Most values a body may hold: small values cost far more memory than the bytes that name them."""
    max_in_flight: Count = 64
    """Most API calls at a time, counted once their bodies are here; those beyond are refused with Retry-After."""
    max_body_memory_bytes: Count = 512 * MIB
    """Most bytes of all bodies, listed photos and answers held at a time; an answer is held until it has been sent."""
    max_connections: Count = 1024
    """Most open connections; those beyond are answered 503 and closed."""
    deadline_ms: Annotated[int, Meta(ge=50, le=600_000)] = 3000
    """From the arrival of a whole request to its answer."""
    body_read_s: Seconds = 5
    """Longest time a body may take to arrive."""
    header_read_s: Seconds = 5
    """Longest time a request's head may take to arrive, from its first byte."""
    keep_alive_s: Seconds = 75
    """How long a connection may stay open without a request."""
    write_s: Seconds = 10
    """Longest time a client may take to read its answer."""
    drain_s: Seconds | None = None
    """Longest time to finish what is in flight when stopping; absent: the deadline, and one second for bodies that are
    on their way."""
    trusted_proxies: tuple[str, ...] = ()
    """Addresses and networks (CIDR) of the proxies whose Forwarded or X-Forwarded-For names the client; empty: nobody's
    does. Say only what nobody but the proxy can send from."""
    retry_after_s: Count = 1
    """What Retry-After says when a request is shed."""
    api_keys: tuple[Annotated[str, Meta(min_length=8)], ...] = ()
    """Keys (header X-API-Key, Authorization: Bearer, or the password of HTTP Basic) that open the calls other than
    PictureMatch to other machines."""
    trusted_networks: tuple[str, ...] = ("127.0.0.0/8", "::1/128")
    """Networks (CIDR) whose callers need no key."""
    host_names: tuple[str, ...] = ()
    """Names beside localhost by which callers without a key may call the server; its addresses are always good."""
    api_key_for_match: bool = False
    """Whether PictureMatch needs a key as well."""
    need_api_key_from_loopback: bool = False
    """Whether calls from this machine need a key as well, whatever `trusted_networks` says; say true behind a reverse
    proxy on the same machine, since all its calls come from loopback."""
    max_delete: Count = 1000
    """Most people that one DELETE may name."""
    max_listed_photo_bytes: Count = 32 * MIB
    """Most bytes of photos in one list of people; those beyond come with an empty reg_photo."""

    def __post_init__(self) -> None:
        """Check what types alone cannot.

        Raises:
            ValueError: a network or a name is none.
        """
        for name in self.host_names:
            if not _HOST_NAME.fullmatch(name):
                raise ValueError(
                    f"host_names must be host names such as gatekeeper.example, without a port: {name!r} is none"
                )
        for setting in ("trusted_networks", "trusted_proxies"):
            try:
                networks(getattr(self, setting))
            except ValueError as error:
                raise ValueError(f"{setting}: {error}") from error

    @property
    def deadline_s(self) -> float:
        """The deadline in seconds."""
        return self.deadline_ms / 1000

    @property
    def drain_limit_s(self) -> float:
        """How long stopping may take."""
        return self.drain_s if self.drain_s is not None else self.deadline_s + 1

    @property
    def drain_bodies_s(self) -> float:
        """How long bodies that are on their way are waited for when stopping: those that arrive by then still have
        their deadline, or the most of it where `drain_s` is short."""
        return max(self.drain_limit_s - self.deadline_s, self.drain_limit_s / 4)
