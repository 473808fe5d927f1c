"""Keys, roles, audit records and TLS of a whole server, with the commands around it."""

import asyncio
import json
import re
import signal
import ssl
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from broker.embedded import open_embedded
from contract.audit import ChangeRecord, RefusedKeysRecord, decode_audit
from contract.http import USERS_PATH
from contract.topics import Topics
from engine.vision.networks.standin import stand_in_models
from ingest.settings import IngestSettings
from picturematch.settings import ModelSettings, Settings
from picturematch.system import System
from picturematch.wiring import run_system
from tests.support.certificates import make_pair, needs_openssl
from tests.support.commands import finish, run, start
from tests.support.waiting import until

TOPICS = Topics()


def settings_of(folder: Path, **ingest: Any) -> Settings:
    return Settings(data_folder=folder, ingest=IngestSettings(port=0, **ingest), models=ModelSettings(kind="stand-in"))


@asynccontextmanager
async def serving(folder: Path, **ingest: Any) -> AsyncIterator[System]:
    async with run_system(settings_of(folder, **ingest), stand_in_models()) as system:
        yield system


async def call(system: System, method: str, path: str, key: str | None = None, body: Any = None) -> tuple[int, Any]:
    headers = {} if key is None else {"X-API-Key": key}
    async with (
        aiohttp.ClientSession() as session,
        session.request(method, system.url + path, json=body, headers=headers) as response,
    ):
        return response.status, await response.json()


async def audit_of(folder: Path) -> list[ChangeRecord | RefusedKeysRecord]:
    """The audit records of a folder, beside a running server or without one."""
    async with open_embedded(folder, role="guest", clock_ms=lambda: 0) as log, log.reader(TOPICS.audit) as reader:
        found: list[ChangeRecord | RefusedKeysRecord] = []
        while records := await reader.fetch(timeout_s=0.3):
            found += [decode_audit(record.value or b"") for record in records]
        return found


async def test_a_key_is_added_used_listed_deleted_and_refused_and_the_audit_names_it(tmp_path: Path) -> None:
    folder = tmp_path / "log"
    async with serving(folder) as system:
        added = await run("keys", "add", "office", "--role", "operator", "--url", system.url)
        assert added.status == 0, added.err
        key = added.out.strip()
        assert re.fullmatch(r"pm_[A-Za-z0-9_-]{43}", key)
        assert "Store it now" in added.err

        again = await run("keys", "add", "office", "--role", "device", "--url", system.url)
        assert (again.status, "exists" in again.err) == (2, True)
        listed = await run("keys", "list", "--url", system.url)
        assert re.search(r"office\s+operator", listed.out)
        assert key not in listed.out

        enrolment = {"identity_id": "anna", "need_bring_pic": False}
        assert (await call(system, "POST", USERS_PATH, key, enrolment))[0] == 200
        status, refused = await call(system, "GET", "/picturematch/api/keys", key)
        assert (status, refused["error"]["code"]) == (401, 40180)
        by_key = await run("keys", "list", "--url", system.url, "--api-key", key)
        assert (by_key.status, "the role of this API key is operator" in by_key.err) == (2, True)

        deleted = await run("keys", "delete", "office", "--url", system.url)
        assert (deleted.status, deleted.out) == (0, "deleted: office (role operator)\n")
        assert (await call(system, "GET", USERS_PATH, key))[0] == 401
        missing = await run("keys", "delete", "office", "--url", system.url)
        assert (missing.status, "no API key has this name" in missing.err) == (2, True)

    changes = [record for record in await audit_of(folder) if isinstance(record, ChangeRecord)]
    assert [(one.actor, one.kind, one.action, one.objects, one.outcome) for one in changes] == [
        ("trusted network", "key", "create", ("office",), "created"),
        ("trusted network", "key", "create", ("office",), "refused"),
        ("office", "enrol", "create", ("anna",), "enrolled"),
        ("trusted network", "key", "delete", ("office",), "deleted"),
        ("trusted network", "key", "delete", ("office",), "refused"),
    ]
    assert {one.peer for one in changes} == {"127.0.0.1"}
    counted: Counter[str] = Counter()
    for record in await audit_of(folder):
        if isinstance(record, RefusedKeysRecord):
            counted.update({f"{record.peer} {reason}": number for reason, number in record.counts.items()})
    assert counted == {"127.0.0.1 weak_role": 2, "127.0.0.1 wrong": 1}
    assert not [file for file in folder.iterdir() if file.is_file() and key.encode() in file.read_bytes()]


async def test_keys_survive_a_restart_and_a_deletion_stays_in_force(tmp_path: Path) -> None:
    async with serving(tmp_path) as system:
        made = {
            name: json.loads((await run("keys", "add", name, "--role", "operator", "--url", system.url, "--json")).out)
            for name in ("stays", "goes")
        }
        await run("keys", "delete", "goes", "--url", system.url)
    async with serving(tmp_path, trusted_networks=()) as system:
        assert (await call(system, "GET", USERS_PATH, made["stays"]["data"]["key"]))[0] == 200
        assert (await call(system, "GET", USERS_PATH, made["goes"]["data"]["key"]))[0] == 401
        assert (await call(system, "GET", USERS_PATH))[0] == 401


async def test_two_administrators_who_add_one_name_at_once_get_one_key(tmp_path: Path) -> None:
    async with serving(tmp_path) as system:
        body = {"name": "gate", "role": "device"}
        answers = await asyncio.gather(*(call(system, "POST", "/picturematch/api/keys", None, body) for _ in range(8)))
        assert sorted(status for status, _ in answers) == [200] + [400] * 7
        (key,) = [answer["data"]["key"] for status, answer in answers if status == 200]
        assert len(system.people.site.keys) == 1
        assert (await call(system, "GET", "/healthz", key))[0] == 401, "a device's key"


