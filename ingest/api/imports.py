"""The handler of the call that imports people in bulk."""

import asyncio
from functools import partial

from contract.answers import ImportedAnswer
from contract.calls.dialects import ErrorDetail
from contract.calls.imports import IMPORT, Imported, NotImported, person_of, require_few, site_of
from contract.calls.rules import param_error
from contract.calls.shared import Data
from contract.errors import Code
from contract.site_requests import ImportRequest
from ingest.api.binding import Binding, Services, send, version_header
from ingest.call import Call
from ingest.json_body import read_object
from ingest.pictures import decode_base64
from ingest.render import Rendered, success

MOST_VALUES = 200_000
"""The most JSON values of a body: 1,000 people with infos of a usual size have some 20,000."""


async def _import(call: Call, services: Services) -> Rendered:
    body = await call.body(typeless_is_json=False, takes_form=False)
    # A thousand people take tens of milliseconds, which matches must not wait for.
    request, unknown = await asyncio.to_thread(_read, call, services, body)
    del body
    services.metrics.unknown_fields.inc(unknown)
    answer, reply = await send(call, services, request, ImportedAnswer)
    return success(Data(_shown(answer)), version_header(reply.gallery_version))


def _read(call: Call, services: Services, body: bytearray) -> tuple[ImportRequest, int]:
    """Return the request that a body contains, and the number of its unknown fields.

    Raises:
        Refused: the body cannot be read, or a field is refused.
    """
    sent = read_object(body, max(MOST_VALUES, call.settings.max_json_values))
    values = IMPORT.read(sent)
    decode = partial(decode_base64, max_bytes=services.limits.max_bytes)
    people = tuple(
        person_of(each, decode, f"people[{place}].", restore=values["restore"])
        for place, each in enumerate(values["people"] or ())
    )
    require_few(people)
    if not (people or values["groups"] or values["permissions"]):
        raise param_error("people, groups or permissions is needed", "missing")
    request = ImportRequest(
        request_id=call.request_id,
        received_time_s=call.received_time_s,
        people=people,
        site=site_of(values),
        restore=values["restore"],
        quality_level=values["fiqa_level"],
    )
    return request, IMPORT.unknown(sent)


def _shown(answer: ImportedAnswer) -> Imported:
    failed = [
        NotImported(
            place=one.place,
            identity_id=one.identity_id,
            error=ErrorDetail(code=one.code, message=one.message, status=Code(one.code).status),
        )
        for one in answer.failed
    ]
    return Imported(
        added=answer.added,
        present=list(answer.present),
        faces=answer.faces,
        unsearched=answer.unsearched,
        failed=failed,
        groups=answer.groups,
        permissions=answer.permissions,
    )


CALLS = (Binding(declaration=IMPORT, handle=_import, role="administrator", request=ImportRequest, needs_people=True),)
