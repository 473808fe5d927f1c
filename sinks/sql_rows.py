"""Makes a row of the store of events from an event and the site. Pure."""

import msgspec

from contract.event_store import StoredEvent, event_percent
from contract.events import Event
from contract.people.site import Site

_INFRARED = "liveness_rgb_ir"
LONGEST_TEXT = 500
"""The most characters of a text by which events are found: PostgreSQL's indexes take 2,704 bytes. The caller of a
comparison may name a person with more of them."""


def stored_event(event: Event, site: Site) -> StoredEvent:
    """Return what the store keeps of an event. `site`: the groups, permissions and devices of now."""
    device = None if event.device_ip is None else site.device_at(event.device_ip)
    scope = event.scope
    group_name = scope.group_name if scope else ""
    permission_name = (scope.permission_name if scope else None) or ""
    group, permission = site.group_named(group_name), site.permission_named(permission_name)
    request = event.request
    return StoredEvent(
        id=event.id,
        kind=event.kind,
        outcome=event.outcome,
        compare_time=event.compare_time,
        received_time=event.received_time,
        identity_id=stored_text(event.identity_id),
        name=stored_text(event.name),
        person_type=event.person_type,
        score=event.score,
        percent=event_percent(event),
        device_ip=stored_text(event.device_ip or ""),
        device_id="" if event.device_ip is None else site.device_id_of(event.device_ip),
        device_name=device.name if device else "",
        group_id=group.group_id if group else "",
        group_name=_without_nul(group_name),
        permission_id=permission.permission_id if permission else "",
        permission_name=_without_nul(permission_name),
        want_action=event.want_action,
        picture=request.sha256 or "",
        infrared=event.liveness is not None and event.liveness.mode == _INFRARED,
        request=(request.topic, request.partition, request.offset),
        repeat_of=event.repeat_of or "",
        replay_of=event.replay_of or "",
        detail=_detail(event),
    )


def stored_text(text: str) -> str:
    """Return a text by which events are found, as the store has it: without U+0000, and not too long for an index."""
    return _without_nul(text)[:LONGEST_TEXT]


def _without_nul(text: str) -> str:
    """Return a text that PostgreSQL takes, which knows no U+0000."""
    return text.replace("\0", "\N{REPLACEMENT CHARACTER}")


def _detail(event: Event) -> dict[str, object] | None:
    found = {"face": event.face, "attributes": event.attributes, "grab_fiqa_info": event.grab_fiqa_info}
    return {name: msgspec.to_builtins(value) for name, value in found.items() if value is not None} or None


def detail_text(event: StoredEvent) -> str | None:
    """Return the detail of an event as JSON."""
    return None if event.detail is None else msgspec.json.encode(event.detail).decode()
