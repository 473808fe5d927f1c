"""picturematch capture: made, checked, packed and unpacked as a user does it."""

import json
import os
import signal
import stat
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from capture.reader import CaptureReader
from picturematch.__main__ import cli
from picturematch.captures import opened_capture
from tests.support.albums import album
from tests.support.captures import MODEL_SET, whole_capture

PEOPLE = {"anna": 3, "bert": 2, "strangers": 1}


@pytest.fixture(autouse=True)
def stand_ins(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PICTUREMATCH_MODELS__KIND", "stand-in")


def run(*words: object, stdin: bytes = b"") -> Result:
    return CliRunner().invoke(cli, ["capture", *map(str, words)], input=stdin)


def expectations(folder: Path) -> list[str | None]:
    return [line.expected_identity_id for _, line in CaptureReader(folder).lines()]


def test_folders_of_people_become_a_capture_with_gallery_and_photos(tmp_path: Path) -> None:
    made = run("from-folders", album(tmp_path / "album", PEOPLE), "--out", tmp_path / "out")
    assert (made.exit_code, made.stderr) == (0, "")
    assert made.stdout == f"4 requests in {tmp_path / 'out'}, 2 photos enrolled\n"
    assert expectations(tmp_path / "out") == ["anna", "anna", "bert", ""]
    reader = CaptureReader(tmp_path / "out")
    assert (reader.manifest.people_from, reader.manifest.photos) == (0, "all")
    assert len(list((tmp_path / "out" / "pictures").iterdir())) == 6
    checked = run("check", tmp_path / "out")
    assert "4 records of people, from gallery version 0 on: 2 faces, 2 with a photo\n" in checked.stdout


def test_photos_that_are_left_out_are_named_and_the_status_says_so(tmp_path: Path) -> None:
    root = album(tmp_path / "album", PEOPLE)
    (root / "anna" / "anna_0001.jpg").write_text("no picture")
    made = run("from-folders", root, "--out", tmp_path / "out")
    assert made.exit_code == 1
    assert "left out: anna/anna_0001.jpg: the picture is not a JPEG" in made.stderr
    assert made.stdout.endswith("1 photo enrolled, 1 picture left out\n")
    assert expectations(tmp_path / "out") == ["anna", "anna", "bert", ""]


def test_a_capture_without_people_needs_no_networks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PICTUREMATCH_MODELS__KIND", "none at all")
    made = run("from-folders", album(tmp_path / "album", PEOPLE), "--enrol", 0, "--out", tmp_path / "out")
    assert made.exit_code == 0
    assert CaptureReader(tmp_path / "out").manifest.people_from is None
    assert expectations(tmp_path / "out") == ["anna"] * 3 + ["bert"] * 2 + [""]


def test_what_is_left_out_is_named_also_where_nobody_is_enrolled(tmp_path: Path) -> None:
    root = album(tmp_path / "album", PEOPLE)
    (root / "anna" / "notes.txt").write_text("dear")
    made = run("from-folders", root, "--enrol", 0, "--out", tmp_path / "out")
    assert made.exit_code == 1
    assert "left out: anna/notes.txt: not a photo" in made.stderr
    assert made.stdout.endswith("6 requests in {}, 1 picture left out\n".format(tmp_path / "out"))


def test_the_people_of_a_list_keep_their_type_and_their_groups(tmp_path: Path) -> None:
    album(tmp_path, {"anna": 2, "bert": 2})
    (tmp_path / "people.csv").write_text(
        'path,identity_id,type,group_name\nanna/anna_0001.jpg,anna,,"staff,night"\nbert/bert_0001.jpg,bert,3,\n'
    )
    (tmp_path / "list.csv").write_text(
        "path,device_ip,group_name,expected_identity_id\n"
        "anna/anna_0002.jpg,gate,staff,anna\nanna/anna_0002.jpg,gate,night,anna\nbert/bert_0002.jpg,gate,,bert\n"
    )
    out = tmp_path / "out"
    made = run("from-list", tmp_path / "list.csv", "--gallery", tmp_path / "people.csv", "--out", out)
    assert (made.exit_code, made.stderr) == (0, "")
    decisions = tmp_path / "decisions.jsonl"
    replayed = CliRunner().invoke(cli, ["replay", str(out), "--decisions", str(decisions)])
    assert replayed.exit_code == 0, replayed.output
    outcomes = [json.loads(line)["outcome"] for line in decisions.read_bytes().splitlines()]
    assert outcomes == ["matched", "matched", "blacklisted"]


def test_pairs_become_a_capture(tmp_path: Path) -> None:
    (tmp_path / "pairs.txt").write_text("1\t1\nanna\t1\t2\nanna\t1\tbert\t1\n")
    root = album(tmp_path / "album", PEOPLE)
    made = run("from-pairs", tmp_path / "pairs.txt", "--pictures", root, "--out", tmp_path / "out")
    assert (made.exit_code, made.stdout) == (0, f"2 requests in {tmp_path / 'out'}, 1 photo enrolled\n")
    assert expectations(tmp_path / "out") == ["anna_0001", ""]


def test_a_list_can_have_a_gallery(tmp_path: Path) -> None:
    root = album(tmp_path / "album", PEOPLE)
    (tmp_path / "list.csv").write_text(
        "path,device_ip,expected_identity_id\nanna/anna_0002.jpg,gate,anna\nstrangers/strangers_0001.jpg,gate,-\n"
    )
    words = (tmp_path / "list.csv", "--pictures", root, "--gallery", root, "--out", tmp_path / "out")
    made = run("from-list", *words)
    assert (made.exit_code, made.stdout) == (0, f"2 requests in {tmp_path / 'out'}, 6 photos enrolled\n")
    assert expectations(tmp_path / "out") == ["anna", ""]


def test_the_same_pictures_give_the_same_capture(tmp_path: Path) -> None:
    root = album(tmp_path / "album", PEOPLE)
    for name in ("a", "b"):
        assert run("from-folders", root, "--out", tmp_path / name, "--threads", len(name)).exit_code == 0
        assert run("pack", tmp_path / name, tmp_path / f"{name}.tar.zst").exit_code == 0
    assert (tmp_path / "a.tar.zst").read_bytes() == (tmp_path / "b.tar.zst").read_bytes()


def test_nothing_is_written_where_something_is_or_from_a_bad_list(tmp_path: Path) -> None:
    root = album(tmp_path / "album", PEOPLE)
    refused = run("from-folders", root, "--out", root)
    assert (refused.exit_code, refused.stderr) == (2, f"picturematch: {root} is not empty; choose an empty folder\n")
    (tmp_path / "pairs.txt").write_text("1\t1\nanna\t1\t2\nanna\t1\tbert\t9\n")
    refused = run("from-pairs", tmp_path / "pairs.txt", "--pictures", root, "--out", tmp_path / "out")
    assert refused.exit_code == 2
    assert refused.stderr.startswith(f"picturematch: line 3 of {tmp_path / 'pairs.txt'}: ")
    assert not (tmp_path / "out").exists()


def test_a_full_disk_leaves_no_half_of_a_capture(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = album(tmp_path / "album", PEOPLE)
    (tmp_path / "out").mkdir()

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("capture.folder.sync_folder", full)
    failed = run("from-folders", root, "--out", tmp_path / "out")
    assert failed.exit_code == 2
    assert "cannot be written (No space left on device)" in failed.stderr
    assert list((tmp_path / "out").iterdir()) == []


def test_a_whole_capture_is_described(tmp_path: Path) -> None:
    checked = run("check", whole_capture(tmp_path / "capture"))
    assert checked.exit_code == 0
    lines = checked.stdout.splitlines()
    assert lines[1].startswith("4 requests, received from 2023-11-14 22:13:20 to 2023-11-14 22:13:23 UTC: 4 decided")
    assert lines[1].endswith("4 decided (4 matched), 4 with an embedding, 0 with an expected identity")
    assert [lines[0], *lines[2:4]] == [
        "capture of format version 2, complete",
        "3 records of people, from gallery version 0 on: 0 faces, 0 with a photo",
        "policies and model sets: 2",
    ]
    assert lines[5] == f"3 looks with the model set {MODEL_SET}"
    described = json.loads(run("check", tmp_path / "capture", "--json").stdout)
    assert (described["requests"], described["damage"], described["pictures"]) == (4, [], 4)


def test_all_damage_is_named_and_the_status_is_1(tmp_path: Path) -> None:
    capture = whole_capture(tmp_path / "capture")
    first, second, *_ = sorted((capture / "pictures").iterdir())
    first.unlink()
    second.write_bytes(b"another")
    (capture / "people.jsonl").write_bytes(b"")
    checked = run("check", capture)
    assert checked.exit_code == 1
    sentences = checked.stderr.splitlines()
    assert len(sentences) == 3
    assert f"pictures/{first.name} is missing" in sentences[0]
    assert sentences[1].startswith("line 1 of people.jsonl is missing")
    assert sentences[2] == f"pictures/{second.name} is damaged: its sha256 is not its name"
    assert json.loads(run("check", capture, "--json").stdout)["damage"] == sentences


@pytest.mark.parametrize("command", ["check", "pack", "unpack"])
def test_what_is_no_capture_is_refused_in_a_sentence(tmp_path: Path, command: str) -> None:
    (tmp_path / "text").write_text("hello")
    (tmp_path / "folder").mkdir()
    source = {"check": ["text"], "pack": ["folder", "out"], "unpack": ["text", "out"]}[command]
    refused = run(command, *(tmp_path / name for name in source))
    assert (refused.exit_code, len(refused.stderr.splitlines())) == (2, 1)
    assert not (tmp_path / "out").exists()


def test_a_capture_is_packed_checked_as_an_archive_and_unpacked(tmp_path: Path) -> None:
    capture, archive = whole_capture(tmp_path / "capture"), tmp_path / "capture.tar.zst"
    packed = run("pack", capture, archive)
    assert (packed.exit_code, packed.stdout) == (0, f"9 files in {archive}\n")
    assert stat.S_IMODE(archive.stat().st_mode) == 0o600
    assert (
        run("check", archive).stdout
        == run("check", capture).stdout
        == run("check", "-", stdin=archive.read_bytes()).stdout
    )
    for source, stdin in ((archive, b""), ("-", archive.read_bytes())):
        unpacked = run("unpack", source, tmp_path / "out", stdin=stdin)
        assert (unpacked.exit_code, unpacked.stdout) == (0, f"9 files in {tmp_path / 'out'}\n")
        assert CaptureReader(tmp_path / "out").count == 4
        (tmp_path / "out").rename(tmp_path / f"done{len(stdin)}")
    refused = run("unpack", archive, tmp_path / "small", "--most-bytes", 30_000)
    assert refused.exit_code == 2
    assert "raise the limit with --most-bytes" in refused.stderr


def test_a_damaged_capture_is_not_packed(tmp_path: Path) -> None:
    capture = whole_capture(tmp_path / "capture")
    (capture / "configs.jsonl").unlink()
    refused = run("pack", capture, tmp_path / "out.tar.zst")
    assert (refused.exit_code, "has no configs.jsonl" in refused.stderr) == (2, True)
    assert not (tmp_path / "out.tar.zst").exists()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_a_command_that_is_stopped_leaves_no_unpacked_faces(tmp_path: Path, number: signal.Signals) -> None:
    archive = tmp_path / "capture.tar.zst"
    run("pack", whole_capture(tmp_path / "capture"), archive)
    before = signal.getsignal(number)
    unpacked = []

    def stopped() -> None:
        with opened_capture(archive) as folder:
            unpacked.append(folder)
            assert CaptureReader(folder).count == 4
            os.kill(os.getpid(), number)

    with pytest.raises(KeyboardInterrupt):
        stopped()
    assert [folder.exists() for folder in unpacked] == [False]
    assert signal.getsignal(number) is before
