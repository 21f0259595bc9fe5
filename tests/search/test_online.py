"""The adversary of the training step, against brute force and against everything that it may not touch."""

import copy
import itertools
import random

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from torchvision.transforms import v2

from pasm_aug.core.painting import erase_patch
from pasm_aug.search.adversary import Network
from pasm_aug.search.online import OnlineAdversarialErase
from tests.small_teachers import conv_net, random_images, scaled

SIDE = 12
IMAGES, LABELS = random_images(8, SIDE), torch.arange(8) % 4
INDEX = torch.tensor([7, 3, 12, 0, 5, 1, 30, 8])


def linear_net(seed=0, channels=3, size=(SIDE, SIDE)):
    """Two classes, logits linear in the image: the first order is all there is."""
    with torch.random.fork_rng([]):
        torch.manual_seed(seed)
        return nn.Sequential(nn.Flatten(), nn.Linear(channels * size[0] * size[1], 2))


class Counted(nn.Module):
    """Counts the images that go forward, by whether they ask for a gradient."""

    def __init__(self, net):
        super().__init__()
        self.net, self.forwards, self.with_gradient = net, 0, 0

    def forward(self, x):
        self.forwards += len(x)
        self.with_gradient += len(x) * x.requires_grad
        return self.net(x)


def losses(net, images, labels):
    net.eval()
    with torch.no_grad():
        return F.cross_entropy(net(scaled(images)), labels, reduction="none")


def all_squares(image, side, fill):
    """Every square of an image, filled; row by row."""
    height, width = image.shape[1:]
    return torch.stack([
        erase_patch(image, (x, y, x + side, y + side), fill)
        for y in range(height - side + 1)
        for x in range(width - side + 1)
    ])  # fmt: skip


def mean_of(image):
    return image.float().mean((1, 2)).round().tolist()


def worst_by_brute_force(net, images, labels, side):
    chosen = []
    for image, label in zip(images, labels, strict=True):
        squares = all_squares(image, side, mean_of(image))
        chosen.append(squares[losses(net, squares, label.expand(len(squares))).argmax()])
    return torch.stack(chosen)


@pytest.mark.parametrize("channels", [1, 3])
def test_with_a_budget_for_all_places_it_finds_the_worst(channels):
    net, images = conv_net(channels=channels), random_images(8, 8, channels)
    erase = OnlineAdversarialErase(net, size=3, budget=36, preprocess=scaled)
    wanted = worst_by_brute_force(net, images, LABELS, 3)
    torch.testing.assert_close(losses(net, erase(images, LABELS), LABELS), losses(net, wanted, LABELS))


@given(st.integers(0, 20), st.sampled_from([(9, 14), (13, 8), (12, 12)]), st.integers(2, 6))
def test_on_a_linear_network_the_first_order_is_exact(seed, size, side):
    net, images, labels = linear_net(seed, size=size), random_images(4, size, seed=seed), torch.tensor([0, 1, 1, 0])
    erase = OnlineAdversarialErase(net, size=side, budget=0, preprocess=scaled)
    wanted = worst_by_brute_force(net, images, labels, side)
    torch.testing.assert_close(
        losses(net, erase(images, labels), labels), losses(net, wanted, labels), rtol=1e-4, atol=1e-5
    )


@pytest.mark.parametrize("flip", [(), (-1,), (-2, -1)])
def test_the_steps_own_gradient_says_where_to_erase_in_the_next_epoch(flip):
    net = Counted(linear_net())
    labels = LABELS % 2
    erase = OnlineAdversarialErase(net, size=4, budget=0, preprocess=scaled)
    inputs = scaled(erase(IMAGES, labels, index=INDEX))
    erase.watch(inputs)
    F.cross_entropy(net(inputs), labels).backward()
    net.forwards = 0
    # of a flipped image the flipped square: what the gradient said of the image as it came
    found = erase(IMAGES.flip(flip), labels, index=INDEX).flip(flip)
    assert net.forwards == 0
    wanted = worst_by_brute_force(net, IMAGES, labels, 4)
    torch.testing.assert_close(losses(net, found, labels), losses(net, wanted, labels), rtol=1e-4, atol=1e-5)


