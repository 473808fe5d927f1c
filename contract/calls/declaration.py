"""The declaration of an HTTP call.

Parsing, the refusals that name a field, the count of unknown fields, the call's table in docs/interface.md and its part
of /openapi.json all come from it. Pure.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from contract.calls.dialects import Dialect
from contract.calls.rules import FLAG, Rule, param_error
from contract.errors import Code

Method = Literal["GET", "POST", "PUT", "DELETE"]
Values = dict[str, Any]
"""Field's name -> checked value, or the field's default."""


@dataclass(frozen=True, slots=True)
class Field:
    """A field of a body or of a query.

    Attributes:
        name: as it is sent.
        rule: its type and what its values may be.
        words: what it is for, in Markdown.
        required: whether it must be there.
        default: its value where it is absent; None: absent is a case of its own, which `words` explain.
        example: a value as it may be sent; None: none is shown.
        only_with: an earlier boolean field; while that is false, this one is not looked at.
    """

    name: str
    rule: Rule
    words: str
    required: bool = False
    default: Any = None
    example: Any = None
    only_with: str | None = None


def flag(name: str, words: str, *, default: bool = False) -> Field:
    """A boolean field."""
    return Field(name, FLAG, words, default=default)


@dataclass(frozen=True, slots=True)
class Answer:
    """A shape that a success has: the type of its JSON document and an example of it; str: a page of text."""

    shape: Any
    example: Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Declaration:
    """A call.

    Attributes:
        method, path: what is called. The fields of a GET are in the query, those of other calls in a JSON body.
        route: the label of its metrics.
        summary: one sentence of what the call is for.
        fields: in the order in which they are checked.
        any_of: of each of these groups of fields one at least must be there.
        answers: of a success.
        errors: the codes beside those of the rules and of every call of the kind.
        headers: name -> words, of a success.
        dialect: how errors are written.
        typeless_is_json: whether a body without a content type is taken for JSON. Pages of any origin may post such a
            body, so no call that changes anything does.
    """

    method: Method
    path: str
    route: str
    summary: str
    fields: tuple[Field, ...] = ()
    any_of: tuple[tuple[str, ...], ...] = ()
    answers: tuple[Answer, ...]
    errors: tuple[Code, ...] = ()
    headers: Mapping[str, str] = field(default_factory=dict)
    dialect: Dialect = Dialect.V5
    typeless_is_json: bool = False

    def read(self, sent: Mapping[str, Any]) -> Values:
        """The checked values of the fields of a JSON object.

        Raises:
            Refused: the row of the error table; the message names the field.
        """
        values: Values = {}
        for each in self.fields:
            used = each.only_with is None or values[each.only_with]
            values[each.name] = _value(each, sent.get(each.name) if used else None)
        for names in self.any_of:
            if all(values[name] is None for name in names):
                raise param_error(f"{' or '.join(names)} is needed")
        return values

    def read_query(self, query: Mapping[str, str]) -> Values:
        """The checked values of the fields of a URL's query.

        Raises:
            Refused: the row of the error table; the message names the field.
        """
        rules = {each.name: each.rule for each in self.fields}
        return self.read({name: rules[name].of_query(text) for name, text in query.items() if name in rules})

    def unknown(self, sent: Mapping[str, Any]) -> int:
        """How many of the fields that were sent no rule knows."""
        return len(sent.keys() - {each.name for each in self.fields})

    def example(self) -> dict[str, Any]:
        """A body, or a query, with all examples."""
        return {each.name: each.example for each in self.fields if each.example is not None}


def _value(declared: Field, sent: Any) -> Any:
    if sent is None or (sent == "" and declared.rule.empty_is_absent):
        if declared.required:
            raise param_error(f"{declared.name} is needed")
        return declared.default
    return declared.rule.check(sent, declared.name)
