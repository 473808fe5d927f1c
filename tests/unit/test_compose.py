"""The Compose file, the Dockerfile and the proxy's settings agree with each other and with the program.

Checked without an engine, by rules written here for the part of the Compose Specification that is used.
"""

import ipaddress
import re
import tomllib
from typing import Any

import click
import jsonschema
import orjson
import pytest
import sqlalchemy as sa

from contract.errors import Code
from picturematch import __version__
from picturematch.__main__ import cli
from picturematch.settings import Settings, load_settings
from sinks.settings import WebsocketSettings
from tests.support.deployment import KEY, ROOT, compose, in_build_context, stages
from tests.support.kafka_dev import KAFKA_VERSION

FILE = compose(PICTUREMATCH_API_KEY=KEY)
SERVICES: dict[str, dict[str, Any]] = FILE["services"]
OURS = {name: service for name, service in SERVICES.items() if service["image"].startswith("picturematch:")}
ONE_SHOT = {"topics"}
PROXY = (ROOT / "deploy/haproxy.cfg").read_text()
BUILD, RUNTIME = stages()

TEXTS = {"type": "array", "items": {"type": "string"}, "minItems": 1}
SPAN = {"type": "string", "pattern": r"^\d+(ms|s|m)$"}
SCHEMA = {
    "type": "object",
    "required": ["name", "services"],
    "patternProperties": {"^x-": {"type": "object"}},
    "properties": {
        "name": {"type": "string", "pattern": "^[a-z0-9][a-z0-9_-]*$"},
        "services": {"type": "object", "additionalProperties": {"$ref": "#/$defs/service"}},
        "networks": {
            "type": "object",
            "additionalProperties": {
                "type": ["object", "null"],
                "properties": {
                    "internal": {"type": "boolean"},
                    "ipam": {
                        "type": "object",
                        "required": ["config"],
                        "properties": {
                            "config": {
                                "type": "array",
                                "items": {
                                    "type": "object",
                                    "properties": {key: {"type": "string"} for key in ("subnet", "ip_range")},
                                    "additionalProperties": False,
                                },
                            }
                        },
                        "additionalProperties": False,
                    },
                },
                "additionalProperties": False,
            },
        },
        "volumes": {"type": "object", "additionalProperties": {"type": "null"}},
    },
    "additionalProperties": False,
    "$defs": {
        "service": {
            "type": "object",
            "required": ["image", "deploy", "restart", "networks", "logging", "healthcheck"],
            "properties": {
                "image": {"type": "string"},
                "build": {"const": "."},
                "pull_policy": {"enum": ["never", "missing", "always", "build"]},
                "command": TEXTS,
                "environment": {"type": "object", "additionalProperties": {"type": "string"}},
                "init": {"type": "boolean"},
                "read_only": {"type": "boolean"},
                "tmpfs": TEXTS,
                "user": {"const": "postgres"},
                "cap_drop": {"const": ["ALL"]},
                "security_opt": {"const": ["no-new-privileges:true"]},
                "volumes": TEXTS,
                "ports": TEXTS,
                "networks": {
                    "oneOf": [
                        TEXTS,
                        {
                            "type": "object",
                            "additionalProperties": {
                                "type": "object",
                                "properties": {"ipv4_address": {"type": "string", "format": "ipv4"}},
                                "additionalProperties": False,
                            },
                        },
                    ]
                },
                "restart": {"enum": ["no", "unless-stopped"]},
                "stop_grace_period": SPAN,
                "depends_on": {
                    "type": "object",
                    "additionalProperties": {
                        "type": "object",
                        "required": ["condition"],
                        "properties": {"condition": {"enum": ["service_healthy", "service_completed_successfully"]}},
                        "additionalProperties": False,
                    },
                },
                "healthcheck": {
                    "oneOf": [
                        {"const": {"disable": True}},
                        {
                            "type": "object",
                            "required": ["test", "interval", "timeout", "retries", "start_period"],
                            "properties": {
                                "test": {"type": "array", "prefixItems": [{"enum": ["CMD", "CMD-SHELL"]}]},
                                **dict.fromkeys(("interval", "timeout", "start_period", "start_interval"), SPAN),
                                "retries": {"type": "integer", "minimum": 1},
                            },
                            "additionalProperties": False,
                        },
                    ]
                },
                "deploy": {
                    "type": "object",
                    "required": ["resources"],
                    "properties": {
                        "replicas": {"type": "integer", "minimum": 1},
                        "resources": {
                            "type": "object",
                            "required": ["limits"],
                            "properties": {
                                "limits": {
                                    "type": "object",
                                    "required": ["cpus", "memory", "pids"],
                                    "properties": {
                                        "cpus": {"type": "string", "pattern": r"^\d+\.\d+$"},
                                        "memory": {"type": "string", "pattern": r"^\d+[MG]$"},
                                        "pids": {"type": "integer"},
                                    },
                                    "additionalProperties": False,
                                }
                            },
                            "additionalProperties": False,
                        },
                    },
                    "additionalProperties": False,
                },
                "logging": {
                    "type": "object",
                    "required": ["driver", "options"],
                    "properties": {"driver": {"type": "string"}, "options": {"type": "object"}},
                },
            },
            "additionalProperties": False,
        }
    },
}


