"""`match`, `compare` and `fiqa` against a running server, as an operator uses them."""

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.faults.test_serve import serving
from tests.support.commands import ROOT, Finished, environment, run
from tests.support.faces import photo


@pytest.fixture
def files(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    folder.mkdir()
    (folder / "anna.jpg").write_bytes(photo(1))
    (folder / "anna again.jpg").write_bytes(photo(1, size=200))
    (folder / "ben.jpg").write_bytes(photo(2))
    (folder / "small.jpg").write_bytes(photo(3, size=50))
    (folder / "broken.jpg").write_bytes(photo(1)[:500])
    return folder


@pytest.fixture
async def url(tmp_path: Path) -> AsyncIterator[str]:
    async with serving(tmp_path / "data") as server:
        yield f"http://127.0.0.1:{server.port}"


async def test_a_match_names_the_person_and_its_status_says_whether_it_matched(files: Path, url: str) -> None:
    single = files.parent / "people"
    single.mkdir()
    (single / "anna.jpg").write_bytes(photo(1))
    assert (await run("enrol", single, "--url", url)).status == 0

    matched = await run("match", files / "anna again.jpg", "--url", url)
    stranger = await run("match", files / "ben.jpg", "--url", url)
    broken = await run("match", files / "broken.jpg", "--url", url)
    as_json = await run("match", files / "anna.jpg", "--url", url, "--json")

    assert matched.status == 0
    assert matched.out.startswith("matched: anna (anna), score 0.")
    assert (stranger.status, stranger.out[:9]) == (1, "stranger;")
    assert (broken.status, broken.out) == (2, "")
    assert broken.err.startswith("40003 IMAGE_ERROR: ")
    assert json.loads(as_json.out)["identity_id"] == "anna"


async def test_a_picture_may_come_from_standard_input(files: Path, url: str) -> None:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "picturematch", "match", "-", "--url", url),
        cwd=ROOT,
        env=environment(),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    _, err = await process.communicate((files / "anna.jpg").read_bytes())
    assert (process.returncode, err[:25]) == (2, b"40008 EMPTY_GROUP_ERROR: ")


async def test_a_comparison_says_whether_two_pictures_show_one_person(files: Path, url: str) -> None:
    same = await run("compare", files / "anna.jpg", files / "anna again.jpg", "--url", url)
    different = await run("compare", files / "anna.jpg", files / "ben.jpg", "--url", url, "--level", "high")
    assert (same.status, same.out[:11]) == (0, "one person,")
    assert (different.status, different.out[:11]) == (1, "two people,")


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("match", "nowhere.jpg"), "nowhere.jpg: the photo does not exist or is not a file"),
        (("compare", "-", "-"), "only one of the two pictures can come from standard input"),
        (("match", "README.md", "--url", "ftp://there"), "the URL must look like http://127.0.0.1:5555"),
        (("match", "README.md", "--url", "http://127.0.0.1:9"), "no server can be reached at http://127.0.0.1:9"),
    ],
    ids=["no file", "both from standard input", "no URL", "no server"],
)
async def test_what_the_user_can_put_right_is_one_sentence(arguments: tuple[str, ...], sentence: str) -> None:
    finished: Finished = await run(*arguments)
    assert finished.status == 2
    assert finished.err.startswith(f"picturematch: {sentence}")
    assert len(finished.err.splitlines()) == 1
