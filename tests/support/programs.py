"""Programs that a test needs beside the project: skipped where one is missing, but for CI, where it must be there."""

import os
import shutil

import pytest

REQUIRED = "PICTUREMATCH_REQUIRE_SERVICES"


def needs(program: str, package: str) -> pytest.MarkDecorator:
    """The mark of a test that runs `program`, which the Debian package `package` has."""
    missing = shutil.which(program) is None and os.environ.get(REQUIRED) != "1"
    return pytest.mark.skipif(missing, reason=f"{program} is not installed (Debian package {package})")