def test_untried_the_hard_place_stays_hard_from_epoch_to_epoch():
    """One gradient, taken with the square on the hard place, tends to jump away from it; those of all epochs do not."""
    net, images = conv_net(scale=3.0), random_images(40, SIDE, seed=3)
    labels, index = torch.arange(40) % 4, torch.arange(40)
    net.eval()
    clean, wanted = losses(net, images, labels), losses(net, worst_by_brute_force(net, images, labels, 4), labels)
    erase, shares = OnlineAdversarialErase(net, size=4, budget=0, preprocess=scaled), []
    for epoch in range(6):
        erase.set_epoch(epoch)
        inputs = scaled(erase(images, labels, index=index))
        erase.watch(inputs)
        loss = F.cross_entropy(net(inputs), labels, reduction="none")
        loss.sum().backward()
        shares.append(float((loss.detach() - clean).sum() / (wanted - clean).sum()))
    assert np.mean(shares[2:]) > 0.87  # 0.847 from one gradient


def test_floating_images_leave_their_gradient_by_themselves():
    net, labels, floats = linear_net(), LABELS % 2, scaled(IMAGES)
    erase = OnlineAdversarialErase(net, size=4, budget=0)
    erased = erase(floats, labels, index=INDEX)
    erased.mul_(1.0)  # what works in place may follow
    F.cross_entropy(net(erased), labels).backward()
    wanted = worst_by_brute_force(net, IMAGES, labels, 4)
    again = erase(floats, labels, index=INDEX).detach()
    net.eval()
    loss = F.cross_entropy(net(again), labels, reduction="none").detach()
    torch.testing.assert_close(loss, losses(net, wanted, labels), rtol=1e-2, atol=1e-2)  # the mean is not rounded here


def test_what_queries_found_is_tried_again():
    net = conv_net()
    erase = OnlineAdversarialErase(net, size=3, budget=4, preprocess=scaled)
    before = None
    for epoch in range(12):
        erase.set_epoch(epoch)
        loss = losses(net, erase(IMAGES, LABELS, index=INDEX), LABELS)
        assert before is None or bool((loss >= before - 1e-6).all())  # never worse than the best of the epoch before
        before = loss
    wanted = losses(net, worst_by_brute_force(net, IMAGES, LABELS, 3), LABELS)
    clean = losses(net, IMAGES, LABELS)
    assert (before - clean).sum() > 0.7 * (wanted - clean).sum()  # 24 of 100 places tried at random


@pytest.mark.parametrize(("budget", "index", "wanted"), [(0, True, 0), (4, True, 32), (0, False, 8), (4, False, 40)])
def test_what_it_costs(budget, index, wanted):
    net = Counted(conv_net())
    erase = OnlineAdversarialErase(net, size=5, budget=budget, preprocess=scaled)
    for _ in range(2):
        net.forwards = net.with_gradient = 0
        inputs = scaled(erase(IMAGES, LABELS, index=INDEX if index else None))
        erase.watch(inputs)
        assert (net.forwards, net.with_gradient) == (wanted, 0 if index else 8)
        F.cross_entropy(net(inputs), LABELS).backward()
        assert net.forwards == wanted + 8


