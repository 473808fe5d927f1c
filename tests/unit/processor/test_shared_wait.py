"""How long a processed request may wait for later ones that share its transaction."""

from types import SimpleNamespace

import pytest

from processor.commits import shared_wait_s


@pytest.mark.parametrize(
    ("age_s", "left_s", "usual_s", "wait_s"),
    [
        (0.01, 4.0, 0.03, 0.03),
        (0.4, 4.0, 0.03, 0.1),
        (100.0, None, 0.03, 0.5),
        (100.0, 4.0, 0.03, 0.5),
        (4.0, 5.0, 1.0, 1.0),
        (4.0, 0.4, 0.03, 0.1),
        (4.0, -1.0, 0.03, 0.0),
        (-100.0, 4.0, 0.03, 0.03),
        (4.0, 4.0, 0.0, 0.0),
    ],
    ids=[
        "usual",
        "under load",
        "clocks differ",
        "cap",
        "asked for",
        "soon too late",
        "too late",
        "clock behind",
        "switched off",
    ],
)
def test_it_is_a_share_of_the_time_taken_and_of_the_time_left(
    age_s: float, left_s: float | None, usual_s: float, wait_s: float
) -> None:
    now_s = 1000.0
    done = SimpleNamespace(
        request=SimpleNamespace(received_time_s=now_s - age_s),
        envelope=SimpleNamespace(deadline_s=None if left_s is None else now_s + left_s),
    )
    assert shared_wait_s(done, now_s, usual_s) == pytest.approx(wait_s)  # type: ignore[arg-type]