def understood(words: list[str]) -> None:
    """Have the program's own parser read a command line; UsageError when it does not understand."""
    command: click.Command = cli
    context = click.Context(cli)
    while isinstance(command, click.Group):
        name, found, words = command.resolve_command(context, words)
        assert found is not None
        command, context = found, click.Context(found, parent=context, info_name=name)
    command.make_context(context.info_name, list(words), parent=context.parent)


def settings_of(name: str) -> Settings:
    """What a service of ours is set to, as it will read it."""
    return load_settings(None, {**RUNTIME.environment, **OURS[name]["environment"]})


def limits(name: str) -> dict[str, Any]:
    found: dict[str, Any] = SERVICES[name]["deploy"]["resources"]["limits"]
    return found


def mebibytes(text: str) -> int:
    return int(text[:-1]) * {"M": 1, "G": 1024}[text[-1].upper()]


def test_the_file_keeps_to_the_part_of_the_specification_that_it_uses():
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    jsonschema.validate(FILE, SCHEMA)


def test_the_deployment_is_the_one_that_was_asked_for():
    roles = {"topics", "ingest", "process", "store", "push", "websocket"}
    assert set(SERVICES) == roles | {"kafka", "database", "proxy"}
    assert set(OURS) == roles
    assert (SERVICES["ingest"]["deploy"]["replicas"], SERVICES["process"]["deploy"]["replicas"]) == (2, 2)
    published = [port for service in SERVICES.values() for port in service.get("ports", ())]
    assert published == ["127.0.0.1:5555:5555", "127.0.0.1:5679:5679"]
    assert RUNTIME.all("EXPOSE") == ["5555 5679"]


def test_without_a_key_nothing_starts():
    with pytest.raises(KeyError, match=r"\.env"):
        compose()
    assert ".env" in (ROOT / ".gitignore").read_text().splitlines()
    assert settings_of("ingest").ingest.api_keys == (KEY,)


@pytest.mark.parametrize("name", SERVICES)
def test_whatever_a_service_names_exists(name):
    service = SERVICES[name]
    assert set(service["networks"]) <= set(FILE["networks"])
    for mount in service.get("volumes", ()):
        source = mount.split(":")[0]
        assert (ROOT / source).is_file() if source.startswith("./") else source in FILE["volumes"]
    for other, how in service.get("depends_on", {}).items():
        assert (how["condition"] == "service_completed_successfully") == (other in ONE_SHOT)
        assert other in SERVICES


@pytest.mark.parametrize("name", SERVICES)
def test_every_service_is_watched_and_restarted_or_ends_by_itself(name):
    service = SERVICES[name]
    ends = service["healthcheck"] == {"disable": True} and service["restart"] == "no"
    watched = "test" in service["healthcheck"] and service["restart"] == "unless-stopped"
    assert (ends, watched) == (name in ONE_SHOT, name not in ONE_SHOT)


@pytest.mark.parametrize("name", SERVICES)
def test_no_service_may_do_more_than_it_must(name):
    service = SERVICES[name]
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service.get("read_only", False) or name == "kafka"


