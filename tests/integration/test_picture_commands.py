"""`match`, `compare` and `fiqa` against a running server, as an operator uses them."""

import asyncio
import json
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pybase64
import pytest

from engine.vision.networks.standin import draw_face
from picturematch.ask import encoded
from tests.faults.test_serve import serving
from tests.support.commands import ROOT, Finished, environment, finish, run, start
from tests.support.faces import photo, scene
from tests.support.scripted_server import refusal, scripted_server


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
    assert broken.err.startswith("picturematch: 40003 IMAGE_ERROR: ")
    assert json.loads(as_json.out)["identity_id"] == "anna"


async def test_several_files_are_pictures_of_one_passage(files: Path, url: str) -> None:
    single = files.parent / "people"
    single.mkdir()
    (single / "anna.jpg").write_bytes(photo(1))
    assert (await run("enrol", single, "--url", url)).status == 0

    (files / "cut off.jpg").write_bytes(photo(1)[:3000])
    matched = await run("match", files / "cut off.jpg", files / "anna again.jpg", files / "anna.jpg", "--url", url)
    no_picture = await run("match", files / "anna.jpg", files / "broken.jpg", "--url", url)
    too_many = await run("match", *[files / "anna.jpg"] * 6, "--url", url)

    assert (matched.status, matched.out.startswith("matched: anna (anna), score 0.")) == (0, True)
    assert (no_picture.status, "rgb_images_base64[1]" in no_picture.err) == (2, True)
    assert (too_many.status, "at most 5 pictures" in too_many.err) == (2, True)


