"""docker-compose.yml, started for real: the same commands, environment, names and proxy file, as plain processes."""

import base64
import json
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.deployment import KEY
from tests.support.faces import photo
from tests.support.hosts import cannot_be_made
from tests.support.programs import is_required
from tests.support.services import Services, programs_missing, services

MATCH, USERS = "/SophonMatch/api/PictureMatch", "/SophonFogSys/api/users"

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Services]:
    """Everything that the file starts, healthy by its own checks."""
    why_not = cannot_be_made() or ", ".join(f"there is no {name}" for name in programs_missing())
    if why_not and is_required():
        pytest.fail(why_not)
    if why_not:
        pytest.skip(why_not)
    with services(tmp_path, KEY) as found:
        for name in found.file["services"]:
            if name not in found.replicas:
                found.start(name)
        for name in ("ingest", "process", "proxy"):
            found.wait_until_healthy(name)
        yield found


def call(running: Services, path: str, key: str | None, **body: Any) -> tuple[int, dict[str, Any]]:
    """A call from the machine to the one port that the file publishes; its HTTP status and its answer."""
    words = ["curl", "--silent", "--show-error", "--max-time", "10", "--write-out", "\n%{http_code}"]
    words += ["--header", "Content-Type: application/json", "--data-binary", "@-"]
    words += ["--header", f"X-API-Key: {key}"] if key else []
    done = running.networks.machine.run(
        [*words, f"http://172.30.67.2:5555{path}"], os.environ, json.dumps(body).encode()
    )
    assert done.returncode == 0, done.stderr
    answer, _, status = done.stdout.rpartition(b"\n")
    return int(status), json.loads(answer)


def match(running: Services) -> tuple[int, dict[str, Any]]:
    picture = base64.b64encode(photo(1)).decode()
    return call(running, MATCH, None, device_ip="10.0.0.1", rgb_image_base64=picture, need_register_photo=True)


def test_a_match_goes_through_the_services_and_goes_on_when_one_of_each_role_dies(running: Services) -> None:
    enrolment = {"identity_id": "a", "reg_photo": base64.b64encode(photo(1)).decode(), "info": {"name": "Anna"}}
    status, refused = call(running, USERS, None, **enrolment)
    assert (status, refused["error"]["status"]) == (401, "UNAUTHORIZED")
    status, enrolled = call(running, USERS, KEY, **enrolment)
    assert status == 200, enrolled
    status, answer = match(running)
    assert (status, answer["retcode"], answer["name"]) == (200, "1", "Anna"), answer
    assert base64.b64decode(answer["reg_pic"]) == photo(1)

    for role in ("ingest", "process"):
        running.replicas[role][0].process.kill()
    deadline_s = time.monotonic() + 30
    while (answered := match(running))[0] != 200:
        assert answered[0] in (503, 504), answered
        assert time.monotonic() < deadline_s, answered
        time.sleep(0.2)
    assert answered[1]["name"] == "Anna"

    for role in ("proxy", "ingest", "process", "kafka"):
        running.stop(role)
    ended = {role: [one.process.returncode for one in running.replicas[role]] for role in ("ingest", "process")}
    assert ended == {"ingest": [-9, 0], "process": [-9, 0]}
