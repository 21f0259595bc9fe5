"""The peers of ASM against what is published of them: gradients, views, what a checkpoint compares."""

import sys
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torchvision.transforms import v2

from pasm_aug.core.errors import UserError
from pasm_aug.core.image_content import to_uint8_tensor
from pasm_aug.core.pair import Pair
from pasm_aug.models import Preprocess, build_model
from pasm_aug.training.trainer import train
from pasm_aug.transforms.baselines import CountedRandomErasing
from pasm_aug.transforms.paired_view import PairedView
from tests.shapes import Shapes, own_net

sys.path.insert(0, str(Path(__file__).parents[1] / "benchmarks"))

from noise_peers import CoTeaching, ErasingAttention, JoCoR, MirroredViews, eac_erasing

QUICK = {"epochs": 2, "lr": 0.01, "batch_size": 20, "device": "cpu", "progress": False}
DATA = Shapes()


class OneStep(Exception):
    pass


def gradients(model, method, epoch=1):
    """Of the first step of an epoch: what it gives each parameter, its batch and its loss."""
    found = {}

    def loss(batch, own=method.loss):
        if method.epoch < epoch:
            return own(batch)
        outcome = own(batch)
        found.update(batch=batch, loss=outcome.loss.item())
        found["grads"] = torch.autograd.grad(outcome.loss, list(model.parameters()))
        raise OneStep

    method.loss = loss
    with pytest.raises(OneStep):
        train(model, DATA, method=method, **QUICK | {"lr": 0.0})
    return found["grads"], found["batch"], found["loss"]


