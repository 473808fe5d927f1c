"""bench.start_up starts a process on a log of its own, which must then search everybody."""

import pytest
from click.testing import CliRunner

from bench import start_up
from bench.people import made_up_features, people_records


def test_everybody_is_searched_after_the_start_and_each_figure_is_printed_beside_its_aim() -> None:
    finished = CliRunner().invoke(start_up.main, ["--people", "10000"], catch_exceptions=False)
    assert finished.exit_code == 0
    for words in ("ready from the log alone, s", "ready from the local copy, s", "memory beyond an empty gallery"):
        assert words in finished.stdout
    for aim in (120, 10, 1700):
        assert f"at most {aim} " in finished.stdout


def test_a_start_that_misses_somebody_is_no_figure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(start_up, "_in_a_process", lambda _: start_up.Started(9_999, 1.0, 1.0, 1.0, 1.0, 1.0))
    with pytest.raises(RuntimeError, match="9999 templates can be searched instead of 10000"):
        CliRunner().invoke(start_up.main, ["--people", "10000"], catch_exceptions=False)


def test_people_in_blocks_have_names_of_their_own() -> None:
    features = made_up_features(4, 8)
    whole = people_records(features, "e")
    blocks = [line for first in (0, 2) for line in people_records(features[first : first + 2], "e", first=first)]
    assert [(line.key, line.value) for line in blocks] == [(line.key, line.value) for line in whole]
