import errno
import io
import subprocess
import sys

import pytest
from rich.console import Console
from rich.progress import Progress

import picturematch.shell
from broker.port import BrokerUnavailable
from clients.errors import CannotRun
from contract.captures.values import CaptureError
from picturematch.options import UserError
from picturematch.shell import Steps, progress, run
from sinks.port import SinkError


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (BrokerUnavailable("the log is gone"), "the log is gone"),
        (SinkError("full"), "full"),
        (CaptureError("line 3"), "line 3"),
        (CannotRun("no server"), "no server"),
        (PermissionError(errno.EACCES, "Permission denied", "/x"), "/x: Permission denied"),
    ],
)
def test_what_the_user_can_put_right_is_one_sentence_and_status_2(error: Exception, sentence: str) -> None:
    async def fail() -> None:
        raise error

    with pytest.raises(UserError) as caught:
        run(fail())
    assert (caught.value.message, caught.value.exit_code) == (sentence, 2)


def test_a_mistake_of_the_program_stays_visible() -> None:
    async def fail() -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        run(fail())


def test_without_a_terminal_progress_is_a_line_now_and_then(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    now_s = [0.0]
    monkeypatch.setattr(picturematch.shell.time, "monotonic", lambda: now_s[0])
    steps = Steps("enrolling", 40)
    for _ in range(20):
        now_s[0] += 0.5
        steps.step()
    steps.print_line("data")
    steps.print_line("trouble", problem=True)
    out, err = capsys.readouterr()
    assert out == "data\n"
    assert err == "enrolling: 10 of 40\nenrolling: 20 of 40\ntrouble\n"


def test_without_a_terminal_the_last_line_tells_of_all_and_a_short_run_has_none(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    now_s = [0.0]
    monkeypatch.setattr(picturematch.shell.time, "monotonic", lambda: now_s[0])
    for title, count in (("short", 3), ("uneven", 12), ("even", 10)):
        with progress(title, count) as steps:
            for _ in range(count):
                now_s[0] += 0.5
                steps.step()
    assert capsys.readouterr().err == "uneven: 10 of 12\nuneven: 12 of 12\neven: 10 of 10\n"


def test_a_run_that_failed_is_not_told_as_finished(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    now_s = [0.0]
    monkeypatch.setattr(picturematch.shell.time, "monotonic", lambda: now_s[0])

    def fail_at_12() -> None:
        with progress("enrolling", 40) as steps:
            for _ in range(12):
                now_s[0] += 0.5
                steps.step()
            raise CannotRun("the server is gone")

    with pytest.raises(CannotRun):
        fail_at_12()
    assert capsys.readouterr().err == "enrolling: 10 of 40\n"


def test_on_a_terminal_a_problem_stands_on_a_line_of_its_own() -> None:
    screen = io.StringIO()
    console = Console(file=screen, force_terminal=True, width=80)
    with Progress(console=console, auto_refresh=False) as bar:
        steps = picturematch.shell._Bar("enrolling", 2, bar)
        steps.step()
        bar.refresh()
        steps.print_line("5.jpg: [bold]no face", problem=True)
    assert "\x1b[2K5.jpg: [bold]no face\n" in screen.getvalue()


@pytest.mark.parametrize("command", ["events", "record", "sink", "dead_letters"])
def test_a_command_that_reads_the_log_does_not_wait_for_libraries_of_others(command: str) -> None:
    script = f"import sys, picturematch.commands.{command}; print(*sorted(set(sys.modules)))"
    loaded = subprocess.run([sys.executable, "-c", script], capture_output=True, check=True, text=True).stdout.split()
    assert f"picturematch.commands.{command}" in loaded
    assert not {"aiohttp", "cv2", "onnxruntime", "onnx"} & set(loaded)
