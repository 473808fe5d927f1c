"""docker-compose.yml, started for real: the same commands, environment, names and proxy file, as plain processes."""

import base64
import json
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from contract.ids import device_id_at
from tests.support.deployment import KEY
from tests.support.faces import photo
from tests.support.hosts import cannot_be_made
from tests.support.programs import is_required
from tests.support.services import Services, programs_missing, services

MATCH, USERS = "/SophonMatch/api/PictureMatch", "/SophonFogSys/api/users"

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Services]:
    """Everything that the file starts, healthy by its own checks."""
    why_not = cannot_be_made() or ", ".join(f"there is no {name}" for name in programs_missing())
    if why_not and is_required():
        pytest.fail(why_not)
    if why_not:
        pytest.skip(why_not)
    with services(tmp_path, KEY, EVENT_URL_HOSTS='["172.30.67.1"]') as found:
        for name in found.file["services"]:
            if name not in found.replicas:
                found.start(name)
        for name in ("ingest", "process", "store", "push", "proxy"):
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


def asked(running: Services, path: str) -> dict[str, Any]:
    """The answer to a GET with the key."""
    words = ["curl", "--silent", "--show-error", "--max-time", "10", "--header", f"X-API-Key: {KEY}"]
    done = running.networks.machine.run([*words, f"http://172.30.67.2:5555{path}"], os.environ)
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


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


RECEIVE = """
import http.server, json, sys

class Receiver(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        upload = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        print("uploaded", upload["identity_name"], flush=True)
        body = b'{"status": 0, "message": "success"}'
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

server = http.server.HTTPServer((sys.argv[1], 0), Receiver)
print("listens at", server.server_port, flush=True)
server.serve_forever()
"""


def test_an_event_is_uploaded_and_stored(running: Services, tmp_path: Path) -> None:
    enrolment = {"identity_id": "a", "reg_photo": base64.b64encode(photo(1)).decode(), "info": {"name": "Anna"}}
    assert call(running, USERS, KEY, **enrolment)[0] == 200
    log = tmp_path / "receiver.log"
    receiver = running.networks.machine.start([sys.executable, "-c", RECEIVE, "172.30.67.1"], os.environ, log)
    try:
        wait_for(log, "listens at")
        port = log.read_text().split()[2]
        body = {"content-type": "json", "reported_peroid": 1}
        urls = {"history_upload_event_url": [f"http://172.30.67.1:{port}/events"]}
        status, answer = call(running, "/SophonFogSys/api/HistoryEventUrl", KEY, **urls, **body)
        assert status == 200, answer
        status, answer = match(running)
        assert (status, answer["name"]) == (200, "Anna"), answer
        wait_for(log, "uploaded Anna")
    finally:
        receiver.kill()
        receiver.wait(10)
    deadline_s = time.monotonic() + 30
    while not (stored := asked(running, "/SophonFace/api/events?outcome=matched")["data"]):
        assert time.monotonic() < deadline_s
        time.sleep(0.2)
    assert [event["identity_name"] for event in stored] == ["Anna"]


LISTEN = """
import asyncio, json, sys
import aiohttp

async def listen(url, key, device):
    async with aiohttp.ClientSession() as session:
        async with session.ws_connect(url, headers={"X-API-Key": key}) as socket:
            await socket.send_json({"event_list": [device]})
            await socket.send_str("nonsense")
            await socket.receive()
            print("listens", flush=True)
            print("heard", json.loads((await socket.receive()).data)["identity_name"], flush=True)

asyncio.run(listen(*sys.argv[1:]))
"""


def test_real_time_events_go_through_the_proxy_to_who_has_a_key(running: Services, tmp_path: Path) -> None:
    enrolment = {"identity_id": "a", "reg_photo": base64.b64encode(photo(1)).decode(), "info": {"name": "Anna"}}
    assert call(running, USERS, KEY, **enrolment)[0] == 200
    running.wait_until_healthy("websocket")
    url = "http://172.30.67.2:5679"
    status = ["curl", "--silent", "--max-time", "10", "--output", "/dev/null", "--write-out", "%{http_code}"]
    deadline_s = time.monotonic() + 30  # until the proxy's own check has found the sink
    while (refused := running.networks.machine.run([*status, f"{url}/events"], os.environ).stdout) == b"503":
        assert time.monotonic() < deadline_s
        time.sleep(0.2)
    assert refused == b"401"

    stream, sockets = tmp_path / "stream.log", tmp_path / "socket.log"
    curl = ["curl", "--silent", "--no-buffer", "--max-time", "60", "--header", f"X-API-Key: {KEY}", f"{url}/events"]
    words = [sys.executable, "-c", LISTEN, url.replace("http", "ws"), KEY, device_id_at("10.0.0.1")]
    machine = running.networks.machine
    listening = [machine.start(curl, os.environ, stream), machine.start(words, os.environ, sockets)]
    try:
        wait_for(stream, "retry:")
        wait_for(sockets, "listens")
        status_of_match, answer = match(running)
        assert (status_of_match, answer["name"]) == (200, "Anna"), answer
        wait_for(sockets, "heard Anna")
        wait_for(stream, '"name":"Anna"')
    finally:
        for process in listening:
            process.kill()
            process.wait(10)


def wait_for(file: Path, text: str) -> None:
    """Wait until a file contains a text."""
    deadline_s = time.monotonic() + 30
    while text not in (written := file.read_text() if file.exists() else ""):
        assert time.monotonic() < deadline_s, written
        time.sleep(0.1)