@pytest.mark.parametrize("value", ["mean", "random", "image", "point", 7])
@pytest.mark.parametrize("objective", ["patch", "true_prob"])
@pytest.mark.parametrize("indexed", [True, False])
def test_the_order_and_the_size_of_a_batch_change_nothing(value, objective, indexed):
    def erased(orders):
        erase = OnlineAdversarialErase(
            conv_net(), size_range=(2, 6), budget=3, value=value, objective=objective, p=0.7, preprocess=scaled, seed=4
        )
        for epoch in range(3):
            erase.set_epoch(epoch)
            out = torch.zeros_like(IMAGES)
            for order in orders:
                out[order] = erase(IMAGES[order], LABELS[order], index=INDEX[order] if indexed else None)
        return out

    whole = erased([torch.arange(8)])
    assert torch.equal(whole, erased([torch.tensor([5, 2, 7, 0, 1, 6, 3, 4])]))
    if value != "image":  # which takes the others of the batch
        assert torch.equal(whole, erased([torch.tensor([5, 2, 7]), torch.tensor([0, 1, 6, 3, 4])]))
    assert 0 < sum(torch.equal(a, b) for a, b in zip(whole, IMAGES, strict=True)) < 8


def test_the_seed_and_the_epoch_decide():
    def erased(seed, epoch):
        erase = OnlineAdversarialErase(conv_net(), size=5, budget=0, preprocess=scaled, seed=seed)
        erase.set_epoch(epoch)
        return erase(IMAGES, LABELS, index=INDEX)

    assert torch.equal(erased(0, 0), erased(0, 0))
    assert not torch.equal(erased(0, 0), erased(0, 1))
    assert not torch.equal(erased(0, 0), erased(1, 0))


def test_without_epochs_each_call_draws_anew():
    erase = OnlineAdversarialErase(conv_net(), size=5, budget=0, p=0.5, preprocess=scaled)
    assert not torch.equal(erase(IMAGES, LABELS), erase(IMAGES, LABELS))


def test_nothing_of_the_network_and_of_the_random_state_changes():
    net = conv_net()
    net[3].eval()  # a part of its own mind
    net[0].weight.requires_grad_(False)
    calls = []
    net.register_forward_hook(lambda *_: calls.append(1))
    state = copy.deepcopy(net.state_dict())
    modes = [module.training for module in net.modules()]
    random.seed(0), np.random.seed(0), torch.manual_seed(0)  # noqa: NPY002
    states = random.getstate(), np.random.get_state()[1].copy(), torch.get_rng_state()  # noqa: NPY002
    images = IMAGES.clone()
    for fresh in (True, False):
        OnlineAdversarialErase(net, size=5, budget=2, fresh=fresh, preprocess=scaled)(images, LABELS, index=INDEX)
    assert torch.equal(images, IMAGES)
    assert [module.training for module in net.modules()] == modes
    assert all(torch.equal(a, b) for a, b in zip(state.values(), net.state_dict().values(), strict=True))
    assert all(parameter.grad is None for parameter in net.parameters())
    assert [parameter.requires_grad for parameter in net.parameters()] == [False] + [True] * 7
    assert len(net._forward_hooks) == 1
    assert states[0] == random.getstate()
    assert (states[1] == np.random.get_state()[1]).all()  # noqa: NPY002
    assert torch.equal(states[2], torch.get_rng_state())


def test_under_autocast_the_step_still_learns():
    net = conv_net()
    erase = OnlineAdversarialErase(net, size=5, budget=2, preprocess=scaled)
    with torch.autocast("cpu", torch.bfloat16):
        inputs = scaled(erase(IMAGES, LABELS, index=INDEX))
        erase.watch(inputs)
        loss = F.cross_entropy(net(inputs).float(), LABELS)
    loss.backward()
    # weights that the search had cast without a gradient would be taken from autocast's cache
    assert all(parameter.grad is not None and parameter.grad.abs().sum() > 0 for parameter in net.parameters())


@pytest.mark.parametrize("wrap", [lambda net: torch.compile(net, backend="eager"), nn.DataParallel])
def test_wrapped_networks(wrap):
    def erased(net):
        erase = OnlineAdversarialErase(net, size=5, budget=3, preprocess=scaled)
        for _ in range(2):
            inputs = scaled(erase(IMAGES, LABELS, index=INDEX))
            erase.watch(inputs)
            F.cross_entropy(net(inputs), LABELS).backward()
        return inputs

    torch._dynamo.reset()
    torch.manual_seed(0)
    plain = erased(conv_net())
    torch.manual_seed(0)
    assert torch.equal(plain, erased(wrap(conv_net())))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.float16])
