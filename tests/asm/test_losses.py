"""The losses of the three subsets, image by image against their formulas."""

import math

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st

from pasm_aug.asm.losses import ramp, tri_loss
from pasm_aug.asm.subsets import AMBIGUOUS, CLEAN, NOISE


def made(seed, count=9, classes=5):
    draw = torch.Generator().manual_seed(seed)
    subset = torch.randint(0, 3, (count,), generator=draw, dtype=torch.uint8)
    weak = torch.randn(2, count, classes, generator=draw, dtype=torch.float64, requires_grad=True)
    strong = torch.randn(2, int((subset == NOISE).sum()), classes, generator=draw, dtype=torch.float64)
    return weak, strong.requires_grad_(), torch.randint(0, classes, (count,), generator=draw), subset


def kl(p, q):
    return sum(float(a) * math.log(float(a) / float(b)) for a, b in zip(p, q, strict=True))


def by_hand(weak, strong, labels, subset, lam, omega, gamma, reduction):
    sums, strong_rows = {CLEAN: [], AMBIGUOUS: [], NOISE: []}, iter(range(strong.shape[1]))
    for i, kind in enumerate(subset.tolist()):
        first, second = weak[:, i].softmax(-1)
        entropy = -(math.log(first[labels[i]]) + math.log(second[labels[i]])) / 2
        if kind == CLEAN:
            sums[kind].append(entropy)
        elif kind == AMBIGUOUS:
            sums[kind].append((1 - lam) * entropy + lam * (kl(first, second) + kl(second, first)) / 2)
        else:
            hard = strong[:, next(strong_rows)].softmax(-1)
            sums[kind].append(float((weak[:, i].softmax(-1) - hard).square().mean()))
    share = {kind: len(subset) if reduction == "batch" else max(1, len(found)) for kind, found in sums.items()}
    parts = [sum(sums[kind]) / share[kind] for kind in (CLEAN, AMBIGUOUS, NOISE)]
    return parts[0] + omega * parts[1] + gamma * parts[2]


@given(
    st.integers(0, 500),
    st.floats(0, 1),
    st.floats(0, 3),
    st.floats(0, 3),
    st.sampled_from(["batch", "subset"]),
    st.booleans(),
)
def test_the_value_is_that_of_the_formulas(seed, lam, omega, gamma, reduction, detach):
    weak, strong, labels, subset = made(seed)
    options = {"lam": lam, "omega": omega, "gamma": gamma, "reduction": reduction}
    found = tri_loss(weak, strong, labels, subset, detach=detach, **options)
    assert found.item() == pytest.approx(by_hand(weak.detach(), strong.detach(), labels, subset, **options), abs=1e-9)


@given(st.integers(0, 500), st.integers(1, 8))
def test_with_the_mean_over_the_batch_a_batch_can_be_cut(seed, cut):
    weak, strong, labels, subset = made(seed)
    whole = tri_loss(weak, strong, labels, subset, lam=0.5, reduction="batch")
    first = int((subset[:cut] == NOISE).sum())
    parts = [
        tri_loss(weak[:, a:b], strong[:, c:d], labels[a:b], subset[a:b], lam=0.5, reduction="batch")
        * (b - a)
        / len(labels)
        for (a, b), (c, d) in (((0, cut), (0, first)), ((cut, len(labels)), (first, strong.shape[1])))
    ]
    assert whole.item() == pytest.approx(sum(parts).item(), abs=1e-9)


def test_all_clean_is_the_mean_of_two_cross_entropies_and_soft_labels_are_labels_too():
    weak, _, labels, _ = made(1)
    clean = torch.zeros(9, dtype=torch.uint8)
    expected = (F.cross_entropy(weak[0], labels) + F.cross_entropy(weak[1], labels)) / 2
    assert tri_loss(weak, None, labels, clean, lam=0.9).item() == pytest.approx(expected.item())
    soft = F.one_hot(labels, 5).double()
    assert tri_loss(weak, None, soft, clean, lam=0.9).item() == pytest.approx(expected.item())


def test_detached_the_other_network_and_the_weak_view_are_constants():
    weak, strong, labels, _ = made(2)
    ambiguous = torch.full((9,), AMBIGUOUS, dtype=torch.uint8)
    (found,) = torch.autograd.grad(tri_loss(weak, None, labels, ambiguous, lam=1.0, omega=1.0), weak)
    log_p = weak.log_softmax(-1)
    expected = sum(F.kl_div(log_p[i], log_p[1 - i].detach(), reduction="sum", log_target=True) / 2 / 9 for i in (0, 1))
    assert found.allclose(torch.autograd.grad(expected, weak)[0])
    (both,) = torch.autograd.grad(tri_loss(weak, None, labels, ambiguous, lam=1.0, omega=1.0, detach=False), weak)
    assert not found.allclose(both)
    noise = torch.full((9,), NOISE, dtype=torch.uint8)
    strong = torch.randn(2, 9, 5, dtype=torch.float64, requires_grad=True)
    grads = torch.autograd.grad(tri_loss(weak, strong, labels, noise, lam=0.0), [weak, strong])
    assert not grads[0].any()
    assert grads[1].any()


def test_the_ramp_rises_to_its_peak_at_nine_tenths_and_stays():
    values = [ramp(e, 100) for e in range(1, 101)]
    assert values == sorted(values)
    assert values[89:] == [0.9] * 11
    assert values[44] == pytest.approx(0.9 * math.exp(-0.65 * 0.25))
    assert ramp(1, 100, beta=0, peak=0.4) == 0.4


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"weak": torch.zeros(1, 9, 5)}, r"weak must be \(2, B, K\)"),
        ({"lam": 1.2}, r"lam must lie in \[0, 1\], got 1.2"),
        ({"reduction": "sum"}, "reduction must be one of batch, subset, got 'sum'"),
        (
            {"strong": torch.zeros(2, 40, 5)},
            r"strong must be \(2, \d, 5\), the images that are noise, got \(2, 40, 5\)",
        ),
    ],
)
def test_what_cannot_be_is_refused(change, message):
    weak, strong, labels, subset = made(3)
    given = {"weak": weak, "strong": strong, "labels": labels, "subset": subset, "lam": 0.5} | change
    with pytest.raises(ValueError, match=message):
        tri_loss(**given)
