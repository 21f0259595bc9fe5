"""How close does the adversary in the training step come to the hardest square, and what does a step with it cost?

    python benchmarks/online.py --root FER2013 --teacher DIR [--images 200] [--epochs 3] [--only PART]

``DIR`` holds a network of `pasm-aug train` on 8,000 faces. *Share*: the rise of cross-entropy under the chosen
13 px square in the image's mean colour, as a share of the rise under the worst such square on a grid of every second
pixel, on training images. Forwards are those of an image beside the training step's own; a backward counts two.

1. On the fixed teacher: squares at random, by a fresh gradient (half faded into the mean colour), by the magnitude of
   the gradient (the gradient-guided places of Wu, Tong and Vorobeychik, ICLR 2020: regions where the input gradient is
   largest, the first C of them tried exactly), and by the places that a sample's earlier epochs left behind.
2. In training (`online_gain.py`'s settings): the same shares for the student as it is after each epoch, with the
   candidates that the epoch's own steps left behind, and with fresh ones.
3. Seconds of a training step, the teacher's forward included, with and without it, interleaved on one thread.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from common import machine, medians, stack, table, versions
from torch import Tensor, nn

from pasm_aug.core.files import read_json, write_json
from pasm_aug.core.networks import copied
from pasm_aug.data.fer2013 import FER2013
from pasm_aug.models import load_model
from pasm_aug.search.adversary import Network, Squares
from pasm_aug.search.online import OnlineAdversarialErase
from pasm_aug.training.losses import distillation_loss

SIDE, BATCH, LR, STRIDE = 13, 32, 0.02, 2
BUDGETS = (0, 4, 8, 16)
SHARES = {
    "how": "candidates",
    "budget": "budget",
    "forwards": "forwards an image|.0f",
    "share": "share of the worst|.2f",
}
STALE = {
    "epoch": "after epoch",
    "budget": "budget",
    "worst": "worst rise, nats|.2f",
    "left": "share, left behind|.2f",
    "fresh": "share, fresh|.2f",
}
TIMES = {"budget": "budget", "fresh": "gradient", "seconds": "ms a step|.1f", "ratio": "÷ without|.2f"}


def losses(model: nn.Module, images: Tensor, labels: Tensor) -> Tensor:
    model.eval()
    with torch.no_grad():
        return Network(model, model.preprocess, images).losses(images, labels)


def worst_rise(model: nn.Module, images: Tensor, labels: Tensor) -> Tensor:
    """(B,) the rise under the worst square of the grid."""
    clean, best = losses(model, images, labels), torch.full((len(images),), -torch.inf)
    squares = squares_of(images, labels)
    for top in range(0, images.shape[2] - SIDE + 1, STRIDE):
        for left in range(0, images.shape[3] - SIDE + 1, STRIDE):
            place = torch.tensor([0, 2 * top + SIDE, 2 * left + SIDE]).expand(len(images), 1, 3)
            best = torch.maximum(best, losses(model, squares.filled(place)[:, 0], labels) - clean)
    return best


def squares_of(images: Tensor, labels: Tensor) -> Squares:
    fill = images.float().mean((2, 3), keepdim=True).round().to(torch.uint8)[:, None]
    return Squares(images, labels, fill, torch.full((len(images), 2), SIDE))


def by_magnitude(model: nn.Module, images: Tensor, labels: Tensor, budget: int) -> Tensor:
    """Erased at the places of the greatest gradient magnitude; of ``budget`` such places at the worst."""
    network, squares = Network(model, model.preprocess, images), squares_of(images, labels)
    model.eval()
    inputs = network.to_input(images).requires_grad_()
    (gradient,) = torch.autograd.grad(F.cross_entropy(model(inputs), labels, reduction="sum"), inputs)
    sums = F.avg_pool2d(gradient.abs().sum(1, keepdim=True), SIDE, 1)
    effects = F.pad(sums, (0, SIDE - 1, 0, SIDE - 1), value=-torch.inf)
    places = squares.hints(effects, max(1, budget))
    with torch.no_grad():
        chosen = squares.losses(network, places).argmax(1) if budget else torch.zeros(len(images), dtype=torch.int64)
        return squares.filled(places.gather(1, chosen[:, None, None].expand(-1, 1, 3)))[:, 0]


def adversary(model: nn.Module, budget: int, **options: Any) -> OnlineAdversarialErase:
    return OnlineAdversarialErase(model, size=SIDE, budget=budget, **options)


def step(model: nn.Module, teacher: nn.Module, erase: Any, images: Tensor, labels: Tensor, index: Tensor) -> Tensor:
    """A training step without its optimiser's."""
    inputs = model.preprocess(images if erase is None else erase(images, labels, index=index))
    if erase is not None:
        erase.watch(inputs)
    with torch.no_grad():
        whole = teacher(teacher.preprocess(images))
    model.train()
    loss = distillation_loss(model(inputs), whole, labels)
    model.zero_grad()
    loss.backward()
    return loss