@pytest.mark.parametrize("channels", [1, 3, 5])
@pytest.mark.parametrize("value", ["mean", "random", "image", "point", -0.5])
def test_floating_images_of_any_channels(dtype, channels, value):
    if dtype == torch.float16:
        net = nn.Sequential(nn.Flatten(), nn.Linear(channels * SIDE * 9, 4)).half()
    else:
        net = conv_net(channels=channels).to(dtype)
    images = torch.randn(8, channels, SIDE, 9, generator=torch.Generator().manual_seed(0)).to(dtype)
    erased = OnlineAdversarialErase(net, size=4, budget=2, value=value)(images, LABELS)
    assert (erased.dtype, erased.shape) == (dtype, images.shape)
    changed = (erased != images).any(1).flatten(1).sum(1)
    assert bool((changed <= 16).all())
    assert bool((changed >= 12).all())


@pytest.mark.parametrize("value", ["mean", "image", "point"])
@pytest.mark.parametrize("p", [1.0, 0.5])
@pytest.mark.parametrize("index", [None, INDEX])
def test_a_gradient_passes_outside_the_square(value, p, index):
    images = scaled(IMAGES).requires_grad_()
    erased = OnlineAdversarialErase(conv_net(), size=5, value=value, p=p)(images, LABELS, index=index)
    changed = erased != images
    assert changed.any()
    (gradient,) = torch.autograd.grad(erased.sum(), images)
    assert not gradient[changed].any()
    stopped = (gradient == 0).flatten(2).sum(2)
    assert set(stopped.unique().tolist()) == ({25} if p == 1 else {0, 25})
    assert torch.equal(gradient.unique(), torch.tensor([0.0, 1.0]))
    with torch.no_grad():
        assert not OnlineAdversarialErase(conv_net(), size=5)(images, LABELS).requires_grad


@pytest.mark.parametrize("index", [None, INDEX])
def test_in_inference_mode_it_erases_the_same(index):
    net = conv_net()

    def erased():
        return OnlineAdversarialErase(net, size=5, preprocess=scaled)(IMAGES.clone(), LABELS.clone(), index=index)

    with torch.inference_mode():
        found = erased()
    assert torch.equal(found, erased())


def test_a_square_larger_than_the_image_covers_it():
    erased = OnlineAdversarialErase(conv_net(), size=50, value=9, budget=2, preprocess=scaled)(IMAGES, LABELS)
    assert bool((erased == 9).all())


def test_true_prob_is_the_pixel_that_hurts_most_and_the_square_around_it():
    net, images = conv_net(channels=1), random_images(6, 7, 1)
    labels = LABELS[:6]
    erase = OnlineAdversarialErase(net, size=3, value="point", budget=98, objective="true_prob", preprocess=scaled)
    erased = erase(images, labels)
    for image, label, found in zip(images, labels, erased, strict=True):
        changed = torch.stack([
            erase_patch(image, (x, y, x + 1, y + 1), [colour])
            for colour, y, x in itertools.product((0, 255), range(7), range(7))
        ])  # fmt: skip
        colour, at = divmod(int(losses(net, changed, label.expand(98)).argmax()), 49)
        top, left = (min(max(p - 1, 0), 4) for p in divmod(at, 7))
        assert torch.equal(found, erase_patch(image, (left, top, left + 3, top + 3), [255 * colour]))


def test_hardness():
    net = conv_net(scale=4.0)
    made = {}
    for hardness in ("worst", "drawn", 0.999):
        erase = OnlineAdversarialErase(net, size=3, budget=25, hardness=hardness, preprocess=scaled)
        made[hardness] = torch.stack([losses(net, erase(IMAGES, LABELS), LABELS) for _ in range(20)])
    assert bool((made["worst"] >= made["drawn"] - 1e-6).all())
    assert made["drawn"].std(0).max() > 0  # another one each time
    low = -torch.tensor(0.999).log()
    assert bool(((made[0.999] > low) | (made["worst"] <= low)).all())
    assert made[0.999].mean() < made["worst"].mean()


