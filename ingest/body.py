"""Reads the body of a request within the limits of size, memory and time."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import cast

from aiohttp.http import HttpVersion11
from aiohttp.web import BaseRequest, RequestPayloadError

from contract.errors import Code, Refused
from ingest.admission import Admission
from ingest.form_body import is_form
from ingest.http import Connection
from ingest.json_body import bad_request, check_content_type
from ingest.settings import IngestSettings


class BodyTime:
    """The time limits of bodies: one for each body, and a common end when the server stops."""

    def __init__(self, settings: IngestSettings, admission: Admission) -> None:
        self._each_s = settings.body_read_s
        self._admission = admission
        self._last: float | None = None
        self._waiting: set[asyncio.Timeout] = set()

    def end_by(self, last: float) -> None:
        """Wait for no body after `last`, a time of the event loop."""
        self._last = last
        for waiting in self._waiting:
            if not waiting.expired() and (waiting.when() or last) > last:
                waiting.reschedule(last)

    @asynccontextmanager
    async def limit(self) -> AsyncIterator[None]:
        """Limit the time of the block, which waits for one body.

        Raises:
            Refused: 40000: the body took too long; Shed: the stop of the server shortened the time.
        """
        own = asyncio.get_running_loop().time() + self._each_s
        waiting = asyncio.timeout_at(own if self._last is None else min(own, self._last))
        try:
            async with waiting:
                self._waiting.add(waiting)
                yield
        except TimeoutError:
            if waiting.when() == own:
                raise bad_request(f"the body did not arrive within {self._each_s:g} s") from None
            raise self._admission.shed(
                "draining", "the server is stopping and the body did not arrive in time; try again"
            ) from None
        finally:
            self._waiting.discard(waiting)


async def read_body(
    request: BaseRequest,
    settings: IngestSettings,
    reserve: Callable[[int], None],
    time: BodyTime,
    *,
    typeless_is_json: bool,
    takes_form: bool,
) -> bytearray:
    """Return the whole body.

    `reserve` is called with the number of bytes of each chunk and may refuse them. `typeless_is_json`: a body without a
    content type counts as JSON; `takes_form`: the body may be multipart/form-data.

    Raises:
        Refused: 40000, 40001, 41300, or a refusal by `reserve` or `time`.
    """
    _check_head(request, settings)
    content_type = request.headers.get("Content-Type")
    if not (takes_form and is_form(content_type or "")):
        check_content_type(content_type, typeless_is_json=typeless_is_json)
    body = bytearray()
    try:
        async with time.limit():
            await _continue(request)
            while chunk := await request.content.readany():
                if len(body) + len(chunk) > settings.max_body_bytes:
                    raise _too_large(settings)
                reserve(len(chunk))
                body += chunk
    except (OSError, RequestPayloadError):
        raise bad_request("the body was cut off") from None
    declared = request.content_length
    connection = cast("Connection", request.protocol)
    if connection.was_cut_off(request.content) or (declared is not None and len(body) != declared):
        raise bad_request("the body was cut off or is not validly framed")
    return body


def _check_head(request: BaseRequest, settings: IngestSettings) -> None:
    """Refuse a request by its head, before any byte of the body is requested."""
    headers = request.headers
    if headers.get("Content-Encoding", "identity").strip().lower() not in {"", "identity"}:
        raise bad_request("compressed bodies are not accepted; send the body without a Content-Encoding")
    if headers.get("Transfer-Encoding", "chunked").strip().lower() != "chunked":
        raise bad_request("transfer encodings other than chunked are not accepted")
    if (request.content_length or 0) > settings.max_body_bytes:
        raise _too_large(settings)


async def _continue(request: BaseRequest) -> None:
    """Send 100 Continue to a client that waits for it (Expect: 100-continue) before it sends the body."""
    if "Expect" in request.headers and request.version >= HttpVersion11 and not request.content.is_eof():
        await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        # aiohttp counts any output as the beginning of the answer.
        request.writer.output_size = 0


def _too_large(settings: IngestSettings) -> Refused:
    return Refused(Code.PAYLOAD_TOO_LARGE, f"the body is larger than {settings.max_body_bytes} bytes")
