"""The objective: what it computes, what it costs, what it refuses, and that it leaves no trace."""

import random
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from pasm_aug.search.fingerprint import make_fingerprint
from pasm_aug.search.frozen import frozen
from pasm_aug.search.objectives import log_odds, margin
from pasm_aug.search.point_search import PointSearch
from pasm_aug.search.teacher import TeacherObjective
from tests.small_teachers import conv_net, random_images, scaled

IMAGES = random_images(3, 8)
LABELS = np.array([0, 3, 1])


def plain_logits(model: nn.Module, images: Tensor) -> Tensor:
    model.eval()
    with torch.no_grad():
        return model(scaled(images)).double()


def some_changes(count: int = 5) -> tuple[np.ndarray, np.ndarray]:
    draw = np.random.default_rng(0)
    return draw.integers(0, 8, (3, count, 2)), draw.integers(0, 256, (3, count, 3), dtype=np.uint8)


@pytest.mark.parametrize("batch_size", [1, 4, None])
@pytest.mark.parametrize("objective", ["true_prob", "margin", "predicted_prob"])
def test_scores_are_those_of_a_loop(objective: str, batch_size: int | None) -> None:
    model = conv_net()
    xy, colour = some_changes()
    with TeacherObjective(model, scaled, objective=objective, batch_size=batch_size) as teacher:
        clean = teacher.clean(IMAGES, LABELS)
        scores = teacher.scores(IMAGES, clean.target, xy, colour)
    prediction = plain_logits(model, IMAGES).argmax(1).numpy()
    np.testing.assert_array_equal(clean.prediction, prediction)
    for b, m in np.ndindex(scores.shape):
        image = IMAGES[b : b + 1].clone()
        image[0, :, xy[b, m, 1], xy[b, m, 0]] = torch.from_numpy(colour[b, m])
        logits = plain_logits(model, image)[0].numpy()
        target = prediction[b] if objective == "predicted_prob" else LABELS[b]
        others = np.delete(logits, target)
        expected = logits[target] - (others.max() if objective == "margin" else np.log(np.exp(others).sum()))
        assert scores[b, m] == pytest.approx(expected, abs=1e-5)


def test_probability_is_the_soft_max() -> None:
    model = conv_net()
    with TeacherObjective(model, scaled) as teacher:
        clean = teacher.clean(IMAGES, LABELS)
    expected = plain_logits(model, IMAGES).softmax(1)[range(3), LABELS]
    np.testing.assert_allclose(clean.probabilities, expected, atol=1e-6)
    np.testing.assert_allclose(1 / (1 + np.exp(-clean.scores)), clean.probabilities)


def test_log_odds_and_margin_agree_with_their_definitions() -> None:
    logits = torch.tensor([[2.0, -1.0, 0.5], [0.0, 4.0, 1.0]], dtype=torch.float64)
    labels = torch.tensor([0, 2])
    p = logits.softmax(1)[[0, 1], labels]
    torch.testing.assert_close(log_odds(logits, labels), (p / (1 - p)).log())
    assert margin(logits, labels).tolist() == [1.5, -3.0]


def test_log_odds_tell_saturated_images_apart() -> None:
    logits = torch.tensor([[60.0, 0.0, 0.0], [80.0, 0.0, 0.0]], dtype=torch.float64)
    labels = torch.tensor([0, 0])
    flat = logits.log_softmax(1)[:, 0]
    assert flat[0] == flat[1] == 0
    assert log_odds(logits, labels)[0] < log_odds(logits, labels)[1]


def test_callable_objective_gets_float64_logits_and_targets() -> None:
    seen = []

    def second_logit(logits: Tensor, target: Tensor) -> Tensor:
        seen.append((logits.dtype, target.tolist()))
        return logits[:, 1]

    model = conv_net()
    with TeacherObjective(model, scaled, objective=second_logit) as teacher:
        scores = teacher.clean(IMAGES, LABELS).scores
    np.testing.assert_allclose(scores, plain_logits(model, IMAGES)[:, 1], atol=1e-5)
    assert seen == [(torch.float64, [0, 3, 1])]


