"""Nothing about anybody's doors is reported to anybody."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.commands import ROOT, environment


@pytest.mark.parametrize("runtime", ["onnxruntime", "openvino"])
def test_opening_the_networks_library_leaves_no_trace_of_telemetry(tmp_path: Path, runtime: str):
    # The telemetry of each keeps an identifier in a file: of the folder for temporary files, or of the home folder.
    ours = {name: value for name, value in environment().items() if name != "ORT_DISABLE_TELEMETRY"}
    own = {"TMPDIR": str(tmp_path), "HOME": str(tmp_path), "CI": ""}
    program = (
        "from models.network import Network; from tests.support.tiny_models import tiny_embedder; "
        f"Network(tiny_embedder(), (), {runtime!r})"
    )
    subprocess.run([sys.executable, "-c", program], cwd=ROOT, env={**ours, **own}, check=True)
    assert list(tmp_path.rglob("*")) == []