@pytest.mark.parametrize(
    "image",
    [service["image"] for service in SERVICES.values()] + [stage.image for stage in (BUILD, RUNTIME)],
)
def test_images_are_pinned(image):
    assert re.fullmatch(r"[a-z/]+:\d+\.\d+[\w.-]*", image)


def test_our_image_is_built_once_from_this_version():
    assert {service["image"] for service in OURS.values()} == {f"picturematch:{__version__}"}
    assert [name for name, service in SERVICES.items() if "build" in service] == ["topics"]
    assert {service["pull_policy"] for service in OURS.values()} == {"never"}


@pytest.mark.parametrize("name", OURS)
def test_the_program_understands_every_command(name):
    understood(OURS[name]["command"])
    check = OURS[name]["healthcheck"].get("test")
    if check is not None:
        assert check[:2] == ["CMD", "picturematch"]
        understood(check[2:])


@pytest.mark.parametrize("words", [["nonsense"], ["health", "--nonsense"], ["dead-letters", "nonsense"]])
def test_a_command_that_does_not_exist_would_be_found(words):
    with pytest.raises(click.UsageError):
        understood(words)


@pytest.mark.parametrize("name", OURS)
def test_every_variable_is_a_setting(name):
    settings = settings_of(name)
    assert settings.models.folder.as_posix() == "/opt/picturematch/models"
    assert settings.broker == OURS[name]["environment"]["PICTUREMATCH_BROKER"]


def test_an_ingress_listens_to_the_proxy_and_reads_no_files():
    ingest = settings_of("ingest").ingest
    assert (ingest.host, ingest.port, ingest.image_roots) == ("0.0.0.0", 5555, ())  # noqa: S104 - in its network


def test_readiness_is_asked_for_where_it_is_told():
    ports = {"ingest": settings_of("ingest").ingest.port, "process": settings_of("process").health.port}
    for name in ("store", "push", "websocket"):
        command = OURS[name]["command"]
        ports[name] = int(command[command.index("--metrics-port") + 1])
    for name, port in ports.items():
        assert OURS[name]["healthcheck"]["test"][2:] == ["health", "--url", f"http://127.0.0.1:{port}"]


def test_a_processor_has_as_many_threads_as_cpus():
    assert settings_of("process").processor.workers == float(limits("process")["cpus"])


def test_an_ingress_may_hold_the_bodies_it_admits():
    assert settings_of("ingest").ingest.max_body_memory_bytes < mebibytes(limits("ingest")["memory"]) * 2**20 * 3 // 4


def test_everybody_finds_the_one_kafka_and_nobody_else_reaches_it():
    kafka = SERVICES["kafka"]
    assert kafka["image"] == f"apache/kafka:{KAFKA_VERSION}"
    advertised = kafka["environment"]["KAFKA_ADVERTISED_LISTENERS"].removeprefix("PLAINTEXT://")
    assert {service["environment"]["PICTUREMATCH_BROKER"] for service in OURS.values()} == {f"kafka://{advertised}"}
    assert advertised.split(":")[0] == "kafka"
    assert kafka["networks"] == ["inside"]
    assert FILE["networks"]["inside"] == {"internal": True}
    assert all("inside" in service["networks"] for service in OURS.values())
    assert "inside" not in SERVICES["proxy"]["networks"]


def test_the_ingresses_ask_the_store_that_is_filled_and_nobody_else_reaches_its_database():
    database = SERVICES["database"]
    url = sa.make_url(settings_of("ingest").store.url or "")
    assert url.render_as_string() == settings_of("store").store.url
    assert OURS["store"]["command"][:2] == ["sink", "sql"]
    assert SERVICES[url.host] is database
    assert url.username == url.database == database["environment"]["POSTGRES_USER"]
    assert database["networks"] == ["inside"]
    (mount,) = database["volumes"]
    assert database["environment"]["PGDATA"].startswith(f"{mount.split(':')[1]}/")


def test_who_may_receive_uploads_is_decided_alike_where_they_are_named_and_where_they_are_sent():
    assert OURS["push"]["command"][:2] == ["sink", "push"]
    assert settings_of("push").ingest == settings_of("ingest").ingest
    assert settings_of("push").ingest.event_url_hosts == ()
    allowed = compose(PICTUREMATCH_API_KEY=KEY, EVENT_URL_HOSTS='["10.0.0.9"]')["services"]["push"]["environment"]
    assert load_settings(None, {**RUNTIME.environment, **allowed}).ingest.event_url_hosts == ("10.0.0.9",)
    assert set(OURS["push"]["networks"]) == {"inside", "doors"}, "receivers are outside"


