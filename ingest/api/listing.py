"""The bindings and declarations of all HTTP calls of the server."""

from ingest.api import compare, detect, devices, fiqa, match, people, photos, service

BINDINGS = (
    *match.CALLS,
    *compare.CALLS,
    *fiqa.CALLS,
    *detect.CALLS,
    *people.CALLS,
    *photos.CALLS,
    *devices.CALLS,
    *service.CALLS,
)
DECLARATIONS = tuple(binding.declaration for binding in BINDINGS)
