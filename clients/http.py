"""The HTTP client with which commands call a running server, as a device or a back end does."""

import asyncio
from collections.abc import Awaitable, Mapping
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import aiohttp
import orjson
from yarl import URL

from clients.answers import ServerAnswer
from clients.errors import CannotRun
from clients.tls import trusting
from contract.errors import Code
from contract.http import REPLAY_OF_HEADER, UNCHANGED_HEADER

MAX_ANSWER_BYTES = 512 * 1024 * 1024
"""The most bytes of an answer; the largest are lists of people with photos."""


class NoAnswer(Exception):
    """A call had no usable answer; the message is the reason. `reached`: the server may have received the request."""

    def __init__(self, reason: str, *, reached: bool) -> None:
        super().__init__(reason)
        self.reached = reached

    def final(self) -> CannotRun:
        """The end of a run that has had no other answer."""
        return CannotRun(f"{self}" if self.reached else f"{self}; start one with: picturematch serve")


class UnknownCall(CannotRun):
    """The server does not know the URL of the call."""


class Client:
    """An HTTP client of one server, which must be entered (`async with`) before use.

    Args:
        url: The URL of the server, http or https; it may have a path.
        api_key: Sent as X-API-Key.
        timeout_s: The time limit of one whole call.
        ca_file: The certificates (PEM) of which one must have issued the server's; None: those of the system.
        kind: The kind of server that is expected at the URL, for messages.

    Raises:
        CannotRun: the URL is not valid, or the file contains no certificate.
    """

    def __init__(
        self,
        url: str,
        *,
        api_key: str | None = None,
        timeout_s: float = 10.0,
        ca_file: Path | None = None,
        kind: str = "a PictureMatch server",
    ) -> None:
        try:
            parsed = URL(url)
        except ValueError:
            parsed = URL()
        if parsed.scheme not in ("http", "https") or not parsed.host:
            raise CannotRun("the URL must look like http://127.0.0.1:5555")
        self.url = url.rstrip("/")
        self._kind = kind
        self._headers = {"Content-Type": "application/json"} | ({"X-API-Key": api_key} if api_key else {})
        self._ssl = True if ca_file is None else trusting(ca_file)
        self._timeout = aiohttp.ClientTimeout(total=timeout_s)
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        connector = aiohttp.TCPConnector(ssl=self._ssl)
        self._session = aiohttp.ClientSession(timeout=self._timeout, connector=connector)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._session is not None:
            await self._session.close()

    async def post(self, call: str, body: Mapping[str, Any], replay_of: str | None = None) -> ServerAnswer:
        """Post a JSON body to the path `call` and return the answer; see `send`.

        `replay_of`: the id of an earlier request, which marks the call as a replay of that request.
        """
        return await self.send("POST", call, body, {} if replay_of is None else {REPLAY_OF_HEADER: replay_of})

    async def send(
        self, method: str, call: str, fields: Mapping[str, Any], headers: Mapping[str, str] | None = None
    ) -> ServerAnswer:
        """Make a call and return the answer. The fields of a GET are sent in the query, other fields as a JSON body.

        Raises:
            NoAnswer: there was no connection, no answer in time, or only an error of a gateway.
            CannotRun: the server demands an API key, its certificate is not trusted, it does not know the call
                (`UnknownCall`), or it is not a PictureMatch server.
        """
        status, answered, content = await self._request(method, call, fields, headers or {})
        answer = self._understood(status, content, answered.get("Retry-After"))
        return replace(answer, unchanged=answered.get(UNCHANGED_HEADER) == "true")

    async def post_bytes(self, call: str, body: bytes) -> ServerAnswer:
        """Post a JSON body that is encoded already; see `send`."""
        status, answered, content = await self._exchange("POST", call, None, body, {})
        return self._understood(status, content, answered.get("Retry-After"))

    async def fetch(self, path: str) -> bytes | None:
        """Return the bytes of the picture at a path, or None where the answer is no picture.

        Raises:
            NoAnswer: there was no connection, or no answer in time.
        """
        status, answered, content = await self._request("GET", path, {}, {})
        is_picture = status == 200 and answered.get("Content-Type", "").startswith("image/")
        return content if is_picture and content else None

    async def _request(
        self, method: str, call: str, fields: Mapping[str, Any], headers: Mapping[str, str]
    ) -> tuple[int, Mapping[str, str], bytes]:
        if method == "GET":
            query = {name: _in_query(value) for name, value in fields.items()}
            return await self._exchange(method, call, query, None, headers)
        return await self._exchange(method, call, None, orjson.dumps(fields), headers)

    async def _exchange(
        self,
        method: str,
        call: str,
        query: Mapping[str, str] | None,
        data: bytes | None,
        headers: Mapping[str, str],
    ) -> tuple[int, Mapping[str, str], bytes]:
        if self._session is None:
            raise RuntimeError("enter the client before use")
        try:
            async with self._session.request(
                method,
                self.url + call,
                params=query,
                data=data,
                headers={**self._headers, **headers},
                allow_redirects=False,
            ) as response:
                return response.status, response.headers, await _content(response)
        except aiohttp.ClientConnectorCertificateError as error:
            reason = getattr(error.certificate_error, "verify_message", type(error.certificate_error).__name__)
            raise CannotRun(
                f"the certificate of {self.url} is not trusted ({reason}): name the certificate of its issuer by"
                " --ca-file, and call the server by a name in its certificate"
            ) from error
        except aiohttp.ClientConnectorError as error:
            raise NoAnswer(f"no server can be reached at {self.url}", reached=False) from error
        except TimeoutError as error:
            raise NoAnswer(f"no answer within {self._timeout.total:g} s", reached=True) from error
        except aiohttp.ClientError as error:
            raise NoAnswer(f"the connection broke ({type(error).__name__})", reached=True) from error

    def _understood(self, status: int, data: bytes, retry_after: str | None) -> ServerAnswer:
        try:
            fields = orjson.loads(data)
        except orjson.JSONDecodeError:
            fields = None
        if not isinstance(fields, dict):
            if status >= 500:
                raise NoAnswer(f"HTTP {status} without a JSON answer", reached=True)
            raise CannotRun(f"{self.url} did not answer as {self._kind} does (HTTP {status}); check the URL")
        error = fields.get("error")
        error = error if isinstance(error, dict) else {}
        code = error.get("code") if isinstance(error.get("code"), int) else None
        if status == 401 or code == Code.UNAUTHORIZED:
            raise CannotRun(
                f"the server does not accept this call ({error.get('message', 'without a reason')});"
                " an API key is given by --api-key or PICTUREMATCH_API_KEY"
            )
        # Calls of version 6 have names instead of codes, also in an answer about an unknown permission.
        if code == Code.NOT_FOUND or (status == 404 and error.get("code") in (None, Code.NOT_FOUND.status)):
            raise UnknownCall(f"the server at {self.url} does not know this call; check the URL")
        return ServerAnswer(status, fields, code, str(error.get("message", "")), _seconds(retry_after))


