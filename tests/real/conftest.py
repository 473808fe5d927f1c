"""The real networks, installed once into the cache folder; where they cannot be had, the tests are skipped, loudly."""

import os

import numpy as np
import pytest

from engine.vision.decode.versions import decode
from engine.vision.networks.build import build_model_set
from engine.vision.ports import Image, ModelSet
from models.errors import ModelError
from models.store import ModelStore
from picturematch.networks import store_of
from picturematch.settings import load_settings

MAX_PIXELS = 32_000_000


_MISSING = pytest.StashKey[str]()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """One line, whatever the number of skipped tests, that says how to get the networks."""
    if (reason := config.stash.get(_MISSING, None)) is not None:
        terminalreporter.write_line(f"THE REAL NETWORKS WERE NOT TESTED: {reason}", red=True, bold=True)


@pytest.fixture(scope="session")
def store(request: pytest.FixtureRequest) -> ModelStore:
    """The installed networks and samples."""
    store = store_of(load_settings(None, os.environ))
    try:
        store.install(samples=True)
    except ModelError as error:
        if os.environ.get("TESTS_REQUIRE_MODELS") == "1":
            raise
        request.config.stash[_MISSING] = str(error)
        pytest.skip("the real networks cannot be had")
    return store


@pytest.fixture(scope="session")
def models(store: ModelStore) -> ModelSet:
    """The real model set."""
    return build_model_set(store.manifest, store.open, store.identity)


@pytest.fixture(scope="session")
def astronaut(store: ModelStore) -> Image:
    """One face, frontal, smiling; 512 x 512."""
    return decode(store.sample("astronaut.png").read_bytes(), MAX_PIXELS)


@pytest.fixture(scope="session")
def coffee(store: ModelStore) -> Image:
    """No face; 600 x 400."""
    return decode(store.sample("coffee.png").read_bytes(), MAX_PIXELS)


@pytest.fixture(scope="session")
def vector(models: ModelSet, astronaut: Image) -> np.ndarray:
    """The astronaut's embedding."""
    return models.embedder(astronaut, models.detector(astronaut)[0]).vector
