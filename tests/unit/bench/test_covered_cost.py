import numpy as np
import pytest
from click.testing import CliRunner

from bench import covered_cost
from bench.covered_cost import MadeUpCurves, cost_among, made_up_people
from contract.terms import COVERS
from engine.covered_search import near_enough
from engine.gallery.port import Scope


def test_each_size_gets_a_row_with_what_covered_templates_add() -> None:
    finished = CliRunner().invoke(covered_cost.main, ["--people", "300", "--people", "1200", "--searches", "5"])
    assert finished.exit_code == 0, finished.output
    for said in ("300", "1,200", "covered templates add", "of the search", "people compared"):
        assert said in finished.output


def test_as_many_made_up_people_are_near_enough_as_real_ones_would_be() -> None:
    chance = np.random.default_rng(5)
    snapshot = made_up_people(2000, chance)
    probes = chance.standard_normal((40, covered_cost.DIMENSION), np.float32)
    probes /= np.linalg.norm(probes, axis=1, keepdims=True)
    cost = cost_among(snapshot, list(probes), MadeUpCurves())
    assert cost.people == 2000
    assert cost.near == pytest.approx(20, rel=0.25), "the false match rate of the near people is 1e-2"
    near = snapshot.gallery.above(probes[0], Scope(), near_enough(MadeUpCurves(), 2000))
    for cover in COVERS:
        assert len(snapshot.covered.nearest(cover, probes[0], near)) == len(near) > 0


def test_a_probe_of_an_enrolled_person_is_no_stranger() -> None:
    snapshot = made_up_people(20, np.random.default_rng(5))
    (probe,) = snapshot.covered.vectors[:1, 0].astype(np.float32)
    reached = MadeUpCurves(covered_curves=dict.fromkeys(COVERS, MadeUpCurves().fmr_curve))
    mate = snapshot.gallery.vector(("person-0", 0))
    assert mate is not None
    both = (probe + mate) / np.linalg.norm(probe + mate)
    with pytest.raises(ValueError, match="recognised by a template"):
        cost_among(snapshot, [both.astype(np.float32)], reached)
