"""Random numbers of many samples at once, as functions of their keys: on any device, in any order, without a state.

The plain-Python streams of :mod:`pasm_aug.core.rng` draw for one sample; here whole batches are drawn where they lie,
so that a GPU need not be waited for.
"""

from __future__ import annotations

import torch
from torch import Tensor

_STEP = -0x61C8864680B583EB  # 0x9E3779B97F4A7C15, the golden ratio in 64 bits, as a signed integer
_FACTORS = (-0x40A7B892E31B1A47, -0x6B2FB644ECCEEE15)  # 0xBF58476D1CE4E5B9, 0x94D049BB133111EB


def mixed(keys: Tensor) -> Tensor:
    """A good hash of int64 numbers, element by element (the finaliser of SplitMix64, Steele et al., OOPSLA 2014)."""
    keys = (keys ^ _shifted(keys, 30)) * _FACTORS[0]
    keys = (keys ^ _shifted(keys, 27)) * _FACTORS[1]
    return keys ^ _shifted(keys, 31)


def keyed_uniform(keys: Tensor, count: int, seed: int) -> Tensor:
    """(B, count) float32 in [0, 1): of each key (B,) int64 its own numbers, the same whatever lies beside it.

    Args:
        seed: 63-bit, of :func:`~pasm_aug.core.rng.derive_seed`: another one gives other numbers.
    """
    streams = mixed(keys ^ seed)[:, None]
    steps = torch.arange(1, count + 1, device=keys.device) * _STEP
    return _shifted(mixed(streams + steps), 40).float() * 2.0**-24


def content_keys(images: Tensor) -> Tensor:
    """(B,) int64: names of images (B, ...) by their values, computed where they lie."""
    bits = images.detach().flatten(1)
    if bits.is_floating_point():
        bits = bits.float().view(torch.int32)
    places = mixed(torch.arange(1, bits.shape[1] + 1, device=images.device) * _STEP)
    return mixed(((bits.long() + 1) * (places | 1)).sum(1))


def _shifted(values: Tensor, by: int) -> Tensor:
    """To the right as unsigned numbers."""
    return (values >> by) & ((1 << (64 - by)) - 1)
