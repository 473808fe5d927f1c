"""`picturematch replay` without --url: decisions of a capture are made again in the process of the command."""

import json
from pathlib import Path
from shutil import copytree

import pytest

from capture.archive import pack
from tests.support.commands import Finished, run
from tests.support.faces import photo, scene
from tests.support.recorded_site import RecordedSite


@pytest.fixture(scope="module")
def capture(tmp_path_factory: pytest.TempPathFactory) -> Path:
    site = RecordedSite()
    site.enrol("a", 1)
    for seed in (1, 2):
        site.match(photo(seed))
    site.match(photo(1, size=61))
    site.match(scene())
    return site.capture(tmp_path_factory.mktemp("captures") / "monday")


async def replay(*arguments: object) -> Finished:
    return await run("replay", *arguments, PICTUREMATCH_MODELS__KIND="stand-in")


def summary(ended: Finished) -> dict:
    return json.loads(ended.out.splitlines()[-1])["summary"]


async def test_an_unchanged_replay_of_a_folder_or_an_archive_is_status_0(capture: Path, tmp_path: Path) -> None:
    pack(capture, tmp_path / "monday.tar.zst")
    for arguments in ((capture,), (capture, "--look"), (tmp_path / "monday.tar.zst", "--jobs", 2)):
        ended = await replay(*arguments, "--json")
        assert (ended.status, len(ended.out.splitlines())) == (0, 1), ended


async def test_a_changed_threshold_is_status_1_and_names_the_row(capture: Path) -> None:
    ended = await replay(capture, "--threshold", 0.999)
    assert ended.status == 1
    assert "line 3 (r2): matched_to_stranger" in ended.out


async def test_the_decision_file_has_the_same_bytes_for_any_number_of_jobs(capture: Path, tmp_path: Path) -> None:
    files = []
    for jobs in (1, 2, 5):
        file = tmp_path / f"{jobs}.jsonl"
        assert (await replay(capture, "--jobs", jobs, "--decisions", file, "--look")).status == 0
        files.append(file.read_bytes())
    assert files[0] == files[1] == files[2]
    first = json.loads(files[0].splitlines()[0])
    assert (first["line"], first["outcome"], first["identity_id"], first["tier"]) == (1, "matched", "a", "look")


async def test_people_can_be_added(capture: Path, tmp_path: Path) -> None:
    (tmp_path / "b.jpg").write_bytes(photo(2))
    ended = await replay(capture, "--add-people", tmp_path)
    assert ended.status == 1
    assert "line 2 (r1): stranger_to_matched" in ended.out


async def test_a_damaged_capture_is_refused_or_read_up_to_the_damage(capture: Path, tmp_path: Path) -> None:
    broken = copytree(capture, tmp_path / "broken")
    requests = broken / "requests.jsonl"
    requests.write_bytes(requests.read_bytes().replace(b'"r2"', b'"rX"'))
    for arguments, rows in (((broken,), 2), ((broken, "--keep-going"), 2)):
        decisions = tmp_path / "decisions.jsonl"
        ended = await replay(*arguments, "--decisions", decisions, "--jobs", 1)
        assert ended.status == 2
        assert "line 3 of requests.jsonl is damaged" in ended.err
        assert len(decisions.read_bytes().splitlines()) == rows


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("--url", "http://127.0.0.1:1", "--threshold", "0.5"), "--threshold cannot be used with --url"),
        (("--rate", "max"), "--rate can only be used with --url"),
        (("--threshold", "0.5", "--target-fpir", "0.01"), "exclude each other"),
        (("--gallery-version", "1", "--gallery-time", "1"), "exclude each other"),
        (("--gallery", "nowhere"), "nowhere"),
        (("--decisions", "/"), "decisions"),
    ],
)
async def test_options_that_contradict_each_other_are_refused(
    capture: Path, arguments: tuple[str, ...], sentence: str
) -> None:
    ended = await replay(capture, *arguments)
    assert ended.status == 2
    assert sentence in ended.err


async def test_a_missing_picture_is_never_passed_over(capture: Path, tmp_path: Path) -> None:
    broken = copytree(capture, tmp_path / "broken")
    line = json.loads((broken / "requests.jsonl").read_bytes().splitlines()[1])
    missing = f"pictures/{line['request']['picture']}.jpg"
    (broken / missing).unlink()
    ended = await replay(broken)
    assert (ended.status, ended.out.splitlines()[-1]) == (2, "1 same, 0 different, 0 not compared, 0 could not run")
    assert f"line 2 of requests.jsonl: {missing} is missing or not a regular file" in ended.err
    ended = await replay(broken, "--keep-going")
    assert (ended.status, ended.out.splitlines()[-1]) == (2, "3 same, 0 different, 0 not compared, 1 could not run")
