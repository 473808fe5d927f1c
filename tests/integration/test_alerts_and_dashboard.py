"""deploy/alerts.yml and deploy/grafana-dashboard.json against the metrics that a running server exports."""

import asyncio
import base64
import json
import re
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import promql_parser as promql
import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from contract.errors import Code
from contract.http import COMPARE_PATH, FIQA_PATH, MATCH_PATH, USERS_PATH
from engine.vision.networks.standin import stand_in_models
from ingest.settings import IngestSettings
from picturematch.settings import ModelSettings, Settings
from picturematch.wiring import run_system
from tests.support.faces import photo
from tests.support.programs import needs

DEPLOY = Path(__file__).parents[2] / "deploy"
RULES: list[dict[str, Any]] = [
    rule for group in yaml.safe_load((DEPLOY / "alerts.yml").read_text())["groups"] for rule in group["rules"]
]
PANELS: list[dict[str, Any]] = json.loads((DEPLOY / "grafana-dashboard.json").read_text())["panels"]
TARGETS = [(panel["title"], target) for panel in PANELS for target in panel["targets"]]
EXPRESSIONS = [
    *(pytest.param(rule["expr"], id=rule["alert"]) for rule in RULES),
    *(pytest.param(target["expr"], id=f"{title} {target['refId']}") for title, target in TARGETS),
]
OF_THE_SCRAPE = {"instance", "job"}
"""The labels that Prometheus itself adds."""
SHORTEST_RANGE_S = 2 * 60
"""A rate needs two scrapes, and the default of Prometheus is one a minute."""


@dataclass(frozen=True)
class Exported:
    """Sample name -> the kind of its metric, and the labels of each series that there is."""

    kinds: dict[str, str]
    series: dict[str, list[dict[str, str]]]


async def _scraped(folder: Path) -> str:
    """/metrics of a server on the embedded log that has answered a call of each kind, and refused a key."""
    settings = Settings(data_folder=folder, ingest=IngestSettings(port=0), models=ModelSettings(kind="stand-in"))
    picture = base64.b64encode(photo(1)).decode()
    async with run_system(settings, stand_in_models()) as system, aiohttp.ClientSession(system.url) as session:
        for path, body in (
            (USERS_PATH, {"identity_id": "1", "reg_photo": picture}),
            (MATCH_PATH, {"device_ip": "10.0.0.1", "rgb_image_base64": picture}),
            (COMPARE_PATH, {"face_image_base64": picture, "card_image_base64": picture}),
            (FIQA_PATH, {"image_base64_str": picture}),
        ):
            async with session.post(path, json=body) as response:
                assert response.status == 200, await response.text()
        async with session.get("/metrics") as response:
            return await response.text()


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Exported:
    text = asyncio.run(_scraped(tmp_path_factory.mktemp("data")))
    kinds: dict[str, str] = {}
    series: dict[str, list[dict[str, str]]] = {}
    for family in text_string_to_metric_families(text):
        if family.name.endswith("_created"):
            continue  # the library's own: when a counter began
        endings = {"counter": ["_total"], "histogram": ["_bucket", "_count", "_sum"]}.get(family.type, [""])
        kinds |= dict.fromkeys((family.name + ending for ending in endings), family.type)
        for sample in family.samples:
            series.setdefault(sample.name, []).append(sample.labels)
    return Exported(kinds, series)


def parsed(expression: str) -> Any:
    """The syntax tree. Raises ValueError."""
    return promql.parse(expression.replace("$__rate_interval", "5m"))


def nodes(tree: Any) -> Sequence[Any]:
    found: list[Any] = []
    promql.walk(tree, found.append)
    return found


def selectors(tree: Any) -> Iterator[tuple[Any, bool]]:
    """Each selector of one of our metrics, and whether it selects a range."""
    in_ranges = [node.vector_selector for node in nodes(tree) if isinstance(node, promql.MatrixSelector)]
    ranged = {str(selector) for selector in in_ranges}
    for node in nodes(tree):
        if isinstance(node, promql.VectorSelector) and node.name.startswith("picturematch_"):
            yield node, str(node) in ranged


def selects(selector: Any, labels: dict[str, str]) -> bool:
    """Whether the selector takes a series of those labels. Codes of errors that did not happen count as there."""
    for matcher in selector.matchers.matchers:
        value = labels.get(matcher.name, "")
        assert matcher.op in (promql.MatchOp.Equal, promql.MatchOp.Re)
        is_pattern = matcher.op == promql.MatchOp.Re
        fits = bool(re.fullmatch(matcher.value, value)) if is_pattern else matcher.value == value
        if not fits and not (matcher.name == "code" and matcher.value in {str(int(code)) for code in Code}):
            return False
    return True