def on_the_teacher(teacher: nn.Module, images: Tensor, labels: Tensor) -> list[dict[str, Any]]:
    clean, worst = losses(teacher, images, labels), worst_rise(teacher, images, labels)
    index, rows = torch.arange(len(images)), []

    def add(how: str, budget: int, forwards: int, erased: Tensor) -> None:
        share = (losses(teacher, erased, labels) - clean).mean() / worst.mean()
        rows.append({"how": how, "budget": budget, "forwards": forwards, "share": share.item()})

    for budget in BUDGETS:
        add("at random", budget, budget, adversary(teacher, budget, fresh=False)(images, labels, index=index))
    for budget in BUDGETS:
        add("magnitude of the gradient (Wu et al.)", budget, 3 + budget, by_magnitude(teacher, images, labels, budget))
    for budget in BUDGETS:
        add("fresh gradient", budget, 3 + budget, adversary(teacher, budget)(images, labels))
    for budget in BUDGETS:
        erase, network = adversary(teacher, budget), copied(teacher)
        for epoch in range(6):
            erase.set_epoch(epoch)
            erased = torch.cat([
                erased_in_a_step(network, teacher, erase, images[part], labels[part], index[part])
                for part in torch.arange(len(images)).split(BATCH)
            ])  # fmt: skip
            if epoch in (1, 5):
                add(f"left behind by {epoch} epoch{'s' * (epoch > 1)}, teacher fixed", budget, budget, erased)
    return rows


def erased_in_a_step(network: nn.Module, teacher: nn.Module, erase: Any, *batch: Tensor) -> Tensor:
    """What a step erases; its gradient, of a network that does not learn, is left behind."""
    erased = erase(batch[0], batch[1], index=batch[2])
    inputs = network.preprocess(erased)
    erase.watch(inputs)
    network.eval()
    F.cross_entropy(network(inputs), batch[1]).backward()
    network.zero_grad()
    return erased


def in_training(teacher: nn.Module, data: Any, probe: Tensor, epochs: int, budget: int) -> list[dict[str, Any]]:
    """Shares on the ``probe`` (indices) after each epoch of training."""
    student, rows = copied(teacher), []
    optimizer = torch.optim.SGD(student.parameters(), lr=LR, momentum=0.9, weight_decay=1e-4)
    erase = adversary(student, budget)
    everything, truth = stack(data, range(len(data)))
    truth = torch.from_numpy(truth)
    images, labels = everything[probe], truth[probe]
    for epoch in range(epochs):
        erase.set_epoch(epoch)
        drawn = torch.Generator().manual_seed(epoch)
        for index in torch.randperm(len(data), generator=drawn).split(BATCH):
            flip = (torch.rand(len(index), generator=drawn) < 0.5)[:, None, None, None]
            batch = torch.where(flip, everything[index].flip(-1), everything[index])
            step(student, teacher, erase, batch, truth[index], index)
            optimizer.step()
        clean, worst = losses(student, images, labels), worst_rise(student, images, labels)
        shares = {}
        for name, other in (("left", erase), ("fresh", adversary(student, budget))):
            kept = {key: value.clone() for key, value in other.state_dict().items()}
            with torch.no_grad():
                found = other(images, labels, index=probe if name == "left" else None)
            other.load_state_dict(kept)
            shares[name] = ((losses(student, found, labels) - clean).mean() / worst.mean()).item()
        rows.append({"epoch": epoch + 1, "budget": budget, "worst": worst.mean().item(), **shares})
    return rows


def times(teacher: nn.Module, images: Tensor, labels: Tensor, repeats: int) -> list[dict[str, Any]]:
    model, index = copied(teacher), torch.arange(BATCH)
    batch, truth = images[:BATCH], labels[:BATCH]
    kinds = {"without": None}
    kinds |= {f"{budget} of the step": adversary(model, budget) for budget in (0, 4, 8)}
    kinds |= {f"{budget} fresh": adversary(model, budget, fresh=True) for budget in (0, 4)}
    works: dict[str, Callable[[], object]] = {
        name: lambda erase=erase: step(model, teacher, erase, batch, truth, index) for name, erase in kinds.items()
    }
    found = {name: cpu for name, (_, cpu) in medians(works, repeats).items()}
    rows = []
    for name, seconds in found.items():
        budget, _, gradient = name.partition(" ")
        rows.append(
            {"budget": budget, "fresh": gradient, "seconds": 1e3 * seconds, "ratio": seconds / found["without"]}
        )
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--root", type=Path, required=True, help="of FER2013")
    parser.add_argument("--teacher", type=Path, required=True, help="folder of a trained network")
    parser.add_argument("--images", type=int, default=200)
    parser.add_argument("--epochs", type=int, default=3, help="of training in the second part")
    parser.add_argument("--repeats", type=int, default=40)
    parser.add_argument("--only", choices=("times", "teacher", "training"), help="this part; the others' figures stay")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "online.json")
    args = parser.parse_args()
    torch.set_num_threads(1)
    teacher, data = load_model(args.teacher), FER2013(args.root, "train").limited(8000)
    probe = torch.from_numpy(np.random.default_rng(0).permutation(len(data))[: args.images])
    images, truth = stack(data, probe.tolist())
    labels = torch.from_numpy(truth)
    result: dict[str, Any] = read_json(args.out) if args.only and args.out.exists() else {}
    result |= {"versions": versions(), "machine": machine(), "images": args.images}
    if args.only in (None, "times"):
        result["times"] = times(teacher, images, labels, args.repeats)
        print(table(TIMES, result["times"]) + "\n", flush=True)
    if args.only in (None, "teacher"):
        result["teacher"] = on_the_teacher(teacher, images, labels)
        print(table(SHARES, result["teacher"]) + "\n", flush=True)
    if args.only in (None, "training"):
        result["training"] = [row for n in (0, 4) for row in in_training(teacher, data, probe, args.epochs, n)]
        print(table(STALE, result["training"]), flush=True)
    write_json(args.out, result)


if __name__ == "__main__":
    main()
