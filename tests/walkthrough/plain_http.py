"""The calls of the two walk-through programs over plain HTTP; each call prints a line of JSON with its answer.

Only the standard library is imported, here and in the programs, since they take the part of a client that knows nothing
of PictureMatch. The picture is the file test.jpg in the working directory.
"""

import base64
import http.client
import json
import sys
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

_TIMEOUT_S = 5.0


class Box:
    """A server at a URL. A call never looks at its answer; whoever makes the call may."""

    def __init__(self, url: str) -> None:
        self._address = urlsplit(url).netloc

    def get(self, target: str) -> tuple[int, Any]:
        """GET without a content type; `target` is sent as it is, percent-encoded by the caller."""
        return self._call("GET", target, None, {})

    def post(self, target: str, body: Mapping[str, Any], *, close: bool = False) -> tuple[int, Any]:
        """POST JSON; `close` adds Connection: close."""
        headers = {"Content-Type": "application/json"} | ({"Connection": "close"} if close else {})
        return self._call("POST", target, json.dumps(body).encode(), headers)

    def _call(self, method: str, target: str, body: bytes | None, headers: Mapping[str, str]) -> tuple[int, Any]:
        connection = http.client.HTTPConnection(self._address, timeout=_TIMEOUT_S)
        try:
            connection.request(method, target, body, {"Accept": "*/*", **headers})
            response = connection.getresponse()
            status, answer = response.status, json.loads(response.read())
        finally:
            connection.close()
        print(json.dumps({"call": f"{method} {target}", "status": status, "answer": answer}), flush=True)  # noqa: T201
        return status, answer


def url_argument() -> str:
    """The only argument of the program."""
    (url,) = sys.argv[1:]
    return url


def picture() -> bytes:
    """The bytes of test.jpg."""
    with open("test.jpg", "rb") as file:  # noqa: PTH123 - as plain as the client whose part this takes
        return file.read()


def one_line(data: bytes) -> str:
    """Base64 without line breaks."""
    return base64.b64encode(data).decode()


def many_lines(data: bytes) -> str:
    """Base64 with a line break every 76 characters."""
    return base64.encodebytes(data).decode()