@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_an_expression_selects_series_that_a_server_exports(exported: Exported, expression: str) -> None:
    tree = parsed(expression)
    found = list(selectors(tree))
    assert found or 'up{job="picturematch"}' in expression
    for selector, _ in found:
        assert selector.name in exported.kinds
        if selector.matchers.matchers:
            assert any(selects(selector, labels) for labels in exported.series[selector.name]), str(selector)


@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_what_only_grows_is_asked_for_its_growth_and_nothing_else_is(exported: Exported, expression: str) -> None:
    for selector, is_range in selectors(parsed(expression)):
        assert is_range is (exported.kinds[selector.name] in ("counter", "histogram")), str(selector)


@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_labels_that_are_kept_are_there(exported: Exported, expression: str) -> None:
    for node in nodes(parsed(expression)):
        if isinstance(node, promql.AggregateExpr) and node.modifier is not None:
            names = {selector.name for selector, _ in selectors(node.expr)}
            there = {label for name in names for labels in exported.series[name] for label in labels}
            assert set(node.modifier.labels) <= there | OF_THE_SCRAPE


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule["alert"])
def test_a_range_of_a_rule_holds_two_scrapes(rule: dict[str, Any]) -> None:
    for node in nodes(parsed(rule["expr"])):
        if isinstance(node, promql.MatrixSelector):
            assert node.range.total_seconds() >= SHORTEST_RANGE_S


def test_every_metric_is_on_the_dashboard(exported: Exported) -> None:
    shown = {selector.name for _, target in TARGETS for selector, _ in selectors(parsed(target["expr"]))}
    missing = set(exported.kinds) - shown
    assert {name for name in missing if not name.endswith(("_count", "_sum"))} == set()


def test_panels_lie_beside_each_other() -> None:
    places = [
        (x, y)
        for grid in (panel["gridPos"] for panel in PANELS)
        for x in range(grid["x"], grid["x"] + grid["w"])
        for y in range(grid["y"], grid["y"] + grid["h"])
    ]
    assert len(places) == len(set(places))
    assert len({panel["id"] for panel in PANELS}) == len(PANELS)
    for panel in PANELS:
        assert [target["refId"] for target in panel["targets"]] == sorted({t["refId"] for t in panel["targets"]})


# What makes each alert ring: series with a value a minute, and the labels that the alert then has.
HTTP = "picturematch_http_"
RINGS: dict[str, tuple[dict[str, str], dict[str, str]]] = {
    "PictureMatchDown": ({'up{job="picturematch"}': "0x20"}, {"job": "picturematch"}),
    "PictureMatchNobodyProcesses": (
        {HTTP + 'shed_total{reason="processor"}': "0x18 1x2"},
        {"reason": "processor"},
    ),
    "PictureMatchLogUnavailable": ({"picturematch_log_unavailable": "0x18 1x2"}, {}),
    "PictureMatchPeopleUnreadable": ({HTTP + 'shed_total{reason="people"}': "0x18 3x2"}, {"reason": "people"}),
    "PictureMatchNoAnswers": ({HTTP + 'requests_total{route="match",code="50480"}': "0+1x20"}, {}),
    "PictureMatchRequestsLost": (
        {'picturematch_requests_skipped_total{reason="removed"}': "0x15 7x5"},
        {"reason": "removed"},
    ),
    "PictureMatchOtherLog": (
        {'picturematch_requests_skipped_total{reason="other_log"}': "0x15 7x5"},
        {"reason": "other_log"},
    ),
    "PictureMatchErrors": (
        {'picturematch_events_total{kind="match",outcome="error"}': "0x15 1x5"},
        {"kind": "match", "outcome": "error"},
    ),
    "PictureMatchShedding": (
        {
            HTTP + 'shed_total{reason="wait"}': "0+10x20",
            HTTP + 'requests_total{route="match",code="200"}': "0+100x20",
        },
        {},
    ),
    "PictureMatchSlow": (
        {
            HTTP + 'request_seconds_bucket{route="match",le="2.0"}': "0+90x20",
            HTTP + 'request_seconds_bucket{route="match",le="3.0"}': "0+100x20",
            HTTP + 'request_seconds_bucket{route="match",le="+Inf"}': "0+100x20",
        },
        {},
    ),
    "PictureMatchCommitsFail": ({"picturematch_commits_failed_total": "0+3x20"}, {}),
    "PictureMatchRepliesUnread": ({"picturematch_reply_reader_errors_total": "0+1x20"}, {}),
    "PictureMatchDamagedRecords": ({"picturematch_log_damaged_records": "0x19 1"}, {}),
    "PictureMatchClockInDoubt": ({"picturematch_log_sweep_suspended": "1x20"}, {}),
    "PictureMatchForeignFaces": ({"picturematch_foreign_faces": "12x20"}, {}),
    "PictureMatchKeysGuessed": ({HTTP + 'keys_refused_total{reason="wrong"}': "0+5x20"}, {}),
    "PictureMatchSinkLoses": ({'picturematch_sink_skipped_total{sink="hall"}': "0x15 7x5"}, {"sink": "hall"}),
    "PictureMatchSinkDown": ({'picturematch_sink_up{sink="hall"}': "0x20"}, {"sink": "hall"}),
    "PictureMatchSinkBehind": ({'picturematch_sink_lag_seconds{sink="hall"}': "0+60x20"}, {"sink": "hall"}),
    "PictureMatchSinkDeadLetters": (
        {'picturematch_sink_dead_letters_total{sink="hall"}': "0x15 1x5"},
        {"sink": "hall"},
    ),
}
WITHOUT_INSTANCE = {"PictureMatchShedding", "PictureMatchSlow"}
CALM = {
    'up{job="picturematch"}': "1x20",
    HTTP + 'shed_total{reason="processor"}': "4x20",
    HTTP + 'shed_total{reason="wait"}': "0+1x20",
    HTTP + 'requests_total{route="match",code="200"}': "0+100x20",
    HTTP + 'requests_total{route="match",code="50480"}': "9x20",
    HTTP + 'request_seconds_bucket{route="match",le="2.0"}': "0+100x20",
    HTTP + 'request_seconds_bucket{route="match",le="+Inf"}': "0+100x20",
    HTTP + 'keys_refused_total{reason="wrong"}': "0+1x20",
    'picturematch_events_total{kind="match",outcome="matched"}': "0+100x20",
    'picturematch_events_total{kind="match",outcome="error"}': "2x20",
    'picturematch_requests_skipped_total{reason="worked_on"}': "0+1x20",
    "picturematch_log_unavailable": "0x20",
    "picturematch_log_sweep_suspended": "0x20",
    "picturematch_foreign_faces": "0x20",
    'picturematch_sink_up{sink="hall"}': "0x5 1x15",
    'picturematch_sink_lag_seconds{sink="hall"}': "2x10 400x2 2x8",
    'picturematch_sink_skipped_total{sink="hall"}': "3x20",
    'picturematch_sink_dead_letters_total{sink="hall"}': "5x20",
}


