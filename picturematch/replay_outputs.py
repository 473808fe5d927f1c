"""Checks the files that a replay is to write, before anything is opened: none may replace what the replay reads."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from contract.files import HALF
from contract.text import printable
from picturematch.options import UserError


def require_apart(outputs: Mapping[str, Path | None], inputs: Sequence[Path | None]) -> None:
    """Check the paths of output files. `outputs`: by the name of the option. `inputs`: files and folders that are read.

    Raises:
        UserError: an output is an input, lies inside one, or is another output.
    """
    taken: dict[Path, str] = {}
    for option, path in outputs.items():
        if path is None:
            continue
        for given in inputs:
            if given is not None and _is_within(path, given):
                raise UserError(
                    printable(f"{option} {path} would be written into {given}, which is read; choose another file")
                )
        # A file is written beside its path first.
        for file in (path.resolve(), Path(f"{path.resolve()}{HALF}")):
            if file in taken:
                raise UserError(printable(f"{taken[file]} and {option} would both write {file}; choose another file"))
            taken[file] = option


def _is_within(path: Path, given: Path) -> bool:
    """Return whether a path is that of a file or folder, or lies inside the folder, whatever it is called."""
    found, root = path.resolve(), given.resolve()
    if found.is_relative_to(root):
        return True
    if not root.exists():
        return False
    return any(parent.exists() and parent.samefile(root) for parent in (found, *found.parents))
