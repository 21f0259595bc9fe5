"""Splits in which a person, with images of every class, stays on one side."""

from __future__ import annotations

import warnings
from collections.abc import Hashable, Sequence

import numpy as np

from pasm_aug.core.errors import UserError

Groups = Sequence[Hashable] | np.ndarray


def split_groups(
    labels: np.ndarray,
    groups: Groups,
    fractions: Sequence[float],
    *,
    seed: int = 0,
    classes: Sequence[str] | None = None,
) -> list[np.ndarray]:
    """Split items into parts so that groups stay together and each part has about its share of each class.

    Unlike :func:`~pasm_aug.data.base.stratified_split`, a group may hold several classes. The rarest class is dealt out
    first, as in iterative stratification (Sechidis et al. 2011), each group to the part that lacks its class most;
    before that, every part gets some of every class, as far as there are groups for it.

    Args:
        labels: (N,) integers.
        groups: (N,) names.
        fractions: share of each part; positive, sum 1.
        classes: names, for messages.

    Returns:
        One sorted int64 index array a part: disjoint, together all items, none empty. A class of which a part has no
        item is named in a warning.

    Raises:
        ValueError: fractions that are no shares of one; fewer groups than parts.
    """
    shares = np.asarray(fractions, dtype=np.float64)
    if len(shares) == 0 or (shares <= 0).any() or abs(shares.sum() - 1) > 1e-6:
        raise UserError(f"fractions must be positive and sum to 1, got {tuple(fractions)}")
    kinds, label_of = np.unique(labels, return_inverse=True)
    group_of = numbered(groups)
    counts = np.zeros((group_of.max(initial=-1) + 1, len(kinds)), dtype=np.int64)
    np.add.at(counts, (group_of, label_of), 1)
    if len(counts) < len(shares):
        raise UserError(f"{len(shares)} parts need as many different persons or images, got {len(counts)}")
    part_of = _deal(counts, shares, np.random.default_rng(seed))
    parts = [np.flatnonzero(part_of[group_of] == part) for part in range(len(shares))]
    for number, part in enumerate(parts):
        absent = np.setdiff1d(np.arange(len(kinds)), label_of[part])
        if len(absent):
            names = ", ".join(str(kinds[kind] if classes is None else classes[kinds[kind]]) for kind in absent)
            warnings.warn(f"part {number + 1} of {len(parts)} has no {names}: too few groups of it", stacklevel=2)
    return parts


def joined(*groupings: Groups) -> np.ndarray:
    """(N,) int64 groups in which items are together that are together in any of ``groupings``, each (N,) names."""
    group = numbered(groupings[0])
    for other in map(numbered, groupings[1:]):
        while True:  # the smallest number spreads through items that share either name
            smallest = group.copy()
            for names in (other, group):
                least = np.full(names.max(initial=-1) + 1, len(names))
                np.minimum.at(least, names, smallest)
                smallest = np.minimum(smallest, least[names])
            if np.array_equal(smallest, group):
                break
            group = smallest
    return group


def numbered(names: Groups) -> np.ndarray:
    """(N,) int64: each name's number, in the order in which they come."""
    numbers: dict[Hashable, int] = {}
    return np.array([numbers.setdefault(name, len(numbers)) for name in names], dtype=np.int64)


def _deal(counts: np.ndarray, shares: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """(G,) part of each group, of counts (G, classes)."""
    part_of = np.full(len(counts), -1)
    missing = shares[:, None] * counts.sum(0)
    held = np.zeros_like(missing, dtype=np.int64)
    order = rng.permutation(len(counts))

    def give(group: int, part: int) -> None:
        part_of[group] = part
        missing[part] -= counts[group]
        held[part] += counts[group]

    def rarest(allowed: np.ndarray) -> tuple[int | None, np.ndarray]:
        """The class, of those ``allowed``, that the fewest groups left hold; and these groups."""
        rest = order[part_of[order] < 0]
        left = (counts[rest] > 0).sum(0) * allowed
        if not left.any():
            return None, rest
        kind = int(np.where(left > 0, left, len(counts) + 1).argmin())
        return kind, rest[counts[rest, kind] > 0]

    while True:  # first every part gets some of every class, in as few groups as it takes
        kind, having = rarest((held == 0).any(0))
        if kind is None:
            break
        part = int(np.where(held[:, kind] == 0, shares, -1).argmax())
        give(having[((counts[having] > 0) & (held[part] == 0)).sum(1).argmax()], part)
    while True:
        kind, having = rarest(np.ones(counts.shape[1], dtype=bool))
        if kind is None:
            break
        for group in having:
            best = np.flatnonzero(missing[:, kind] == missing[:, kind].max())
            give(group, int(best[missing[best].sum(1).argmax()]))
    for empty in np.flatnonzero(held.sum(1) == 0):  # few groups: the largest part gives one of its own
        largest = np.bincount(part_of).argmax()
        part_of[order[part_of[order] == largest][0]] = empty
    return part_of
