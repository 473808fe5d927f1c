"""The routes of the server: which calls a path has, and the least role for each. Pure."""

from collections import defaultdict
from collections.abc import Container, Mapping

from contract.calls.dialects import Dialect
from contract.http import REPLAY_OF_HEADER, V6_PATH
from contract.roles import ROLES, Role
from ingest.api.binding import Binding
from ingest.api.listing import BINDINGS
from ingest.auth import Route

Methods = Mapping[str, Binding]
"""The HTTP method -> the binding of a URL for this method."""

_ANY = "{}"
"""The last segment of a route whose last segment is a field."""


def methods_at(path: str) -> Methods:
    """Return the calls at a path, which is percent-encoded as it was sent; none where the path is unknown."""
    return _ROUTES.get(path) or _ROUTES.get(f"{path.rpartition('/')[0]}/{_ANY}", {})


def dialect_at(path: str, methods: Methods) -> Dialect:
    """Return the dialect of the errors of a URL, which may be unknown: then the path alone says it."""
    known = next(iter(methods.values()), None)
    if known is not None:
        return known.declaration.dialect
    return Dialect.V6 if path.startswith(f"{V6_PATH}/") else Dialect.V5


def least_role(method: str, methods: Methods) -> Role:
    """Return the least role for a call of a URL with these methods.

    A method that the URL does not have needs the strongest role of its methods; an unknown URL needs an operator.
    """
    if (binding := methods.get(method)) is not None:
        return binding.role
    return max((binding.role for binding in methods.values()), key=ROLES.index, default="operator")


def route_of(method: str, headers: Container[str], methods: Methods) -> Route:
    """Return what the authorisation of a call depends on; `headers` contain the names of its headers."""
    # Devices never replay requests, so a replay is authorised as a call of an administrator.
    role: Role = "administrator" if REPLAY_OF_HEADER in headers else least_role(method, methods)
    return Route(role, is_impersonal=all(binding.is_page for binding in methods.values()))


def _routes() -> Mapping[str, Methods]:
    routes: defaultdict[str, dict[str, Binding]] = defaultdict(dict)
    for binding in BINDINGS:
        declaration = binding.declaration
        route = declaration.path.replace(f"{{{declaration.path_field}}}", _ANY)
        routes[route][declaration.method] = binding
        if binding.is_page:
            routes[route]["HEAD"] = binding
    return dict(routes)


_ROUTES = _routes()