async def test_the_audit_command_prints_filters_and_follows(tmp_path: Path) -> None:
    folder = tmp_path / "log"
    async with serving(folder) as system:
        for name in ("anna", "bert"):
            await call(system, "POST", USERS_PATH, None, {"identity_id": name, "need_bring_pic": False})
        await call(system, "DELETE", USERS_PATH, None, {"identity_id": "nobody"})

        printed = await run("audit", "--data-folder", folder)
        assert printed.status == 0, printed.err
        lines = printed.out.splitlines()
        assert len(lines) == 3
        assert re.fullmatch(
            r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d  trusted network \(administrator, 127\.0\.0\.1\)  enrol create anna"
            r" \[need_bring_pic=false\]: enrolled  request [0-9a-f]{32}",
            lines[0],
        )
        assert "  delete nobody: refused (40401 ID_NOT_FOUND)" in lines[2]

        as_json = [
            json.loads(line) for line in (await run("audit", "--data-folder", folder, "--json")).out.splitlines()
        ]
        assert [one["objects"] for one in as_json] == [["anna"], ["bert"], ["nobody"]]

        async def counted(*options: object) -> int:
            return len((await run("audit", "--data-folder", folder, *options)).out.splitlines())

        assert await counted("--kind", "delete") == 1
        assert await counted("--actor", "trusted network") == await counted("--actor", "127.0.0.1") == 3
        assert await counted("--actor", "office") == 0
        assert await counted("--since", "1h", "--until", as_json[2]["time"]) == 2
        assert await counted("--since", "2100-01-01") == 0
        both = await run("audit", "--data-folder", folder, "--follow", "--until", "1h")
        assert (both.status, "exclude each other" in both.err) == (2, True)

        following = await start("audit", "--data-folder", folder, "--follow", "--kind", "delete", "--json")
        assert following.stdout is not None
        async with asyncio.timeout(30):
            assert json.loads(await following.stdout.readline())["objects"] == ["nobody"]
            await call(system, "DELETE", USERS_PATH, None, {"identity_id": "anna"})
            assert json.loads(await following.stdout.readline())["objects"] == ["anna"]
        following.send_signal(signal.SIGINT)
        assert (await finish(following)).status == 0


@needs_openssl
async def test_a_server_with_tls_reads_its_certificate_again_on_sighup_and_drops_nobody(tmp_path: Path) -> None:
    pair, renewed = make_pair(tmp_path), make_pair(tmp_path, "renewed")
    settings = {
        "PICTUREMATCH_MODELS__KIND": "stand-in",
        "PICTUREMATCH_INGEST__TLS_CERT": str(pair.cert),
        "PICTUREMATCH_INGEST__TLS_KEY": str(pair.key),
    }
    server = await start("serve", "--port", 0, "--data-folder", tmp_path / "log", **settings)
    assert server.stdout is not None
    try:
        async with asyncio.timeout(30):
            found = None
            while found is None:
                line = (await server.stdout.readline()).decode()
                assert line, "the server has stopped"
                found = re.search(r"listens on (https://127\.0\.0\.1:(\d+))", line)
        url, port = found[1], int(found[2])
        first = pair.pem
        plain = await run("health", "--url", url)
        assert (plain.status, "certificate verify failed" in plain.err) == (1, True)
        assert (await run("health", "--url", url, "--ca-file", pair.cert)).status == 0
        assert (await run("keys", "list", "--url", url, "--ca-file", pair.cert)).status == 0
        untrusted = await run("keys", "list", "--url", url)
        assert (untrusted.status, "--ca-file" in untrusted.err) == (2, True)
        added = await run("keys", "add", "a", "--role", "device", "--url", url, PICTUREMATCH_CA_FILE=str(pair.cert))
        assert added.out.startswith("pm_")

        async with (
            aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=pair.trusted, limit=1)) as session,
            session.get(f"{url}/healthz") as before,
        ):
            await before.read()
            pair.replace_by(renewed)
            server.send_signal(signal.SIGHUP)
            await until(lambda: _shown(port) != first, 10, 0.2)
            assert _shown(port) == renewed.pem
            async with session.get(f"{url}/healthz") as after:
                assert after.status == 200, "over the connection that was there before"
        server.send_signal(signal.SIGTERM)
        ended = await finish(server)
        assert ended.status == 0, ended.err
    finally:
        if server.returncode is None:
            server.kill()
            await server.wait()


def _shown(port: int) -> str:
    return ssl.get_server_certificate(("127.0.0.1", port), timeout=5)


@needs_openssl
@pytest.mark.parametrize(
    ("cert", "key", "sentence"),
    [
        ("server.pem", None, "tls_cert and tls_key are needed together"),
        ("none.pem", "server-key.pem", "none.pem cannot be read: No such file"),
        ("server.pem", "other-key.pem", "other-key.pem is not the private key of"),
    ],
)
async def test_files_of_tls_that_cannot_be_used_stop_the_start_with_one_sentence(
    tmp_path: Path, cert: str, key: str | None, sentence: str
) -> None:
    make_pair(tmp_path)
    make_pair(tmp_path, "other")
    settings = {"PICTUREMATCH_MODELS__KIND": "stand-in", "PICTUREMATCH_INGEST__TLS_CERT": str(tmp_path / cert)}
    if key is not None:
        settings["PICTUREMATCH_INGEST__TLS_KEY"] = str(tmp_path / key)
    ended = await run("serve", "--port", 0, "--data-folder", tmp_path / "log", **settings)
    assert ended.status == 2
    assert sentence in ended.err
    assert "Traceback" not in ended.err
