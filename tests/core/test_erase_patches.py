"""erase_patches has two ways to write, with numpy and with indexed tensors: both are a loop of slice assignments."""

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pasm_aug.core.painting import erase_patch, erase_patches
from tests.images import DTYPES, to_dtype

boxes = st.tuples(st.integers(0, 8), st.integers(0, 6), st.integers(1, 9), st.integers(1, 7)).map(
    lambda b: (b[0], b[1], min(b[0] + b[2], 9), min(b[1] + b[3], 7))
)


@settings(max_examples=150, deadline=None)
@given(
    chosen=st.lists(st.one_of(st.none(), boxes), min_size=1, max_size=6),
    dtype=st.sampled_from(DTYPES),
    route=st.sampled_from(["plain", "grad", "inplace"]),
    frames=st.sampled_from([0, 1, 3]),
    noise=st.booleans(),
    split=st.booleans(),
    channels=st.integers(1, 4),
)
def test_every_route_of_erase_patches(chosen, dtype, route, frames, noise, split, channels):
    torch.manual_seed(0)
    lead = (2, len(chosen) // 2) if split and len(chosen) % 2 == 0 else (len(chosen),)
    shape = (*lead, *([frames] if frames else []), channels, 7, 9)
    images = to_dtype(torch.randint(256, shape, dtype=torch.uint8), dtype)
    side = 9 if noise else 1
    patches = to_dtype(torch.randint(256, (len(chosen), channels, side, side), dtype=torch.uint8), dtype)
    wanted = images.clone()
    for one, box, patch in zip(wanted.flatten(0, len(lead) - 1), chosen, patches, strict=True):
        if box is not None:
            left, top, right, bottom = box
            one[..., top:bottom, left:right] = patch[:, : bottom - top, : right - left]
            if not noise:
                assert torch.equal(one, erase_patch(one, box, patch.flatten().tolist()))
    if route == "grad" and dtype.is_floating_point:
        images.requires_grad_()
    out = erase_patches(images, chosen, patches, lead=len(lead), inplace=route == "inplace")
    assert (out is images) is (route == "inplace")
    assert torch.equal(out, wanted)
