"""docs/captures.md describes every field, and its program reads a capture."""

import re
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest
from msgspec import structs

from capture.folder import CaptureFolder
from capture.reader import CaptureReader
from contract.captures.convert import ACCEPTED_FOLDER, format_manifest
from contract.captures.values import (
    CapturedDecision,
    CapturedRequest,
    CaptureLine,
    ConfigLine,
    FileSeal,
    LookLine,
    Manifest,
    PeopleLine,
    Selection,
)
from contract.people.records import FaceRecord, PersonRecord
from tests.support.captures import whole_capture

TEXT = (Path(__file__).parents[3] / "docs" / "captures.md").read_text()
SECTIONS = {
    "The manifest": (Manifest, FileSeal, Selection),
    "A line of requests.jsonl": (CaptureLine, CapturedRequest, CapturedDecision),
    "A line of people.jsonl": (PeopleLine, PersonRecord, FaceRecord),
    "A line of configs.jsonl": (ConfigLine,),
    "A line of a file of looks": (LookLine,),
}


def section(title: str) -> str:
    (body,) = re.findall(rf"^### {re.escape(title)}$(.*?)(?=^##|\Z)", TEXT, re.S | re.M)
    return str(body)


@pytest.mark.parametrize("title", SECTIONS)
def test_every_field_is_described_where_it_belongs(title: str) -> None:
    described = set(re.findall(r"`(\w+)`", section(title)))
    fields = {field.encode_name for kind in SECTIONS[title] for field in msgspec.structs.fields(kind)}
    assert fields - {"stored_at"} <= described, "stored_at is never written"


def example() -> str:
    (program,) = re.findall(r"^```python\n(.*?)^```", TEXT, re.S | re.M)
    return str(program)


def run_example(capture: Path) -> subprocess.CompletedProcess[str]:
    """Run the program without any package but the standard library."""
    words = [sys.executable, "-I", "-S", "-c", example(), str(capture)]
    return subprocess.run(words, capture_output=True, text=True, check=False, timeout=30)


def test_the_example_reads_a_whole_capture_with_the_standard_library_alone(tmp_path: Path) -> None:
    ended = run_example(whole_capture(tmp_path / "capture"))
    assert (ended.returncode, ended.stderr) == (0, "")
    assert ended.stdout.splitlines() == [f"r{number} matched" for number in range(4)]
    assert len([line for line in example().splitlines() if line]) <= 17


def test_the_example_reads_new_files_that_count_already(tmp_path: Path) -> None:
    capture, other = whole_capture(tmp_path / "capture"), whole_capture(tmp_path / "other", 2)
    (capture / ACCEPTED_FOLDER).mkdir()
    for name in ("capture.json", "requests.jsonl"):
        (other / name).replace(capture / ACCEPTED_FOLDER / name)
    ended = run_example(capture)
    assert (ended.returncode, ended.stdout.splitlines(), ended.stderr) == (0, ["r0 matched", "r1 matched"], "")
    assert CaptureReader(capture).count == 2


def test_the_example_notices_damage(tmp_path: Path) -> None:
    capture = whole_capture(tmp_path / "capture")
    requests, picture = capture / "requests.jsonl", min((capture / "pictures").iterdir())
    whole, whole_picture = requests.read_bytes(), picture.read_bytes()
    picture.write_bytes(b"another")
    assert re.fullmatch(r"the picture of line \d is damaged\n", run_example(capture).stderr)
    picture.write_bytes(whole_picture)
    requests.write_bytes(whole.replace(b'"r2"', b'"r9"'))
    assert run_example(capture).stderr == "line 3 is damaged\n"
    requests.write_bytes(b"".join(whole.splitlines(keepends=True)[:3]))
    assert run_example(capture).returncode == 1
    requests.write_bytes(whole + b"{")
    assert run_example(capture).returncode == 1


def test_the_example_reads_a_capture_without_pictures(tmp_path: Path) -> None:
    with CaptureFolder(tmp_path / "capture") as folder:
        folder.describe(pictures=False)
        folder.append([CaptureLine(request_id="r1", request=CapturedRequest(picture="a" * 64))])
    ended = run_example(tmp_path / "capture")
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "r1 None\n", "")


def test_the_example_reads_the_whole_lines_of_a_recording_that_did_not_end(tmp_path: Path) -> None:
    capture = whole_capture(tmp_path / "capture")
    manifest = CaptureReader(capture).manifest
    (capture / "capture.json").write_bytes(format_manifest(structs.replace(manifest, complete=False, files={})))
    with (capture / "requests.jsonl").open("ab") as requests:
        requests.write(b'{"request_id":"r')
    ended = run_example(capture)
    assert (ended.returncode, ended.stderr) == (0, "")
    assert len(ended.stdout.splitlines()) == 4