def test_every_alert_has_a_case_in_which_it_rings() -> None:
    assert [rule["alert"] for rule in RULES] == list(RINGS)


PROMTOOL = shutil.which("promtool") or ""


def promtool(*arguments: object) -> str:
    """What promtool prints; any fault it finds is an error."""
    checked = subprocess.run([PROMTOOL, *map(str, arguments)], capture_output=True, text=True, check=False, timeout=60)
    assert checked.returncode == 0, checked.stdout + checked.stderr
    return checked.stdout


def of_one_instance(series: dict[str, str]) -> list[dict[str, str]]:
    """The series as promtool reads them, each of the instance `gate`."""
    return [
        {"series": f'{name.removesuffix("}")}{"," if "{" in name else "{"}instance="gate"}}', "values": values}
        for name, values in series.items()
    ]


def ringing(rule: dict[str, Any], labels: dict[str, str]) -> dict[str, Any]:
    """The alert as promtool expects it."""
    summary = rule["annotations"]["summary"]
    for name, value in (labels | {"instance": "gate"}).items():
        summary = summary.replace(f"{{{{ $labels.{name} }}}}", value)
    instance = {} if rule["alert"] in WITHOUT_INSTANCE else {"instance": "gate"}
    return {"exp_labels": labels | instance | rule["labels"], "exp_annotations": {"summary": summary}}


@needs("promtool", "prometheus")
def test_each_alert_rings_in_its_case_and_none_while_all_is_well(tmp_path: Path) -> None:
    assert f"{len(RULES)} rules found" in promtool("check", "rules", DEPLOY / "alerts.yml")
    cases = []
    for rule in RULES:
        series, labels = RINGS[rule["alert"]]
        expected = {"eval_time": "20m", "alertname": rule["alert"], "exp_alerts": [ringing(rule, labels)]}
        cases.append(
            {"interval": "1m", "input_series": of_one_instance(series), "alert_rule_test": [expected]},
        )
    calm = [{"eval_time": "20m", "alertname": rule["alert"], "exp_alerts": []} for rule in RULES]
    cases.append({"interval": "1m", "input_series": of_one_instance(CALM), "alert_rule_test": calm})
    file = tmp_path / "cases.yml"
    file.write_text(yaml.safe_dump({"rule_files": [str(DEPLOY / "alerts.yml")], "tests": cases}))
    promtool("test", "rules", file)
