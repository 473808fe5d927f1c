"""Which changes of a schema break a reader, as docs/events.md promises none within a version of a type.

Both directions count. A reader that knows the former schema reads new records: what it reads stays, with the same type,
and is as certain to be there. A reader that knows the present schema reads old records: nothing is required of them
that they lack. What may be added is a field that is not required, a word in a list of words, and a new form of record
beside others that a tag distinguishes, because readers pass over what they do not know.
"""

from collections.abc import Iterator, Mapping
from typing import Any

Schema = Mapping[str, Any]

_WORDS = ("$schema", "$defs", "title", "description", "discriminator")
"""The keywords that say nothing about values."""
_LOOKED_AT = ("properties", "required", "items", "prefixItems", "additionalProperties", "enum", "type", "default")


def breaking(former: Schema, present: Schema) -> list[str]:
    """What a reader of the one cannot read of the other; nothing where all changes are additions."""
    return list(_node(former, present, former, present, "", frozenset()))


def _node(a: Schema, b: Schema, whole_a: Schema, whole_b: Schema, at: str, inside: frozenset[str]) -> Iterator[str]:
    reference = a.get("$ref")
    if isinstance(reference, str):
        if reference in inside:
            return
        inside = inside | {reference}
    before, after = _forms(a, whole_a), _forms(b, whole_b)
    for kind, form in before.items():
        if kind not in after:
            yield f"{at or 'the value'}: {kind} is gone"
        else:
            yield from _form(form, after[kind], whole_a, whole_b, at, inside)
    for kind in after:
        if kind not in before and not _tagged(kind):
            yield f"{at or 'the value'}: {kind} is new"


def _forms(node: Schema, whole: Schema) -> dict[str, Schema]:
    """The forms that a value may have, by type; objects of several kinds by the word of their tag."""
    node = _resolved(node, whole)
    alternatives = [_resolved(each, whole) for each in node["anyOf"]] if "anyOf" in node else [node]
    found: dict[str, Schema] = {}
    for each in alternatives:
        tag = _tag(each) if len(alternatives) > 1 else None
        names = each.get("type", "words" if "enum" in each else "any")
        for name in names if isinstance(names, list) else [names]:
            found[name if tag is None else f"{name} {tag}"] = each
    return found


def _tagged(kind: str) -> bool:
    return " " in kind


def _tag(node: Schema) -> str | None:
    """The one word that a member of the object must have."""
    for name, member in node.get("properties", {}).items():
        words = [member["const"]] if "const" in member else member.get("enum", ())
        if len(words) == 1 and name in node.get("required", ()):
            return f"{name}={words[0]}"
    return None


def _resolved(node: Schema, whole: Schema) -> Schema:
    while "$ref" in node:
        found: Any = whole
        for step in node["$ref"].removeprefix("#/").split("/"):
            found = found[step]
        node = found
    return node


def _form(a: Schema, b: Schema, whole_a: Schema, whole_b: Schema, at: str, inside: frozenset[str]) -> Iterator[str]:
    name = at or "the value"
    if a.get("type") == "object" or "properties" in a:
        yield from _members(a, b, whole_a, whole_b, at, inside)
    for keyword, place in (("items", f"{at}[]"), ("additionalProperties", f"{at}.*")):
        old, new = a.get(keyword), b.get(keyword)
        if isinstance(old, Mapping) and isinstance(new, Mapping):
            yield from _node(old, new, whole_a, whole_b, place, inside)
        elif old != new:
            yield f"{name}: {keyword} is {new!r} and was {old!r}"
    old, new = a.get("prefixItems", ()), b.get("prefixItems", ())
    if len(old) != len(new):
        yield f"{name}: it has {len(new)} items and had {len(old)}"
    for number, (one, other) in enumerate(zip(old, new, strict=False)):
        yield from _node(one, other, whole_a, whole_b, f"{at}[{number}]", inside)
    yield from _words(a, b, name)
    for keyword in sorted({*a, *b} - {*_WORDS, *_LOOKED_AT, "anyOf", "$ref"}):
        if a.get(keyword) != b.get(keyword):
            yield f"{name}: {keyword} is {b.get(keyword)!r} and was {a.get(keyword)!r}"


def _members(a: Schema, b: Schema, whole_a: Schema, whole_b: Schema, at: str, inside: frozenset[str]) -> Iterator[str]:
    before, after = a.get("properties", {}), b.get("properties", {})
    certain, demanded = set(a.get("required", ())), set(b.get("required", ()))
    for name, member in before.items():
        place = f"{at}.{name}" if at else name
        if name not in after:
            yield f"{place}: the field is gone"
            continue
        yield from _node(member, after[name], whole_a, whole_b, place, inside)
        if member.get("default") != after[name].get("default"):
            yield f"{place}: the default is {after[name].get('default')!r} and was {member.get('default')!r}"
        if name in certain - demanded:
            yield f"{place}: the field need not be there any more"
    for name in sorted(demanded - certain):
        yield f"{at}.{name}".lstrip(".") + ": the field is required, and older records lack it"


def _words(a: Schema, b: Schema, name: str) -> Iterator[str]:
    old, new = a.get("enum"), b.get("enum")
    if (old is None) != (new is None):
        yield f"{name}: {'a list of words is new' if old is None else 'the list of words is gone'}"
    elif old is not None and new is not None:
        yield from (f"{name}: the word {word!r} is gone" for word in old if word not in new)
        strange = {type(word).__name__ for word in new} - {type(word).__name__ for word in old}
        yield from (f"{name}: a word of another type is new ({kind})" for kind in sorted(strange))
