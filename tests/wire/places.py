"""The places in calls where values are sent: the fields of the declarations, and the members of those fields."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from contract.calls.declaration import Declaration, Field

Schema = Mapping[str, Any]
Step = str | int


@dataclass(frozen=True)
class Place:
    """A place in a call where a value may be sent: a field, or a member of a field that is an object or a list.

    `path`: the way from the body to the value. `in_body`: whether the value may be of any type; else it is a text, as
    in a query. `empty_is_absent`: whether the empty text counts as no value. `only_with`: a boolean field without which
    the field is ignored.
    """

    declaration: Declaration
    path: tuple[Step, ...]
    schema: Schema
    required: bool
    in_body: bool
    empty_is_absent: bool
    only_with: str | None = None

    @property
    def key(self) -> str:
        """The place as the table names it: `devices_list[].device_key`."""
        words = "".join("[]" if isinstance(step, int) else f".{step}" for step in self.path)
        return words.removeprefix(".")

    @property
    def call(self) -> str:
        return f"{self.declaration.method} {self.declaration.path}"

    @property
    def names(self) -> set[str]:
        """The names that a message about this place contains: of the field, and of the member."""
        named = [step for step in self.path if isinstance(step, str)]
        return {named[0], named[-1]}


def places(declaration: Declaration) -> Iterator[Place]:
    """Every place of a call."""
    in_body = declaration.method != "GET"
    for field in declaration.fields:
        yield Place(
            declaration,
            (field.name,),
            field.rule.schema,
            field.required,
            in_body,
            field.rule.empty_is_absent,
            field.only_with,
        )
        if field.items:
            yield from _items(declaration, field)
        else:
            yield from _members(declaration, (field.name,), field.rule.schema)


def _items(declaration: Declaration, field: Field) -> Iterator[Place]:
    for item in field.items:
        yield Place(
            declaration, (field.name, 0, item.name), item.rule.schema, item.required, True, item.rule.empty_is_absent
        )
        yield from _members(declaration, (field.name, 0, item.name), item.rule.schema)


def _members(declaration: Declaration, path: tuple[Step, ...], schema: Schema) -> Iterator[Place]:
    inside: Schema = schema
    if "properties" not in schema and "properties" in schema.get("items", {}):
        path, inside = (*path, 0), schema["items"]
    for each, member in inside.get("properties", {}).items():
        yield Place(declaration, (*path, each), member, each in inside.get("required", ()), True, False)
        yield from _members(declaration, (*path, each), member)
