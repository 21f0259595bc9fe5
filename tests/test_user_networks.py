"""Networks as users have them, through training, checkpoints, evaluation, mining and rounds."""

import warnings
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.utils import weight_norm

from pasm_aug import PointSearch, evaluate, mine_positions, run_rounds, train
from pasm_aug.models import load_model, save_model
from tests.shapes import Shapes

DATA, VAL = Shapes(30), Shapes(15, seed=1)
QUIET = {"device": "cpu", "progress": False}


class Net(nn.Module):
    def __init__(self, num_classes=3):
        super().__init__()
        self.conv = nn.Conv2d(1, 6, 3, 2, 1)
        self.head = nn.Linear(6 * 9, num_classes)

    def preprocess(self, images):
        return images.float().mean(1, keepdim=True) / 127.5 - 1

    def features(self, x):
        return nn.functional.adaptive_avg_pool2d(torch.relu(self.conv(x)), 3).flatten(1)

    def forward(self, x):
        return self.head(self.features(x))


class Tied(Net):
    """One weight under two names."""

    def __init__(self, num_classes=3):
        super().__init__(num_classes)
        self.other = nn.Conv2d(1, 6, 3, 2, 1)
        self.other.weight = self.conv.weight

    def features(self, x):
        return super().features(x) + nn.functional.adaptive_avg_pool2d(torch.relu(self.other(x)), 3).flatten(1)


class Twice(Net):
    """One module under two names, and a buffer that is part of another."""

    def __init__(self, num_classes=3):
        super().__init__(num_classes)
        self.again = self.conv
        self.register_buffer("table", torch.arange(6.0))
        self.register_buffer("part", self.table[:3])


class Extra(Net):
    """Its state holds what is no tensor."""

    version = 2

    def get_extra_state(self):
        return {"version": self.version, "sizes": (3, 3)}

    def set_extra_state(self, state):
        self.version = state["version"]


class Keeps(Net):
    """It cannot be copied deeply: it keeps a feature, and its weight is computed."""

    def __init__(self, num_classes=3):
        super().__init__(num_classes)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            self.head = weight_norm(self.head)

    def forward(self, x):
        self.kept = self.features(x)
        return self.head(self.kept)


def returns(wrap):
    class Wrapped(Net):
        def forward(self, x):
            return wrap(super().forward(x))

    return Wrapped


NETWORKS = {
    "tied": Tied,
    "twice": Twice,
    "extra state": Extra,
    "keeps": Keeps,
    "dict": returns(lambda logits: {"logits": logits, "features": None}),
    "tuple": returns(lambda logits: (logits, logits)),
    "object": returns(lambda logits: SimpleNamespace(logits=logits)),
}


def made(name):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return NETWORKS[name]()


def state(model):
    return {n: v.clone() if isinstance(v, torch.Tensor) else v for n, v in model.state_dict().items()}


def alike(first, second):
    return first.keys() == second.keys() and all(
        torch.equal(first[n], second[n]) if isinstance(first[n], torch.Tensor) else first[n] == second[n] for n in first
    )


@pytest.mark.parametrize("ema", [None, 0.9])
@pytest.mark.parametrize("name", NETWORKS)
def test_training_goes_on_from_its_checkpoint_to_the_same_end(tmp_path, name, ema, monkeypatch):
    options = {"val": VAL, "epochs": 3, "batch_size": 10, "ema": ema, "teacher": made("tied"), **QUIET}
    whole = train(made(name), DATA, **options)
    monkeypatch.setattr("pasm_aug.training.loop.EpochLoop._settled", lambda self: len(self.history) >= 1)
    train(made(name), DATA, checkpoint=tmp_path / "c", **options)
    monkeypatch.undo()
    rest = train(made(name), DATA, checkpoint=tmp_path / "c", **options)
    assert len(rest.history) == len(whole.history) == 3
    assert alike(state(rest.model), state(whole.model))
    save_model(tmp_path / "m", rest.model, {"architecture": None})
    again = load_model(tmp_path / "m", model=made(name))
    assert alike(state(again), state(rest.model))
    assert evaluate(again, VAL, device="cpu") == evaluate(rest.model, VAL, device="cpu")


@pytest.mark.filterwarnings("ignore:seeded search")
@pytest.mark.parametrize("name", NETWORKS)
def test_mining_finds_what_it_finds_with_the_plain_network(tmp_path, name):
    network = made(name)
    before = state(network)
    cache = mine_positions(network, DATA, tmp_path / "c", **QUIET)
    images = torch.stack([torch.from_numpy(np.array(image))[None] for image, _ in DATA])
    with torch.no_grad():
        outputs = network.eval()(network.preprocess(images))
    logits = outputs if isinstance(outputs, torch.Tensor) else getattr(outputs, "logits", None)
    logits = logits if logits is not None else outputs["logits"] if isinstance(outputs, dict) else outputs[0]
    clean = logits.softmax(1)[torch.arange(30), torch.from_numpy(DATA.labels)]
    found = cache.lookup(indices=np.arange(30), labels=DATA.labels)
    assert found.p_clean == pytest.approx(clean.numpy(), abs=1e-5)
    assert alike(state(network), before)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", ["tied", "extra state", "keeps", "dict"])
