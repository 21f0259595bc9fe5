"""Images, caches and the plainest way to erase: what the tests of the transform share."""

import numpy as np
import PIL.Image
import torch
from torch.utils.data import Dataset
from torchvision.transforms.v2 import functional as F

from pasm_aug.cache.merge import write_cache
from pasm_aug.cache.record import row_dtype
from pasm_aug.core.image_content import content_key, look
from pasm_aug.transforms.erase import PointAdversarialErase

SIDE = 24
XY, COLOUR = (5, 9), (250, 130, 10)
BOX = (3, 7, 8, 12)  # 5 × 5 around XY
DTYPES = [torch.uint8, torch.int16, torch.float16, torch.bfloat16, torch.float32, torch.float64]


def make_image(seed=0, channels=3, height=SIDE, width=SIDE):
    """uint8 noise (C, H, W)."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(256, (channels, height, width), dtype=torch.uint8, generator=generator)


def smooth(seed=0, side=64, channels=3):
    """uint8 (C, side, side) without sharp edges, like a photograph: resizing changes its pixels but not its look."""
    draw = np.random.default_rng(seed)
    coarse = PIL.Image.fromarray(draw.integers(0, 256, (7, 7, channels), dtype=np.uint8).squeeze())
    return F.pil_to_tensor(coarse.resize((side, side), PIL.Image.Resampling.BICUBIC))


def to_dtype(levels, dtype):
    """Levels 0…255 as an image of ``dtype`` holds them."""
    if dtype == torch.int16:
        return levels.to(torch.int16) << 7
    return levels if dtype == torch.uint8 else (levels.double() / 255).to(dtype)


def write(path, images, labels=None, *, xy=XY, colour=COLOUR, digest=0, samples=None):
    """A cache of ``images``; ``xy``: (2,) for all, (K, 2) for all, or (N, K, 2); ``samples``: the whole data set."""
    xy, colour = np.atleast_2d(xy), np.asarray(colour)
    rows = np.zeros(len(images), row_dtype(xy.shape[-2], colour.shape[-1]))
    rows["key"] = [content_key(image) for image in images]
    rows["look"] = [look(image) for image in images]
    rows["label"] = range(len(images)) if labels is None else labels
    rows["mined"], rows["xy"], rows["colour"] = True, xy, colour
    keys, names = rows["key"], rows["label"]
    if samples is not None:
        keys, names = [content_key(image) for image in samples], range(len(samples))
    write_cache(path, rows, keys, names, {"fingerprint": {}, "dataset": {"digest": digest}})
    return path


def erase(cache, **options):
    return PointAdversarialErase(cache, **{"p": 1.0, "size": 5, **options})


def box_around(x, y, size, width, height):
    """(left, top, right, bottom) of the square around a pixel, clipped."""
    left, top = x - size // 2, y - size // 2
    return max(left, 0), max(top, 0), min(left + size, width), min(top + size, height)


def reference(image, box, values):
    """A copy of a tensor with one colour, or a patch, assigned to a box: what erasing must be equal to."""
    left, top, right, bottom = box
    image = image.detach().clone()
    image[..., top:bottom, left:right] = torch.as_tensor(values, dtype=image.dtype).reshape(-1, 1, 1)
    return image


class Images(Dataset):
    """``count`` items (make_image(i), i % 7)."""

    def __init__(self, count, transform=None):
        self.count, self.transform = count, transform

    def __len__(self):
        return self.count

    def __getitem__(self, index):
        image = make_image(index)
        return (image if self.transform is None else self.transform(image)), index % 7
