"""Damage to the log's file, as disks do it."""

from collections.abc import Callable
from pathlib import Path

import pytest

PAGE_BYTES = 4096


def zero_pages(path: Path, mark: bytes) -> None:
    """Overwrite the pages in which `mark` stands, but for the last one."""
    content = bytearray(path.read_bytes())
    pages = [at for at in range(0, len(content), PAGE_BYTES) if mark in content[at : at + PAGE_BYTES]]
    assert len(pages) > 2, "the mark is not in the file"
    for at in pages[1:-1]:
        content[at : at + PAGE_BYTES] = bytes(PAGE_BYTES)
    path.write_bytes(content)


@pytest.fixture
def zeroed() -> Callable[[Path, bytes], None]:
    return zero_pages
