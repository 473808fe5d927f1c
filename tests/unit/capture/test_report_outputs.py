import re
from collections.abc import Callable, Sequence
from html.parser import HTMLParser

import cv2
import msgspec
import numpy as np
import pytest

from capture.reporting.lines import row_line
from capture.reporting.page import MOST_PICTURE_BYTES, html_page
from capture.reporting.people import Enrolled, Photos, photos_of
from capture.reporting.plots import HEIGHT, WIDTH, plots
from capture.reporting.report import Report
from capture.reporting.tables import tables
from capture.reporting.thumbnails import SIDE, Album, Thumbnails, thumbnail
from capture.reporting.values import Findings
from capture.reporting.views import reported as reported_row
from capture.rows import Row
from contract.captures.values import CaptureError, PeopleLine
from contract.codec import encode
from contract.findings import FaceBox, PassagePicture
from contract.people.keys import face_key, person_key
from contract.people.records import FaceRecord, PhotoReference
from tests.support.pictures import colours, encoded, jpeg, png_bomb
from tests.support.rows import MOST_PAGE_BYTES, face_picture, refusal, row, search, week
from tests.support.terminal import HOSTILE, hostile_characters

A, B, STRANGER = search(("a", 0.6)), search(("b", 0.7)), search(("a", 0.2))
ATTACK = "<script>alert(1)</script>\"'><img src=x onerror=alert(1)>{{ 7*7 }}&amp;]]>"


def reported(*rows: Row) -> Report:
    report = Report()
    for one in rows:
        report.add(one)
    return report


def one_album(picture: Callable[[str], bytes], photos: Photos, most_bytes: int) -> Thumbnails:
    album = Album(picture, photos)
    return Thumbnails(album, album, most_bytes)


def no_pictures() -> Thumbnails:
    def missing(sha256: str) -> bytes:
        raise CaptureError(f"{sha256} is missing")

    return one_album(missing, {}, 1000)


def page(
    report: Report,
    thumbnails: Thumbnails | None = None,
    title: str = "monday",
    stopped: str | None = None,
    damage: Sequence[str] = (),
) -> str:
    findings = report.findings(stopped, damage)
    return "".join(html_page(title, findings, report.shown(), report.troubles(), thumbnails or no_pictures()))


