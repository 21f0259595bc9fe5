"""Work in pieces: even parts, all of it, and half as much where memory runs out."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from pasm_aug.core.memory_batches import chunks, in_chunks


@given(st.integers(0, 50), st.integers(1, 500), st.integers(1, 60))
def test_parts_are_even_few_and_cover_all(start: int, length: int, size: int) -> None:
    parts = list(chunks(start, start + length, size))
    lengths = [part.stop - part.start for part in parts]
    assert [i for part in parts for i in range(part.start, part.stop)] == list(range(start, start + length))
    assert len(parts) == -(-length // size)
    assert all(1 <= n <= size for n in lengths)
    assert max(lengths) - min(lengths) <= 1


def out_of_memory(kind: str) -> Exception:
    return {
        "cuda": torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"),
        "cpu": RuntimeError("[enforce fail at alloc_cpu.cpp:121] DefaultCPUAllocator: can't allocate memory: 9 bytes"),
        "numpy": MemoryError("Unable to allocate 4.66 TiB"),
    }[kind]


@given(st.sampled_from(["cuda", "cpu", "numpy"]), st.integers(0, 200), st.integers(1, 64), st.integers(1, 64))
def test_where_memory_runs_out_half_is_tried(kind: str, count: int, size: int, fits: int) -> None:
    """The result is that of a loop, whatever fits, and no part is done twice."""
    result, tried = [], []

    def work(part: slice) -> None:
        n = part.stop - part.start
        tried.append(n)
        if n > fits:
            raise out_of_memory(kind)
        result.extend(i**2 for i in range(part.start, part.stop))

    last = in_chunks(work, count, size)
    assert result == [i**2 for i in range(count)]
    halvings = sum(n > fits for n in tried)
    assert last == size >> halvings
    assert last >= 1


def test_memory_that_runs_out_half_way_does_not_begin_anew() -> None:
    done, failures = [], [1]

    def work(part: slice) -> None:
        if part.start >= 8 and failures:
            failures.pop()
            raise out_of_memory("cuda")
        done.append((part.start, part.stop))

    assert in_chunks(work, 16, 4) == 2
    assert done == [(0, 4), (4, 8), (8, 10), (10, 12), (12, 14), (14, 16)]


@pytest.mark.parametrize("error", [ValueError("finite logits"), RuntimeError("shape '[2]' is invalid"), KeyError("x")])
def test_other_errors_pass_at_once(error: Exception) -> None:
    tried = []

    def work(part: slice) -> None:
        tried.append(part)
        raise error

    with pytest.raises(type(error)) as caught:
        in_chunks(work, 10, 4)
    assert caught.value is error
    assert len(tried) == 1


@pytest.mark.parametrize("kind", ["cuda", "cpu", "numpy"])
def test_what_does_not_fit_one_by_one_raises(kind: str) -> None:
    tried = []

    def work(part: slice) -> None:
        tried.append(part.stop - part.start)
        raise out_of_memory(kind)

    with pytest.raises(type(out_of_memory(kind))):
        in_chunks(work, 16, 4)
    assert tried == [4, 2, 1]