def test_the_image_has_what_every_outlet_needs():
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    installed = dict(line.split("=") for line in BUILD.all("ARG"))["EXTRAS"]
    assert "*.whl)[${EXTRAS}]" in BUILD.all("RUN")[0]
    # annoy needs a compiler, and openvino is 180 MB for those who ask for it
    assert set(installed.split(",")) == set(extras) - {"test", "fuzz", "plots", "annoy", "openvino"}


def test_kafka_keeps_its_data_in_the_volume_and_its_heap_in_its_limit():
    kafka = SERVICES["kafka"]
    (mount,) = kafka["volumes"]
    assert mount.split(":")[1] == kafka["environment"]["KAFKA_LOG_DIRS"]
    heap = re.findall(r"-Xmx(\d+m)", kafka["environment"]["KAFKA_HEAP_OPTS"] + kafka["healthcheck"]["test"][1])
    assert sum(map(mebibytes, heap)) < mebibytes(limits("kafka")["memory"]) * 0.75


def test_the_proxy_finds_every_ingress_and_has_the_key_for_its_checks():
    _, room, host, port = re.findall(r"server-template (\w+) (\d+) (\w+):(\d+) check", PROXY)[0]
    assert host in SERVICES
    assert set(SERVICES[host]["networks"]) & set(SERVICES["proxy"]["networks"])
    assert int(room) >= SERVICES[host]["deploy"]["replicas"]
    assert int(port) == settings_of("ingest").ingest.port
    assert set(re.findall(r"\$\{(\w+)\}", PROXY)) == set(SERVICES["proxy"]["environment"])
    assert SERVICES["proxy"]["environment"]["PICTUREMATCH_API_KEY"] in settings_of("ingest").ingest.api_keys


def test_the_proxy_listens_where_it_is_published_and_checked():
    bound = re.findall(r"bind (\S+)", PROXY)
    assert bound[:2] == [":5555", ":5679"]
    (check,) = [word for word in SERVICES["proxy"]["healthcheck"]["test"] if word.startswith("http://")]
    assert check.split("/")[2] in bound
    assert re.search(rf"monitor-uri /{check.split('/')[3]}$", PROXY, re.M)


def test_the_proxy_finds_the_real_time_events_and_keeps_their_quiet_connections():
    ((host, port),) = re.findall(r"server-template websocket \d+ (\w+):(\d+) check", PROXY)
    sink = WebsocketSettings(name="websocket")
    assert OURS[host]["command"][:2] == ["sink", "websocket"]
    assert int(port) == sink.port
    assert set(SERVICES[host]["networks"]) & set(SERVICES["proxy"]["networks"])
    waits_s = [60 * int(found) for found in re.findall(r"timeout tunnel (\d+)m", PROXY)]
    assert waits_s
    assert min(waits_s) > 2 * sink.ping_s
    (most,) = re.findall(r"^frontend events\n(?:    .*\n)*?    maxconn (\d+)", PROXY, re.M)
    assert int(most) > OURS[host]["deploy"]["replicas"] * sink.max_clients


def test_who_may_listen_is_decided_as_who_may_call():
    assert settings_of("websocket").ingest == settings_of("ingest").ingest


def test_it_is_the_ingress_that_closes_idle_connections():
    waits_s = {int(found) for found in re.findall(r"timeout (?:client|server) (\d+)s", PROXY)}
    assert min(waits_s) > settings_of("ingest").ingest.keep_alive_s


def test_the_ingresses_believe_the_proxy_and_nobody_else():
    ((network, at),) = SERVICES["proxy"]["networks"].items()
    (trusted,) = settings_of("ingest").ingest.trusted_proxies
    assert trusted == at["ipv4_address"]
    assert network in SERVICES["ingest"]["networks"]
    (pool,) = FILE["networks"][network]["ipam"]["config"]
    assert ipaddress.ip_address(trusted) in ipaddress.ip_network(pool["subnet"])
    assert ipaddress.ip_address(trusted) not in ipaddress.ip_network(pool["ip_range"]), "somebody else could get it"


