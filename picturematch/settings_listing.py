"""All settings as lines of TOML: the effective ones with their sources, or a commented sample of the defaults."""

import ast
import inspect
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from textwrap import wrap
from typing import Any

import msgspec

from picturematch.settings import Settings
from sinks.settings import Sink

DEFAULT = "default"
"""The source of what nobody has given."""

SECRETS = frozenset({"ingest.api_keys", "kafka.password", "store.url"})
_NOT_SET = "not set"
_HIDDEN = "(hidden)"
_WIDTH = 100


@dataclass(frozen=True, slots=True)
class Listed:
    """One setting: its path (section.field), its value, and what it means."""

    path: str
    value: Any
    words: str

    @property
    def toml(self) -> str:
        """The value as TOML, or "not set", which TOML cannot say."""
        return _NOT_SET if self.value is None else _toml(self.value)

    @property
    def shown(self) -> str:
        """The value as it may be shown to anybody: of a secret only whether there is one."""
        return _HIDDEN if self.is_hidden else self.toml

    @property
    def json(self) -> Any:
        """The same as a value that JSON can hold; null for what is not set."""
        return _HIDDEN if self.is_hidden else msgspec.to_builtins(_without_secrets(self.value), enc_hook=str)

    @property
    def is_hidden(self) -> bool:
        """Whether it is a secret that is set."""
        return self.path in SECRETS and bool(self.value)


def list_settings(settings: Settings) -> Iterator[Listed]:
    """Every setting, table by table, those of no table first."""
    tables: dict[str, list[Listed]] = {"": []}
    for setting in _listed(settings, ""):
        tables.setdefault(setting.path.rpartition(".")[0], []).append(setting)
    return chain.from_iterable(tables.values())


def effective_lines(settings: Settings, sources: Mapping[str, str]) -> Iterator[str]:
    """`section.field = value  # source`, one line per setting. `sources`: path -> where it was given."""
    for setting in list_settings(settings):
        yield f"{setting.path} = {setting.shown}  # {sources.get(setting.path, DEFAULT)}"


def sample_lines(settings: Settings) -> Iterator[str]:
    """A TOML file of all settings, each commented out with its value in `settings` and its meaning above it."""
    section = ""
    for setting in list_settings(settings):
        table, _, name = setting.path.rpartition(".")
        if table != section:
            yield f"\n[{table}]"
            section = table
        yield ""
        yield from (f"# {line}" for line in wrap(setting.words, _WIDTH - 2, break_on_hyphens=False))
        yield f"# {name} is not set." if setting.value is None else f"#{name} = {setting.toml}"


def _listed(value: msgspec.Struct, prefix: str) -> Iterator[Listed]:
    words = _words(type(value))
    for field in msgspec.structs.fields(value):
        inner, path = getattr(value, field.name), prefix + field.name
        if isinstance(inner, msgspec.Struct):
            yield from _listed(inner, f"{path}.")
        else:
            yield Listed(path, inner, words.get(field.name, ""))


def _words(kind: type) -> Mapping[str, str]:
    """Field -> the string that follows it in the class's source, on one line."""
    (definition,) = ast.parse(inspect.getsource(kind)).body
    if not isinstance(definition, ast.ClassDef):
        raise TypeError(f"{kind.__name__} is no class")
    words: dict[str, str] = {}
    for statement, after in zip(definition.body, definition.body[1:], strict=False):
        if not isinstance(statement, ast.AnnAssign) or not isinstance(statement.target, ast.Name):
            continue
        if isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant):
            words[statement.target.id] = " ".join(str(after.value.value).split())
    return words


def _members(value: msgspec.Struct) -> Iterator[str]:
    """The members of an inline table that differ from their defaults, the kind first; secrets are hidden."""
    tag = value.__struct_config__.tag
    if tag is not None:
        yield f"{value.__struct_config__.tag_field} = {_toml(tag)}"
    for field in msgspec.structs.fields(value):
        inner = getattr(_without_secrets(value), field.name)
        if inner is not None and inner != field.default:
            yield f"{field.encode_name} = {_toml(inner)}"


def _without_secrets(value: Any) -> Any:
    """The same value with the secrets of sinks hidden."""
    if isinstance(value, tuple):
        return tuple(map(_without_secrets, value))
    if isinstance(value, Sink):
        hidden = {name: _HIDDEN for name in value.secrets_of if getattr(value, name)}
        return msgspec.structs.replace(value, **hidden)
    return value


def _toml(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, tuple):
        return f"[{', '.join(map(_toml, value))}]"
    if isinstance(value, msgspec.Struct):
        return f"{{ {', '.join(_members(value))} }}"
    if isinstance(value, str | Path):
        return json.dumps(str(value), ensure_ascii=False)
    return repr(value)