def test_p_is_the_share_that_is_erased_and_queried():
    net = Counted(linear_net())
    images, labels = random_images(1, SIDE).expand(2000, -1, -1, -1), torch.zeros(2000, dtype=torch.int64)
    erase = OnlineAdversarialErase(net, size=5, value=300 % 256, budget=1, p=0.3, preprocess=scaled)
    erased = erase(images, labels, index=torch.arange(2000))
    share = (erased != images).flatten(1).any(1).float().mean().item()
    assert share == pytest.approx(0.3, abs=0.04)
    assert net.forwards == pytest.approx(600, abs=80)
    assert erase.area.tolist() == [25 * net.forwards, 2000 * SIDE * SIDE]


def test_size_range_draws_every_side():
    erase = OnlineAdversarialErase(linear_net(), size_range=(2, 5), value=0, budget=0, preprocess=scaled)
    images = torch.full((400, 3, SIDE, SIDE), 9, dtype=torch.uint8)
    erased = erase(images, torch.zeros(400, dtype=torch.int64), index=torch.arange(400))
    areas, counts = (erased == 0).all(1).flatten(1).sum(1).unique(return_counts=True)
    assert areas.tolist() == [4, 9, 16, 25]
    assert counts.min() > 70
    shares = OnlineAdversarialErase(linear_net(), size_range=(0.25, 0.5), value=0, budget=0, preprocess=scaled)
    sides = (shares(images, torch.zeros(400, dtype=torch.int64), index=torch.arange(400)) == 0).all(1).any(1).sum(1)
    assert sides.unique().tolist() == [3, 4, 5, 6]


def test_rectangles_have_the_areas_and_ratios_of_random_erasing():
    erase = OnlineAdversarialErase(linear_net(size=(40, 60)), scale=(0.02, 0.33), value=0, budget=0, preprocess=scaled)
    images = torch.full((1500, 3, 40, 60), 9, dtype=torch.uint8)
    inside = (erase(images, torch.zeros(1500, dtype=torch.int64), index=torch.arange(1500)) == 0).all(1)
    heights, widths = inside.any(2).sum(1), inside.any(1).sum(1)
    assert torch.equal(heights * widths, inside.flatten(1).sum(1))
    assert erase.area[0] == inside.sum()
    torch.manual_seed(0)
    theirs = torch.tensor([v2.RandomErasing.get_params(images[0], (0.02, 0.33), (0.3, 3.3))[2:4] for _ in range(1500)])
    fit = (heights < 40) & (widths < 60)  # theirs draws anew what does not fit
    for found, wanted in ((heights, theirs[:, 0]), (widths, theirs[:, 1])):
        at = torch.tensor([0.1, 0.3, 0.5, 0.7, 0.9])
        assert (found[fit].float().quantile(at) - wanted.float().quantile(at)).abs().max() <= 2


def test_with_a_budget_for_all_places_it_finds_the_worst_rectangle():
    net, images = conv_net(channels=1), random_images(8, 8, 1)
    erase = OnlineAdversarialErase(net, scale=(0.2, 0.2), ratio=(2.0, 2.0), budget=64, preprocess=scaled)
    erased = erase(images, LABELS)
    for image, label, found in zip(images, LABELS, erased, strict=True):  # 5 × 3 of 8 × 8
        every = torch.stack(
            [erase_patch(image, (x, y, x + 3, y + 5), mean_of(image)) for y in range(4) for x in range(6)]
        )
        worst = losses(net, every, label.expand(24)).max()
        torch.testing.assert_close(losses(net, found[None], label[None])[0], worst)