def test_the_proxy_says_who_the_client_is_and_lets_nobody_else_say_it():
    frontends = re.findall(r"^frontend (?:devices|events)\n((?:    .*\n)+)", PROXY, re.M)
    assert len(frontends) == 2
    for frontend in frontends:
        assert "    http-request set-header X-Forwarded-For %[src]\n" in frontend
        assert "    http-request del-header Forwarded\n" in frontend
    assert re.findall(r"^    mode (\w+)", PROXY, re.M) == ["http"]


def test_no_address_can_take_all_connections_of_the_proxy():
    for frontend in re.findall(r"^frontend (?:devices|events)\n((?:    .*\n)+)", PROXY, re.M):
        (most,) = re.findall(r"sc0_conn_cur gt (\d+)", frontend)
        (all_of_them,) = re.findall(r"    maxconn (\d+)", frontend)
        assert int(most) <= int(all_of_them) // 4


def test_the_proxy_answers_in_the_words_of_the_table_when_no_ingress_does():
    answers = re.findall(r"http-error status (\d+) .* string '(.*)'", PROXY)
    assert [int(status) for status, _ in answers] == [502, 503, 504]
    for status, body in answers:
        error = orjson.loads(body)["error"]
        code = Code(error["code"])
        sent = set(re.findall(rf"set-status (\d+) if {{ status {status} }}", PROXY)) or {status}
        assert (error["status"], {str(code.value // 100)}) == (code.name, sent)


def test_one_argument_names_the_base_of_every_stage():
    bases = re.findall(r"^FROM (\S+)", (ROOT / "Dockerfile").read_text(), re.M)
    assert bases == ["${BASE}", "${BASE}"]
    assert BUILD.image == RUNTIME.image
    assert re.fullmatch(r"python:3\.\d+-slim-\w+", BUILD.image)


def test_the_image_runs_the_program_without_rights_and_without_build_tools():
    assert (BUILD.name, RUNTIME.name) == ("build", None)
    (user,) = RUNTIME.all("USER")
    (useradd,) = RUNTIME.all("RUN")
    assert user == "10001:10001"
    assert "--uid 10001" in useradd
    assert not re.search(r"\b(apt|apt-get|pip|curl|wget)\b", useradd)
    understood(RUNTIME.words("ENTRYPOINT")[1:] + RUNTIME.words("CMD"))
    check = RUNTIME.words("HEALTHCHECK")
    assert check[0] == RUNTIME.words("ENTRYPOINT")[0] == "picturematch"
    understood(check[1:])


def test_the_networks_are_baked_where_the_program_looks_for_them():
    folder = RUNTIME.environment["PICTUREMATCH_MODELS__FOLDER"]
    assert BUILD.environment["PICTUREMATCH_MODELS__FOLDER"] == folder
    install = "picturematch models install --samples"
    assert any(install in step and f"rm -r {folder}/" in step for step in BUILD.all("RUN"))
    ((stage, sources, destination),) = RUNTIME.copies()
    assert stage == BUILD.name
    assert sources == [destination]
    assert folder.startswith(f"{destination}/")
    assert RUNTIME.environment["PATH"].startswith(f"{destination}/venv/bin:")
    assert f"python -m venv {destination}/venv" in BUILD.all("RUN")[0]


def test_what_is_copied_exists_enters_the_build_and_is_all_that_a_wheel_needs():
    copied = {source for stage, sources, _ in BUILD.copies() for source in sources if stage is None}
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    wheel = project["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]
    needed = {*wheel, "pyproject.toml", project["project"]["readme"], *project["project"]["license-files"]}
    assert copied == needed
    assert all((ROOT / source).exists() and in_build_context(source) for source in copied)
    assert in_build_context("models/manifest.toml")


@pytest.mark.parametrize(
    "path",
    [
        *("data", "data/log.sqlite", ".env", ".git/config", ".venv/bin/python", "tests/conftest.py", "photo.jpg"),
        *("notes.txt", "engine/__pycache__/x.pyc", "docs/models.md", "monday/requests.jsonl", "docker-compose.yml"),
    ],
)
def test_nothing_else_enters_the_build(path):
    assert not in_build_context(path)
