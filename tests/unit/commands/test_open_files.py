import resource

import pytest

from picturematch.open_files import room_for_connections

ENDLESS = resource.RLIM_INFINITY


@pytest.mark.parametrize(
    ("limits", "room", "limits_after"),
    [
        ((256, 4096), 1024, (1664, 4096)),
        ((256, ENDLESS), 1024, (1664, ENDLESS)),
        ((4096, 4096), 1024, (4096, 4096)),
        ((ENDLESS, ENDLESS), 1024, (ENDLESS, ENDLESS)),
        ((256, 1024), 384, (1024, 1024)),
        ((64, 64), 16, (64, 64)),
    ],
)
def test_the_limit_on_open_files_is_raised_as_far_as_it_goes(
    monkeypatch: pytest.MonkeyPatch, limits: tuple[int, int], room: int, limits_after: tuple[int, int]
) -> None:
    now = [limits]
    monkeypatch.setattr(resource, "getrlimit", lambda _: now[-1])
    monkeypatch.setattr(resource, "setrlimit", lambda _, new: now.append(new))
    assert room_for_connections(1024) == room
    assert now[-1] == limits_after


def test_a_system_that_forbids_raising_it_leaves_room_for_fewer(monkeypatch: pytest.MonkeyPatch) -> None:
    def forbid(_: int, new: tuple[int, int]) -> None:
        raise ValueError("not allowed to raise maximum limit")

    monkeypatch.setattr(resource, "getrlimit", lambda _: (768, ENDLESS))
    monkeypatch.setattr(resource, "setrlimit", forbid)
    assert room_for_connections(1024) == 128