async def piped(data: bytes, *arguments: object) -> Finished:
    """Run the command with the data on its standard input."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "picturematch", *map(str, arguments)),
        cwd=ROOT,
        env=environment(),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await process.communicate(data)
    assert process.returncode is not None
    return Finished(process.returncode, out.decode(), err.decode())


async def test_every_face_of_a_picture_is_named_where_that_is_wanted() -> None:
    face = {
        "bbox": [10.5, 20, 100, 120],
        "outcome": "matched",
        "identity_id": "7",
        "name": "Ada",
        "score": 0.75,
        "retcode": "1",
        "quality_score": 0.5,
        "quality": [],
        "liveness": None,
        "chosen": True,
        "answered": True,
        "kept_by_another": False,
    }
    other = {**face, "bbox": [300, 20, 50, 60], "outcome": "spoof", "identity_id": "", "name": "", "error_code": 40080}
    del other["score"], other["retcode"]
    answer = {"retcode": "1", "identity_id": "7", "name": "Ada", "score": 0.75, "identity_info": {}}
    async with scripted_server(lambda _: (200, {**answer, "faces": [face, other]})) as server:
        finished = await run("match", "README.md", "--url", server.url, "--all-faces")
    assert finished.status == 0
    assert finished.out.splitlines() == [
        "matched: 7 (Ada), score 0.75",
        "face of 100 x 120 px at (10.5, 20): matched 7 (Ada), score 0.75",
        "face of 50 x 60 px at (300, 20): spoof",
    ]


async def test_a_picture_may_come_from_standard_input(files: Path, url: str) -> None:
    refused = await piped((files / "anna.jpg").read_bytes(), "match", "-", "--url", url)
    assert (refused.status, refused.err[:39]) == (2, "picturematch: 40008 EMPTY_GROUP_ERROR: ")
    same = await piped((files / "anna.jpg").read_bytes(), "compare", files / "anna again.jpg", "-", "--url", url)
    assert (same.status, same.out[:11]) == (0, "one person,")


async def test_nothing_on_standard_input_is_no_picture() -> None:
    finished = await piped(b"", "match", "-")
    assert (finished.status, finished.err) == (2, "picturematch: -: there is no picture: the input is empty\n")


async def test_a_comparison_says_whether_two_pictures_show_one_person(files: Path, url: str) -> None:
    same = await run("compare", files / "anna.jpg", files / "anna again.jpg", "--url", url)
    different = await run("compare", files / "anna.jpg", files / "ben.jpg", "--url", url, "--level", "high")
    assert (same.status, same.out[:11]) == (0, "one person,")
    assert (different.status, different.out[:11]) == (1, "two people,")


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("match", "nowhere.jpg"), "nowhere.jpg: the picture does not exist or is not a file"),
        (("compare", "-", "-"), "only one of the pictures can come from standard input"),
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


async def test_a_file_that_is_named_like_standard_input_is_a_file(
    files: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "-").write_bytes(photo(1))
    monkeypatch.chdir(tmp_path)
    assert encoded("./-") == [pybase64.b64encode_as_string(photo(1))]


async def test_an_error_is_a_sentence_and_with_json_the_answer_too() -> None:
    async with scripted_server(lambda _: refusal(40004, "no face found in the picture", "NO_FACE")) as server:
        finished = await run("match", "README.md", "--url", server.url, "--json")
    assert finished.status == 2
    assert json.loads(finished.out)["error"]["code"] == 40004
    assert finished.err == "picturematch: 40004 NO_FACE: no face found in the picture\n"


async def test_fiqa_measures_each_face_and_its_status_is_that_of_the_largest(files: Path, url: str) -> None:
    (files / "two.jpg").write_bytes(scene(draw_face(2, 60), draw_face(1, 160)))
    passed = await run("fiqa", files / "two.jpg", "--url", url)
    failed = await run("fiqa", files / "small.jpg", "--url", url)
    without = await run("fiqa", files / "small.jpg", "--url", url, "--level", "no")
    as_json = await run("fiqa", files / "two.jpg", "--url", url, "--json")

    first, _, second, _ = passed.out.splitlines()
    assert (passed.status, failed.status, without.status, as_json.status) == (0, 1, 0, 0)
    assert first.startswith("face 1 passes; score ")
    assert second.startswith("face 2 fails: face_size; score ")
    assert failed.out.startswith("face 1 fails: face_size")
    assert "measured: brightness " in failed.out
    assert [face["fiqa_result"] for face in json.loads(as_json.out)["data"]] == [True, False]


@pytest.mark.parametrize(
    "arguments", [("match", "README.md"), ("compare", "README.md", "LICENSE"), ("fiqa", "README.md")]
)
async def test_what_is_not_the_answer_of_the_call_is_an_error_and_no_answer(arguments: tuple[str, ...]) -> None:
    async with scripted_server(lambda _: (200, {"status": "welcome"})) as server:
        finished = await run(*arguments, "--url", server.url)
    assert (finished.status, finished.out) == (2, "")
    assert "did not answer as a PictureMatch server does" in finished.err


async def test_the_infrared_picture_goes_along() -> None:
    stranger = {"retcode": "0", "identity_id": "", "name": "stranger", "score": 0.1, "identity_info": {}}
    async with scripted_server(lambda _: (200, stranger)) as server:
        finished = await run("match", "README.md", "--ir", "LICENSE", "--url", server.url, "--api-key", "secret")
    assert finished.status == 1
    assert server.headers["X-API-Key"] == "secret"
    (body,) = server.bodies
    assert pybase64.b64decode(body.pop("ir_image_base64")) == (ROOT / "LICENSE").read_bytes()
    assert pybase64.b64decode(body.pop("rgb_image_base64")) == (ROOT / "README.md").read_bytes()
    assert body == {"device_ip": "127.0.0.1"}


async def test_an_interrupted_call_is_neither_answer() -> None:
    async def never_answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        called.set()
        await reader.read()
        writer.close()

    called = asyncio.Event()
    server = await asyncio.start_server(never_answer, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        process = await start("match", "README.md", "--url", f"http://127.0.0.1:{port}")
        async with asyncio.timeout(20):
            await called.wait()
        process.send_signal(signal.SIGINT)
        assert (await finish(process)).status == 130
