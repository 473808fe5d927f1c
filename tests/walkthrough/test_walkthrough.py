"""The vendor's walk-throughs run unmodified against `picturematch serve`, twice in a row, from near and from far."""

import base64
import json
import re
import shlex
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import pytest

from tests.support.commands import ROOT, environment
from tests.support.faces import photo
from tests.support.hosts import Host, cannot_be_made
from tests.support.programs import needed

PROGRAMS = Path(__file__).parent
START_S = 180.0
RECEIVER = {"PICTUREMATCH_INGEST__EVENT_URL_HOSTS": '["www.xxx.com"]'}
"""The operator allows the host to which the walk-throughs have events sent."""
INSIDE, OUTSIDE = "10.77.0.1", "10.78.0.1"
"""The addresses of the host of `far`: a caller on the same host who calls one of them has that address itself."""


class Place(Protocol):
    """Where server and walk-through run."""

    def run(self, words: Sequence[str], environment: Mapping[str, str]) -> subprocess.CompletedProcess[bytes]: ...

    def start(self, words: Sequence[str], environment: Mapping[str, str], log: Path) -> subprocess.Popen[bytes]: ...


@dataclass
class Here:
    """This machine."""

    def run(self, words: Sequence[str], settings: Mapping[str, str]) -> subprocess.CompletedProcess[bytes]:
        return subprocess.run(words, env=settings, capture_output=True, timeout=60, check=False)

    def start(self, words: Sequence[str], settings: Mapping[str, str], log: Path) -> subprocess.Popen[bytes]:
        with log.open("ab") as output:
            return subprocess.Popen(words, cwd=ROOT, env=settings, stdout=output, stderr=output)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The folder of a developer, with the picture of a face."""
    (tmp_path / "test.jpg").write_bytes(photo(7))
    return tmp_path


@pytest.fixture
def far() -> Iterator[Host]:
    """A host with two addresses that are not those of loopback."""
    host = Host()
    try:
        for address in (INSIDE, OUTSIDE):
            host.set_up("ip", "address", "add", f"{address}/32", "dev", "lo")
        yield host
    finally:
        host.close()


@contextmanager
def serving(place: Place, folder: Path, **settings: str) -> Iterator[int]:
    """The port of a server with stand-in networks."""
    log = folder / f"server-{time.monotonic_ns()}.log"
    words = [sys.executable, "-m", "picturematch", "serve", "--port", "0", "--data-folder", str(folder / "data")]
    settings = {"PICTUREMATCH_MODELS__KIND": "stand-in", **RECEIVER, **settings}
    process = place.start(words, {**environment(), **settings}, log)
    try:
        ends_s = time.monotonic() + START_S
        while not (found := re.search(r"listens on http://[^:]+:(\d+)", log.read_text())):
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < ends_s, log.read_text()
            time.sleep(0.05)
        yield int(found[1])
    finally:
        process.terminate()
        process.wait(30)


@dataclass(frozen=True)
class Walked:
    """What a walk-through printed. `answers`: call without its query -> HTTP status and JSON of its last answer."""

    status: int
    error: str
    answers: Mapping[str, tuple[int, Any]]


def walk(place: Place, program: str, url: str, folder: Path) -> Walked:
    """Run a walk-through in the folder, by a Python that finds no installed package, with the URL as only argument."""
    words = [sys.executable, "-E", "-S", str(PROGRAMS / program), url]
    done = place.run(["/bin/sh", "-c", f"cd '{folder}' && exec {shlex.join(words)}"], {"PATH": "/usr/bin:/bin"})
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    answers = {line["call"].partition("?")[0]: (line["status"], line["answer"]) for line in lines}
    return Walked(done.returncode, done.stderr.decode(), answers)


def check_v5(walked: Walked, *, again: bool) -> None:
    """The walk-through ended well, and the person passed; `again`: what an earlier run made was there already."""
    assert walked.status == 0, walked.error
    for call, (status, answer) in walked.answers.items():
        # The same enrolment, sent again, is answered like the first: its sender may have missed that answer.
        there_already = again and call == "POST /SophonFogSys/api/permissions"
        assert status == (400 if there_already else 200), (call, answer)
        assert not there_already or answer["error"]["code"] == 40012
    assert len(walked.answers) == 7
    match = walked.answers["POST /SophonMatch/api/PictureMatch"][1]
    assert (match["retcode"], match["identity_id"], match["name"]) == ("1", "666666", "张明")
    (person_permission,) = match["identity_info"]["permission_ids"] if match["identity_info"] else ("?",)
    (found,) = walked.answers["GET /SophonFace/api/permissions"][1]["data"]
    assert person_permission in (found["_id"], "?")
    (device,) = walked.answers["POST /SophonDevice/api/Devices"][1]["data"]["success_devices"]
    assert device["device_name"] == "63"


def check_v6(walked: Walked) -> None:
    """The walk-through ended well, and the person passed."""
    assert walked.status == 0, walked.error
    status, found = walked.answers["POST /sophon/v2/face/search"]
    assert (status, found["result"], found["identity_id"]) == (200, True, "666666")


def test_the_walk_through_of_version_5_lets_the_person_pass_twice_in_a_row(folder: Path) -> None:
    place = Here()
    with serving(place, folder) as port:
        url = f"http://127.0.0.1:{port}"
        first = walk(place, "v5.py", url, folder)
        check_v5(first, again=False)
        second = walk(place, "v5.py", url, folder)
        check_v5(second, again=True)
    device = "POST /SophonDevice/api/Devices"
    assert second.answers[device] == first.answers[device], "the device keeps its id"


@needed(cannot_be_made())
def test_the_events_of_the_walk_through_arrive_at_the_receiver_that_its_last_step_names(
    folder: Path, far: Host
) -> None:
    """The receiver is a host of the name that the vendor's page has, at the port of http."""
    hosts = folder / "hosts"
    hosts.write_text(f"127.0.0.1 localhost\n{INSIDE} www.xxx.com\n")
    far.mount(hosts, "/etc/hosts")
    uploads = folder / "uploads"
    far.start([sys.executable, "-E", "-S", str(PROGRAMS / "receiver.py"), INSIDE, "80"], {"PATH": "/bin"}, uploads)
    with serving(far, folder) as port:
        url = f"http://127.0.0.1:{port}"
        check_v5(walk(far, "v5.py", url, folder), again=False)
        # The first match came before the receiver was named; that of the second run is uploaded.
        check_v5(walk(far, "v5.py", url, folder), again=True)
        uploaded = uploads_in(uploads, 1)
        check_v6(walk(far, "v6.py", url, folder))
        uploaded = uploads_in(uploads, 2)
    assert {upload["path"] for upload in uploaded} == {"/event_recieve"}
    event = uploaded[0]["event"]
    assert (event["identity_id"], event["identity_name"], event["person_type"]) == ("666666", "张明", 1)
    assert (event["ep_info"]["ep_ip"], event["ep_info"]["ep_name"]) == ("192.168.1.63", "63")
    assert (event["recognize_face"], event["spot_pic"]) == ("", ""), "the walk-through asks for the photo alone"
    assert base64.b64decode(event["reg_pic"]).startswith(b"\xff\xd8")
    assert abs(event["timestamp"] / 1000 - time.time()) < 300
    assert event["identity_info"]["name"] == "张明"


