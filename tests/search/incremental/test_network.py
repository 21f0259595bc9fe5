"""Exact queries by windows: the whole network's logits, or the whole network."""

import copy
import random
import warnings
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from pasm_aug.search.frozen import frozen
from pasm_aug.search.incremental.graph import NotFollowedError
from pasm_aug.search.incremental.network import Incremental, prepare
from pasm_aug.search.incremental.windows import Maps
from pasm_aug.search.point_search import PointSearch
from tests.search.incremental.test_graph import (
    LARGE,
    NETWORKS,
    STOPS,
    UNTRACEABLE,
    Net,
    behind,
    conv,
    head,
    network,
    settle,
)
from tests.small_teachers import conv_net, random_images, scaled

CPU = torch.device("cpu")


def grey(images: Tensor) -> Tensor:
    return scaled(images).repeat(1, 3, 1, 1) * torch.tensor([1.0, 0.8, -0.5])[:, None, None]


def ready(model: nn.Module, preprocess: Callable[[Tensor], Tensor], shape: tuple[int, int, int]) -> Incremental | None:
    try:
        with frozen(model):
            return prepare(model, preprocess, shape, CPU)
    except NotFollowedError:
        return None


def whole(model: nn.Module, preprocess: Callable[[Tensor], Tensor], images: Tensor, *where: Tensor) -> Tensor:
    """Logits of plain forwards of painted images."""
    rows, xy, colour = where
    painted = images[rows].clone()
    painted[torch.arange(len(rows)), :, xy[:, 1], xy[:, 0]] = colour
    with torch.no_grad():
        return copy.deepcopy(model).eval()(preprocess(painted))


