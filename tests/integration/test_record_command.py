"""`picturematch record` as a user runs it, beside a running processor."""

import tarfile
from pathlib import Path

import pytest
import zstandard

from capture.archive import opened
from tests.integration.test_processor import enrol, match, running
from tests.integration.test_recording import decide
from tests.support.commands import run
from tests.support.recorded import assert_same_decisions, lines_of


async def test_an_archive_is_recorded_through_a_folder_beside_it(tmp_path: Path) -> None:
    archive = tmp_path / "gate.tar.zst"
    async with running(tmp_path / "data") as system:
        await decide(system, enrol("e1", "anna", 1), match(1, seed=1), match(2, seed=50))
        command = ("record", "--data-folder", tmp_path / "data", "--out", archive)
        done = await run(*command, "--outcome", "matched", "--limit", 1)
        assert (done.status, done.out, done.err) == (0, f"1 request recorded in {archive}\n", "")
        again = await run(*command)
        assert (again.status, again.out) == (2, "")
        assert "exists already, and an archive cannot be continued" in again.err
    assert not archive.with_name("gate.recording").exists()
    with opened(archive) as folder:
        assert assert_same_decisions(folder) == 1
    with archive.open("rb") as file, tarfile.open(fileobj=zstandard.open(file), mode="r|") as members:
        assert "capture.json" in members.getnames()


async def test_redaction_keeps_its_key_in_the_data_folder_and_gives_the_same_pseudonyms_again(tmp_path: Path) -> None:
    data = tmp_path / "data"
    async with running(data) as system:
        await decide(system, enrol("e1", "anna-4711", 1), match(1, seed=1))
        for name in ("one", "two"):
            done = await run("record", "--data-folder", data, "--redact", "--out", tmp_path / name)
            assert (done.status, done.err) == (0, "")
        other = await run(
            *("record", "--data-folder", data, "--redact", "--redact-key", tmp_path / "k", "--out", tmp_path / "other")
        )
        assert (other.status, other.err) == (0, "")
    names = [
        {line.decision.identity_id for line in lines_of(tmp_path / out).values() if line.decision}
        for out in ("one", "two", "other")
    ]
    assert names[0] == names[1] != names[2]
    assert "anna-4711" not in names[0]
    assert len((data / "redaction.key").read_text().strip()) == 64


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (("--redact-key", "k"), "give both"),
        (("--redact", "--redact-key", "out/k"), "is inside the capture"),
        (("--outcome", "opened"), "'opened' is not one of"),
        (("--limit", "0"), "0 is not in the range"),
    ],
)
async def test_options_that_cannot_be_meant_are_refused(
    tmp_path: Path, options: tuple[str, ...], sentence: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = [str(tmp_path / option) if option.startswith("out/") else option for option in options]
    done = await run("record", "--data-folder", tmp_path / "data", "--out", tmp_path / "out", *given)
    assert (done.status, done.out) == (2, "")
    assert sentence in done.err
    assert not (tmp_path / "out").exists()


async def test_the_end_of_a_recording_says_which_decisions_are_too_old(tmp_path: Path) -> None:
    """The log keeps no replaced records, so only the people of the newest version are certain."""
    async with running(tmp_path / "data") as system:
        await decide(system, enrol("e1", "anna", 1), match(1, seed=1), enrol("e2", "anna", 2, update=True))
        version = next(event["gallery_version"] for event in await system.wait_for(3) if event["id"] == "e2")
        done = await run(
            *("record", "--data-folder", tmp_path / "data", "--out", tmp_path / "out"),
            PICTUREMATCH_LOG__PEOPLE_HISTORY_MS="0",
        )
    assert done.out.splitlines()[1] == (
        f"the people of then can be folded from gallery version {version} on, and 1 recorded decision is older: it"
        " cannot be decided again"
    )
