"""Where a box hurts a network: first-order effects of all places at once, exact losses of a few.

Places are (fill, y, x): which of the fills, and the box's middle in half pixels from the top and from the left, so that
it is whole for even and odd boxes. Nothing here looks at a value, so that a GPU is never waited for.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.parallel import DataParallel, DistributedDataParallel

from pasm_aug.core.errors import UserError
from pasm_aug.core.memory_batches import in_chunks
from pasm_aug.core.networks import take_logits
from pasm_aug.search.boxes import box_sums, painted, spread_peaks
from pasm_aug.search.network_input import NetworkInput, Preprocess
from pasm_aug.search.place_table import MAP

FADING = 0.5  # weight of the epochs before, each
_FADED = 0.5  # measured: between the image and its fill the gradient ranks better than at either end


class Network:
    """A network as the search queries it: uint8 images through ``preprocess``, floating ones as they are."""

    def __init__(self, model: nn.Module, preprocess: Preprocess | None, images: Tensor) -> None:
        self.model = _undistributed(model)
        self.to_input = NetworkInput(
            self.model, preprocess if images.dtype == torch.uint8 else _as_it_is, images.device
        )

    def losses(self, images: Tensor, labels: Tensor) -> Tensor:
        """(B,) float32: cross-entropy of images (B, C, H, W), as many at a time as the device is fastest with."""
        found = torch.empty(len(images), device=images.device)

        def work(part: slice) -> None:
            logits = take_logits(self.model(self.to_input(images[part])))
            _check_labels(labels[part], logits.shape[1])
            found[part] = F.cross_entropy(logits.float(), labels[part], reduction="none")

        with torch.no_grad():
            in_chunks(work, len(images), self.to_input.most(images))
        return found

    def gradient(self, images: Tensor, labels: Tensor, fill: Tensor) -> Tensor:
        """Of the cross-entropy with respect to the network's input, where the images are half faded into ``fill``."""
        clean, faded = self.to_input(images), self.to_input(fill.expand_as(images))
        inputs = clean.lerp(faded, _FADED).detach().requires_grad_()
        with torch.enable_grad():
            logits = take_logits(self.model(inputs.clone()))  # in-place layers may not touch a leaf
            _check_labels(labels, logits.shape[1])
            loss = F.cross_entropy(logits.float(), labels, reduction="sum")
        return torch.autograd.grad(loss, inputs)[0]


def _undistributed(model: nn.Module) -> nn.Module:
    """Without a distributed wrapper, also a compiled one: it would wait for the others, which search on their own."""
    inner = getattr(model, "_orig_mod", model)
    return inner.module if isinstance(inner, DistributedDataParallel | DataParallel) else model


def _check_labels(labels: Tensor, classes: int) -> None:
    """On a GPU the loss itself complains: a look from here would wait for it."""
    if labels.device.type == "cpu" and not 0 <= int(labels.min()) <= int(labels.max()) < classes:
        got = f"{int(labels.min())}…{int(labels.max())}"
        raise UserError(f"labels must lie in 0…{classes - 1}, for the network has {classes} outputs, got {got}")


def _as_it_is(images: Tensor) -> Tensor:
    return images


