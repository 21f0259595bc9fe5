"""Tracing: what is recognised gives the network's own logits, and where it has to stop it stops.

``NETWORKS`` and ``STOPS`` serve the tests of the windows too.
"""

import copy
import math
from collections.abc import Callable
from functools import lru_cache

import pytest
import torch
import torch.nn.functional as F
import torchvision.models as zoo
from torch import Tensor, nn
from torchvision.models.densenet import DenseNet
from torchvision.models.vgg import cfgs, make_layers

from pasm_aug.models import build_model
from pasm_aug.search.incremental.graph import Network, NotFollowedError, trace
from tests.small_teachers import conv_net


class Net(nn.Module):
    """Parts and a function of (parts, x) that is the forward."""

    def __init__(self, forward: Callable[["Net", Tensor], Tensor], **parts: nn.Module) -> None:
        super().__init__()
        self.rule = forward
        for name, part in parts.items():
            self.add_module(name, part)

    def forward(self, x: Tensor) -> Tensor:
        return self.rule(self, x)


def head(channels: int) -> nn.Module:
    return nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, 4))


def conv(inputs: int, outputs: int, size: int = 3, **options: object) -> nn.Conv2d:
    options.setdefault("padding", size // 2)
    return nn.Conv2d(inputs, outputs, size, **options)  # type: ignore[arg-type]


def resnet18_small_stem() -> nn.Module:
    net = zoo.resnet18(num_classes=4)
    net.conv1, net.maxpool = conv(3, 64, bias=False), nn.Identity()  # type: ignore[assignment]
    return net


def vgg(layers: str, norm: bool) -> nn.Module:
    return nn.Sequential(make_layers(cfgs[layers], batch_norm=norm), head(512))


def branches() -> nn.Module:
    """Side by side, as in GoogLeNet."""
    return Net(
        lambda s, x: s.out(torch.cat([s.one(x), s.three(x), F.relu(s.pool(x))], dim=1)),
        one=conv(3, 4, 1), three=conv(3, 6), pool=nn.MaxPool2d(3, 1, 1),
        out=nn.Sequential(conv(13, 5), nn.SiLU(), head(5)),
    )  # fmt: skip


def pre_activation() -> nn.Module:
    """He et al., ECCV 2016: norm and activation before the convolution; the shortcut is bare."""
    return Net(
        lambda s, x: s.out((lambda y: s.shortcut(y) + s.body(y))(s.stem(x))),
        stem=conv(3, 6),
        body=nn.Sequential(
            nn.BatchNorm2d(6), nn.ReLU(), conv(6, 8, stride=2), nn.BatchNorm2d(8), nn.ReLU(inplace=True), conv(8, 8)
        ),
        shortcut=conv(6, 8, 1, stride=2),
        out=nn.Sequential(nn.ReLU(), head(8)),
    )


def functions() -> nn.Module:
    """Operators and functions instead of modules, some of them overwriting."""

    def forward(s: Net, x: Tensor) -> Tensor:
        x = torch.relu_(s.a(x)).contiguous()
        y = F.leaky_relu(s.b(x), 0.2, True)
        y += x
        y = y.relu_()
        return s.out(torch.tanh(F.gelu(y, approximate="tanh").add(s.c(y))))

    return Net(forward, a=conv(3, 5), b=conv(5, 5), c=conv(5, 5), out=head(5))


def odd_geometry() -> nn.Module:
    """Kernels, strides, paddings and dilations that differ between the axes; groups; a stride wider than its kernel."""
    return nn.Sequential(
        nn.Conv2d(3, 6, (5, 2), stride=(2, 1), padding=(3, 0)),
        nn.ReLU(),
        nn.Conv2d(6, 6, 3, padding=(2, 1), dilation=(2, 1), groups=3),
        nn.BatchNorm2d(6),
        nn.ELU(),
        nn.Conv2d(6, 8, 1, stride=(1, 2)),
        nn.Sigmoid(),
        nn.Conv2d(8, 8, 3, padding=1, groups=8),
        head(8),
    )


def pools() -> nn.Module:
    return nn.Sequential(
        conv(3, 6), nn.ReLU(), nn.MaxPool2d(3, 2, 1), conv(6, 6), nn.AvgPool2d(3, 2, 1), nn.GELU(),
        conv(6, 6), nn.MaxPool2d((2, 3), (1, 2), (1, 1), dilation=(2, 1)), nn.AvgPool2d((1, 2), 1), head(6),
    )  # fmt: skip


NETWORKS: dict[str, Callable[[], nn.Module]] = {
    "small": lambda: build_model("small", 7),
    "resnet18": lambda: zoo.resnet18(num_classes=4),
    "resnet18, 3×3 stem": resnet18_small_stem,
    "vgg11": lambda: vgg("A", False),
    "densenet": lambda: DenseNet(growth_rate=4, block_config=(2, 2), num_init_features=8, num_classes=4),
    "sequential": conv_net,
    "branches": branches,
    "pre-activation": pre_activation,
    "functions": functions,
    "odd geometry": odd_geometry,
    "pools": pools,
    "strided 1×1": lambda: nn.Sequential(conv(3, 6, 1, stride=2), nn.ReLU(), conv(6, 6), head(6)),
    "1×1 first": lambda: nn.Sequential(conv(3, 5, 1), nn.ReLU(), conv(5, 6), nn.ReLU(), conv(6, 6), head(6)),
    "norm first": lambda: nn.Sequential(nn.BatchNorm2d(3), conv(3, 6), nn.ReLU(), conv(6, 6), head(6)),
    "pool first": lambda: nn.Sequential(nn.AvgPool2d(2, 2), conv(3, 6), nn.ReLU(), conv(6, 6), head(6)),
    "depthwise first": lambda: nn.Sequential(conv(3, 6, groups=3), nn.ReLU(), conv(6, 6), head(6)),
    "down to one position": lambda: nn.Sequential(
        conv(3, 6, stride=2), nn.ReLU(), nn.Conv2d(6, 6, 8, stride=8, padding=4), nn.ReLU(), nn.AvgPool2d(3, 3, 1),
        conv(6, 6), nn.ReLU(), conv(6, 6, 1), head(6),
    ),
}  # fmt: skip
LARGE = ("resnet18", "resnet18, 3×3 stem", "vgg11")  # and slow
SMALL = tuple(name for name in NETWORKS if name not in LARGE)


def behind(*parts: nn.Module, channels: int = 6) -> Callable[[], nn.Module]:
    """A net whose first three layers are followed with ease, and ``parts`` are what comes next."""
    return lambda: nn.Sequential(conv(3, 6), nn.ReLU(), conv(6, 6), *copy.deepcopy(parts), conv(channels, 6), head(6))


def shared_and_overwritten() -> nn.Module:
    """``y`` is overwritten while the sum still wants it."""

    def forward(s: Net, x: Tensor) -> Tensor:
        y = s.b(F.relu(s.a(x)))
        return s.out(y + F.leaky_relu(y, -2.0, inplace=True))

    return Net(forward, a=conv(3, 6), b=conv(6, 6), out=head(6))


# name → (network, its deepest split layer): behind it comes what windows cannot follow
STOPS: dict[str, tuple[Callable[[], nn.Module], str]] = {
    "efficientnet": (lambda: zoo.efficientnet_b0(num_classes=4), "features_1_0_block_0_2"),
    "mobilenet": (lambda: zoo.mobilenet_v3_small(num_classes=4), "features_1_block_0_2"),
    "squeezenet": (lambda: zoo.squeezenet1_1(num_classes=4), "features_1"),
    "group norm": (behind(nn.GroupNorm(2, 6)), "_2"),
    "instance norm": (behind(nn.InstanceNorm2d(6)), "_2"),
    "norm of the batch": (behind(nn.BatchNorm2d(6, track_running_stats=False)), "_2"),
    "reflect": (behind(conv(6, 6, padding_mode="reflect")), "_2"),
    "same": (behind(conv(6, 6, padding="same")), "_2"),
    "ceil_mode": (behind(nn.MaxPool2d(3, 2, ceil_mode=True)), "_2"),
    "uneven average": (behind(nn.AvgPool2d(3, 2, 1, count_include_pad=False)), "_2"),
    "divisor": (behind(nn.AvgPool2d(3, 2, divisor_override=5)), "_2"),
    "upsampling": (behind(nn.Upsample(scale_factor=2)), "_2"),
    "shuffled": (behind(nn.PixelShuffle(1)), "_2"),
    "soft-max over channels": (behind(nn.Softmax2d()), "_2"),
    "overwritten": (shared_and_overwritten, "b"),
}


def settle(net: nn.Module, seed: int = 0) -> nn.Module:
    """Evaluation mode, and batch norms whose statistics and weights differ between channels."""
    draw = torch.Generator().manual_seed(seed)
    for part in net.modules():
        if isinstance(part, nn.BatchNorm2d) and part.running_var is not None:
            for tensor, low in (
                (part.running_mean, -0.5),
                (part.running_var, 0.5),
                (part.weight, 0.5),
                (part.bias, -0.5),
            ):
                tensor.data.copy_(torch.rand(tensor.shape, generator=draw) + low)
    return net.eval().requires_grad_(False)


@lru_cache
def network(name: str, dtype: torch.dtype = torch.float64) -> nn.Module:
    """One of ``NETWORKS`` or ``STOPS``, the same on every call."""
    with torch.random.fork_rng([]):
        torch.manual_seed(len(name))
        net = (NETWORKS[name] if name in NETWORKS else STOPS[name][0])()
    return settle(net).to(dtype)


@lru_cache(maxsize=64)
def traced(name: str, height: int, width: int, dtype: torch.dtype = torch.float64) -> Network:
    found = trace(network(name, dtype), torch.zeros(1, 3, height, width, dtype=dtype))
    assert found is not None
    return found


def inputs(count: int, height: int, width: int, seed: int = 0) -> Tensor:
    return torch.randn(count, 3, height, width, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def norms(found: Network) -> int:
    """Batch norms that are still called."""
    calls = [node for node in found.graph.graph.nodes if node.op == "call_module"]
    return sum(type(found.graph.get_submodule(str(node.target))) is nn.BatchNorm2d for node in calls)


def sizes(name: str) -> tuple[int, int]:
    return (32, 35) if name == "vgg11" else (21, 24) if name in LARGE or name in STOPS else (17, 23)


@pytest.mark.parametrize("name", [*NETWORKS, *STOPS])
def test_the_graph_gives_the_networks_logits(name: str) -> None:
    found, x = traced(name, *sizes(name)), inputs(2, *sizes(name))
    torch.testing.assert_close(found.graph(x), network(name)(x.clone()), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("name", [*NETWORKS, *STOPS])
def test_every_cut_and_the_rest_behind_it_give_the_logits(name: str) -> None:
    found, x = traced(name, *sizes(name)), inputs(2, *sizes(name))
    expected = network(name)(x.clone())
    for split in found.split_layers[:: 2 if name in LARGE else 1]:
        tensor, logits = found.maps([split])(x)
        torch.testing.assert_close(logits, expected, rtol=1e-9, atol=1e-9)
        if name == "overwritten":  # the map that comes back is not the one that the sum began with
            continue
        assert tensor.ndim == 4
        torch.testing.assert_close(found.rest(split)(tensor), expected, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("name", NETWORKS)
def test_every_layer_works_on_padded_windows(name: str) -> None:
    found, x = traced(name, *sizes(name)), inputs(2, *sizes(name))
    names = [layer.name for layer in found.layers]
    maps = dict(zip(names, found.maps(names)(x), strict=False)) | {found.source: x}
    for layer in found.layers:
        (tall, wide), fill = layer.padding, layer.fill
        padded = [F.pad(maps[name], (wide, wide, tall, tall), value=fill) for name in layer.inputs]
        padded = [tensor[:, :, :: layer.step, :: layer.step] for tensor in padded]
        torch.testing.assert_close(layer.call(*padded), maps[layer.name], rtol=1e-9, atol=1e-9)
        assert maps[layer.name].shape[1:] == layer.shape
        assert layer.local == (layer.kernel == (1, 1) and layer.stride == (1, 1))


@pytest.mark.parametrize("name", NETWORKS)
def test_networks_are_followed_to_their_last_convolution(name: str) -> None:
    """Counted by hooks on the user's modules: every multiplication of every convolution is in the layers."""
    net, x, operations = network(name), inputs(1, *sizes(name)), []

    def count(part: nn.Conv2d, _: object, output: Tensor) -> None:
        operations.append(2 * part.weight.numel() * math.prod(output.shape[2:]))

    handles = [part.register_forward_hook(count) for part in net.modules() if isinstance(part, nn.Conv2d)]
    net(x)
    for handle in handles:
        handle.remove()
    found = traced(name, *sizes(name))
    assert sum(layer.flops * math.prod(layer.shape[1:]) for layer in found.layers) == sum(operations)
    linear = sum(2 * part.weight.numel() for part in net.modules() if isinstance(part, nn.Linear))
    assert found.flops == sum(operations) + linear
    assert found.trunk(found.split_layers[-1]) == found.layers
    assert len(set(found.split_layers)) == len(found.split_layers) >= 3


@pytest.mark.parametrize("name", ["resnet34", "vgg16_bn"])
def test_the_deep_ones(name: str) -> None:
    net = settle(zoo.resnet34(num_classes=4) if name == "resnet34" else vgg("D", True)).double()
    x = inputs(1, 32, 32)  # the least that VGG's five poolings take
    found = trace(net, x)
    assert found is not None
    assert norms(found) == 0
    assert sum(layer.weight is not None for layer in found.layers) == (36 if name == "resnet34" else 13)
    tensor, logits = found.maps([found.split_layers[-1]])(x)
    torch.testing.assert_close(logits, net(x), rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(found.rest(found.split_layers[-1])(tensor), net(x), rtol=1e-9, atol=1e-9)


def test_norms_are_folded_where_a_convolution_alone_feeds_them() -> None:
    assert norms(traced("small", 17, 23)) == 0
    assert norms(traced("pre-activation", 17, 23)) == 1  # the shortcut reads what the first one does
    assert norms(traced("norm first", 17, 23)) == 1

    def forward(s: Net, x: Tensor) -> Tensor:
        y = s.conv(x)
        return s.out(y + s.norm(y))

    shared = settle(Net(forward, conv=conv(3, 6), norm=nn.BatchNorm2d(6), out=head(6))).double()
    found, x = trace(shared, inputs(1, 9, 9)), inputs(2, 9, 9, seed=1)
    assert found is not None
    assert [layer.name for layer in found.layers] == ["conv", "norm", "add"]
    assert found.split_layers == ("conv", "add")
    torch.testing.assert_close(found.graph(x), shared(x))


@pytest.mark.parametrize("name", ["small", "pre-activation", "functions", "sequential", "overwritten"])
def test_the_users_model_is_untouched(name: str) -> None:
    net = settle((NETWORKS[name] if name in NETWORKS else STOPS[name][0])())
    parts, flags = dict(net.named_modules()), [getattr(part, "inplace", None) for part in net.modules()]
    state = {key: value.clone() for key, value in net.state_dict().items()}
    found = trace(net, inputs(1, 16, 16).float())
    assert found is not None
    found.rest(found.split_layers[0])(found.maps([found.split_layers[0]])(inputs(1, 16, 16).float())[0])
    assert all(part is parts[key] for key, part in net.named_modules(remove_duplicate=False) if key in parts)
    assert dict(net.named_modules()).keys() == parts.keys()
    assert [getattr(part, "inplace", None) for part in net.modules()] == flags
    assert net.state_dict().keys() == state.keys()
    assert all(torch.equal(value, state[key]) for key, value in net.state_dict().items())


@pytest.mark.parametrize("name", STOPS)
def test_what_windows_cannot_follow_ends_the_cuts(name: str) -> None:
    assert traced(name, *sizes(name)).split_layers[-1] == STOPS[name][1]


def test_keyword_tensors_do_not_break_the_tracing() -> None:
    net = Net(
        lambda s, x: s.out(torch.cat(tensors=[s.a(x), F.relu(input=s.b(x))], dim=1)),
        a=conv(3, 4), b=conv(3, 4), out=head(8),
    )  # fmt: skip
    x = inputs(1, 9, 9).float()
    try:
        found = trace(net.eval(), x)
    except NotFollowedError:
        return  # it may stop there, but not fail
    assert torch.allclose(found.graph(x), net(x), atol=1e-6)


@pytest.mark.parametrize("hook", ["register_forward_hook", "register_forward_pre_hook"])
def test_hooks_are_left_out_and_see_nothing(hook: str) -> None:
    net, x, seen = conv_net().eval(), inputs(2, 8, 8).float(), []
    plain = trace(net, x[:1])
    for part in (net, net[4]):
        getattr(part, hook)(lambda *_: seen.append(1))
    found = trace(net, x[:1])
    assert found.split_layers == plain.split_layers
    torch.testing.assert_close(found.graph(x), plain.graph(x), rtol=0, atol=0)
    assert seen == []
    net(x)
    assert len(seen) == 2


class Decides(nn.Module):
    """What it does depends on what it sees."""

    def __init__(self) -> None:
        super().__init__()
        self.body = conv_net()

    def forward(self, x: Tensor) -> Tensor:
        return self.body(x) if x.mean() > 0 else -self.body(x)


class Tokens(nn.Module):
    """Patches as words: a linear layer, attention between all of them, no convolution."""

    def __init__(self, size: int = 4) -> None:
        super().__init__()
        self.size, self.embed = size, nn.Linear(3 * size * size, 12)
        self.block = nn.TransformerEncoderLayer(12, 2, 24, batch_first=True)
        self.head = nn.Linear(12, 4)

    def forward(self, x: Tensor) -> Tensor:
        words = F.unfold(x, self.size, stride=self.size).transpose(1, 2)
        return self.head(self.block(self.embed(words)).mean(dim=1))


class Parametrized(nn.Module):
    """Its first layer makes up its weights at every call."""

    def __init__(self) -> None:
        super().__init__()
        self.body = conv_net()
        nn.utils.parametrizations.weight_norm(self.body[0])

    def forward(self, x: Tensor) -> Tensor:
        return self.body(x)


UNTRACEABLE: dict[str, Callable[[], nn.Module]] = {
    "control flow": Decides,
    "tokens": Tokens,
    "weight norm": Parametrized,
    "no layers": lambda: nn.Sequential(nn.Flatten(), nn.LazyLinear(4)),
    "norm at once": lambda: nn.Sequential(nn.InstanceNorm2d(3), conv_net()),
    "scripted": lambda: torch.jit.script(conv_net()),
}


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("name", UNTRACEABLE)
def test_networks_that_cannot_be_followed(name: str) -> None:
    with pytest.raises(NotFollowedError):
        trace(UNTRACEABLE[name]().eval(), torch.zeros(1, 3, 8, 8))
