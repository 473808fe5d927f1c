"""Node, and packages that npm fetches into a folder of the test: skipped where they are missing, but required in CI."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

REQUIRED = "TESTS_REQUIRE_NODE"
KAFKAJS = "kafkajs@2.2.4"
ASYNCAPI_SPECS = "@asyncapi/specs@6.11.1"
_FETCH_LIMIT_S = 300.0

missing: list[str] = []
"""Why there was no Node, for one loud line at the end of the test run."""


def node() -> str:
    """The program node; without it or npm, the test is skipped, or fails where both are required."""
    found, npm = shutil.which("node"), shutil.which("npm")
    if found is None or npm is None:
        _not_there("there is no Node; install it (on Debian: apt-get install nodejs npm)")
    return found or ""


def npm_packages(folder: Path, *packages: str) -> Path:
    """The folder node_modules in `folder`, with these packages; without them, the test is skipped or fails as above.

    npm runs no script of a package.
    """
    node()
    command = ["npm", "install", "--prefix", str(folder), "--ignore-scripts", "--no-audit", "--no-fund", *packages]
    fetched = subprocess.run(command, capture_output=True, text=True, timeout=_FETCH_LIMIT_S, check=False)
    if fetched.returncode:
        _not_there(f"npm could not fetch {' and '.join(packages)}: {fetched.stderr.strip()[-500:]}")
    return folder / "node_modules"


def _not_there(sentence: str) -> None:
    if os.environ.get(REQUIRED) == "1":
        pytest.fail(sentence)
    missing.append(sentence)
    pytest.skip(sentence)
