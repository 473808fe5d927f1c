"""The bindings and declarations of all HTTP calls of the server."""

from ingest.api import compare, devices, fiqa, match, people, service

BINDINGS = (*match.CALLS, *compare.CALLS, *fiqa.CALLS, *people.CALLS, *devices.CALLS, *service.CALLS)
DECLARATIONS = tuple(binding.declaration for binding in BINDINGS)
