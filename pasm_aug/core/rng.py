"""Counter-based random numbers: Philox4x32-10 (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011).

A counter-based generator is a function: the same counter under the same key gives the same four words, whoever draws,
in whatever order, on however many processes. The streams of the search are keyed by (seed, sample, generation,
candidate), so batch size, threads and processes cannot change a result.

Plain Python here; :mod:`pasm_aug.search.evolution_kernels` compiles the same text. Every intermediate is masked to 32
bits, so it is right both for Python's unlimited integers and for int64 that wraps around.
"""

from __future__ import annotations

import operator

from pasm_aug.core.errors import UserError

MASK32 = 0xFFFFFFFF
CANDIDATE_BITS = 20  # of a counter's last word: the candidate; the 12 bits above it number the candidate's blocks
MAX_CANDIDATES = 1 << CANDIDATE_BITS
MAX_BLOCKS = 1 << (32 - CANDIDATE_BITS)


def philox4x32(c0: int, c1: int, c2: int, c3: int, k0: int, k1: int) -> tuple[int, int, int, int]:
    """Four random words in [0, 2³²) of counter (c0, c1, c2, c3) under key (k0, k1); ten rounds; all words 32-bit."""
    for _ in range(10):
        product0 = 0xD2511F53 * c0
        product1 = 0xCD9E8D57 * c2
        c0 = ((product1 >> 32) & 0xFFFFFFFF) ^ c1 ^ k0
        c2 = ((product0 >> 32) & 0xFFFFFFFF) ^ c3 ^ k1
        c1 = product1 & 0xFFFFFFFF
        c3 = product0 & 0xFFFFFFFF
        k0 = (k0 + 0x9E3779B9) & 0xFFFFFFFF
        k1 = (k1 + 0xBB67AE85) & 0xFFFFFFFF
    return c0, c1, c2, c3


def words(value: int) -> tuple[int, int]:
    """Low and high 32-bit word of a 64-bit integer, signed (as two's complement) or unsigned.

    Raises:
        TypeError: not an integer.
        ValueError: outside [-2⁶³, 2⁶⁴).
    """
    value = operator.index(value)
    if not -(1 << 63) <= value < 1 << 64:
        raise UserError(f"a seed or key must fit into 64 bits, got {value}")
    return value & MASK32, (value >> 32) & MASK32


def derive_seed(*parts: int) -> int:
    """Mix integers into one seed in [0, 2⁶³): ``derive_seed(seed, epoch, index)`` is a seed of that item alone.

    The order and the number of the parts count. Parts are 64-bit integers, signed or unsigned.
    """
    key = (0, 0)
    for position, part in enumerate(parts):
        key = philox4x32(*words(part), position, len(parts), *key)[:2]
    return ((key[1] << 32) | key[0]) >> 1