def test_in_co_teaching_each_network_learns_as_if_it_were_alone_with_what_the_other_keeps():
    pair = Pair(own_net(0), own_net(1))
    grads, batch, _ = gradients(pair, CoTeaching(0.5))
    inputs = pair.preprocess(batch.images[0])
    losses = [F.cross_entropy(net(inputs), batch.labels, reduction="none") for net in (pair.a, pair.b)]
    for own, other, net, found in zip(losses, losses[::-1], (pair.a, pair.b), (grads[:6], grads[6:]), strict=True):
        kept = other.argsort()[:10]
        expected = torch.autograd.grad(own[kept].mean(), list(net.parameters()), retain_graph=True)
        for mine, wanted in zip(found, expected, strict=True):
            torch.testing.assert_close(mine, wanted, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("lam", [0.85, 0.5])
def test_jocor_is_the_published_loss(lam):
    pair = Pair(own_net(0), own_net(1))
    grads, batch, _ = gradients(pair, JoCoR(0.4, lam=lam))
    a, b = pair(pair.preprocess(batch.images[0]), apart=True)

    def kl(p, q):
        return F.kl_div(F.log_softmax(p, 1), F.softmax(q, 1), reduction="none").sum(1)

    entropy = F.cross_entropy(a, batch.labels, reduction="none") + F.cross_entropy(b, batch.labels, reduction="none")
    joint = (1 - lam) * entropy + lam * kl(a, b) + lam * kl(b, a)
    expected = torch.autograd.grad(joint[joint.argsort()[:12]].mean(), list(pair.parameters()))
    for mine, wanted in zip(grads, expected, strict=True):
        torch.testing.assert_close(mine, wanted, rtol=1e-4, atol=1e-6)


def test_of_eac_the_weights_of_the_class_maps_are_a_constant():
    model = build_model("small", 3)
    method, seen = ErasingAttention(7.0), []
    model.layer3.register_forward_hook(lambda *call: seen.append(call[-1]))
    grads, batch, loss = gradients(model, method, epoch=0)
    count, (maps,) = len(batch.labels), seen[:1]
    with torch.no_grad():
        pooled = maps[:count].mean((2, 3))
    weight = model.fc.weight.detach().requires_grad_()
    logits = pooled @ weight.T + model.fc.bias.detach()
    (expected,) = torch.autograd.grad(F.cross_entropy(logits, batch.labels), weight)
    named = dict(zip([name for name, _ in model.named_parameters()], grads, strict=True))
    torch.testing.assert_close(named["fc.weight"], expected, rtol=1e-4, atol=1e-6)  # of the cross-entropy alone
    apart = model.fc.weight.detach()
    found = [torch.einsum("bchw,kc->bkhw", part, apart) for part in (maps[:count], maps[count:].flip(-1))]
    value = F.cross_entropy(logits, batch.labels) + 7 * F.mse_loss(*found)
    assert loss == pytest.approx(value.item(), rel=1e-4)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("then", [None, v2.RandomHorizontalFlip(1.0)])
def test_eacs_views_are_erased_apart_in_the_mean_colour(channels, then):
    views, image = MirroredViews(then, eac_erasing(channels)), torch.zeros(channels, 40, 40, dtype=torch.uint8)
    image[:, :, :20] = 255
    base = image.flip(-1) if then else image
    torch.manual_seed(0)
    drawn = [views(image, 2) for _ in range(200)]
    assert {label for _, _, label in drawn} == {2}
    masks = [[(view != whole).any(0) for view, whole in zip(pair, (base, base.flip(-1)), strict=True)]
             for *pair, _ in drawn]  # fmt: skip
    changed = torch.tensor([[bool(mask.any()) for mask in both] for both in masks]).float()
    assert changed.mean(0).tolist() == pytest.approx([0.5, 0.5], abs=0.12)
    assert (changed[:, 0] * changed[:, 1]).mean().item() == pytest.approx(0.25, abs=0.12)  # independent of each other
    assert all(not torch.equal(a, b.flip(-1)) for a, b in masks if a.any() and b.any())
    shares = [mask.float().mean().item() for both in masks for mask in both if mask.any()]
    assert min(shares) > 0.015
    assert 0.2 < max(shares) < 0.28
    view, mask = next((view, mask) for both, pair in zip(masks, drawn, strict=True)
                      for mask, view in zip(both, pair[:2], strict=True) if mask.any())  # fmt: skip
    (colour,) = view[:, mask].unique(dim=1).T
    normal = Preprocess()(colour.view(1, channels, 1, 1))
    assert normal.abs().max() < (0.02 if channels == 3 else 0.2)


def test_eac_trains_and_its_own_erasing_is_counted():
    view = PairedView(CountedRandomErasing(p=1.0, scale=(0.9, 1.0), ratio=(1.0, 1.0)), v2.RandomHorizontalFlip())
    row = train(build_model("small", 3), DATA, augment=view, method=ErasingAttention(), **QUICK).history[-1]
    assert 0.03 < row["erased_share"] < 0.12  # half of the views, 13.5 % on average
    assert train(build_model("small", 3), DATA, method=ErasingAttention(), **QUICK).history[-1]["erased_share"] > 0.03
    assert to_uint8_tensor(DATA[0][0]).shape[0] == 1


@pytest.mark.parametrize(
    ("peer", "other", "said"),
    [
        (lambda: CoTeaching(0.3), lambda: CoTeaching(0.4), "CoTeaching(rate=0.3, ramp=0.1)"),
        (lambda: JoCoR(0.3), lambda: JoCoR(0.3, lam=0.9), "JoCoR(rate=0.3, ramp=0.1, lam=0.85)"),
        (ErasingAttention, lambda: ErasingAttention(3.0), "ErasingAttention(weight=5.0)"),
    ],
)
def test_what_a_checkpoint_compares(tmp_path, peer, other, said):
    assert repr(peer()) == said

    def network() -> nn.Module:
        return build_model("small", 3) if peer is ErasingAttention else Pair(own_net(0), own_net(1))

    train(network(), DATA, method=peer(), checkpoint=tmp_path / "c", **QUICK)
    assert train(network(), DATA, method=peer(), checkpoint=tmp_path / "c", **QUICK).epoch == 2
    with pytest.raises(UserError, match="method was"):
        train(network(), DATA, method=other(), checkpoint=tmp_path / "c", **QUICK)
