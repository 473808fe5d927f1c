from collections.abc import Iterator
from dataclasses import replace
from itertools import count

from bench.cores import CoreBench
from bench.overhead import DirectEngine
from bench.stages import ALL_BUT_LIVENESS, DEFAULT, StageBench, spread_of
from engine.vision.decode.jpeg import encode_jpeg
from engine.vision.networks.standin import draw_face, draw_scene, stand_in_models
from engine.vision.ports import Embedding, Face, Image
from engine.vision.quality import items

MODELS = stand_in_models()
GALLERY = DirectEngine(MODELS, [], 3).snapshot
WITH_FACE = encode_jpeg(draw_scene(320, 240, [(draw_face(1, 100), 90, 60)]))
WITHOUT_FACE = encode_jpeg(draw_scene(320, 240))
MAX_PIXELS = 320 * 240


def ticking() -> Iterator[float]:
    """A clock that has gone on by a second whenever it is looked at."""
    return (float(seconds) for seconds in count())


def stage_bench() -> StageBench:
    ticks = ticking()
    return StageBench(MODELS, GALLERY, MAX_PIXELS, lambda: next(ticks))


def test_every_stage_of_every_picture_is_timed():
    spent, refused = stage_bench().run([WITH_FACE, WITH_FACE])

    assert refused == 0
    wanted = {"decode", "detect", "pose", "quality", "embed", "search", "liveness", ALL_BUT_LIVENESS, DEFAULT}
    assert wanted <= set(spent)
    assert all(len(values) == 2 and min(values) > 0 for values in spent.values())


def test_the_pose_is_taken_out_of_the_quality_and_liveness_out_of_the_whole():
    spent, _ = stage_bench().run([WITH_FACE])
    stages = {name: values[0] for name, values in spent.items()}

    # By the ticking clock each stage takes a second, and quality three: its own two ends and the pose's look between.
    assert stages["pose"] == 1000.0
    assert stages["quality"] == 2000.0
    parts = sum(stages[name] for name in stages if name not in (ALL_BUT_LIVENESS, DEFAULT, "liveness"))
    assert stages[ALL_BUT_LIVENESS] > parts


def test_the_default_settings_measure_no_pose():
    spent, _ = stage_bench().run([WITH_FACE])

    assert spent[DEFAULT][0] < spent[ALL_BUT_LIVENESS][0]


def test_a_picture_without_a_face_is_counted_and_not_timed():
    spent, refused = stage_bench().run([WITHOUT_FACE, WITH_FACE])

    assert refused == 1
    assert len(spent["decode"]) == 1


def test_every_quality_item_is_timed(monkeypatch):
    measured: list[str] = []

    def noted(name, measure):
        def one(*arguments):
            measured.append(name)
            return measure(*arguments)

        return one

    monkeypatch.setattr(items, "_ITEMS", {name: noted(name, measure) for name, measure in items._ITEMS.items()})
    stage_bench().run([WITH_FACE])

    assert set(measured) == set(items._ITEMS)


def test_the_second_decode_of_a_big_photo_is_livenesss():
    big = encode_jpeg(draw_scene(3200, 2400, [(draw_face(1, 1000), 900, 600)]))
    ticks = ticking()
    spent, refused = StageBench(MODELS, GALLERY, 3200 * 2400, lambda: next(ticks)).run([big])

    assert refused == 0
    # By the ticking clock, a second each.
    assert spent["decode"] == [1000.0]
    assert spent["liveness"] == [2000.0]


def test_a_picture_without_a_face_costs_what_is_done_until_that_is_known():
    spent, others = stage_bench().run_without_face([WITHOUT_FACE, WITH_FACE, WITHOUT_FACE])

    assert others == 1
    assert set(spent) == {"decode", "detect", DEFAULT}
    assert all(len(values) == 2 and min(values) > 0 for values in spent.values())


def test_the_pictures_of_a_run_over_several_threads_are_all_matched():
    seen: list[Face] = []

    class Counting:
        dimension, threshold, fmr_curve = MODELS.embedder.dimension, 0.5, ()
        covered_curves = MODELS.embedder.covered_curves

        def __call__(self, image: Image, face: Face) -> Embedding:
            seen.append(face)
            return MODELS.embedder(image, face)

    bench = CoreBench(replace(MODELS, embedder=Counting()), GALLERY, MAX_PIXELS)
    done = bench.run([WITH_FACE, WITHOUT_FACE], 10, 2)

    assert len(seen) == 5
    assert done.per_second > 0


def test_without_the_systems_word_on_waiting_there_is_no_undisturbed_rate(monkeypatch):
    monkeypatch.setattr("bench.cores._waited_for_a_core_s", lambda: None)

    assert CoreBench(MODELS, GALLERY, MAX_PIXELS).run([WITH_FACE], 2, 1).undisturbed is None


def test_time_spent_waiting_for_a_core_does_not_count(monkeypatch):
    waited = (-float(second) for second in count())
    # Each picture has waited a second less than nothing: so it took a second more.
    monkeypatch.setattr("bench.cores._waited_for_a_core_s", lambda: next(waited))

    undisturbed = CoreBench(MODELS, GALLERY, MAX_PIXELS).run([WITH_FACE], 3, 1).undisturbed

    assert undisturbed is not None
    assert 0 < undisturbed < 1


def test_a_spread_is_the_median_and_the_95th_percentile():
    spread = spread_of([float(value) for value in range(101)])

    assert (spread.median_ms, spread.p95_ms) == (50.0, 95.0)
