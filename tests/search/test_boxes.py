import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from pasm_aug.core.painting import erase_patch
from pasm_aug.search.boxes import box_sums, painted, spread_peaks

SIZES = st.integers(1, 7)


@given(SIZES, SIZES, st.integers(1, 9), st.integers(1, 9), st.integers(0, 99))
def test_box_sums_are_sums_over_boxes(height, width, h, w, seed):
    values = torch.from_numpy(np.random.default_rng(seed).normal(size=(2, 3, height, width)))
    found = box_sums(values, torch.tensor([[h, w], [1, 2]]))
    for image, (tall, wide) in enumerate([(h, w), (1, 2)]):
        for y in range(height):
            for x in range(width):
                fits = y + tall <= height and x + wide <= width
                wanted = values[image, :, y : y + tall, x : x + wide].sum((1, 2)) if fits else torch.full((3,), -np.inf)
                torch.testing.assert_close(found[image, :, y, x], wanted.to(found))


@given(st.integers(1, 12), st.integers(1, 3), st.integers(0, 99))
def test_spread_peaks_are_the_greedy_choice(count, distance, seed):
    scores = torch.from_numpy(np.random.default_rng(seed).normal(size=(2, 2, 4, 5)))
    scores[1, :, 3] = -np.inf
    found = spread_peaks(scores, count, torch.tensor([distance, 1]))
    for image, apart in enumerate((distance, 1)):
        left, wanted = scores[image].numpy().copy(), []
        for _ in range(count):
            at = int(left.argmax())
            if left.reshape(-1)[at] == -np.inf:
                at = wanted[0]
            wanted.append(at)
            _, y, x = np.unravel_index(at, left.shape)
            left[:, max(y - apart + 1, 0) : y + apart, max(x - apart + 1, 0) : x + apart] = -np.inf
        assert found[image].tolist() == wanted


@given(st.integers(0, 99))
def test_painted_is_what_erase_patch_paints(seed):
    rng = np.random.default_rng(seed)
    images = torch.from_numpy(rng.integers(0, 256, (3, 3, 6, 8), dtype=np.uint8))
    heights, widths = torch.from_numpy(rng.integers(1, 7, 3)), torch.from_numpy(rng.integers(1, 9, 3))
    top = torch.stack([torch.from_numpy(rng.integers(0, 7 - int(h), 2)) for h in heights])
    left = torch.stack([torch.from_numpy(rng.integers(0, 9 - int(w), 2)) for w in widths])
    fill = torch.from_numpy(rng.integers(0, 256, (3, 2, 3, 1, 1), dtype=np.uint8))
    kept = images.clone()
    found = painted(images, top, left, torch.stack([heights, widths], 1), fill)
    assert torch.equal(images, kept)
    for i in range(3):
        for k in range(2):
            y, x, h, w = int(top[i, k]), int(left[i, k]), int(heights[i]), int(widths[i])
            wanted = erase_patch(images[i], (x, y, x + w, y + h), fill[i, k].flatten().tolist())
            assert torch.equal(found[i, k], wanted)