def test_gradient_against_finite_differences() -> None:
    model = conv_net().double()

    def exact(images: Tensor) -> Tensor:
        return images.double() / 127.5 - 1

    with TeacherObjective(model, exact) as teacher:
        _, gradient = teacher.gradient(IMAGES, LABELS)
        assert gradient is not None
        torch.testing.assert_close(gradient.inputs, exact(IMAGES))
        for channel, y, x in ((0, 0, 0), (2, 5, 3), (1, 7, 7)):
            step = torch.zeros_like(gradient.inputs)
            step[:, channel, y, x] = 1e-6
            labels = torch.from_numpy(LABELS)
            rise = log_odds(model(gradient.inputs + step), labels) - log_odds(model(gradient.inputs - step), labels)
            torch.testing.assert_close(gradient.values[:, channel, y, x], rise / 2e-6, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("batch_size", [2, None])
def test_costs_are_counted(batch_size: int | None) -> None:
    model = conv_net()
    run = []
    model.register_forward_pre_hook(lambda _, inputs: run.append(len(inputs[0])))
    with TeacherObjective(model, scaled, batch_size=batch_size) as teacher:
        teacher.clean(IMAGES, LABELS)
        assert (teacher.queries, teacher.forwards) == (0, 3)
        teacher.gradient(IMAGES, LABELS)
        assert (teacher.queries, teacher.forwards) == (0, 3 + 3 * 3)
        teacher.scores(IMAGES, LABELS, *some_changes(5))
        assert (teacher.queries, teacher.forwards) == (15, 12 + 15)
    assert sum(run) == 3 + 3 + 15
    if batch_size:
        assert max(run) == batch_size


class Awkward(nn.Module):
    """A module in train mode with a part in evaluation mode, and a part that takes no gradient."""

    def __init__(self) -> None:
        super().__init__()
        self.body = conv_net()
        self.train()
        self.body[1].eval()
        self.body[0].weight.requires_grad_(False)

    def forward(self, x: Tensor) -> Tensor:
        random.random()
        np.random.rand()  # noqa: NPY002
        return self.body(x + 0 * torch.rand(1))


def traces(model: nn.Module) -> tuple[object, ...]:
    return (
        [module.training for module in model.modules()],
        [parameter.requires_grad for parameter in model.parameters()],
        [parameter.grad for parameter in model.parameters()],
        [len(module._forward_hooks) for module in model.modules()],
        {name: tensor.tolist() for name, tensor in model.state_dict().items()},
        torch.get_rng_state().tolist(),
        random.getstate(),
        np.random.get_state()[1].tolist(),  # noqa: NPY002
        torch.is_grad_enabled(),
    )


@pytest.mark.parametrize("fails", [False, True])
def test_no_trace_is_left(fails: bool) -> None:
    model = Awkward()
    calls = []
    model.body.register_forward_hook(lambda *_: calls.append(1))
    before = traces(model)
    labels = [0, 9, 1] if fails else LABELS
    try:
        with TeacherObjective(model, scaled) as teacher:
            assert not any(module.training for module in model.modules())
            assert not any(parameter.requires_grad for parameter in model.parameters())
            teacher.gradient(IMAGES, labels)
            teacher.scores(IMAGES, labels, *some_changes())
    except ValueError:
        assert fails
    assert calls
    assert traces(model) == before


def test_works_inside_no_grad_inference_mode_and_autocast() -> None:
    model = conv_net()
    with TeacherObjective(model, scaled) as teacher:
        expected, gradients = teacher.gradient(IMAGES, LABELS)
    for context in (torch.no_grad(), torch.inference_mode(), torch.autocast("cpu", torch.bfloat16)):
        with context, TeacherObjective(model, scaled) as teacher:
            found, gradient = teacher.gradient(IMAGES, LABELS)
        np.testing.assert_array_equal(found.scores, expected.scores)
        assert gradient is not None
        assert gradients is not None
        torch.testing.assert_close(gradient.values, gradients.values)


def test_a_search_computes_true_float32_whatever_is_set_outside() -> None:
    conv = torch.backends.cudnn.conv  # type: ignore[attr-defined]
    matmul = torch.backends.mkldnn.matmul  # type: ignore[attr-defined]
    before = conv.fp32_precision, matmul.fp32_precision
    seen = []

    def preprocess(images: torch.Tensor) -> torch.Tensor:
        seen.append((conv.fp32_precision, matmul.fp32_precision))
        return scaled(images)

    try:
        conv.fp32_precision, matmul.fp32_precision = "tf32", "bf16"
        model = nn.Sequential(nn.Flatten(), nn.Linear(3 * 36, 4))
        PointSearch("paper", population_size=4, generations=1).run(
            model, torch.zeros(1, 3, 6, 6, dtype=torch.uint8), [0], preprocess=preprocess
        )
        with PointSearch().objective_of(model, preprocess) as teacher:
            make_fingerprint(teacher, PointSearch(), (3, 6, 6))
        assert set(seen) == {("ieee", "ieee")}
        assert (conv.fp32_precision, matmul.fp32_precision) == ("tf32", "bf16")
    finally:
        conv.fp32_precision, matmul.fp32_precision = before


def test_images_of_many_sizes_keep_few_folded_networks() -> None:
    with TeacherObjective(conv_net(), scaled) as teacher:
        for side in range(6, 16):
            assert teacher.prepared(torch.zeros(1, 3, side, side, dtype=torch.uint8)) is not None
        assert len(teacher._prepared) == 4


def test_frozen_restores_after_an_error() -> None:
    model = conv_net()
    with pytest.raises(KeyError), frozen(model):
        raise KeyError
    assert model.training
    assert all(parameter.requires_grad for parameter in model.parameters())


def test_preprocess_may_be_the_models_own() -> None:
    model = conv_net()
    with pytest.raises(ValueError, match="pass preprocess="):
        TeacherObjective(model)
    model.preprocess = scaled  # type: ignore[assignment]
    with TeacherObjective(model) as own, TeacherObjective(model, scaled) as given:
        np.testing.assert_array_equal(own.clean(IMAGES, LABELS).scores, given.clean(IMAGES, LABELS).scores)


@pytest.mark.parametrize(("value", "text"), [(float("nan"), "nan"), (float("inf"), "inf")])
def test_logits_that_are_not_finite_name_the_image(value: float, text: str) -> None:
    class Breaks(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            logits = torch.zeros(len(x), 4)
            logits[(x[:, 0, 0, 0] > 0.99)] = value
            return logits

    images = random_images(6, 8)
    images[:, :, 0, 0] = 0
    images[4, 0, 0, 0] = 255
    with TeacherObjective(Breaks(), scaled, batch_size=3) as teacher:
        with pytest.raises(ValueError, match=f"finite logits, got .*{text}.* for image 4"):
            teacher.clean(images, np.zeros(6, dtype=int))
        with pytest.raises(ValueError, match="for image 2"):
            teacher.evaluate(images, np.zeros(6, int), [1, 2], [(0, 0), (0, 0)], [(0, 0, 0), (255, 0, 0)])


@pytest.mark.parametrize("label", [4, -1])
def test_labels_the_teacher_does_not_have(label: int) -> None:
    with (
        TeacherObjective(conv_net(classes=4), scaled) as teacher,
        pytest.raises(ValueError, match=rf"0\.\.3, for the teacher has 4 outputs; got {label} for image 1"),
    ):
        teacher.clean(IMAGES, [0, label, 1])


Break = Callable[[Tensor], object]


@pytest.mark.parametrize(
    ("returns", "got"),
    [
        (lambda x: x, r"\(3, 3, 8, 8\)"),
        (lambda x: (x,), "tuple"),
        (lambda x: x.flatten(1)[:, :1], r"\(3, 1\)"),
        (lambda x: x.flatten(1)[:2], r"\(2, 192\)"),
    ],
)
def test_teachers_that_are_no_classifiers(returns: Break, got: str) -> None:
    class Odd(nn.Module):
        def forward(self, x: Tensor) -> object:
            return returns(x)

    with TeacherObjective(Odd(), scaled) as teacher, pytest.raises(ValueError, match=f"logits .B, classes.*got {got}"):
        teacher.clean(IMAGES, LABELS)


def test_misuse_is_named() -> None:
    model = conv_net()
    with pytest.raises(TypeError, match=r"torch.nn.Module, got function"):
        TeacherObjective(scaled)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"objective must be one of .* got 'loss'"):
        TeacherObjective(model, scaled, objective="loss")
    with pytest.raises(ValueError, match=r"batch_size .* got 0"):
        TeacherObjective(model, scaled, batch_size=0)
    with TeacherObjective(model, lambda x: x[:1].float()) as t, pytest.raises(ValueError, match="one input per image"):
        t.clean(IMAGES, LABELS)
    with (
        TeacherObjective(model, scaled, objective=lambda logits, _: logits) as t,
        pytest.raises(ValueError, match=r"one number per image, shape \(3,\), got \(3, 4\)"),
    ):
        t.clean(IMAGES, LABELS)
    with (
        TeacherObjective(model, scaled, objective=lambda logits, _: (logits[:, 0] - 1e9).log()) as t,
        pytest.raises(ValueError, match="NaN for image 0"),
    ):
        t.clean(IMAGES, LABELS)
    with TeacherObjective(model, scaled) as t, pytest.raises(ValueError, match=r"labels must have shape .*\(2,\)"):
        t.clean(IMAGES, [0, 1])


def test_a_preprocess_that_is_a_module_goes_to_the_device_and_comes_back() -> None:
    """With parts that lie on the meta device, which a machine without a GPU has too: that they are moved is noted."""
    moves = []

    class Part(nn.Module):
        def __init__(self, name: str, device: str) -> None:
            super().__init__()
            self.name = name
            self.register_buffer("mean", torch.empty(1, device=device))

        def to(self, device: torch.device) -> "Part":  # type: ignore[override]
            moves.append((self.name, str(device)))
            return self

    cpu = torch.device("cpu")
    with frozen(Part("network", "meta"), cpu, Part("preprocess", "meta")):
        assert moves == [("network", "cpu"), ("preprocess", "cpu")]
    assert moves[2:] == [("network", "meta"), ("preprocess", "meta")]
    with frozen(Part("network", "cpu"), cpu, lambda x: x):
        assert len(moves) == 4
