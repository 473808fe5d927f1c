"""The declaration of an HTTP call, as a value. Pure.

Parsing, the refusals that name a field, the count of unknown fields, the call's table in docs/interface.md and the
call's part of /openapi.json are all derived from the declaration.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal
from urllib.parse import unquote

import orjson

from contract.calls.dialects import Dialect
from contract.calls.rules import FLAG, Rule, param_error
from contract.errors import Code

Method = Literal["GET", "POST", "PUT", "DELETE"]
Values = dict[str, Any]
"""The name of a field -> the checked value, or the field's default."""


@dataclass(frozen=True, slots=True)
class Field:
    """A field of a body or of a query.

    Attributes:
        name: the name in the body or query.
        rule: the type of the field and its allowed values.
        words: the purpose of the field, in Markdown.
        required: whether the field must be present.
        default: the value where the field is absent; None: absence has a meaning of its own, which `words` explains.
        example: a value as it may be sent; None: the documents contain no example.
        only_with: the name of an earlier boolean field; where that is false, this field is ignored.
        items: the fields of each object, where the field is a list of objects.
    """

    name: str
    rule: Rule
    words: str
    required: bool = False
    default: Any = None
    example: Any = None
    only_with: str | None = None
    items: tuple["Field", ...] = ()


def flag(name: str, words: str, *, default: bool = False) -> Field:
    """Return a boolean field."""
    return Field(name, FLAG, words, default=default)


def objects(name: str, words: str, items: tuple[Field, ...], *, required: bool = False) -> Field:
    """Return a field that is a list of objects with the fields `items`; the checked value is a list of `Values`."""

    def check(value: Any, field: str) -> list[Values]:
        if not isinstance(value, list) or not all(isinstance(entry, dict) for entry in value):
            raise param_error(f"{field} must be a list of objects")
        return [read_fields(items, entry, f"{field}[{number}].") for number, entry in enumerate(value)]

    entry = {
        "type": "object",
        "properties": {each.name: {**each.rule.schema, "description": each.words} for each in items},
        "required": [each.name for each in items if each.required],
    }
    codes = dict.fromkeys(code for each in items for code in each.rule.codes)
    rule = Rule(
        word="list of object",
        check=check,
        schema={"type": "array", "items": entry},
        codes=tuple({Code.PARAM_ERROR: None, **codes}),
        empty_is_absent=False,
    )
    example = {each.name: each.example for each in items if each.example is not None}
    return Field(name, rule, words, required=required, example=[example], items=items)


@dataclass(frozen=True, slots=True)
class Answer:
    """A form of a successful answer: the type of the JSON document, and an example.

    The shape str means a page of text, and the shape bytes a picture as JPEG.
    """

    shape: Any
    example: Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Declaration:
    """The declaration of one call.

    Attributes:
        method, path: the method and path. The fields of a GET are in the query, those of other methods in a JSON body.
            A field of a GET whose name is the last segment of the path, in braces, is that segment instead.
        route: the label of the call in metrics.
        summary: the purpose of the call in one sentence.
        fields: the fields, in the order in which they are checked.
        any_of: groups of names; at least one field of each group must be present.
        answers: the forms of a successful answer.
        errors: the codes that the call returns, except those of its rules and those of every call.
        headers: the headers of a successful answer: name -> words.
        dialect: the form of errors.
        typeless_is_json: whether a body without a content type is read as JSON. Web pages of any origin can post such a
            body, so this is false for every call that changes anything.
        takes_form: whether the body may also be multipart/form-data, in which every value is a text.
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
    takes_form: bool = False

    @property
    def path_field(self) -> str | None:
        """The name of the field that is the last segment of the path; None: no field is."""
        last = self.path.rpartition("/")[2]
        return last[1:-1] if last.startswith("{") else None

    def read(self, sent: Mapping[str, Any]) -> Values:
        """Return the checked values of the fields of a JSON object.

        Raises:
            Refused: a field is missing or has a value that its rule refuses; the message names the field.
        """
        values = read_fields(self.fields, sent)
        for names in self.any_of:
            if all(values[name] is None for name in names):
                raise param_error(f"{' or '.join(names)} is needed", "missing")
        return values

    def read_url(self, query: Mapping[str, str], path: str) -> Values:
        """Return the checked values of the fields of a URL: of its decoded query, and of its path as it was sent.

        Raises:
            Refused: a field is missing or has a value that its rule refuses; the message names the field.
        """
        last = path.rpartition("/")[2]
        return self.read_texts({**query, **({self.path_field: unquote(last)} if self.path_field else {})})

    def read_texts(self, sent: Mapping[str, str]) -> Values:
        """Return the checked values of fields that were sent as texts.

        Raises:
            Refused: a field is missing or has a value that its rule refuses; the message names the field.
        """
        rules = {each.name: each.rule for each in self.fields}
        return self.read({name: rules[name].of_query(text) for name, text in sent.items() if name in rules})

    def one_text_each(self, query: Iterable[tuple[str, str]]) -> dict[str, str]:
        """Return the fields of a query, name -> text.

        Of a name that is repeated, the first text counts; the texts of a field that allows several are a JSON array.
        """
        several = {each.name for each in self.fields if each.rule.several_in_query}
        found: dict[str, list[str]] = {}
        for name, text in query:
            found.setdefault(name, []).append(text)
        return {
            name: orjson.dumps(texts).decode() if name in several and len(texts) > 1 else texts[0]
            for name, texts in found.items()
        }

    def unknown(self, sent: Mapping[str, Any]) -> int:
        """Return the number of sent fields, also of those in lists of objects, that the call does not declare."""
        return _unknown(self.fields, sent)

    def example(self) -> dict[str, Any]:
        """Return a body, or a query, with the examples of all fields that have one."""
        return {each.name: each.example for each in self.fields if each.example is not None}


def read_fields(fields: tuple[Field, ...], sent: Mapping[str, Any], within: str = "") -> Values:
    """Return the checked values of the fields of a JSON object. `within` is put before the names in messages.

    Raises:
        Refused: a field is missing or has a value that its rule refuses; the message names the field.
    """
    values: Values = {}
    for each in fields:
        used = each.only_with is None or values[each.only_with]
        values[each.name] = _value(each, sent.get(each.name) if used else None, within)
    return values


def _unknown(fields: tuple[Field, ...], sent: Mapping[str, Any]) -> int:
    lists = ((each.items, sent.get(each.name)) for each in fields if each.items)
    entries = ((items, entry) for items, found in lists if isinstance(found, list) for entry in found)
    within = sum(_unknown(items, entry) for items, entry in entries if isinstance(entry, dict))
    return within + len(sent.keys() - {each.name for each in fields})


def _value(declared: Field, sent: Any, within: str) -> Any:
    name = f"{within}{declared.name}"
    if sent is None or (sent == "" and declared.rule.empty_is_absent):
        if declared.required:
            raise param_error(f"{name} is needed", "missing")
        return declared.default
    return declared.rule.check(sent, name)
