import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pasm_aug.report.gallery import drop_picks, gallery_picks, spread
from pasm_aug.report.movement import Movement, movements, open_points
from pasm_aug.rounds.results import RoundResult
from tests.made_runs import made_points, made_run
from tests.shapes import Shapes

DATA = Shapes(30)


def test_points_move_by_the_distance_between_the_rounds(tmp_path):
    run = made_run(tmp_path, DATA, rounds=3, baselines=())
    rounds, damaged = open_points(run.main)
    assert damaged == []
    assert [(r.round, r.teacher_round) for r in rounds] == [(1, 0), (2, 1), (3, 2)]
    found = movements(rounds)
    assert [(m.before, m.after) for m in found] == [(1, 2), (2, 3)]
    everyone = np.arange(30)
    for m, old, new in zip(found, rounds, rounds[1:], strict=False):
        start, end = (r.mined.lookup(indices=everyone).xy[:, 0].astype(float) for r in (old, new))
        assert np.allclose(m.distance, np.linalg.norm(end - start, axis=1))


@given(st.integers(0, 20), st.integers(1, 20), st.integers(1, 9))
def test_shares_count_the_points_that_stayed_and_those_that_moved_less(still, moved, step):
    start = np.zeros((still + moved, 2), np.int64)
    end = start.copy()
    end[still:, 0] = step
    m = Movement(1, 2, start, end, np.zeros(len(start)))
    assert m.stayed == pytest.approx(still / (still + moved))
    assert m.within(step) == m.stayed
    assert m.within(step + 0.5) == 1.0


def test_the_same_points_stay_and_lie_nearer_than_those_of_other_images(tmp_path):
    run = made_run(tmp_path, DATA, baselines=())
    first, second = (tmp_path / f"round-{n}" / "positions.safetensors" for n in (1, 2))
    second.write_bytes(first.read_bytes())
    (m,) = movements(open_points(run.main)[0])
    assert m.stayed == 1.0
    assert np.median(m.chance) > 0


def test_rounds_that_mined_other_samples_are_not_compared(tmp_path):
    run = made_run(tmp_path, DATA, baselines=())
    made_points(tmp_path / "round-2" / "positions.safetensors", np.zeros(9))
    assert movements(open_points(run.main)[0]) == []


def test_an_arm_that_moves_the_points_has_its_own_places_and_the_mined_ones(tmp_path):
    run = made_run(tmp_path, DATA, arm="cam-peak", baselines=(), rounds=1)
    ((points,), _) = open_points(run.main)
    assert points.used.path.endswith("cam-peak.safetensors")
    assert points.mined.path.endswith("positions.safetensors")
    hit, xy = points.places(np.arange(30))
    assert hit.all()
    assert np.array_equal(xy, points.used.lookup(indices=np.arange(30)).xy[:, 0])


def test_a_region_lies_where_its_map_is_highest(tmp_path):
    run = made_run(tmp_path, DATA, arm="cam-region", baselines=(), rounds=1)
    ((points,), _) = open_points(run.main)
    found = points.used.lookup(indices=np.arange(30))
    best = [xy[p.argmax()].tolist() for xy, p in zip(found.xy, found.p_point, strict=True)]
    assert points.places(np.arange(30))[1].tolist() == best
    assert points.mined_points() is None
    assert movements([points]) == []


def test_a_damaged_file_is_named_and_the_other_rounds_stay(tmp_path):
    run = made_run(tmp_path, DATA, baselines=())
    file = tmp_path / "round-1" / "positions.safetensors"
    file.write_bytes(file.read_bytes()[:-5])
    rounds, (word,) = open_points(run.main)
    assert [r.round for r in rounds] == [2]
    assert str(file) in word


def test_the_greatest_drops_come_first_two_of_a_class_at_most(tmp_path):
    run = made_run(tmp_path, DATA, baselines=())
    rounds, _ = open_points(run.main)
    shown = gallery_picks(DATA.labels)
    picks = drop_picks(DATA.labels, rounds, but=shown)
    assert not set(picks) & set(shown)
    assert len(picks) == 8
    drop = np.max([p.p_clean - p.p_point[:, 0] for r in rounds if (p := r.mined_points()) is not None], axis=0)
    assert np.all(np.diff(drop[picks[:6]]) <= 0)
    assert sorted(DATA.labels[picks[:6]]) == [0, 0, 1, 1, 2, 2]
    left = [i for i in range(30) if i not in shown]
    assert picks[0] == max(left, key=lambda i: drop[i])
    assert drop_picks(DATA.labels, []) == []


def test_of_many_rounds_a_few_are_shown_evenly_with_the_first_and_the_last():
    class Round:
        def __init__(self, number):
            self.round = number

    for count in range(1, 20):
        shown = [r.round for r in spread([Round(n) for n in range(count)])]
        assert shown[0] == 0
        assert shown[-1] == count - 1
        assert len(set(shown)) == min(count, 4)
    assert spread([]) == []


def test_a_run_without_points_has_none(tmp_path):
    assert open_points([RoundResult("none", 1, str(tmp_path), 0, True, None, None)]) == ([], [])
