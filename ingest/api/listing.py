"""The bindings and declarations of all HTTP calls of the server."""

from ingest.api import compare, devices, fiqa, match, people, photos, service, settings, wipe

BINDINGS = (
    *match.CALLS,
    *compare.CALLS,
    *fiqa.CALLS,
    *people.CALLS,
    *photos.CALLS,
    *devices.CALLS,
    *settings.CALLS,
    *wipe.CALLS,
    *service.CALLS,
)
DECLARATIONS = tuple(binding.declaration for binding in BINDINGS)