def uploads_in(file: Path, count: int) -> list[dict[str, Any]]:
    """What the receiver has printed, once that are `count` uploads."""
    ends_s = time.monotonic() + START_S
    while len(lines := file.read_text().splitlines()) < count:
        assert time.monotonic() < ends_s, lines
        time.sleep(0.05)
    return [json.loads(line) for line in lines]


def test_the_walk_through_of_version_5_ends_well_where_the_receiver_of_its_events_is_not_allowed(folder: Path) -> None:
    place = Here()
    with serving(place, folder, PICTUREMATCH_INGEST__EVENT_URL_HOSTS="[]") as port:
        walked = walk(place, "v5.py", f"http://127.0.0.1:{port}", folder)
    assert walked.status == 0, walked.error
    answers = dict(walked.answers)
    status, answer = answers.pop("POST /SophonFogSys/api/HistoryEventUrl")
    assert (status, answer["error"]["status"]) == (400, "PARAM_ERROR")
    assert "ingest.event_url_hosts" in answer["error"]["message"]
    assert {status for status, _ in answers.values()} == {200}


def test_the_walk_through_of_version_5_runs_again_after_a_restart(folder: Path) -> None:
    place = Here()
    with serving(place, folder) as port:
        check_v5(walk(place, "v5.py", f"http://127.0.0.1:{port}", folder), again=False)
    with serving(place, folder) as port:
        check_v5(walk(place, "v5.py", f"http://127.0.0.1:{port}", folder), again=True)


@needed(cannot_be_made())
def test_the_walk_through_of_version_5_runs_from_a_trusted_network_and_from_no_other(folder: Path, far: Host) -> None:
    everywhere = "0.0.0.0"  # noqa: S104 - two addresses of a host that nobody else reaches
    trusted = '["10.77.0.0/16"]'
    with serving(
        far, folder, PICTUREMATCH_INGEST__HOST=everywhere, PICTUREMATCH_INGEST__TRUSTED_NETWORKS=trusted
    ) as port:
        refused = walk(far, "v5.py", f"http://{OUTSIDE}:{port}", folder)
        assert "get permission info error" in refused.error
        assert {status for status, _ in refused.answers.values()} == {401}
        check_v5(walk(far, "v5.py", f"http://{INSIDE}:{port}", folder), again=False)
        check_v5(walk(far, "v5.py", f"http://{INSIDE}:{port}", folder), again=True)


def test_the_walk_through_of_version_6_lets_the_person_pass_twice_in_a_row(folder: Path) -> None:
    place = Here()
    with serving(place, folder) as port:
        url = f"http://127.0.0.1:{port}"
        first = walk(place, "v6.py", url, folder)
        check_v6(first)
        assert {status for status, _ in first.answers.values()} == {200}
        check_v6(walk(place, "v6.py", url, folder))


def test_both_walk_throughs_run_against_one_server(folder: Path) -> None:
    place = Here()
    with serving(place, folder) as port:
        url = f"http://127.0.0.1:{port}"
        check_v5(walk(place, "v5.py", url, folder), again=False)
        check_v6(walk(place, "v6.py", url, folder))
        check_v5(walk(place, "v5.py", url, folder), again=True)
