"""What a test needs beside the project: where that is missing, the test is skipped, but fails in CI."""

import os
import shutil

import pytest

REQUIRED = "TESTS_REQUIRE_SERVICES"


def needs(program: str, package: str) -> pytest.MarkDecorator:
    """The mark of a test that runs `program`, which the Debian package `package` has."""
    found = shutil.which(program) is not None
    return needed(None if found else f"{program} is not installed (Debian package {package})")


def needs_root(reason: str) -> pytest.MarkDecorator:
    """The mark of a test that only root can run, for that reason."""
    return needed(None if os.geteuid() == 0 else reason)


def needed(why_not: str | None) -> pytest.MarkDecorator:
    """The mark of a test that is skipped for that reason, if any; where nothing may be missing, it runs and fails."""
    return pytest.mark.skipif(why_not is not None and not is_required(), reason=why_not or "")


def is_required() -> bool:
    """Whether nothing may be missing, as in CI."""
    return os.environ.get(REQUIRED) == "1"
