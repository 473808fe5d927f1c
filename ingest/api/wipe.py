"""The handler of WipeData: it sends requests that each delete a bounded number of people until nobody is left."""

from itertools import count
from typing import Any

from contract.calls.rules import param_error
from contract.calls.shared import Data
from contract.calls.wipe import WIPE, Wiped
from contract.errors import Code, Refused
from contract.messages import WipedAnswer, WipeRequest
from ingest.api.binding import Binding, Services, read_body, request_of, version_header
from ingest.call import Call
from ingest.render import Rendered, success


async def _wipe(call: Call, services: Services) -> Rendered:
    options = _checked((await read_body(call, services, WIPE))["wipe_options"])
    people = devices = left = 0
    for number in count(1):
        # Each request in the log needs an id of its own.
        request = request_of(WipeRequest, call, {}, request_id=f"{call.request_id}-{number}")
        try:
            reply = await services.exchange.ask(call, request)
        except Refused as refused:
            if refused.code is Code.TIMEOUT and left:
                raise Refused(
                    Code.TIMEOUT,
                    f"{people} people and {devices} devices are deleted and {left} are left; send the call again",
                ) from None
            raise
        if not isinstance(reply.answer, WipedAnswer):
            raise TypeError(f"a wipe was answered with {type(reply.answer).__name__}")
        people, devices, left = people + reply.answer.people, devices + reply.answer.devices, reply.answer.left
        if not left:
            break
    wiped = Wiped(wipe_options=options, people_deleted=people, devices_deleted=devices)
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
