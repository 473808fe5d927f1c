"""Posts to receivers over HTTP: bounded in time and in bytes, without redirects, and never to a dangerous address.

The address of each connection is checked when its socket is made, so what a name resolves to later is checked too.
Proxies of the environment are not used.
"""

import ipaddress
import socket
import ssl
import time
from collections.abc import Callable, Mapping, Sequence
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
_IPV4_BEHIND = tuple(map(ipaddress.IPv6Network, ("::/96", "::ffff:0:0:0/96", "64:ff9b::/96")))
"""Networks whose addresses end with an IPv4 address: IPv4-compatible (RFC 4291), IPv4-translated (RFC 2765) and NAT64
(RFC 6052)."""
_LOCAL_NAT64 = ipaddress.IPv6Network("64:ff9b:1::/48")
"""The addresses of which a site makes NAT64 prefixes of its own (RFC 8215), of any length that RFC 6052 knows."""
_IPV4_PLACES = ((6, 7, 9, 10), (7, 9, 10, 11), (9, 10, 11, 12), (12, 13, 14, 15))
"""The bytes of an IPv6 address that contain the IPv4 address, for prefixes of 48, 56, 64 and 96 bits (RFC 6052)."""
METADATA_SERVICES = frozenset(
    map(
        ipaddress.ip_address,
        (
            *("fd00:ec2::254", "fd00:ec2::23"),  # Amazon EC2 and EKS; over IPv4 they are link-local
            "fd20:ce::254",  # Google Cloud
            "fd00:42::42",  # Scaleway
            "100.100.100.200",  # Alibaba Cloud
            "168.63.129.16",  # Azure
            "192.0.0.192",  # Oracle Cloud
        ),
    )
)
"""The addresses at which clouds tell their machines secrets, and that are not link-local."""
_LONGEST_RETRY_AFTER_S = 86_400.0


class Unreached(Exception):
    """No answer of the receiver arrived; the message says why, as a part of a sentence.

    `sent`: whether the receiver may have got the request all the same.
    """

    def __init__(self, why: str, *, sent: bool) -> None:
        super().__init__(why)
        self.sent = sent


@dataclass(frozen=True, slots=True)
class Answer:
    """The answer of a receiver: status, the first `MOST_ANSWER_BYTES` of the body, and Retry-After in seconds."""

    status: int
    body: bytes
    retry_after_s: float | None = None


def never_allowed(address: Address) -> bool:
    """Return whether no receiver may have this address: link-local, multicast, unspecified, reserved, or that of a
    cloud's metadata service.

    An IPv6 address that stands for an IPv4 address (mapped, compatible, translated, 6to4, Teredo, NAT64) is judged as
    that too.
    """
    if any(map(_is_dangerous, (address, *_translated(address)))):
        return True
    return address in _LOCAL_NAT64 and any(map(_is_machine_local, _possibly_translated(address)))


def _is_machine_local(address: Address) -> bool:
    return address.is_link_local or address in METADATA_SERVICES


def _is_dangerous(address: Address) -> bool:
    is_none = address.is_multicast or address.is_unspecified or (address.is_reserved and address.version == 4)
    return is_none or _is_machine_local(address)


def _translated(address: Address) -> Sequence[ipaddress.IPv4Address]:
    """Return the IPv4 addresses for which an IPv6 address stands; of Teredo those of the server and of the client."""
    if isinstance(address, ipaddress.IPv4Address) or address.is_loopback:
        return ()
    if any(address in network for network in _IPV4_BEHIND):
        return (ipaddress.IPv4Address(int(address) & 0xFFFFFFFF),)
    return [*filter(None, (address.ipv4_mapped, address.sixtofour)), *(address.teredo or ())]


def _possibly_translated(address: Address) -> Sequence[ipaddress.IPv4Address]:
    """Return the IPv4 addresses for which an address may stand whose prefix has an unknown length."""
    packed = address.packed
    return [ipaddress.IPv4Address(bytes(packed[place] for place in places)) for places in _IPV4_PLACES]


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
                raise Unreached("the time in which the receiver may act is over", sent=False)
            limit = aiohttp.ClientTimeout(total=min(left_s, self._timeout_s))
        try:
            async with self._session.post(
                url, data=body, headers=headers, allow_redirects=False, timeout=limit
            ) as response:
                return Answer(
                    response.status, await _beginning(response), _seconds(response.headers.get("Retry-After"))
                )
        except TimeoutError:
            raise Unreached(f"no answer within {limit.total:.3g} s", sent=True) from None
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise Unreached(_words(error), sent=not isinstance(error, aiohttp.ClientConnectorError)) from error


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
