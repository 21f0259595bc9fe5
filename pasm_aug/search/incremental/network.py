"""A teacher made ready for one-pixel changes: its windows, how to colour a pixel, and where to hand over.

:func:`prepare` does once for a network and an image size what every batch of images then uses. It tries itself
against the whole network before it is trusted; one that it cannot follow, or follows wrongly, has to run whole.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor, nn

from pasm_aug.core.networks import take_logits
from pasm_aug.search.candidates import acts_per_pixel, constant_images
from pasm_aug.search.incremental.graph import NotFollowedError, trace
from pasm_aug.search.incremental.influence import Influence
from pasm_aug.search.incremental.windows import Maps

_CHUNK_BYTES = {"cpu": 1 << 22, "other": 1 << 29}  # of one layer's patches: a CPU is fastest within its cache
_BLOCK_BYTES = {"cpu": 1 << 29, "other": 1 << 32}  # of the clean maps of the images that are searched together
_WORTH = 0.95  # of a whole forward: a hand-over that saves less than this is not worth its windows


@dataclass
class Incremental:
    """What is known of a network for images of one size.

    Attributes:
        influence: its windows. split_layer: where an exact query hands over to the rest of the network, ``None`` to
            run whole.
        share: of a forward that an exact query costs.
        values: colours (N, C) uint8 → what the network's input holds at such a pixel, (N, channels).
    """

    influence: Influence
    values: Callable[[np.ndarray], Tensor]
    device: torch.device
    split_layer: str | None = field(init=False)
    share: float = field(init=False)

    def __post_init__(self) -> None:
        split = self.influence.cheapest()
        share = self.influence.cost[split] + self.influence.rest[split]
        self.split_layer, self.share = (split, share) if share < _WORTH else (None, 1.0)
        self.rest = self.influence.network.rest(split)

    def at_once(self, name: str) -> int:
        """Candidates to take through the windows up to layer ``name`` at a time."""
        most = max(self.influence.patch_bytes(layer) for layer in self.influence.network.trunk(name))
        return max(16, min(4096, self._limit(_CHUNK_BYTES) // most))

    def images_at_once(self) -> int:
        """Images whose clean maps are held together."""
        return max(1, min(32, self._limit(_BLOCK_BYTES) // self.influence.map_bytes))

    def _limit(self, limits: dict[str, int]) -> int:
        return limits["cpu" if self.device.type == "cpu" else "other"]

    def logits(self, maps: Maps, rows: Tensor, xy: Tensor, values: Tensor) -> Tensor:
        """(N, classes) logits after change n paints pixel ``xy[n]`` of image ``rows[n]``."""
        assert self.split_layer is not None
        window = maps.windows(self.split_layer, rows, xy, values)[self.split_layer]
        return self.rest(maps.spliced(self.split_layer, rows, xy, window))


@torch.no_grad()
def prepare(
    model: nn.Module, to_input: Callable[[Tensor], Tensor], shape: tuple[int, int, int], device: torch.device
) -> Incremental:
    """Make a frozen ``model`` ready for images of ``shape`` (C, H, W).

    Raises:
        NotFollowedError: the preprocess mixes pixels or treats them by their place, or the network cannot be traced,
            does not begin with layers that work on windows, or (tried out) gives other logits than its windows do.
    """
    channels, height, width = shape
    noise = np.random.default_rng(0).integers(0, 256, (1, *shape), dtype=np.uint8)
    image = torch.from_numpy(noise)
    if not acts_per_pixel(to_input, *shape) or not _the_same_everywhere(to_input, shape):
        raise NotFollowedError("its preprocess does not treat pixels one by one, each alike")
    example = to_input(image)
    whole = take_logits(model(example))  # a forward also renews what its hooks compute, such as weight_norm's weight
    network = trace(model, example)

    def values(colours: np.ndarray) -> Tensor:
        """Colours as the pixels of as few images as hold them, through the preprocess."""
        count = -(-len(colours) // (height * width))
        pixels = np.zeros((count * height * width, channels), dtype=np.uint8)
        pixels[: len(colours)] = colours
        images = torch.from_numpy(pixels.reshape(count, height, width, channels)).permute(0, 3, 1, 2).contiguous()
        return to_input(images).permute(0, 2, 3, 1).flatten(0, 2)[: len(colours)]

    ready = Incremental(Influence.of(network, height, width), values, device)
    if not _agrees(ready, model, to_input, image, whole):
        raise NotFollowedError("its layers, one after the other, give other logits than it does (a hook changes them?)")
    return ready


def _the_same_everywhere(to_input: Callable[[Tensor], Tensor], shape: tuple[int, int, int]) -> bool:
    grey = to_input(constant_images(np.full((1, shape[0]), 77, dtype=np.uint8), *shape[1:]))
    return bool((grey == grey[:, :, :1, :1]).all())


def _agrees(
    ready: Incremental, model: nn.Module, to_input: Callable[[Tensor], Tensor], image: Tensor, clean: Tensor
) -> bool:
    """Whether graph and windows give the whole network's logits, tried clean and at a corner, an edge and inside."""
    maps = Maps(ready.influence, to_input(image), ready.influence.cheapest())
    if not _close(maps.logits, clean):
        return False
    if ready.split_layer is None:
        return True
    height, width = image.shape[2:]
    xy = torch.tensor([[0, 0], [width - 1, height // 2], [width // 3, height // 3]])
    colour = np.repeat(np.array([[255], [0], [255]], dtype=np.uint8), image.shape[1], axis=1)
    painted = image.repeat(3, 1, 1, 1)
    painted[torch.arange(3), :, xy[:, 1], xy[:, 0]] = torch.from_numpy(colour)
    whole = take_logits(model(to_input(painted)))
    rows = torch.zeros(3, dtype=torch.int64, device=ready.device)
    found = ready.logits(maps, rows, xy.to(ready.device), ready.values(colour))
    return _close(found, whole)


def _close(found: Tensor, whole: Tensor) -> bool:
    """Equal but for rounding, which deep networks with large logits have plenty of."""
    return found.shape == whole.shape and torch.allclose(found, whole, rtol=1e-3, atol=1e-3 * float(whole.abs().max()))