class Elements(HTMLParser):
    """All elements of a page, with their attributes, and its text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.found.append((tag, dict(attrs)))

    def handle_data(self, data):
        self.text += data


def test_a_line_of_text_has_both_decisions_and_what_differs():
    report = Report()
    shown = report.add(row(search(("a", 0.6)), search(("a", 0.3), threshold=0.5), number=3))
    assert shown is not None
    assert row_line(shown) == (
        'line 3 (r3): matched_to_stranger: matched "a", score 0.6000, threshold 0.4500, margin +0.1500; '
        "now stranger, score 0.3000, threshold 0.5000, margin -0.2000 "
        '[outcome was "matched", is "stranger"; identity_id was "a", is ""; score was 0.6000, is 0.3000]'
    )
    refused = report.add(row(A, refusal("no_face")))
    assert refused is not None
    assert "; now no_face, 40004 NO_FACE [" in row_line(refused)
    late = report.add(row(refusal("expired"), A, number=9, differences=None))
    assert late is not None
    assert row_line(late).startswith("line 9 (r9): not compared: expired, 50480 TIMEOUT; now matched")
    near = report.add(row(A, STRANGER, remark="its decision is within rounding"))
    assert near is not None
    assert row_line(near).endswith("is 0.2000] (remark: its decision is within rounding)")


def test_every_table_has_a_title_an_explanation_and_full_rows():
    found = tables(reported(*week(3000)).findings())
    titles = [table.title for table in found]
    assert titles == [
        "Differences by kind",
        "Not compared",
        "Outcomes",
        "Tiers",
        "Acquisition",
        "Recognition (1:N)",
        "Trade-off",
        "Change of errors",
        "By device",
        "Latency",
    ]
    for table in found:
        assert table.words.endswith(".")
        assert {len(cells) for cells in table.rows} == {len(table.columns)}
    names = {cells[0] for table in found for cells in table.rows}
    assert {"EER", "FMR100", "FMR1000", "FNIR at FPIR 0.003", "FNIR at FPIR 0.01", "FNIR", "FPIR"} <= names


def test_a_report_without_truth_has_no_figures_of_recognition():
    titles = [table.title for table in tables(reported(row(A, A), row(A, B)).findings())]
    assert titles == ["Differences by kind", "Outcomes", "Tiers", "Acquisition", "By device"]


def path_points(path: str) -> list[tuple[float, float]]:
    return [(float(x), float(y)) for x, y in re.findall(r"(-?[\d.]+) (-?[\d.]+)", path)]


def test_every_plot_stays_inside_its_frame_and_has_words():
    drawn = plots(reported(*week(3000)).findings())
    assert [plot.key for plot in drawn] == [
        "scores-cosine",
        "known-scores-cosine",
        "det",
        "by-threshold",
        "latency",
    ]
    for plot in drawn:
        assert plot.title
        assert plot.words.endswith(".")
        assert plot.x_ticks
        assert plot.y_ticks
        for series in plot.series:
            assert "nan" not in series.path
            assert all(0 <= x <= WIDTH and 0 <= y <= HEIGHT for x, y in path_points(series.path)), series.name


@pytest.mark.parametrize("rows", [[], [row(A, A)], [row(A, A, expected="a")], [row(STRANGER, STRANGER, expected="")]])
def test_plots_of_few_rows_are_drawn_or_left_out(rows: list[Row]):
    for plot in plots(reported(*rows).findings()):
        assert all(0 <= x <= WIDTH and 0 <= y <= HEIGHT for s in plot.series for x, y in path_points(s.path))
    assert page(reported(*rows))


def test_the_page_escapes_every_text_and_allows_no_script_and_no_request():
    differing = [
        row(A, search((ATTACK, 0.7)), number=1, device=ATTACK, expected=ATTACK),
        row(A, None, number=2, trouble=ATTACK),
        row(refusal(ATTACK), search(("a", 0.2), outcome=ATTACK), number=3),
    ]
    text = page(reported(*differing), title=ATTACK, stopped=ATTACK)
    elements = Elements(text)
    assert not [tag for tag, _ in elements.found if tag in ("script", "link", "iframe", "object", "base", "form")]
    assert not [(tag, name) for tag, at in elements.found for name in at if name.startswith("on") or name == "style"]
    assert elements.text.count(ATTACK) >= 5
    links = [at.get("href") or at.get("src") or "" for _, at in elements.found]
    assert all(link == "" or link.startswith(("#", "data:image/jpeg;base64,")) for link in links)
    (policy,) = [at["content"] for _, at in elements.found if at.get("http-equiv") == "Content-Security-Policy"]
    assert policy is not None
    assert policy.startswith("default-src 'none'; style-src 'sha256-")
    assert "unsafe" not in policy


def test_the_page_shows_no_character_that_misleads_a_reader_and_cuts_long_texts():
    text = page(reported(row(A, search(("x" * 1000, 0.7)), device=HOSTILE)))
    assert not set(hostile_characters(text))
    assert "x" * 201 not in text


def test_the_page_has_a_card_per_differing_row_and_a_filter_per_kind():
    rows = [row(A, B, number=1), row(A, STRANGER, number=2), row(A, B, number=3), row(A, A, number=4)]
    elements = Elements(page(reported(*rows)))
    cards = [(at["id"], at["class"]) for tag, at in elements.found if tag == "article"]
    assert cards == [
        ("line-1", "row another_person"),
        ("line-3", "row another_person"),
        ("line-2", "row matched_to_stranger"),
    ]
    filters = [at["id"] for tag, at in elements.found if tag == "input"]
    assert filters == ["show-all", "show-another_person", "show-matched_to_stranger"]


def test_a_page_without_differences_says_so():
    assert "All 1 compared decisions are as recorded or expected." in page(reported(row(A, A)))
    assert "No decision was compared." in page(reported())


def verdicts(text: str) -> dict[str, bool]:
    """The headlines of a page, and whether each is one that all is well."""
    found = re.findall(r'<p class="(verdict[^"]*)">(.*?)</p>', text)
    return {words: css == "verdict" for css, words in found}


def test_the_headline_is_green_only_if_the_exit_status_is_0():
    same = [row(A, A, number=n) for n in range(9)]
    assert verdicts(page(reported(*same))) == {"All 9 compared decisions are as recorded or expected.": True}
    incomplete = "All 9 compared decisions are as recorded or expected, but the replay is not complete."
    alarm = row(A, None, number=10, trouble="the evidence contradicts the people of then")
    assert verdicts(page(reported(*same, alarm))) == {incomplete: False, "1 of 10 rows could not be decided.": False}
    assert verdicts(page(reported(*same), stopped="line 10 is damaged")) == {
        incomplete: False,
        "The replay ended before the last line: line 10 is damaged": False,
    }
    assert verdicts(page(reported(*same), damage=["line 10 is damaged"])) == {
        incomplete: False,
        "The capture is damaged: line 10 is damaged": False,
    }
    assert list(verdicts(page(reported(*same, row(A, B), alarm)))) == [
        "1 of 10 compared decisions differ.",
        "1 of 11 rows could not be decided.",
    ]


def test_a_remark_is_on_the_card_of_its_row_and_in_a_table():
    text = Elements(page(reported(row(A, B, remark="within rounding"), row(A, A, remark="the settings <of now>")))).text
    assert text.count("within rounding") == 2
    assert text.count("the settings <of now>") == 1
    assert "Remarks" in text


def test_every_plot_on_the_page_has_an_accessible_title():
    elements = Elements(page(reported(*week(500))))
    drawings = [at for tag, at in elements.found if tag == "svg"]
    assert len(drawings) == 5
    ids = {at["id"] for _, at in elements.found if "id" in at}
    for at in drawings:
        assert at["role"] == "img"
        assert set((at["aria-labelledby"] or "").split()) <= ids
    images = [at for tag, at in elements.found if tag == "img"]
    assert all(at["alt"] for at in images)


def test_the_candidates_of_then_and_now_are_shown_beside_the_face_and_once_where_they_are_one_person():
    _, face = face_picture(1)
    known = {f"{i:064x}": face_picture(i)[0] for i in range(3)}
    photos = {("a", 0): [(1, f"{1:064x}")], ("b", 0): [(2, f"{2:064x}")]}
    thumbnails = one_album(known.__getitem__, photos, 10_000_000)
    then = search(("a", 0.6), face=face)
    elements = Elements(page(reported(row(then, B, number=1), row(then, STRANGER, number=2)), thumbnails))
    assert [at["alt"] for tag, at in elements.found if tag == "img"] == [
        "request ",
        "candidate then a",
        "candidate now b",
        "request ",
        "candidate then and now a",
    ]


def test_of_several_pictures_the_report_shows_the_one_with_the_face_that_was_used():
    _, face = face_picture(1)
    first, best = "0" * 64, f"{1:064x}"
    pictures = tuple(
        PassagePicture(number=number, sha256=sha256, bytes=1, best=sha256 == best)
        for number, sha256 in enumerate((first, best))
    )
    then = msgspec.structs.replace(search(("a", 0.6), face=face), pictures=pictures)
    shown = reported_row(row(then, B), "different", None, None)
    assert (shown.picture, shown.face) == (best, face)
    alone = reported_row(row(search(("a", 0.6), face=face), B), "different", None, None)
    assert alone.picture == row(A, B).line.request.picture


def test_the_photo_of_the_candidate_of_now_comes_from_the_gallery_of_now():
    pictures = {f"{i:064x}": face_picture(i)[0] for i in range(3)}
    then = Album(pictures.__getitem__, {("a", 0): [(1, f"{1:064x}")]})
    now = Album(pictures.__getitem__, {("a", 0): [(1, f"{2:064x}")], ("b", 0): [(1, f"{2:064x}")]})
    sources = [
        at["src"] for tag, at in Elements(page(reported(row(A, B)), Thumbnails(then, now, 10**6))).found if tag == "img"
    ]
    alone = one_album(pictures.__getitem__, {}, 10**6)
    assert sources == [alone.of_request(f"{i:064x}", None) for i in (0, 1, 2)]


def test_thumbnails_beyond_the_limit_are_left_out():
    data, _ = face_picture(1)
    one = len(one_album(lambda _: data, {}, 10**6).of_request("0" * 64, None) or "")
    limited = one_album(lambda _: data, {}, 2 * one)
    assert [limited.of_request("0" * 64, None) is not None for _ in range(3)] == [True, True, False]


def test_500_rows_of_the_longest_texts_fit_into_the_file():
    long = "\u6f22<&" * 5000
    rows = [
        row(A, search((long + str(n), 0.7)), number=n, device=long + str(n), expected=long, trouble=None)
        for n in range(600)
    ]
    size = len(page(reported(*rows)).encode())
    assert size < MOST_PAGE_BYTES - MOST_PICTURE_BYTES


def image_of(data: bytes | None) -> np.ndarray:
    assert data is not None
    assert data.startswith(b"\xff\xd8")
    image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    assert image is not None
    return image


def test_a_thumbnail_is_a_new_jpeg_of_few_pixels():
    whole = image_of(thumbnail(jpeg(colours(960, 640))))
    assert whole.shape == (117, SIDE, 3)
    assert whole[20, 20].tolist() == pytest.approx([20, 20, 230], abs=25)
    png = encoded(colours(40, 30), ".png")
    assert image_of(thumbnail(png)).shape == (30, 40, 3)


def test_a_thumbnail_shows_the_part_around_the_face_upright():
    picture = colours(1600, 1200)  # red, green / blue, white
    corner = FaceBox(x=1300, y=100, width=100, height=120, confidence=0.9)
    part = image_of(thumbnail(jpeg(picture), corner))
    assert part.shape == (SIDE, SIDE, 3)
    assert part.reshape(-1, 3).mean(0) == pytest.approx([20, 230, 20], abs=12), "green only"
    turned = FaceBox(x=100, y=100, width=200, height=200, confidence=0.9, turned_degrees=90)
    part = image_of(thumbnail(jpeg(picture), turned))
    assert part.reshape(-1, 3).mean(0) == pytest.approx([20, 230, 20], abs=12), "top left after turning"


@pytest.mark.parametrize(
    "face",
    [
        FaceBox(x=-1e308, y=1e308, width=1e308, height=1e308, confidence=1),
        FaceBox(x=5000, y=5000, width=0, height=0, confidence=1),
        FaceBox(x=0, y=0, width=-5, height=-5, confidence=1, turned_degrees=-270),
    ],
)
def test_a_face_that_lies_nowhere_breaks_no_thumbnail(face: FaceBox):
    assert image_of(thumbnail(jpeg(colours(320, 240)), face)).size


@pytest.mark.parametrize("data", [b"", b"hello", png_bomb(), jpeg(colours())[:500]])
def test_bytes_that_are_no_sound_picture_have_no_thumbnail(data: bytes):
    assert thumbnail(data) is None


def people_line(offset: int, key: bytes, value: bytes | None) -> PeopleLine:
    return PeopleLine(offset=offset, time=0.0, key=key, value=value)


def face_line(offset: int, who: str, number: int, photo: bytes | None) -> PeopleLine:
    reference = None if photo is None else PhotoReference(sha256=photo, partition=0, offset=0)
    record = FaceRecord(identity_id=who, number=number, embedder="e", templates={}, photo=reference)
    return people_line(offset, face_key(who, number, "e"), encode(record))


PEOPLE = [
    people_line(0, person_key("a"), b"x"),
    face_line(1, "a", 0, b"\x01" * 32),
    face_line(2, "b", 0, b"\x02" * 32),
    people_line(3, face_key("a", 0, "e"), None),
    face_line(4, "a", 0, b"\x03" * 32),
    face_line(5, "c", 0, None),
    people_line(6, face_key("b", 0, "e"), b"\xc1 damaged"),
    people_line(7, b"face/", b""),
]


def test_the_photo_of_a_candidate_is_the_one_of_the_gallery_of_its_decision():
    shown = reported(row(search(("a", 0.6), gallery_version=3), search(("b", 0.6)))).shown()
    photos = photos_of(PEOPLE, shown)
    assert photos == {("a", 0): [(1, "01" * 32), (4, "03" * 32)], ("b", 0): [(2, "02" * 32)]}
    asked: list[str] = []

    def picture(sha256: str) -> bytes:
        asked.append(sha256[:2])
        return b""

    album = Album(picture, photos)
    thumbnails = Thumbnails(album, album, 1000)
    for version in (3, 5):
        assert thumbnails.of_candidate(album, "a", 0, version) is None
    assert asked == ["01", "03"]
    assert thumbnails.of_candidate(album, "nobody", 0, 9) is None
    assert thumbnails.of_candidate(album, "a", None, 9) is None


def test_the_people_who_are_enrolled_are_those_with_a_face():
    people = Enrolled(PEOPLE)
    assert [who for who in "abcd" if people.has(who, None)] == ["a", "b", "c"]


def test_the_json_of_findings_can_be_read_again():
    found = reported(*week(300)).findings()
    assert msgspec.json.decode(msgspec.json.encode(found), type=Findings) == found
