"""The declarations of the pages about the server: health, metrics and the OpenAPI document."""

from typing import Any

from msgspec import Struct

from contract.calls.declaration import Answer, Declaration
from contract.errors import Code


class Alive(Struct, frozen=True):
    """The process is alive."""

    alive: bool = True


class Ready(Struct, frozen=True):
    """The server answers requests."""

    ready: bool = True


HEALTHZ = Declaration(
    method="GET",
    path="/healthz",
    route="healthz",
    summary="Is the process alive?",
    answers=(Answer(Alive, {"alive": True}),),
)
READYZ = Declaration(
    method="GET",
    path="/readyz",
    route="readyz",
    summary="Would requests be answered now? The error names the reasons why not.",
    answers=(Answer(Ready, {"ready": True}),),
    errors=(Code.OVERLOADED,),
)
METRICS = Declaration(
    method="GET",
    path="/metrics",
    route="metrics",
    summary="Metrics for Prometheus.",
    answers=(Answer(str, "picturematch_http_in_flight 0.0"),),
)
OPENAPI = Declaration(
    method="GET",
    path="/openapi.json",
    route="openapi",
    summary="The description of this interface as an OpenAPI document.",
    answers=(Answer(dict[str, Any], {"openapi": "3.1.0"}),),
)
