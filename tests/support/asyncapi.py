"""docs/asyncapi.yaml as tests use it: its references, its structure, and whether records are as it says."""

import re
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import jsonschema
import msgspec
import orjson
import yaml

from broker.port import Record

DOCS = Path(__file__).parents[2] / "docs"
DOCUMENT = DOCS / "asyncapi.yaml"
MESSAGE_PACK = "application/vnd.msgpack"

Node = Mapping[str, Any]


@cache
def document() -> dict[str, Any]:
    """The whole document."""
    found: dict[str, Any] = yaml.safe_load(DOCUMENT.read_text())
    return found


def resolved(node: Any, whole: Node) -> Any:
    """What a node is, or what its reference names: a node of the document, or the whole of a file beside it.

    Raises:
        KeyError, OSError: the reference names nothing.
    """
    while isinstance(node, Mapping) and "$ref" in node:
        file, _, pointer = node["$ref"].partition("#")
        if file:
            return orjson.loads((DOCS / file).read_bytes())  # whose own references are for a validator
        node = whole
        for step in pointer.split("/")[1:]:
            node = node[step]
    return node


def expanded(node: Any, whole: Node) -> Any:
    """A schema with everything that its references name in the place of the references."""
    node = resolved(node, whole)
    if isinstance(node, Mapping):
        return {name: expanded(value, whole) for name, value in node.items()}
    return [expanded(item, whole) for item in node] if isinstance(node, list) else node


def references(node: Any, at: str = "#") -> Iterator[tuple[str, str]]:
    """Every reference in a node, with its place."""
    items = node.items() if isinstance(node, Mapping) else enumerate(node) if isinstance(node, list) else ()
    for name, value in items:
        if name == "$ref":
            yield at, value
        else:
            yield from references(value, f"{at}/{name}")


def faults(whole: Node) -> Iterator[str]:
    """What AsyncAPI 3.0.0 demands of a document and this one does not fulfil, in words."""
    if not re.fullmatch(r"3\.\d+\.\d+", str(whole.get("asyncapi"))):
        yield "asyncapi is no version 3"
    yield from (f"info has no {name}" for name in ("title", "version") if name not in whole.get("info", {}))
    for at, reference in references(whole):
        try:
            resolved({"$ref": reference}, whole)
        except (KeyError, OSError, TypeError):
            yield f"{at} refers to {reference}, which is not there"
            return
    for name, server in whole.get("servers", {}).items():
        yield from (f"server {name} has no {member}" for member in ("host", "protocol") if member not in server)
        if set(re.findall(r"{(\w+)}", server.get("host", ""))) != set(server.get("variables", {})):
            yield f"server {name}: its variables are not those of its host"
    for name, channel in whole.get("channels", {}).items():
        if set(re.findall(r"{(\w+)}", channel.get("address") or "")) != set(channel.get("parameters", {})):
            yield f"channel {name}: its parameters are not those of its address"
        if not channel.get("messages"):
            yield f"channel {name} has no message"
    for name, operation in whole.get("operations", {}).items():
        yield from _operation(f"operation {name}", operation, whole)


def _operation(name: str, operation: Node, whole: Node) -> Iterator[str]:
    if operation.get("action") not in ("send", "receive"):
        yield f"{name} neither sends nor receives"
    yield from _place(name, operation, whole)
    if (reply := operation.get("reply")) is not None:
        yield from _place(f"{name}, reply", reply, whole)
        channel, address = resolved(reply["channel"], whole), resolved(reply.get("address"), whole)
        if address is not None and channel.get("address") is not None:
            yield f"{name}: its reply has an address, and so has the channel of the reply"
        if address is not None and not re.fullmatch(r"\$message\.(header|payload)#/\S+", address.get("location", "")):
            yield f"{name}: the location of its reply address is no expression"


def _place(name: str, place: Node, whole: Node) -> Iterator[str]:
    channel = place.get("channel", {}).get("$ref", "")
    if not re.fullmatch(r"#/channels/\w+", channel):
        yield f"{name} refers to no channel"
    for message in place.get("messages", ()):
        if not message["$ref"].startswith(f"{channel}/messages/"):
            yield f"{name}: {message['$ref']} is no message of its channel"


def topic_of(channel: Node, whole: Node) -> str:
    """The topic of a channel in an installation with the default settings."""
    address = channel["address"] or channel["bindings"]["kafka"]["topic"]
    defaults = {name: resolved(each, whole)["default"] for name, each in channel.get("parameters", {}).items()}
    return str(address).format(**defaults)


def complaints(record: Record, message: Node, whole: Node) -> list[str]:
    """What a record does not fulfil of its message: in its headers, its key or its value."""
    headers = {name: value if name == "actor" else value.decode() for name, value in record.headers}
    key = None if record.key is None else record.key.decode()
    binding = message.get("bindings", {}).get("kafka", {}).get("key", {})
    found = _checked(headers, message.get("headers", {}), whole) + _checked(key, binding, whole)
    content = message.get("contentType", whole["defaultContentType"])
    decode: Any = msgspec.msgpack.decode if content == MESSAGE_PACK else orjson.loads
    return found + _checked(None if record.value is None else decode(record.value), message["payload"], whole)


def _checked(value: Any, schema: Node, whole: Node) -> list[str]:
    if "schemaFormat" in schema:
        assert schema["schemaFormat"].endswith("version=2020-12")
        validator: Any = jsonschema.Draft202012Validator(resolved(schema["schema"], whole))
    else:
        validator = jsonschema.Draft7Validator(expanded(schema, whole), format_checker=jsonschema.FormatChecker())
    return [f"{error.json_path}: {error.message}" for error in validator.iter_errors(value)]