@dataclass
class Squares:
    """What may be erased of a batch.

    Attributes:
        images: (B, C, H, W). labels: (B,) int64. fills: (B, F, C, H or 1, W or 1).
        sides: (B, 2) int64, height and width of the box, at most the image's.
    """

    images: Tensor
    labels: Tensor
    fills: Tensor
    sides: Tensor

    def effects(self, network: Network, gradient: Tensor) -> Tensor:
        """(B, F, H, W): first-order rise of the loss, by the fill and by the upper left corner of the box.

        Args:
            gradient: of the loss, with respect to the network's input.
        """
        count, fills = self.fills.shape[:2]
        images = self.fills.expand(-1, -1, *self.images.shape[1:]).flatten(0, 1)
        change = network.to_input(images).unflatten(0, (count, fills)) - network.to_input(self.images)[:, None]
        effect = (gradient.detach()[:, None] * change).float().sum(2)
        if effect.shape[-2:] != self.images.shape[-2:]:
            effect = F.interpolate(effect, self.images.shape[-2:], mode="area")
        return box_sums(effect, self.sides).nan_to_num(nan=-torch.inf, neginf=-torch.inf)

    def averaged(self, effects: Tensor, before: Tensor) -> tuple[Tensor, Tensor]:
        """Effects with those of the epochs before, in the image's own unit; and what the next epoch takes as before.

        One gradient is taken at the image as it is erased, and says little of what lies under that square; those of
        several epochs together rank better.

        Args:
            effects: (B, F, H, W). before: (B, F, 12, 12).
        """
        fits = effects.isfinite()
        known = torch.where(fits, effects, 0.0)
        count = fits.sum((1, 2, 3), keepdim=True)
        unit = (known.square().sum((1, 2, 3), keepdim=True) / count.clamp(min=1)).sqrt()
        known = known / unit.clamp(min=1e-30) + FADING * self.fine(before)
        return known.masked_fill(~fits, -torch.inf), self.coarse(known)

    def hints(self, effects: Tensor, count: int, away: Tensor | None = None) -> Tensor:
        """(B, count, 3): places of the greatest effects, spread, and none near those in ``away`` (B, A, 3)."""
        height, width = effects.shape[-2:]
        distance = (self.sides.amin(1) // 3).clamp(min=1)
        if away is not None:
            top, left = self.corners(away)
            y, x = torch.arange(height, device=top.device), torch.arange(width, device=top.device)
            near_y = (y - top[..., None]).abs() < distance[:, None, None]
            near_x = (x - left[..., None]).abs() < distance[:, None, None]
            near = (near_y[..., :, None] & near_x[..., None, :]).any(1)
            effects = effects.masked_fill(near[:, None], -torch.inf)
        flat = spread_peaks(effects, count, distance)
        tall, wide = self.sides[:, :1], self.sides[:, 1:]
        top, left = flat // width % height, flat % width
        return torch.stack([flat // (height * width), 2 * top + tall, 2 * left + wide], -1)

    def coarse(self, effects: Tensor) -> Tensor:
        """(B, F, 12, 12): the map over the places of the box, of any size, shrunk to a grid."""
        cells = (torch.arange(MAP, device=effects.device) + 0.5) * (2 / MAP)  # in (0, 2)
        lengths = zip(effects.shape[-2:], self.sides.T, strict=True)
        return self._sampled(effects, *(cells * (n - side[:, None] + 1) / n - 1 for n, side in lengths))

    def fine(self, maps: Tensor) -> Tensor:
        """(B, F, H, W): a map of :meth:`coarse` over the upper left corners of the box again."""
        ends = [
            (torch.arange(n, device=maps.device) + 0.5) * 2 / (n - side[:, None] + 1) - 1
            for n, side in zip(self.images.shape[-2:], self.sides.T, strict=True)
        ]
        return self._sampled(maps, *ends)

    @staticmethod
    def _sampled(values: Tensor, y: Tensor, x: Tensor) -> Tensor:
        """Values at rows ``y`` (B, …) and columns ``x`` (B, …), as ``grid_sample`` counts them."""
        grid = torch.stack([x[:, None, :].expand(-1, y.shape[1], -1), y[:, :, None].expand(-1, -1, x.shape[1])], -1)
        return F.grid_sample(values, grid.to(values.dtype), padding_mode="border", align_corners=False)

    def corners(self, places: Tensor) -> tuple[Tensor, Tensor]:
        """(B, K) top and left of the boxes around places (B, K, 3), moved inside where they would stick out."""
        height, width = self.images.shape[-2:]
        tall, wide = self.sides[:, :1], self.sides[:, 1:]
        top = (places[..., 1] - tall).div(2, rounding_mode="floor").clamp(min=0)
        left = (places[..., 2] - wide).div(2, rounding_mode="floor").clamp(min=0)
        return torch.minimum(top, height - tall), torch.minimum(left, width - wide)

    def filled(self, places: Tensor) -> Tensor:
        """(B, K, C, H, W): the images with the box at each of the places (B, K, 3) filled."""
        rows = torch.arange(len(places), device=places.device)[:, None]
        return painted(self.images, *self.corners(places), self.sides, self.fills[rows, places[..., 0]])

    def losses(self, network: Network, places: Tensor) -> Tensor:
        """(B, K): the loss with the box at each of the places (B, K, 3), by one query each."""
        tried = places.shape[1]
        return network.losses(self.filled(places).flatten(0, 1), self.labels.repeat_interleave(tried)).view(-1, tried)


def choose(losses: Tensor, hardness: str | float, drawn: Tensor) -> Tensor:
    """(B,) which of K tried places is erased.

    Args:
        losses: (B, K). hardness: of :class:`~pasm_aug.search.online.OnlineAdversarialErase`. drawn: (B,) in [0, 1).
    """
    if hardness == "worst":
        return losses.argmax(1)
    if hardness == "drawn":
        shares = losses.clamp(min=1e-9).cumsum(1)
        return (shares < drawn[:, None] * shares[:, -1:]).sum(1).clamp(max=losses.shape[1] - 1)
    low = (-losses).exp() < float(hardness)
    return torch.where(low.any(1), low.int().argmax(1), losses.argmax(1))
