"""The HTTP response of a rendered answer, and a callback for the moment when the response has been sent."""

from collections.abc import Callable

from aiohttp.abc import AbstractStreamWriter
from aiohttp.payload import Payload
from aiohttp.web import Response, ResponseKey

from ingest.render import Rendered

REQUEST_ID = "X-Request-Id"
WHEN_SENT: ResponseKey[Callable[[], None]] = ResponseKey("when_sent")
"""The callback of a response; it is called once, when the response has been sent or its sending has failed."""

_SLICE_BYTES = 64 * 1024


class _Sliced(Payload):
    """A body that is sent in slices and then dropped.

    Of a body that is sent as a whole the transport keeps a second copy, and the connection keeps the first one until
    the next request.
    """

    def __init__(self, body: bytes, content_type: str) -> None:
        super().__init__(body, content_type=content_type)
        self._size = len(body)

    def decode(self, encoding: str = "utf-8", errors: str = "strict") -> str:
        return bytes(self._value).decode(encoding, errors)

    async def write(self, writer: AbstractStreamWriter) -> None:
        left = memoryview(self._value)
        while left:
            await writer.write(left[:_SLICE_BYTES])
            await writer.drain()
            left = left[_SLICE_BYTES:]

    async def close(self) -> None:
        self._value = b""


def to_response(rendered: Rendered, request_id: str, when_sent: Callable[[], None] | None = None) -> Response:
    """Return the HTTP response of a rendered answer; `when_sent` is called once, when it was sent or sending failed."""
    response = Response(
        body=_Sliced(rendered.body, rendered.content_type),
        status=rendered.http_status,
        headers={"Content-Type": rendered.content_type, "Server": "PictureMatch", REQUEST_ID: request_id},
    )
    response.headers.extend(rendered.headers)
    if when_sent is not None:
        response[WHEN_SENT] = when_sent
    return response
