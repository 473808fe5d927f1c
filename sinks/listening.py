"""The port by which a sink listens for clients of its own: an HTTP port beside that of the ingress.

The process that runs the sink decides where the port listens, with which certificate, and who may call it.
"""

from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from typing import Protocol

from aiohttp.web import BaseRequest, StreamResponse

MayStay = Callable[[], bool]
"""Returns whether a request that was authorised still is: its API key may have been deleted meanwhile."""
Handler = Callable[[BaseRequest, str, MayStay], Awaitable[StreamResponse]]
"""Answers an authorised request, of a peer: an IPv4 address, or the network of the first 64 bits of an IPv6 address. It
may raise contract.errors.Refused, and is cancelled when the client goes."""


class Listening(Protocol):
    """Opens ports; ingest.listener.Listener is an implementation."""

    def on(
        self, port: int, handler: Handler, *, clients: int, origins: frozenset[str] = frozenset()
    ) -> AbstractAsyncContextManager[str]:
        """Serve operators at a port while the context is open, which yields the URL.

        Args:
            port: the port; 0: a free one.
            handler: answers the requests that are authorised.
            clients: how many requests the handler answers at a time, at most.
            origins: the origins of web pages that may call as other callers may, in lower case.

        Raises:
            contract.operator_error.OperatorError: the port cannot be used.
        """
        ...
