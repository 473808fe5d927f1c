"""Posts to receivers over HTTP: bounded in time and in bytes, without redirects, and never to a link-local address.

The address of each connection is checked when its socket is made, so what a name resolves to later is checked too.
Proxies of the environment are not used.
"""

import ipaddress
import socket
import ssl
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import aiohttp

from sinks.port import SinkError

Address = ipaddress.IPv4Address | ipaddress.IPv6Address

MOST_ANSWER_BYTES = 64 * 1024
_CONNECTIONS = 32
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")
"""The well-known prefix of RFC 6052."""
_LONGEST_RETRY_AFTER_S = 86_400.0


class Unreached(Exception):
    """No answer of the receiver arrived; the message says why, as a part of a sentence."""


@dataclass(frozen=True, slots=True)
class Answer:
    """The answer of a receiver: status, the first `MOST_ANSWER_BYTES` of the body, and Retry-After in seconds."""

    status: int
    body: bytes
    retry_after_s: float | None = None


def never_allowed(address: Address) -> bool:
    """Return whether no receiver may have this address: link-local, multicast, unspecified or reserved.

    An IPv6 address that stands for an IPv4 address (mapped, 6to4, NAT64) is judged as that.
    """
    known = _translated(address) or address
    return (
        known.is_link_local or known.is_multicast or known.is_unspecified or (known.is_reserved and known.version == 4)
    )


def _translated(address: Address) -> ipaddress.IPv4Address | None:
    """Return the IPv4 address for which an IPv6 address stands."""
    if isinstance(address, ipaddress.IPv4Address):
        return None
    if address in _NAT64:
        return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    return address.ipv4_mapped or address.sixtofour


class Outward:
    """An HTTP client for one receiver; an async context manager.

    The rule of addresses has no name of a host: a caller that allows a host by its name has one client per host.

    Args:
        allowed: Returns whether a connection to an address is allowed; those of `never_allowed` never are.
        timeout_s: The longest time of one post, from connecting to the end of the answer.
        ca_file: The certificates by which HTTPS receivers are checked; None: those of the system.
    """

    def __init__(self, allowed: Callable[[Address], bool], timeout_s: float, ca_file: Path | None = None) -> None:
        self._allowed = allowed
        self._timeout_s, self._timeout = timeout_s, aiohttp.ClientTimeout(total=timeout_s)
        self._ca_file = ca_file
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        try:
            tls = ssl.create_default_context(cafile=self._ca_file)
        except (OSError, ssl.SSLError) as error:
            raise SinkError(f"the certificates in {self._ca_file} cannot be read: {error}") from error
        connector = aiohttp.TCPConnector(limit=_CONNECTIONS, ssl=tls, socket_factory=self._socket)
        self._session = aiohttp.ClientSession(
            connector=connector, timeout=self._timeout, trust_env=False, cookie_jar=aiohttp.DummyCookieJar()
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._session is not None:
            await self._session.close()
            self._session = None

    def _socket(self, info: Any) -> socket.socket:
        """Return a socket for a connection to the address of `info`, as getaddrinfo returns it.

        Raises:
            OSError: a connection to the address is not allowed.
        """
        family, kind, protocol, _, place = info
        address = ipaddress.ip_address(place[0].partition("%")[0])
        if never_allowed(address) or not self._allowed(address):
            raise PermissionError(f"a connection to {address} is not allowed")
        return socket.socket(family, kind, protocol)

    async def post(self, url: str, body: Any, headers: Mapping[str, str], left_s: float | None = None) -> Answer:
        """Post a body and return the answer.

        Args:
            url: Where to.
            body: Bytes, or an `aiohttp.FormData` or `aiohttp.MultipartWriter`, which sets the content type itself.
            headers: The headers, name -> value.
            left_s: Seconds after which nothing may be sent any more; None: only the time limit of the client counts.

        Raises:
            Unreached: no whole answer arrived in time.
        """
        if self._session is None:
            raise SinkError("the client is not open: enter its context first")
        limit = self._timeout
        if left_s is not None:
            if left_s <= 0:
                raise Unreached("the time in which the receiver may act is over")
            limit = aiohttp.ClientTimeout(total=min(left_s, self._timeout_s))
        try:
            async with self._session.post(
                url, data=body, headers=headers, allow_redirects=False, timeout=limit
            ) as response:
                return Answer(
                    response.status, await _beginning(response), _seconds(response.headers.get("Retry-After"))
                )
        except TimeoutError:
            raise Unreached(f"no answer within {limit.total:.3g} s") from None
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise Unreached(_words(error)) from error


async def _beginning(response: aiohttp.ClientResponse) -> bytes:
    """Return the first `MOST_ANSWER_BYTES` of a body; the client closes the connection of an answer that is longer."""
    read = b""
    while len(read) < MOST_ANSWER_BYTES and (more := await response.content.read(MOST_ANSWER_BYTES - len(read))):
        read += more
    return read


def _words(error: BaseException) -> str:
    """Return what went wrong, without the URL, which may contain a password."""
    if isinstance(error, aiohttp.ClientConnectorCertificateError | aiohttp.ClientConnectorSSLError):
        return "its certificate or its TLS is not accepted"
    if isinstance(error, aiohttp.ClientConnectorDNSError):
        return "its name cannot be resolved"
    if isinstance(error, OSError):
        found = error.os_error if isinstance(error, aiohttp.ClientConnectorError) else error
        is_ours = isinstance(found, PermissionError) and not found.errno
        return str(found) if is_ours else found.strerror or "no connection"
    if isinstance(error, aiohttp.ServerDisconnectedError):
        return "it closed the connection without an answer"
    if isinstance(error, aiohttp.ClientPayloadError):
        return "it closed the connection in the middle of its answer"
    if isinstance(error, aiohttp.ClientResponseError):
        return "its answer is not HTTP"
    return type(error).__name__


def _seconds(text: str | None) -> float | None:
    """Return the seconds of a Retry-After header, which has seconds or a date; None where there is none."""
    if text is None:
        return None
    if text.isascii() and text.isdigit():
        return min(float(text), _LONGEST_RETRY_AFTER_S)
    try:
        wait_s = parsedate_to_datetime(text).timestamp() - time.time()
    except (ValueError, OverflowError):
        return None
    return min(max(wait_s, 0.0), _LONGEST_RETRY_AFTER_S)
