"""The parts of docs/interface.md that are made from the declarations, and docs/schemas.

Such a part is between a marker that names a call (or "errors", or "settings") and the next end marker.
`python -m tests.support.interface_document` brings all of them up to date.
"""

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from contract.calls.declaration import Declaration, Field
from contract.calls.rules import Rule
from contract.errors import Code
from contract.schemas import PUBLISHED, schema_of
from contract.site_settings import SITE_SETTINGS
from ingest.api.listing import DECLARATIONS

DOCUMENT = Path(__file__).parents[2] / "docs" / "interface.md"
SCHEMAS = DOCUMENT.with_name("schemas")
_PART = re.compile(r"(<!-- declared: (.+?) -->\n).*?(<!-- end -->)", re.S)
_LONGEST_TEXT = 40
_WIDTH = 130


def current(text: str) -> str:
    """The document with its parts made anew.

    Raises:
        KeyError: a marker names something else than a call.
    """
    parts: dict[str, Callable[[], str]] = {"errors": errors, "settings": settings}
    parts |= {name(each): lambda declared=each: call(declared) for each in DECLARATIONS}
    return _PART.sub(lambda found: f"{found[1]}\n{parts[found[2]]()}\n{found[3]}", text)


def declared(text: str) -> list[str]:
    """What the markers of the document name."""
    return [found[2] for found in _PART.finditer(text)]


def name(declaration: Declaration) -> str:
    """How a marker names a call."""
    return f"{declaration.method} {declaration.path}"


def call(declaration: Declaration) -> str:
    """What a call is for, its fields, and examples of its answers."""
    parts = [declaration.summary]
    if declaration.fields:
        parts.append(
            "\n".join(("| field | type | default | meaning |", "|---|---|---|---|", *_rows(declaration.fields)))
        )
    answers = [_shown(_shortened(each.example)) for each in declaration.answers if each.shape not in (str, bytes)]
    if answers:
        parts.append("\n".join(("```json", *answers, "```")))
    return "\n\n".join(parts) + "\n"


def errors() -> str:
    """The error table."""
    rows = (f"| {int(code)} | {code.status} | {code.when} |" for code in sorted(Code))
    return "\n".join(("| code | status | when |", "|---|---|---|", *rows)) + "\n"


def settings() -> str:
    """The settings of the site."""
    rows = (
        f"| `{each.name}` | {each.rule.word} | {f'`{each.setting}`' if each.setting else ''} |"
        f" {each.words}{_choices(each.rule)} |"
        for each in SITE_SETTINGS.values()
    )
    return "\n".join(("| name | type | laid over | meaning |", "|---|---|---|---|", *rows)) + "\n"


def _rows(fields: tuple[Field, ...], within: str = "") -> Iterator[str]:
    for field in fields:
        yield _row(field, within)
        yield from _rows(field.items, f"{within}{field.name}[].")


def _row(field: Field, within: str) -> str:
    default = "required" if field.required else "" if field.default is None else f"`{json.dumps(field.default)}`"
    return f"| `{within}{field.name}` | {field.rule.word} | {default} | {field.words}{_choices(field.rule)} |"


def _choices(rule: Rule) -> str:
    options = rule.schema.get("enum")
    return f" One of {', '.join(f'`{option}`' for option in options)}." if options else ""


def _shortened(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _shortened(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_shortened(item) for item in value]
    return value if not isinstance(value, str) or len(value) <= _LONGEST_TEXT else "..."


def _shown(value: Any, indent: str = "") -> str:
    """JSON, broken into lines where it is too long for one."""
    line = json.dumps(value, ensure_ascii=False)
    if len(indent + line) <= _WIDTH or not isinstance(value, dict | list):
        return line
    if isinstance(value, list):
        return "[" + f",\n{indent} ".join(_shown(item, f"{indent} ") for item in value) + "]"
    inner = f"{indent}  "
    items = (f"{inner}{json.dumps(key)}: {_shown(item, inner)}" for key, item in value.items())
    return "{\n" + ",\n".join(items) + "}"


def write_schemas(folder: Path) -> None:
    """Write the published schemas of this version into a folder."""
    folder.mkdir(exist_ok=True)
    for each in PUBLISHED:
        (folder / f"{each}.schema.json").write_text(json.dumps(schema_of(each), indent=2, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    DOCUMENT.write_text(current(DOCUMENT.read_text()))
    write_schemas(SCHEMAS)
