"""What each network, and a whole look, costs with each runtime: ONNX Runtime and OpenVINO in turns, in one thread."""

import time
from collections.abc import Callable, Mapping, Sequence
from typing import get_args

import msgspec
import numpy as np
from rich.console import Console
from rich.table import Table

from bench.stages import ALL_BUT_LIVENESS, DEFAULT, Spread, StageBench, spread_of
from engine.gallery.people import Snapshot
from engine.vision.networks.build import build_model_set
from engine.vision.ports import ModelSet
from engine.vision.tensor import Tensor
from models.errors import RuntimeUnavailable
from models.manifest import Manifest, NetworkEntry, Role
from models.network import Network
from models.openvino_runtime import require_openvino
from models.runtimes import REFERENCE, ROUNDING, Runtime
from models.store import ModelStore
from picturematch.settings import Settings

DETECTOR_SIDES = (192, 256)
"""Height and width of what the detector first looks at in a picture of 640x480."""

EXACT: tuple[Role, ...] = ("detector", "landmarks", "embedder")
"""The networks that are never run in bfloat16, because embeddings depend on them."""

QUICKEST: Mapping[Role, Runtime] = {"liveness": ROUNDING, "pose": ROUNDING, "age": ROUNDING, "sex": ROUNDING}
"""What may run in bfloat16, and does so in the last of the whole looks."""

_LOOKS = (DEFAULT, ALL_BUT_LIVENESS, "liveness")


class NetworkCost(msgspec.Struct, frozen=True):
    """Milliseconds of processor time of one call, by runtime. `shape`: that of the input."""

    role: Role
    shape: Sequence[int]
    spent: Mapping[Runtime, Spread]


class LookCost(msgspec.Struct, frozen=True):
    """Milliseconds of processor time of whole looks and of liveness, by stage. `runtimes`: what ran the networks."""

    runtimes: str
    stages: Mapping[str, Spread]


class RuntimeReport(msgspec.Struct, frozen=True):
    """The costs of all networks and of whole looks."""

    networks: Sequence[NetworkCost]
    looks: Sequence[LookCost]


def available() -> tuple[Runtime, ...]:
    """Return the runtimes that this machine has: what is not installed, or what its processor lacks, is left out."""
    found: list[Runtime] = [REFERENCE]
    for runtime in get_args(Runtime)[1:]:
        try:
            require_openvino(bfloat16=runtime == ROUNDING)
        except RuntimeUnavailable:
            continue
        found.append(runtime)
    return tuple(found)


def with_runtimes(settings: Settings, manifest: Manifest, runtimes: Mapping[Role, Runtime]) -> ModelStore:
    """Return a store of the same networks that runs those of `runtimes` with these runtimes, the others as usual."""
    return ModelStore(settings.models.folder, manifest, {str(role): runtime for role, runtime in runtimes.items()})


def made_up_input(entry: NetworkEntry) -> Tensor:
    """Return an input of the size that the network usually gets, of noise."""
    height, width = DETECTOR_SIDES if entry.role == "detector" else (entry.input.height or 0, entry.input.width or 0)
    channels = 1 if entry.input.colour == "grey" else 3
    shape = (1, channels, height, width) if entry.input.layout == "nchw" else (1, height, width, channels)
    return np.random.default_rng(1).normal(size=shape).astype(np.float32)


