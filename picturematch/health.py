"""The health server of a process without an ingress: /healthz, /readyz and /metrics over HTTP."""

from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Self

import orjson
from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest

from contract.errors import Code
from ingest.server import CannotListen
from picturematch.settings import HealthSettings


class HealthServer:
    """An HTTP server that reports the health of the process; an async context manager.

    `not_ready` returns the reasons why the process cannot work now; none where it can.
    """

    def __init__(
        self, settings: HealthSettings, not_ready: Callable[[], Sequence[str]], registry: CollectorRegistry
    ) -> None:
        self._settings, self._not_ready, self._registry = settings, not_ready, registry
        app = web.Application()
        app.router.add_get("/healthz", self._healthz)
        app.router.add_get("/readyz", self._readyz)
        app.router.add_get("/metrics", self._metrics)
        self._runner = web.AppRunner(app, access_log=None)

    @property
    def url(self) -> str:
        """The URL at which the health server listens."""
        host, port = self._runner.addresses[0][:2]
        return f"http://{host}:{port}"

    async def __aenter__(self) -> Self:
        await self._runner.setup()
        try:
            await web.TCPSite(self._runner, self._settings.host, self._settings.port).start()
        except OSError as error:
            await self._runner.cleanup()
            where = f"{self._settings.host}:{self._settings.port}"
            raise CannotListen(
                f"cannot listen on {where} ({error.strerror or error}); set health.port to another port"
            ) from error
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._runner.cleanup()

    async def _healthz(self, _request: web.Request) -> web.Response:
        return _json(200, {"alive": True})

    async def _readyz(self, _request: web.Request) -> web.Response:
        reasons = self._not_ready()
        if not reasons:
            return _json(200, {"ready": True})
        code = Code.OVERLOADED
        message = f"not ready: {'; '.join(reasons)}"
        return _json(code.http_status, {"error": {"code": int(code), "message": message, "status": code.name}})

    async def _metrics(self, _request: web.Request) -> web.Response:
        return web.Response(body=generate_latest(self._registry), headers={"Content-Type": CONTENT_TYPE_LATEST})


def _json(status: int, document: object) -> web.Response:
    return web.Response(status=status, body=orjson.dumps(document), content_type="application/json")
