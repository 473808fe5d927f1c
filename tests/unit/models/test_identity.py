"""The identity of an embedder: it changes with everything that changes its embeddings, and with nothing else."""

from pathlib import Path
from typing import Any

import pytest
from msgspec import structs

from models.identity import identity_of_network
from models.manifest import NetworkEntry, default_manifest
from models.ready import ready_embedder, ready_embedders
from models.recipe import RECIPE_VERSION, identity_of
from models.store import ModelStore

ANY_FILE = "c" * 64
SHIPPED = [default_manifest().network("embedder"), *(ready.entry for ready in ready_embedders())]
CHANGES: list[dict[str, Any]] = [
    {"colour": "grey"},
    {"layout": "nhwc"},
    {"width": 128},
    {"height": 96},
    {"mean": (127.5, 127.5, 127.4)},
    {"divisor": (126.0, 126.0, 126.0)},
]


@pytest.mark.parametrize("entry", SHIPPED, ids=lambda entry: entry.name)
def test_the_feeding_that_ships_is_not_named_so_that_galleries_stay_readable(entry: NetworkEntry) -> None:
    source = entry.sha256 or ANY_FILE
    assert identity_of_network(entry, source) == f"{source}-r{RECIPE_VERSION}"


@pytest.mark.parametrize("entry", SHIPPED, ids=lambda entry: entry.name)
def test_every_other_feeding_makes_another_embedder(entry: NetworkEntry) -> None:
    source = entry.sha256 or ANY_FILE
    others = [structs.replace(entry, input=structs.replace(entry.input, **change)) for change in CHANGES]
    swapped = "bgr" if entry.input.colour == "rgb" else "rgb"
    others += [
        structs.replace(entry, input=structs.replace(entry.input, colour=swapped)),
        structs.replace(entry, mirrored=not entry.mirrored),
        structs.replace(entry, outputs=("another",)),
    ]
    identities = {identity_of_network(other, source) for other in (entry, *others)}
    assert len(identities) == 1 + len(others)


def test_what_changes_no_embedding_changes_no_identity() -> None:
    entry = SHIPPED[0]
    same = structs.replace(
        entry,
        name="renamed",
        licence="another",
        threshold=0.1,
        fmr_curve=(),
        norm_typical=None,
        input=structs.replace(entry.input, box_scale=2.0, square=True),
    )
    assert identity_of_network(same, ANY_FILE) == identity_of_network(entry, ANY_FILE)


def test_a_digest_stays_what_it_is() -> None:
    entry = ready_embedder("auraface").entry
    changed = structs.replace(entry, input=structs.replace(entry.input, colour="bgr"))
    assert identity_of_network(changed, ANY_FILE) == f"{ANY_FILE}-r{RECIPE_VERSION}-i7958ca52"


def test_other_networks_are_named_by_their_file_alone() -> None:
    entry = default_manifest().network("liveness")
    changed = structs.replace(entry, input=structs.replace(entry.input, mean=(1.0, 2.0, 3.0)))
    assert identity_of_network(changed, ANY_FILE) == identity_of(ANY_FILE)


def test_the_store_names_the_embedder_with_its_feeding(tmp_path: Path) -> None:
    manifest = default_manifest()
    entry = manifest.network("embedder")
    changed = structs.replace(entry, mirrored=False)
    store = ModelStore(tmp_path, structs.replace(manifest, networks=(changed,)))
    assert store.identity("embedder") == identity_of_network(changed, entry.sha256 or "")
    assert "-i" in store.identity("embedder")
    assert store.status()[0].identity == store.identity("embedder")
