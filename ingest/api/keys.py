"""The handlers of the calls that create, list and delete API keys."""

from contract.answers import KeyAnswer
from contract.calls.declaration import Values
from contract.calls.keys import CREATE_KEY, DELETE_KEY, LIST_KEYS, CreatedKey, KeyList, ListedKey
from contract.calls.shared import Data
from contract.people.site import KeyRecord
from contract.site_requests import KeyRequest
from ingest.api.binding import Binding, Services, ask, request_of
from ingest.call import Call
from ingest.exchange import timed_out
from ingest.keys import digest, new_key
from ingest.render import Rendered, success

_PRIVATE = (("Cache-Control", "no-store"),)


async def _create(call: Call, services: Services) -> Rendered:
    """Create a key. The key is made here, and nothing but its hash goes into the log."""
    key = new_key()

    def request(call: Call, values: Values) -> KeyRequest:
        return request_of(KeyRequest, call, values, action="create", sha256=digest(key.encode()))

    answer, reply = await ask(call, services, CREATE_KEY, request, (), KeyAnswer)
    # The key is answered even if this ingress is slow to read the change, because no later answer contains it.
    await services.reached(reply.gallery_version, call.settings.deadline_s)
    created = CreatedKey(key_id=answer.key_id, name=answer.name, role=answer.role, created=answer.created_s, key=key)
    return success(Data(created), _PRIVATE)


async def _list(call: Call, services: Services) -> Rendered:
    """List the keys as of a gallery version that contains every change made through this ingress."""
    call.arrived()
    if not await services.reached(services.exchange.gallery_version, call.settings.deadline_s):
        raise timed_out()
    keys = sorted(services.people.site.keys.values(), key=lambda key: key.name)
    listed = KeyList(keys=[_listed(key) for key in keys], keys_in_settings=len(call.settings.api_keys))
    return success(Data(listed), _PRIVATE)


async def _delete(call: Call, services: Services) -> Rendered:
    def request(call: Call, values: Values) -> KeyRequest:
        return request_of(KeyRequest, call, values, action="delete")

    answer, reply = await ask(call, services, DELETE_KEY, request, (), KeyAnswer)
    # The answer promises that this ingress refuses the key.
    if not await services.reached(reply.gallery_version, call.settings.deadline_s):
        raise timed_out()
    return success(Data(_listed(answer)))


def _listed(key: KeyRecord | KeyAnswer) -> ListedKey:
    return ListedKey(key_id=key.key_id, name=key.name, role=key.role, created=key.created_s)


CALLS = (
    Binding(declaration=CREATE_KEY, handle=_create, request=KeyRequest, role="administrator"),
    Binding(declaration=LIST_KEYS, handle=_list, role="administrator"),
    Binding(declaration=DELETE_KEY, handle=_delete, request=KeyRequest, role="administrator"),
)
