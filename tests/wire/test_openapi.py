"""/openapi.json: who may read it, and that the running server answers nothing that it does not describe."""

import asyncio
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import orjson

from contract.answers import Answer, RefusedAnswer
from contract.calls import devices, groups, keys, people, permissions, settings, wipe
from contract.calls.declaration import Declaration
from contract.http import FIQA_PATH, FIQA_V6_PATH, IMAGES_PATH, MATCH_PATH, USERS_PATH
from contract.kinds import kind_of
from contract.requests import DeleteRequest, EnrolRequest, Request
from contract.site_requests import (
    DevicesRequest,
    GroupRequest,
    KeyRequest,
    MembersRequest,
    PermissionRequest,
    SettingsRequest,
    WipeRequest,
)
from contract.site_settings import EVENT_URL_LIST, SCORES
from ingest.api.listing import DECLARATIONS
from tests.wire.harness import Script, Serving, Site, add_person, answer_well

CHECKS = (
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_headers_conformance",
    "response_schema_conformance",
)


async def document(site: Site) -> dict[str, Any]:
    reply = await site.call("GET", "/openapi.json")
    assert (reply.code, reply.headers["content-type"]) == (200, "application/json")
    found: dict[str, Any] = reply.json
    return found


async def test_it_has_every_call_with_its_fields_answers_and_errors(site: Site) -> None:
    found = await document(site)
    assert found["openapi"].startswith("3.1.")
    calls = {(method.upper(), path) for path, methods in found["paths"].items() for method in methods}
    assert calls == {(each.method, each.path) for each in DECLARATIONS}
    match = found["paths"][MATCH_PATH]["post"]
    fields = match["requestBody"]["content"]["application/json"]["schema"]
    assert fields["properties"]["min_face_size"]["maximum"] == 65_535
    assert fields["allOf"][0] == {"anyOf": [{"required": ["device_ip"]}, {"required": ["group_name"]}]}
    assert set(match["responses"]["400"]["content"]["application/json"]["examples"]) >= {"40004", "40071", "40005"}
    assert "40091" in found["paths"][USERS_PATH]["put"]["responses"]["400"]["description"]
    named = found["paths"][FIQA_V6_PATH]["post"]["responses"]["400"]["content"]["application/json"]
    assert named["schema"] == {"$ref": "#/components/schemas/NamedErrorAnswer"}
    image = found["paths"][IMAGES_PATH]["get"]
    assert (image["parameters"][0]["in"], image["parameters"][0]["required"]) == ("path", True)
    assert list(image["responses"]["200"]["content"]) == ["image/jpeg"]
    assert set(found["components"]["securitySchemes"]) == {"X-API-Key", "Bearer", "Basic"}


async def test_it_is_read_from_a_trusted_network_or_with_a_key_as_metrics_are(serving: Serving) -> None:
    async with serving(trusted_networks=(), api_keys=("first-key",)) as site:
        for path in ("/openapi.json", "/metrics"):
            assert (await site.call("GET", path)).code == 40180
            assert (await site.call("GET", path, headers={"X-API-Key": "first-key"})).status == 200


def declaration_of(request: Request) -> Declaration:
    match request:
        case EnrolRequest(update=update):
            return people.CHANGE if update else people.ENROL
        case DeleteRequest():
            return people.REMOVE
        case KeyRequest(action=action):
            return keys.CREATE_KEY if action == "create" else keys.DELETE_KEY
        case DevicesRequest(action=action):
            return {"create": devices.CREATE, "change": devices.CHANGE, "delete": devices.REMOVE}[action]
        case GroupRequest(action=action):
            changes = {"create": groups.CREATE_GROUP, "change": groups.CHANGE_GROUP, "delete": groups.DELETE_GROUP}
            return changes[action]
        case PermissionRequest(action=action):
            changes = {
                "create": permissions.CREATE_PERMISSION,
                "change": permissions.CHANGE_PERMISSION,
                "delete": permissions.DELETE_PERMISSION,
            }
            return changes[action]
        case MembersRequest(action=action):
            return groups.ADD_MEMBERS if action == "add" else groups.REMOVE_MEMBERS
        case WipeRequest():
            return wipe.WIPE
        case SettingsRequest(values=values):
            by_name = {SCORES: settings.CHANGE_SCORES, EVENT_URL_LIST: settings.CHANGE_EVENT_URLS}
            return next((by_name[name] for name in values if name in by_name), settings.CHANGE_CONFIGS)
    return next(each for each in DECLARATIONS if each.route == kind_of(type(request)))


def refuse_some() -> Script:
    """A processor that answers each second request of a call with a declared refusal."""
    counts: Counter[str] = Counter()

    async def answer(request: Request) -> Answer | None:
        declaration = declaration_of(request)
        counts[declaration.summary] += 1
        count, codes = counts[declaration.summary], declaration.errors
        if count % 2 or not codes:
            return await answer_well(request)
        return RefusedAnswer(code=int(codes[count // 2 % len(codes)]), message="because")

    return answer


async def schemathesis(folder: Path, location: str, *options: str) -> tuple[int, str]:
    """The exit code and what was printed; it leaves its files in the folder."""
    command = ("-m", "schemathesis.cli", "run", location, "--checks", ",".join(CHECKS), "--no-color", *options)
    process = await asyncio.create_subprocess_exec(
        sys.executable, *command, cwd=folder, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    printed, _ = await process.communicate()
    return process.returncode or 0, printed.decode()


async def test_the_running_server_answers_nothing_that_the_document_does_not_describe(
    serving: Serving, tmp_path: Path
) -> None:
    async with serving(refuse_some(), deadline_ms=60_000) as site:
        await add_person(site, "666666", site.picture)
        site.people.version = site.gallery_version
        code, printed = await schemathesis(
            tmp_path,
            f"{site.ingress.url}/openapi.json",
            *("--phases", "examples,coverage,fuzzing", "--max-examples", "15", "--generation-deterministic"),
            *("--suppress-health-check", "all", "--max-failures", "5"),
        )
        assert code == 0, printed
        for route in {each.route for each in DECLARATIONS}:
            assert site.metric("picturematch_http_requests_total", route=route, code="200") > 0, route


async def test_a_document_that_leaves_an_answer_out_is_noticed(site: Site, tmp_path: Path) -> None:
    found = await document(site)
    del found["paths"][FIQA_PATH]["post"]["responses"]["400"]
    (tmp_path / "openapi.json").write_bytes(orjson.dumps(found))
    code, printed = await schemathesis(
        tmp_path,
        str(tmp_path / "openapi.json"),
        *("--url", site.ingress.url, "--include-path", FIQA_PATH, "--phases", "coverage", "--max-failures", "1"),
    )
    assert (code, "Undocumented status code" in printed) == (1, True), printed
