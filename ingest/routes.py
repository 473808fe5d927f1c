"""The URLs of the server: their methods, and the least role for a call of each."""

from collections import defaultdict
from collections.abc import Iterable, Mapping

from contract.roles import ROLES, Role
from ingest.api.binding import Binding

Methods = Mapping[str, Binding]
"""The HTTP method -> the binding of a URL for this method."""


def routes_of(bindings: Iterable[Binding]) -> Mapping[str, Methods]:
    """Return the path of each URL -> its methods; the pages about the server have HEAD beside GET."""
    routes: defaultdict[str, dict[str, Binding]] = defaultdict(dict)
    for binding in bindings:
        routes[binding.declaration.path][binding.declaration.method] = binding
        if binding.is_page:
            routes[binding.declaration.path]["HEAD"] = binding
    return routes


def least_role(method: str, methods: Methods) -> Role:
    """Return the least role for a call of a URL with these methods.

    A method that the URL does not have needs the strongest role of its methods; an unknown URL needs an operator.
    """
    if (binding := methods.get(method)) is not None:
        return binding.role
    return max((binding.role for binding in methods.values()), key=ROLES.index, default="operator")