def some_changes(count: int, images: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    draw = np.random.default_rng(1)
    height, width = images.shape[2:]
    xy = np.stack([draw.integers(0, width, count), draw.integers(0, height, count)], axis=1)
    xy[:4] = [[0, 0], [width - 1, 0], [0, height - 1], [width - 1, height - 1]]
    colour = draw.integers(0, 256, (count, images.shape[1]), dtype=np.uint8)
    return torch.from_numpy(draw.integers(0, len(images), count)), torch.from_numpy(xy), torch.from_numpy(colour)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("name", NETWORKS)
def test_exact_queries_give_the_whole_networks_logits(name: str, channels: int) -> None:
    size = (48, 64) if name in LARGE else (18, 21)
    model, images = network(name, torch.float32), random_images(2, size, channels)
    preprocess = scaled if channels == 3 else grey
    found = ready(model, preprocess, (channels, *size))
    assert found is not None
    assert found.split_layer is not None
    assert 0 < found.share < 0.95
    rows, xy, colour = some_changes(8, images)
    expected = whole(model, preprocess, images, rows, xy, colour)
    with torch.no_grad():
        got = found.logits(
            Maps(found.influence, preprocess(images), found.split_layer), rows, xy, found.values(colour.numpy())
        )
    torch.testing.assert_close(got, expected, rtol=1e-4, atol=1e-4 * float(expected.abs().max()))


@pytest.mark.parametrize("count", [1, 63, 64, 200])
def test_values_are_what_the_preprocess_makes_of_a_colour(count: int) -> None:
    found = ready(conv_net(), grey, (1, 8, 8))
    assert found is not None
    colours = np.random.default_rng(0).integers(0, 256, (count, 1), dtype=np.uint8)
    expected = [[c / 127.5 - 1, 0.8 * (c / 127.5 - 1), -0.5 * (c / 127.5 - 1)] for c in colours[:, 0].tolist()]
    np.testing.assert_allclose(found.values(colours).numpy(), expected, atol=1e-6)


def by_place(images: Tensor) -> Tensor:
    return scaled(images) * torch.linspace(0.5, 1.5, images.shape[3])


def by_image(images: Tensor) -> Tensor:
    x = images.float()
    return (x - x.mean(dim=(1, 2, 3), keepdim=True)) / x.std(dim=(1, 2, 3), keepdim=True)


def blurred(images: Tensor) -> Tensor:
    return scaled(nn.functional.avg_pool2d(images.float(), 3, 1, 1))


def larger(images: Tensor) -> Tensor:
    return nn.functional.interpolate(scaled(images), scale_factor=2)


def noisy(images: Tensor) -> Tensor:
    return scaled(images) + 0.1 * torch.rand(images.shape)


@pytest.mark.parametrize(
    "preprocess",
    [by_place, by_image, blurred, larger, noisy, lambda x: scaled(x).flip(3), lambda x: scaled(x).flatten(1)],
)
def test_preprocesses_that_are_not_by_pixel_run_whole(preprocess: Callable[[Tensor], Tensor]) -> None:
    assert ready(conv_net(), preprocess, (3, 9, 8)) is None


class Doubling(nn.Conv2d):
    """Passes for a convolution, and is another function."""

    def forward(self, x: Tensor) -> Tensor:
        return 2 * super().forward(x.flip(3))


class Called(nn.ReLU):
    def __call__(self, x: Tensor) -> Tensor:
        return super().__call__(x) + x.mean(dim=(2, 3), keepdim=True)


class Looks(nn.Module):
    """Another function where it is not given a tensor."""

    def __init__(self, body: nn.Module) -> None:
        super().__init__()
        self.body = body

    def forward(self, x: Tensor) -> Tensor:
        return self.body(x if isinstance(x, Tensor) else -x)


def replaced(body: nn.Sequential, part: nn.Module, at: int = 0) -> nn.Module:
    body[at] = part
    return body


def overruled(body: nn.Sequential, at: int) -> nn.Module:
    """The forward of one module is an attribute of that object."""
    part = body[at]
    forward = part.forward
    part.forward = lambda x: forward(x).roll(1, dims=3)
    return body


def aliased() -> nn.Module:
    """Dropout gives its input itself, so the activation overwrites what the sum reads."""

    def forward(s: Net, x: Tensor) -> Tensor:
        y = s.conv(x)
        return s.out(y + s.act(s.drop(y)))

    return Net(forward, conv=conv(3, 6), drop=nn.Dropout(), act=nn.LeakyReLU(-3.0, inplace=True), out=head(6))


def hooked() -> nn.Module:
    body = conv_net()
    body[4].register_forward_hook(lambda _, __, output: output.roll(2, dims=2))
    return body


def useless_split(body: nn.Module) -> nn.Module:
    """In front there is nothing worth recomputing, and behind comes what cannot be followed."""
    return nn.Sequential(nn.BatchNorm2d(3), nn.ReLU(), conv(3, 3, padding_mode="reflect"), body)


LIARS: dict[str, Callable[[], nn.Module]] = {
    "subclass": lambda: replaced(conv_net(), Doubling(3, 8, 3, padding=1)),  # type: ignore[arg-type]
    "__call__": lambda: replaced(conv_net(), Called(), 2),  # type: ignore[arg-type]
    "type test": lambda: Looks(conv_net()),
    "own forward, first": lambda: overruled(conv_net(), 0),  # type: ignore[arg-type]
    "own forward, behind": lambda: overruled(conv_net(), 4),  # type: ignore[arg-type]
    "alias": aliased,
    "hook": hooked,
    "type test, no split layer": lambda: useless_split(Looks(conv_net())),
    "alias, no split layer": lambda: useless_split(aliased()),
    "linear before the end": lambda: nn.Sequential(conv(3, 6), nn.GroupNorm(2, 6), nn.ReLU(), conv(6, 6), head(6)),
    "linear throughout": lambda: nn.Sequential(conv(3, 6), nn.BatchNorm2d(6), conv(6, 6), head(6)),
    "broadcast": lambda: Net(
        lambda s, x: s.out(s.conv(x) + s.pool(s.conv(x))), conv=conv(3, 6), pool=nn.AvgPool2d(8), out=head(6)
    ),
    "flat": lambda: nn.Sequential(nn.Flatten(), nn.Linear(3 * 64, 4)),
}
AWKWARD = LIARS | {name: UNTRACEABLE[name] for name in ("control flow", "tokens", "weight norm", "norm at once")}
AWKWARD |= {name: build for name, (build, _) in STOPS.items() if name not in ("squeezenet", "norm of the batch")}
AWKWARD |= {
    name: NETWORKS[name] for name in ("1×1 first", "norm first", "down to one position", "branches", "functions")
}


@pytest.mark.filterwarnings("ignore::RuntimeWarning")  # some give no gradient
@pytest.mark.parametrize("mode", ["exhaustive", "seeded"])
@pytest.mark.parametrize("name", AWKWARD)
def test_answers_are_right_whatever_the_network_is(name: str, mode: str) -> None:
    with torch.random.fork_rng([]):
        torch.manual_seed(3)
        model = settle(AWKWARD[name]())
    images, labels = random_images(2, 8, 1), np.array([1, 2])
    found = PointSearch(mode).run(model, images, labels, preprocess=grey)
    rows, place = torch.arange(2), torch.from_numpy(found.xy[:, 0])
    clean = whole(model, grey, images, rows, place, images[rows, :, place[:, 1], place[:, 0]])
    painted = whole(model, grey, images, rows, place, torch.from_numpy(found.colour[:, 0]))
    for p, logits in ((found.p_clean, clean), (found.p_point[:, 0], painted)):
        np.testing.assert_allclose(p, logits.double().softmax(1)[rows, torch.from_numpy(labels)], atol=1e-5)
    if mode == "exhaustive":
        best = PointSearch(mode, incremental=False).run(model, images, labels, preprocess=grey)
        np.testing.assert_allclose(found.p_point, best.p_point, atol=1e-5)


@pytest.mark.parametrize("name", ["resnet18, 3×3 stem", "vgg11"])
@pytest.mark.parametrize("size", [8, 16, 33])
def test_deep_networks_on_small_images(name: str, size: int) -> None:
    if name == "vgg11" and size < 32:
        pytest.skip("five poolings leave nothing")
    model, images = network(name, torch.float32), random_images(1, size)
    found = PointSearch(budget=8).run(model, images, [1], preprocess=scaled)
    rows, xy = torch.tensor([0]), torch.from_numpy(found.xy[:, 0])
    expected = whole(model, scaled, images, rows, xy, torch.from_numpy(found.colour[:, 0])).softmax(1)[0, 1]
    assert found.p_point[0, 0] == pytest.approx(float(expected), abs=1e-5)


def traces(model: nn.Module) -> tuple[object, ...]:
    return (
        [(name, id(part), part.training, part.__dict__.keys()) for name, part in model.named_modules()],
        [(name, id(p), p.requires_grad, p.grad) for name, p in model.named_parameters()],
        [
            len(part._forward_hooks) + len(part._forward_pre_hooks) + len(part._backward_hooks)
            for part in model.modules()
        ],
        [getattr(part, "inplace", None) for part in model.modules()],
        {name: tensor.tolist() for name, tensor in model.state_dict().items()},
        torch.get_rng_state().tolist(),
        random.getstate(),
        np.random.get_state()[1].tolist(),  # noqa: NPY002
        torch.is_grad_enabled(),
    )


@pytest.mark.parametrize("mode", ["seeded", "exhaustive"])
@pytest.mark.parametrize("name", ["small", "pre-activation", "functions", "overwritten", "hook"])
def test_no_trace_is_left(name: str, mode: str) -> None:
    build = {**NETWORKS, **LIARS, **{key: build for key, (build, _) in STOPS.items()}}[name]
    model = build().train()
    next(iter(model.children())).eval()
    next(iter(model.parameters())).requires_grad_(False)
    images = random_images(2, 8)
    before, pixels = traces(model), images.clone()
    PointSearch(mode, budget=10).run(model, images, [0, 1], preprocess=scaled)
    assert traces(model) == before
    assert torch.equal(images, pixels)


def test_a_model_in_double_precision() -> None:
    model, images = network("pre-activation"), random_images(2, 9)
    found, plain = (
        PointSearch("exhaustive", incremental=flag).run(model, images, [0, 1], preprocess=lambda x: scaled(x).double())
        for flag in (True, False)
    )
    np.testing.assert_array_equal(found.xy, plain.xy)
    np.testing.assert_allclose(found.p_point, plain.p_point, rtol=1e-11)
    assert (found.forwards < plain.forwards).all()


def test_a_cut_that_saves_nothing_is_not_taken() -> None:
    found = ready(
        settle(nn.Sequential(nn.AvgPool2d(3, 1, 1), nn.ReLU(), conv(3, 6, padding="same"), head(6))), scaled, (3, 8, 8)
    )
    assert found is None or (found.split_layer is None and found.share == 1.0)
    early = ready(settle(behind(nn.GroupNorm(2, 6))()), scaled, (3, 16, 16))
    assert early is not None
    assert early.split_layer == "_2"


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("name", ["small", "branches", "odd geometry", "resnet18"])
def test_a_gpu_finds_what_the_cpu_does(name: str) -> None:
    model, images = network(name), random_images(3, (18, 21))  # in double precision: no TF32, no near-ties
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        cpu, gpu = (
            PointSearch(budget=20, device=device).run(model, images, [0, 1, 2], preprocess=lambda x: scaled(x).double())
            for device in ("cpu", "cuda")
        )
    np.testing.assert_array_equal(cpu.xy, gpu.xy)
    np.testing.assert_array_equal(cpu.colour, gpu.colour)
    np.testing.assert_allclose(cpu.p_point, gpu.p_point, atol=1e-9)
    np.testing.assert_allclose(cpu.forwards, gpu.forwards)
    assert next(model.parameters()).device == CPU


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("name", ["small", "branches", "odd geometry", "resnet18"])
def test_a_gpu_computes_true_float32(name: str) -> None:
    """TF32, the default of its convolutions, has ten bits: it would move the scores by about a thousandth."""
    model, images = network(name), random_images(3, (18, 21))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        cpu, gpu = (
            PointSearch(budget=20, device=device).run(model, images, [0, 1, 2], preprocess=scaled)
            for device in ("cpu", "cuda")
        )
    np.testing.assert_allclose(cpu.score_clean, gpu.score_clean, rtol=5e-5, atol=5e-5)
    np.testing.assert_allclose(cpu.score_point, gpu.score_point, rtol=5e-5, atol=5e-5)