def test_its_state_goes_on():
    net, erase = conv_net(), OnlineAdversarialErase(conv_net(), size=5, budget=2, preprocess=scaled)
    for _ in range(2):
        erase(IMAGES, LABELS, index=INDEX)
    later = OnlineAdversarialErase(net, size=5, budget=2, preprocess=scaled)
    later.load_state_dict(copy.deepcopy(erase.state_dict()))
    assert torch.equal(erase(IMAGES, LABELS, index=INDEX), later(IMAGES, LABELS, index=INDEX))


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"budget": -1}, ValueError, "budget must be a number of queries, 0 or more, got -1"),
        ({"budget": 2.5}, ValueError, "budget must be a number of queries, 0 or more, got 2.5"),
        ({"objective": "margin"}, ValueError, "objective must be one of patch, true_prob, got 'margin'"),
        ({"hardness": "best"}, ValueError, r"hardness must be worst, drawn or a probability in \(0, 1\), got 'best'"),
        ({"hardness": 1}, ValueError, r"hardness must be worst, drawn or a probability in \(0, 1\), got 1"),
        ({"value": "grey"}, ValueError, "value must be one of mean, random, image, point or numbers, got 'grey'"),
        ({"size": 0}, ValueError, r"size must be at least 1 pixel, or a share in \(0, 1\], got 0"),
        ({"size_range": (5, 2)}, ValueError, "size_range must be two shares or two ints, low first"),
        ({"scale": (0.4, 0.2)}, ValueError, r"scale must be two shares of the area in \(0, 1\], low first"),
        ({"scale": 0.2}, ValueError, r"scale must be two shares of the area in \(0, 1\], low first, got 0.2"),
        ({"ratio": (0, 2)}, ValueError, "ratio must be two positive numbers, low first"),
        ({"p": 1.5}, ValueError, r"p must be a probability in \[0, 1\], got 1.5"),
    ],
)
def test_options_that_cannot_be(options, error, message):
    with pytest.raises(error, match=message):
        OnlineAdversarialErase(conv_net(), **options)


@pytest.mark.parametrize(
    ("images", "labels", "index", "error", "message"),
    [
        (IMAGES[0], LABELS, None, ValueError, r"images must have shape \(B, C, H, W\) and labels \(B,\), got"),
        (IMAGES, LABELS[:3], None, ValueError, r"labels \(B,\), got \(8, 3, 12, 12\) and \(3,\)"),
        (IMAGES.int(), LABELS, None, TypeError, "images must be uint8 or floating, got torch.int32"),
        (IMAGES, LABELS.float(), None, TypeError, "labels must be integers, got torch.float32: erase before labels"),
        (IMAGES, torch.eye(8), None, TypeError, "labels must be integers, got torch.float32: erase before labels"),
        (IMAGES, LABELS, INDEX + 10**11, ValueError, "index must number the samples from 0 on, .* got 100000000030"),
        (IMAGES.float(), LABELS, None, ValueError, "preprocess is for uint8 images, floating ones must be the network"),
        (IMAGES, LABELS + 5, None, ValueError, "labels must lie in 0…3, for the network has 4 outputs, got 5…8"),
        (IMAGES, LABELS, INDEX[:2], ValueError, r"index must be 8 integers, one for each image, got \(2,\)"),
        (IMAGES, LABELS, INDEX - 9, ValueError, "index must not be negative, got -9"),
        (IMAGES.numpy(), LABELS, None, TypeError, "images and labels must be tensors, got ndarray and Tensor"),
    ],
)
def test_batches_that_cannot_be(images, labels, index, error, message):
    with pytest.raises(error, match=message):
        OnlineAdversarialErase(conv_net(), size=5, preprocess=scaled)(images, labels, index=index)


@pytest.mark.parametrize("where", [[True] * 3, torch.ones(8), torch.ones(8, 1, dtype=torch.bool)])
def test_a_mask_that_is_none_is_refused(where):
    with pytest.raises(ValueError, match="where must be 8 bool, one for each image, got"):
        OnlineAdversarialErase(conv_net(), size=5, preprocess=scaled)(IMAGES, LABELS, where=where)