class RuntimeBench:
    """Times networks and looks with every runtime, in turns."""

    def __init__(self, settings: Settings, manifest: Manifest, snapshot: Snapshot, runtimes: Sequence[Runtime]) -> None:
        self._manifest = manifest
        roles = [entry.role for entry in manifest.networks]
        stores = {name: with_runtimes(settings, manifest, dict.fromkeys(roles, name)) for name in runtimes}
        self._networks = {role: {name: store.open(role) for name, store in stores.items()} for role in roles}
        mixes: dict[str, Mapping[Role, Runtime]] = {
            name: dict.fromkeys(roles, name) for name in runtimes if name != ROUNDING
        }
        if ROUNDING in runtimes:
            mixes[f"{REFERENCE}, {' and '.join(role for role in QUICKEST if role in roles)} {ROUNDING}"] = QUICKEST
        self._looks = {
            name: StageBench(_models(settings, manifest, mix), snapshot, settings.pictures.max_pixels, time.thread_time)
            for name, mix in mixes.items()
        }

    def measure(self, jpegs: Sequence[bytes], rounds: int, step: Callable[[str], None]) -> RuntimeReport:
        """Run so many rounds, each with one call of every network and one picture, with every runtime."""
        calls: dict[Role, dict[Runtime, list[float]]] = {}
        looks: dict[str, dict[str, list[float]]] = {}
        inputs = {role: made_up_input(self._manifest.network(role)) for role in self._networks}
        for role, networks in self._networks.items():  # what is planned at the first calls is outside the count
            for network in (*networks.values(), *networks.values()):
                network(inputs[role])
        for bench in self._looks.values():
            bench.run(jpegs[:1])
        for number in range(rounds):
            step(f"runtimes, round {number + 1}")
            for role, networks in self._networks.items():
                for name, network in networks.items():
                    calls.setdefault(role, {}).setdefault(name, []).append(_spent_ms(network, inputs[role]))
            for mix, bench in self._looks.items():
                spent, _ = bench.run([jpegs[number % len(jpegs)]])
                for stage in _LOOKS:
                    looks.setdefault(mix, {}).setdefault(stage, []).extend(spent.get(stage, ()))
        return RuntimeReport(
            [
                NetworkCost(role, inputs[role].shape, {name: spread_of(values) for name, values in by_runtime.items()})
                for role, by_runtime in calls.items()
            ],
            [
                LookCost(mix, {stage: spread_of(values) for stage, values in stages.items() if values})
                for mix, stages in looks.items()
            ],
        )


def _models(settings: Settings, manifest: Manifest, mix: Mapping[Role, Runtime]) -> ModelSet:
    store = with_runtimes(settings, manifest, mix)
    return build_model_set(manifest, store.open, store.identity)


def _spent_ms(network: Network, tensor: Tensor) -> float:
    began = time.thread_time()
    network(tensor)
    return (time.thread_time() - began) * 1000.0


def print_runtimes(console: Console, report: RuntimeReport) -> None:
    """Print the costs side by side, with their ratio to those of ONNX Runtime."""
    runtimes = list(report.networks[0].spent)
    title = "milliseconds of processor time of one call, median / 95th percentile (median as a ratio to ONNX Runtime)"
    table = Table(title=title)
    for column in ("network", "input", *runtimes):
        table.add_column(column, justify="left" if column in ("network", "input") else "right")
    for network in report.networks:
        name = f"{network.role} *" if network.role in EXACT and ROUNDING in runtimes else network.role
        reference = network.spent[REFERENCE]
        cells = [_cell(network.spent[runtime], reference) for runtime in runtimes]
        table.add_row(name, "x".join(map(str, network.shape)), *cells)
    console.print(table)
    if ROUNDING in runtimes:
        console.print("* never runs in bfloat16, because embeddings depend on it (docs/models.md)")
    looks = Table(title="the same of whole looks at 640x480, and of liveness")
    for column in ("runtimes", *report.looks[0].stages):
        looks.add_column(column, justify="left" if column == "runtimes" else "right")
    for look in report.looks:
        before = report.looks[0].stages
        looks.add_row(look.runtimes, *(_cell(spread, before[stage]) for stage, spread in look.stages.items()))
    console.print(looks)


def _cell(spread: Spread, reference: Spread) -> str:
    return f"{spread.median_ms:.2f} / {spread.p95_ms:.2f} ({spread.median_ms / reference.median_ms:.2f})"
