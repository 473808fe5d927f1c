"""picturematch health: check whether a server is ready, for container engines and scripts."""

import http.client
import json
import ssl
from urllib.parse import urlsplit

import click

from clients.errors import CannotRun
from clients.tls import trusting
from contract.text import printable
from picturematch.options import UserError, ca_file, config_option, server_options

_TIMEOUT_S = 3.0
_ANSWER_BYTES = 65_536


@click.command(epilog="Example: picturematch health --url http://127.0.0.1:5555")
@config_option
@server_options
@click.pass_context
def command(ctx: click.Context, url: str, api_key: str | None) -> None:
    """Print whether a server is ready, or the reasons why not. Exit status: 0 ready, 1 not ready."""
    reason = _why_not(url, api_key)
    click.echo("ready" if reason is None else reason, err=reason is not None)
    ctx.exit(0 if reason is None else 1)


def _why_not(url: str, api_key: str | None) -> str | None:
    """Return the reason why a server is not ready; None where it is.

    This does not use clients.http, because a health check runs every few seconds and must be cheap.
    """
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or parts.hostname is None:
        raise UserError("--url must look like http://host:port")
    connection = http.client.HTTPConnection(parts.hostname, parts.port, timeout=_TIMEOUT_S)
    if parts.scheme == "https":
        connection = http.client.HTTPSConnection(parts.hostname, parts.port, timeout=_TIMEOUT_S, context=_context())
    try:
        connection.request("GET", "/readyz", headers={} if api_key is None else {"X-API-Key": api_key})
        answer = connection.getresponse()
        body = answer.read(_ANSWER_BYTES)
    except OSError as error:
        return f"no answer from {parts.hostname}: {error.strerror or error}"
    except http.client.HTTPException:
        return f"{parts.hostname} answers, but not as a web server"
    finally:
        connection.close()
    return None if answer.status == http.client.OK else _message(body, answer.status)


def _context() -> ssl.SSLContext | None:
    file = ca_file()
    try:
        return None if file is None else trusting(file)
    except CannotRun as error:
        raise UserError(str(error)) from error


def _message(body: bytes, status: int) -> str:
    try:
        return printable(str(json.loads(body)["error"]["message"]))
    except (ValueError, KeyError, TypeError):
        return f"the server answered with HTTP status {status}"