def test_a_mask_may_be_a_list_or_an_array():
    mask = np.arange(8) % 3 == 0
    erase = OnlineAdversarialErase(conv_net(), size=5, preprocess=scaled)
    erase.set_epoch(0)
    outs = [erase(IMAGES, LABELS, where=where) for where in (torch.from_numpy(mask), mask, mask.tolist())]
    assert np.array_equal((outs[0] != IMAGES).flatten(1).any(1).numpy(), mask)
    assert all(torch.equal(outs[0], out) for out in outs)


def test_the_number_types_of_numpy_are_pixels_too():
    plain, numpys = (OnlineAdversarialErase(conv_net(), size=n, preprocess=scaled) for n in (5, np.int64(5)))
    assert torch.equal(plain(IMAGES, LABELS), numpys(IMAGES, LABELS))
    ranged = OnlineAdversarialErase(conv_net(), size_range=tuple(np.array([3, 5])), preprocess=scaled)
    ranged(IMAGES, LABELS)
    assert 8 * 9 <= ranged.area[0] <= 8 * 25


def test_an_index_with_its_data_sets_digest_counts_as_the_index():
    pairs = torch.stack([INDEX, torch.full((8,), 2**40)], 1)
    outs = []
    for index in (INDEX, pairs):
        erase = OnlineAdversarialErase(conv_net(), size=5, preprocess=scaled)
        erase.set_epoch(0)
        outs.append(erase(IMAGES, LABELS, index=index))
    assert torch.equal(*outs)


@pytest.mark.parametrize("where", [[True] + [False] * 7, None])
def test_one_image_alone_is_erased_too_by_another(where):
    erase = OnlineAdversarialErase(conv_net(), size=5, value="image", preprocess=scaled)
    images, labels = (IMAGES, LABELS) if where else (IMAGES[:1], LABELS[:1])
    changed = (erase(images, labels, where=where) != images).any(1)
    assert 15 < changed[0].sum() <= 25
    assert not changed[1:].any()


@pytest.mark.parametrize("wrap", [nn.DataParallel, lambda net: torch.compile(nn.DataParallel(net), backend="eager")])
def test_a_distributed_wrapper_is_searched_without_and_its_networks_preprocess_is_found(wrap):
    net = conv_net()
    net.preprocess = scaled
    erase = OnlineAdversarialErase(wrap(net), size=5)
    plain = OnlineAdversarialErase(net, size=5)
    assert Network(erase.model, None, IMAGES).model is net
    assert torch.equal(erase(IMAGES, LABELS), plain(IMAGES, LABELS))


class InPlace(nn.Module):
    """Its first operation writes into its input."""

    def __init__(self):
        super().__init__()
        self.net = conv_net()

    def forward(self, x):
        return self.net(x.sub_(0.5))


def test_a_network_may_begin_in_place():
    net = InPlace()
    erase = OnlineAdversarialErase(net, size=5, preprocess=scaled)
    F.cross_entropy(net(erase.watch(scaled(erase(IMAGES, LABELS, index=INDEX)))), LABELS).backward()
    assert erase.table.touched.sum() == 8
    floating = OnlineAdversarialErase(net, size=5)
    F.cross_entropy(net(floating(scaled(IMAGES), LABELS, index=INDEX)), LABELS).backward()
    assert torch.equal(floating.table.places[INDEX] >= 0, torch.ones(8, 4, 3, dtype=torch.bool))


def test_without_network_or_preprocessing():
    with pytest.raises(TypeError, match=r"model must be a torch.nn.Module, got str"):
        OnlineAdversarialErase("resnet18")
    with pytest.raises(TypeError, match=r"model must be a torch.nn.Module, got NoneType"):
        OnlineAdversarialErase()(IMAGES, LABELS)
    with pytest.raises(ValueError, match="preprocess is missing"):
        OnlineAdversarialErase(conv_net())(IMAGES, LABELS)
