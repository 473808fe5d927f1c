"""What the documents promise is what the code has."""

import re
from dataclasses import dataclass
from pathlib import Path

import jsonschema
import msgspec
import orjson
import pytest

from capture.reporting.kinds import KIND_WORDS, KINDS
from capture.reporting.report import Report
from capture.reporting.tables import tables
from capture.reporting.values import report_schema
from contract.cloud_events import PERSON_EVENTS, cloud_event_headers
from contract.events import Event, RequestPlace
from contract.kinds import ERASE_KIND
from contract.requests import Headers
from contract.schemas import PUBLISHED, schema_of
from contract.trace import Trace
from engine.calls import CALLS
from models.manifest import FmrPoint, load_manifest
from picturematch.settings import Settings
from picturematch.threshold_table import table_lines
from tests.support.rows import week

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class _Shipped:
    """What the table of thresholds is computed from."""

    fmr_curve: tuple[FmrPoint, ...]
    threshold: float = 0.0


def sections() -> list[tuple[str, type]]:
    return [
        (f.name, f.type)
        for f in msgspec.structs.fields(Settings)
        if isinstance(f.type, type) and issubclass(f.type, msgspec.Struct)
    ]


@pytest.mark.parametrize(("section", "kind"), sections(), ids=lambda v: v if isinstance(v, str) else "")
def test_every_setting_is_described_in_its_section(section, kind):
    text = (ROOT / "docs/settings.md").read_text()
    (body,) = re.findall(rf"^## {section}$(.*?)(?=^## |\Z)", text, re.S | re.M)
    described = set(re.findall(r"`(\w+)`", "".join(re.findall(r"^\| ([^|]*) \|", body, re.M))))
    assert described == {field.name for field in msgspec.structs.fields(kind)} | (
        {"host", "port"} if section == "ingest" else set()
    )


@pytest.mark.parametrize("name", PUBLISHED)
def test_a_published_schema_is_the_one_of_the_code(name):
    published = orjson.loads((ROOT / f"docs/schemas/{name}.schema.json").read_bytes())
    assert published == orjson.loads(orjson.dumps(schema_of(name)))
    jsonschema.Draft202012Validator.check_schema(published)


def test_the_published_schemas_are_those_of_the_code_and_no_others():
    assert {path.name for path in (ROOT / "docs/schemas").iterdir()} == {f"{name}.schema.json" for name in PUBLISHED}


EVENTS = (ROOT / "docs/events.md").read_text()


def rows_of(heading: str) -> list[list[str]]:
    """The cells of the table with that first line, up to its end."""
    (table,) = re.findall(rf"^{re.escape(heading)}\n\|[-|]+\|\n((?:\|.*\n)+)", EVENTS, re.M)
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in table.splitlines()]


def test_the_outcomes_of_each_kind_are_listed():
    rows = {kind: re.split(r"[:;]", words)[0].split(", ") for kind, words in rows_of("| kind | outcomes |")}
    assert {kind: set(words) for kind, words in rows.items()} == {call.kind: set(call.outcomes) for call in CALLS} | {
        ERASE_KIND: {"erased"}
    }
    explained = [word for words, _ in rows_of("| outcome | meaning |") for word in words.split(", ")]
    assert sorted(explained) == sorted({word for words in rows.values() for word in words})


def test_the_type_of_each_kind_is_listed():
    rows = {kind: name for kinds, name in rows_of("| kind | `ce_type` |") for kind in kinds.split(", ")}
    assert rows == {call.kind: f"`{call.event_type}`" for call in CALLS} | {ERASE_KIND: f"`{PERSON_EVENTS}`"}


def test_every_field_of_an_event_is_described():
    rows = [re.findall(r"`(\w+)`", names) for names, _, _ in rows_of("| field | type, unit | meaning |")]
    described = [name for names in rows for name in names]
    assert sorted(described) == sorted(field.name for field in msgspec.structs.fields(Event))
    nested = {name for each in schema_of("event")["$defs"].values() for name in each["properties"]}
    assert {name for name in nested if f"`{name}`" not in EVENTS} == set()


def test_every_header_is_described():
    described = {name for names, _ in rows_of("| header | value |") for name in re.findall(r"`([\w-]+)`", names)}
    event = Event(
        id="i",
        kind="k",
        outcome="o",
        compare_time=0,
        received_time=0,
        processed_time=0,
        gallery_version=0,
        models={},
        request=RequestPlace(topic="t", partition=0, offset=0),
    )
    trace = Trace("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", "a=1")
    assert described == {name for name, _ in cloud_event_headers(event, "t", "/", trace)}
    asked = {name for names, _ in rows_of("| header of a request | value |") for name in re.findall(r"`(\w+)`", names)}
    assert asked == {value for name, value in vars(Headers).items() if name.isupper()} | {"traceparent", "tracestate"}


def test_the_schema_of_a_report_is_the_one_of_the_code():
    published = orjson.loads((ROOT / "docs/report.schema.json").read_bytes())
    assert published == orjson.loads(orjson.dumps(report_schema()))


def test_the_kinds_of_differences_are_described_as_the_report_describes_them():
    text = (ROOT / "docs/replay.md").read_text()
    rows = re.findall(r"^\| `(\w+)` \| (.*) \|$", text.split("### Kinds of differences")[1].split("###")[0], re.M)
    assert dict(rows) == dict(KIND_WORDS)
    assert [kind for kind, _ in rows] == list(KINDS)


def test_every_figure_of_a_report_is_explained():
    text = (ROOT / "docs/replay.md").read_text().split("### The figures")[1]
    found = Report()
    for row in week(3000):
        found.add(row)
    named = {
        cells[0]
        for table in tables(found.findings())
        if table.title in ("Acquisition", "Recognition (1:N)")
        for cells in table.rows
    }
    assert {name for name in named if f"| {name} |" not in text} == set()


def test_the_table_of_large_galleries_is_that_of_the_shipped_curve():
    curve = load_manifest(ROOT / "models/manifest.toml").network("embedder").fmr_curve
    lines = table_lines(_Shipped(curve))
    assert "\n".join(lines) in (ROOT / "docs/accuracy.md").read_text()
    assert [line.count("*") for line in lines] == [0, 0, 0, 0, 2, 3]