def test_rounds_start_from_a_teacher_of_any_kind(tmp_path, name):
    teacher = made(name)
    teacher(teacher.preprocess(torch.zeros(2, 1, 20, 20)))  # it keeps what it just saw
    options = {"rounds": 1, "epochs": 1, "batch_size": 10, "search": PointSearch(budget=8), **QUIET}
    data = {"train": DATA, "val": VAL, "test": Shapes(15, seed=2)}
    results = run_rounds(NETWORKS[name], data, out=tmp_path, teacher=teacher, **options)
    assert [result.round for result in results] == [0, 1]
    assert results[1].hit_rate == 1.0
    assert alike(state(load_model(tmp_path / "round-0", model=made(name))), state(teacher))


def test_a_preprocessing_is_demanded_by_one_rule_before_anything_is_done(tmp_path):
    class Bare(nn.Sequential):
        pass

    def bare():
        return Bare(nn.Flatten(), nn.Linear(400, 3))

    data = {"train": DATA, "val": VAL, "test": VAL}
    for call in (
        lambda: train(bare(), DATA, epochs=1, **QUIET),
        lambda: evaluate(bare(), DATA, device="cpu"),
        lambda: mine_positions(bare(), DATA, tmp_path / "c", **QUIET),
        lambda: PointSearch().run(bare(), torch.zeros(1, 1, 20, 20, dtype=torch.uint8), [0]),
        lambda: run_rounds(bare, data, out=tmp_path / "r", rounds=1, epochs=1, **QUIET),
    ):
        with pytest.raises(ValueError, match="preprocess is missing: pass preprocess=f"):
            call()
    assert not list(tmp_path.glob("r/round-0/metrics.csv"))


class LooksAtTheBatch(Net):
    def __init__(self):
        super().__init__()
        self.norm = nn.BatchNorm2d(6, track_running_stats=False)

    def features(self, x):
        return nn.functional.adaptive_avg_pool2d(torch.relu(self.norm(self.conv(x))), 3).flatten(1)


class BatchMean(Net):
    def features(self, x):
        x = super().features(x)
        return x - x.mean(0)


class AlwaysDrops(Net):
    def features(self, x):
        return nn.functional.dropout(super().features(x))


@pytest.mark.parametrize(
    ("network", "words"),
    [(LooksAtTheBatch, "images beside it"), (BatchMean, "images beside it"), (AlwaysDrops, "same logits each time")],
)
def test_a_teacher_whose_answer_hangs_on_others_or_on_chance_is_refused(tmp_path, network, words):
    with pytest.raises(ValueError, match=words):
        mine_positions(network(), DATA, tmp_path / "c", **QUIET)
    assert not (tmp_path / "c").exists()


def test_a_teacher_that_has_to_run_whole_says_why_and_the_fingerprint_knows(tmp_path):
    class Branches(Net):
        def features(self, x):
            return super().features(x if x.sum() < 1e9 else -x)

    with pytest.warns(RuntimeWarning, match=r"has to run whole: torch.fx cannot trace it .*weaker points"):
        cache = mine_positions(Branches(), DATA, tmp_path / "c", **QUIET)
    assert cache.metadata["fingerprint"]["search"]["ranked_by"] == "input gradient"
    plain = mine_positions(Net(), DATA, tmp_path / "d", **QUIET)
    assert plain.metadata["fingerprint"]["search"]["ranked_by"] == "windows"


def test_a_hook_that_changes_nothing_costs_nothing(tmp_path):
    network, seen = made("dict"), []
    plain = mine_positions(network, DATA, tmp_path / "c", **QUIET)
    network.conv.register_forward_hook(lambda *_: seen.append(1))
    network.register_forward_pre_hook(lambda *_: None)
    with warnings.catch_warnings():
        warnings.simplefilter("error", RuntimeWarning)
        hooked = mine_positions(network, DATA, tmp_path / "d", **QUIET)
    np.testing.assert_array_equal(hooked.to_numpy()["xy"], plain.to_numpy()["xy"])
    assert hooked.metadata["forwards"] == plain.metadata["forwards"]
    assert len(seen) < 10, "the windows are not its business"


LARGE = Shapes(90)


def trained():
    return train(Net(), LARGE, epochs=30, batch_size=10, lr=0.05, **QUIET).model


def told_of(network, tmp_path, data=LARGE, **options):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        mine_positions(network, data, tmp_path / "c", search=PointSearch(budget=4), **options, **QUIET)
    return [str(one.message) for one in caught if one.category is UserWarning]


def test_bad_teachers_are_told(tmp_path, capsys):
    good = trained()
    assert evaluate(good, LARGE, device="cpu").accuracy > 0.8
    assert told_of(good, tmp_path / "good") == []
    permuted = trained()
    with torch.no_grad():
        for tensor in (permuted.head.weight, permuted.head.bias):
            tensor.copy_(tensor.roll(1, 0))
    unscaled = {"preprocess": lambda x: x.float()[:, :1] * 1e3 + 1e6}
    for name, network, options in (("random", Net(), {}), ("permuted", permuted, {}), ("unscaled", good, unscaled)):
        (told,) = told_of(network, tmp_path / name, **options)
        assert "hardly more than chance (33%)" in told, name
    soft = nn.Sequential(good, nn.Softmax(1))
    (told,) = told_of(soft, tmp_path / "soft", preprocess=good.preprocess)
    assert "look like probabilities" in told
    wide = Net(1000)
    named = Shapes(90)
    named.classes = ["a", "b", "c"]
    assert any("1,000 outputs for 3 classes" in one for one in told_of(wide, tmp_path / "wide", named))
    mine_positions(good, LARGE, tmp_path / "said", search=PointSearch(budget=4), device="cpu", progress=True)
    assert "of the 90 images right" in capsys.readouterr().err
