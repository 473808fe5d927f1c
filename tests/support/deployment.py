"""Reads the files of a deployment: docker-compose.yml, Dockerfile, .dockerignore."""

import fnmatch
import re
import shlex
from dataclasses import dataclass, field
from pathlib import Path
from string import Template
from typing import Any

import orjson
import yaml

ROOT = Path(__file__).parents[2]
KEY = "a-long-random-text"
_VARIABLE = re.compile(r"\$\{(\w+)(?::([-?])([^}]*))?\}")


class _Strict(yaml.SafeLoader):
    """YAML in which a key stands once."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        keys = [key.value for key, _ in node.value]
        assert len(keys) == len(set(keys)), f"a key stands twice in {keys}"
        return super().construct_mapping(node, deep)


def compose(**environment: str) -> dict[str, Any]:
    """The Compose file with its variables put in, as the engine reads it."""
    text = (ROOT / "docker-compose.yml").read_text()

    def put_in(found: re.Match[str]) -> str:
        name, kind, rest = found.groups()
        if environment.get(name):
            return environment[name]
        if kind == "-":
            return str(rest)
        raise KeyError(f"{name}: {rest}")

    lines = (line for line in text.splitlines() if not line.lstrip().startswith("#"))
    loaded = yaml.load(_VARIABLE.sub(put_in, "\n".join(lines)), _Strict)  # noqa: S506 - a SafeLoader
    assert isinstance(loaded, dict)
    return loaded


@dataclass
class Stage:
    """One FROM of a Dockerfile with what follows it."""

    image: str
    name: str | None
    instructions: list[tuple[str, str]] = field(default_factory=list)

    def all(self, kind: str) -> list[str]:
        """The arguments of every instruction of this kind."""
        return [arguments for found, arguments in self.instructions if found == kind]

    def words(self, kind: str) -> list[str]:
        """The words of the one instruction of this kind in its exec form."""
        (arguments,) = self.all(kind)
        return list(orjson.loads(arguments[arguments.index("[") :]))

    @property
    def environment(self) -> dict[str, str]:
        """What ENV sets."""
        return dict(word.split("=", 1) for line in self.all("ENV") for word in shlex.split(line))

    def copies(self) -> list[tuple[str | None, list[str], str]]:
        """(stage or None for the context, sources, destination) of every COPY."""
        found = []
        for line in self.all("COPY"):
            *sources, destination = line.split()
            stage = sources.pop(0).removeprefix("--from=") if sources[0].startswith("--from=") else None
            assert not sources[0].startswith("--")
            found.append((stage, sources, destination))
        return found


def stages() -> list[Stage]:
    """The Dockerfile's stages, with the defaults of the arguments that their base images name."""
    lines = (line for line in (ROOT / "Dockerfile").read_text().splitlines() if not line.lstrip().startswith("#"))
    joined = "\n".join(lines).replace("\\\n", " ")
    found: list[Stage] = []
    defaults: dict[str, str] = {}
    for line in filter(None, map(str.strip, joined.splitlines())):
        kind, arguments = line.split(None, 1)
        if kind == "ARG" and not found:
            defaults.update([arguments.split("=", 1)])
        elif kind == "FROM":
            image, *rest = Template(arguments).substitute(defaults).split()
            found.append(Stage(image, rest[1] if rest else None))
        else:
            found[-1].instructions.append((kind, arguments))
    return found


def in_build_context(path: str) -> bool:
    """Whether .dockerignore lets a path (relative to the repository) into the build: the last pattern that fits it, or
    a folder above it, decides."""
    kept = True
    parts = path.split("/")
    above = ["/".join(parts[: n + 1]) for n in range(len(parts))]
    for line in (ROOT / ".dockerignore").read_text().splitlines():
        pattern = line.strip()
        if not pattern or pattern.startswith("#"):
            continue
        wanted = pattern.removeprefix("!")
        if wanted.startswith("**/"):
            fits = any(fnmatch.fnmatchcase(part, wanted[3:]) for part in parts)
        else:
            fits = any(fnmatch.fnmatchcase(p, wanted) and p.count("/") == wanted.count("/") for p in above)
        if fits:
            kept = pattern.startswith("!")
    return kept
