"""What the documents promise is what the code has."""

import re
from pathlib import Path

import msgspec
import orjson
import pytest

from contract.events import event_schema
from engine.calls import CALLS
from picturematch.settings import Settings

ROOT = Path(__file__).parents[2]


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


def test_the_event_schema_is_the_one_of_the_code():
    published = orjson.loads((ROOT / "docs/event.schema.json").read_bytes())
    assert published == orjson.loads(orjson.dumps(event_schema()))


def test_the_outcomes_of_each_kind_are_listed_in_the_interface():
    text = (ROOT / "docs/interface.md").read_text()
    rows = dict(re.findall(r"^\| (\w+) \| ([\w, ]+?)(?:;.*)? \|$", text.split("| kind | outcomes |")[1], re.M))
    for call in CALLS:
        assert set(rows[call.kind].split(", ")) == set(call.outcomes), call.kind
