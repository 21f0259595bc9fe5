"""What `pasm-aug run` promises of its defaults: a teacher in the right regime, and points where the expression is."""

import numpy as np
import pytest

from pasm_aug.cli.entry import build_parser
from pasm_aug.data.in_memory import InMemory
from pasm_aug.data.synthetic.dataset import SyntheticExpressions
from pasm_aug.models import build_model
from pasm_aug.report.regions import region_shares
from pasm_aug.report.verdict import FITTED
from pasm_aug.rounds.arms import default_geometry
from pasm_aug.search.mine import mine_positions
from pasm_aug.training.evaluation import evaluate
from pasm_aug.training.trainer import train
from pasm_aug.transforms.paired_view import PairedView


@pytest.mark.slow
def test_the_first_teacher_fits_and_its_points_lie_where_the_expression_is(tmp_path):
    options = build_parser().parse_args(["run"])
    faces = InMemory(SyntheticExpressions("train"), progress=False)
    teacher = build_model("small", 7)
    view = PairedView(default_geometry())
    train(teacher, faces, augment=view, epochs=options.teacher_epochs, lr=options.teacher_lr, progress=False)
    assert evaluate(teacher, faces).accuracy >= FITTED
    assert 0.70 <= evaluate(teacher, InMemory(SyntheticExpressions("test"), progress=False)).accuracy <= 0.92
    cache = mine_positions(teacher, faces, tmp_path / "positions", progress=False)
    inside, area = region_shares(faces, cache)
    assert inside > 2 * area
    found = cache.lookup(indices=np.arange(len(faces)))
    assert found.hit.all()
    assert (found.p_point[:, 0] <= found.p_clean + 1e-6).mean() > 0.99
