"""The handler of WipeData."""

from typing import Any

from contract.answers import WipedAnswer
from contract.calls.rules import param_error
from contract.calls.shared import Data
from contract.calls.wipe import WIPE, Wiped
from contract.site_requests import WipeRequest
from ingest.api.binding import Binding, Services, read_body, request_of, version_header
from ingest.call import Call
from ingest.render import Rendered, success


async def _wipe(call: Call, services: Services) -> Rendered:
    options = _checked((await read_body(call, services, WIPE))["wipe_options"])
    reply = await services.exchange.ask(call, request_of(WipeRequest, call, {}))
    if not isinstance(reply.answer, WipedAnswer):
        raise TypeError(f"a wipe was answered with {type(reply.answer).__name__}")
    wiped = Wiped(wipe_options=options, people_deleted=reply.answer.people, devices_deleted=reply.answer.devices)
    return success(Data(wiped), version_header(reply.gallery_version))


def _checked(options: dict[str, Any]) -> dict[str, Any]:
    if options.get("events") or options.get("all"):
        raise param_error(
            "wipe_options: events and all cannot be wiped, because events end by their retention only"
            " (log.events_retention_ms); send users alone"
        )
    if not options.get("users"):
        raise param_error("wipe_options must contain users with the value true")
    return options


CALLS = (Binding(declaration=WIPE, handle=_wipe, request=WipeRequest, needs_people=True),)
