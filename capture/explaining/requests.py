"""Infers a request that is gone from its event. Pure."""

from collections.abc import Iterator

from msgspec import structs

from contract.errors import Refused
from contract.events import Event, EventScope
from contract.people.site import Site
from contract.requests import MatchRequest
from contract.terms import STRANGER
from engine.calls.matching import scope_names
from engine.gallery.scope import resolve_scope
from engine.policy import Policy


def request_of_event(event: Event, site: Site, policy: Policy) -> MatchRequest | None:
    """Return a request without pictures that has the scope of the event; None: no such request can be inferred.

    A request that was refused at its scope can be inferred only where it named none.
    """
    for request in _possible(event):
        try:
            names = scope_names(resolve_scope(request, site, policy))
        except Refused as refused:
            same = event.error is not None and event.error.code == refused.refusal.code
            if same and event.error is not None and event.error.message == refused.message:
                return request
            continue
        if names == event.scope:
            return request
    return None


def _possible(event: Event) -> Iterator[MatchRequest]:
    """Yield the requests that may have led to the event: without a scope of their own first."""
    shown = event.outcome == STRANGER and bool(event.identity_id)
    request = MatchRequest(
        request_id=event.id,
        device_ip=event.device_ip,
        picture=b"",
        compare_time_s=event.compare_time,
        received_time_s=event.received_time,
        compare_time_raw=event.compare_time_raw,
        liveness_mode="liveness_off" if event.liveness is None else event.liveness.mode,
        need_keep_info=shown,
        with_attribute=event.attributes is not None,
        grab_fiqa_info=event.grab_fiqa_info,
        match_all_faces=any(not (face.chosen or face.rival) for face in event.searched),
    )
    yield request
    yield structs.replace(request, by_permission=True)
    scope = event.scope or EventScope(group_name="")
    for by_permission in (False, True):
        yield structs.replace(
            request,
            group_name=scope.group_name or None,
            permission_name=scope.permission_name,
            by_permission=by_permission,
        )
