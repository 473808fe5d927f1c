"""The handlers of the pages about the server: health, metrics and the OpenAPI document."""

from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from contract.calls.service import HEALTHZ, METRICS, OPENAPI, READYZ, Alive, Ready
from contract.errors import Code, Refused
from ingest.api.binding import Binding, Services
from ingest.call import Call
from ingest.render import Rendered, success


async def _healthz(call: Call, services: Services) -> Rendered:
    return success(Alive())


async def _readyz(call: Call, services: Services) -> Rendered:
    reasons = services.not_ready()
    if reasons:
        raise Refused(Code.OVERLOADED, f"not ready: {'; '.join(reasons)}")
    return success(Ready())


async def _metrics(call: Call, services: Services) -> Rendered:
    return Rendered(generate_latest(services.metrics.registry), content_type=CONTENT_TYPE_LATEST)


async def _openapi(call: Call, services: Services) -> Rendered:
    return Rendered(services.openapi)


CALLS = (
    Binding(declaration=HEALTHZ, handle=_healthz, role="operator", is_page=True),
    Binding(declaration=READYZ, handle=_readyz, role="operator", is_page=True),
    Binding(declaration=METRICS, handle=_metrics, role="operator", is_page=True),
    Binding(declaration=OPENAPI, handle=_openapi, role="operator", is_page=True),
)
