"""The bindings and declarations of all HTTP calls of the server."""

from ingest.api import (
    compare,
    detect,
    devices,
    events,
    fiqa,
    groups,
    imports,
    keys,
    match,
    people,
    permissions,
    photos,
    reembed,
    search,
    service,
    settings,
    v6,
    wipe,
)

BINDINGS = (
    *match.CALLS,
    *compare.CALLS,
    *fiqa.CALLS,
    *detect.CALLS,
    *people.CALLS,
    *photos.CALLS,
    *groups.CALLS,
    *permissions.CALLS,
    *devices.CALLS,
    *events.CALLS,
    *search.CALLS,
    *settings.CALLS,
    *wipe.CALLS,
    *keys.CALLS,
    *reembed.CALLS,
    *imports.CALLS,
    *v6.CALLS,
    *service.CALLS,
)
DECLARATIONS = tuple(binding.declaration for binding in BINDINGS)
