"""Which networks a model set opens, and which it can do without."""

import msgspec
import pytest

from engine.vision.networks.build import build_model_set
from engine.vision.networks.live import LivenessNetwork
from engine.vision.tensor import Run, Tensor
from models.errors import NotInstalled
from models.manifest import REQUIRED_ROLES, Manifest, Role, default_manifest

MANIFEST = default_manifest()


def built(manifest: Manifest = MANIFEST, missing: tuple[Role, ...] = ()):
    def run(tensor: Tensor) -> tuple[Tensor, ...]:
        raise AssertionError("nothing runs here")

    def open_network(role: Role) -> Run:
        if role in missing:
            raise NotInstalled(f"{role} is not installed")
        return run

    return build_model_set(manifest, open_network, lambda role: f"identity of {role}")


def test_every_opened_network_is_named_by_its_identity():
    models = built()

    assert dict(models.identities) == {entry.role: f"identity of {entry.role}" for entry in MANIFEST.networks}
    assert models.age is not None
    assert models.sex is not None


def test_without_the_networks_of_age_and_sex_the_engine_starts_all_the_same():
    models = built(missing=("age", "sex"))

    assert (models.age, models.sex) == (None, None)
    assert [role for role, _ in models.identities] == list(REQUIRED_ROLES)
    without = Manifest(networks=tuple(entry for entry in MANIFEST.networks if entry.role in REQUIRED_ROLES))
    assert built(without).age is None


def test_a_network_for_infrared_liveness_is_opened_where_a_manifest_has_one():
    own = msgspec.structs.replace(MANIFEST.network("liveness"), role="infrared_liveness", name="ours")

    assert built().infrared_liveness is None
    models = built(msgspec.structs.replace(MANIFEST, networks=(*MANIFEST.networks, own)))
    assert isinstance(models.infrared_liveness, LivenessNetwork)
    assert dict(models.identities)["infrared_liveness"] == "identity of infrared_liveness"


@pytest.mark.parametrize("role", REQUIRED_ROLES)
def test_without_a_required_network_it_does_not(role: Role):
    with pytest.raises(NotInstalled):
        built(missing=(role,))


def test_a_network_that_the_operator_brings_is_never_left_out_in_silence():
    networks = tuple(
        msgspec.structs.replace(entry, package=None, path=None, sha256=None, file="ours.onnx")
        if entry.role == "age"
        else entry
        for entry in MANIFEST.networks
    )
    with pytest.raises(NotInstalled):
        built(msgspec.structs.replace(MANIFEST, networks=networks), missing=("age",))