async def _content(response: aiohttp.ClientResponse) -> bytes:
    """Return the bytes of an answer, of which at most `MAX_ANSWER_BYTES` are read.

    Raises:
        NoAnswer: the answer is larger.
    """
    content = bytearray()
    async for chunk in response.content.iter_any():
        content += chunk
        if len(content) > MAX_ANSWER_BYTES:
            raise NoAnswer(f"the answer is larger than {MAX_ANSWER_BYTES} bytes", reached=True)
    return bytes(content)


def _in_query(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _seconds(text: str | None) -> float | None:
    return float(text) if text and text.isascii() and text.isdigit() else None


async def ask(
    url: str,
    api_key: str | None,
    call: str,
    fields: Mapping[str, Any],
    *,
    method: str = "POST",
    ca_file: Path | None = None,
) -> ServerAnswer:
    """Make one call to the server at `url` and return the answer.

    Raises:
        CannotRun: the URL is not valid, there is no answer, the server demands an API key, or it is not a PictureMatch
            server.
    """
    async with Client(url, api_key=api_key, ca_file=ca_file) as client:
        try:
            return await client.send(method, call, fields)
        except NoAnswer as error:
            raise error.final() from error


async def all_or_first_error(*work: Awaitable[None]) -> None:
    """Wait for all; the first error cancels the others and is raised unchanged."""
    tasks = [asyncio.ensure_future(one) for one in work]
    try:
        await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
