"""Class activation maps: where a network looks, as the erasing methods before PASM took it.

The maps are Grad-CAM's (Selvaraju et al., ICCV 2017): the last feature maps, each weighted with the mean of the class
score's gradient over it. For a network that ends in average pooling and one linear layer these are the maps of Zhou et
al. (CVPR 2016), up to a factor.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from pasm_aug.core.errors import UserError
from pasm_aug.core.networks import take_logits
from pasm_aug.models import preprocess_of
from pasm_aug.search.frozen import device_of, frozen


def class_activation_maps(
    model: nn.Module,
    images: Tensor,
    labels: Tensor,
    *,
    preprocess: Callable[[Tensor], Tensor] | None = None,
    device: torch.device | str | None = None,
) -> Tensor:
    """The map of each image's class over the network's last feature maps.

    Args:
        model: a classifier; left exactly as it was.
        images: (B, C, H, W) uint8.
        labels: (B,) int64 classes.
        preprocess: uint8 (B, C, H, W) → the network's input; default the model's own.

    Returns:
        (B, h, w) float32 on the CPU: 0 where nothing speaks for the class, at most 1, and 1 at each image's maximum
        unless nothing speaks for its class anywhere. Cell (i, j) covers an h-th of the height and a w-th of the width.

    Raises:
        ValueError: the network has no feature maps of more than one cell, or none that the score depends on.
    """
    preprocess = preprocess_of(model, preprocess)
    place = device_of(model) if device is None else torch.device(device)
    with frozen(model, place, preprocess), torch.enable_grad(), _outputs(model) as outputs:
        inputs = preprocess(images.to(place)).detach().requires_grad_()
        score = take_logits(model(inputs.clone())).gather(1, labels.to(place)[:, None]).sum()
        maps = [x for x in outputs if x.ndim == 4 and len(x) == len(images) and x.shape[2] * x.shape[3] > 1]
        gradients = torch.autograd.grad(score, maps, allow_unused=True) if maps else []
    for features, gradient in zip(reversed(maps), reversed(gradients), strict=True):
        if gradient is not None:
            cam = (features.detach() * gradient.mean((2, 3), keepdim=True)).sum(1).clamp(min=0)
            return (cam / cam.amax((1, 2), keepdim=True).clamp(min=torch.finfo(cam.dtype).tiny)).float().cpu()
    raise UserError("model must have feature maps (B, C, h, w) before its scores: class activation maps need them")


@contextmanager
def _outputs(model: nn.Module) -> Iterator[list[Tensor]]:
    """Within: what every module returned, in the order in which they finished; in-place writes behind are kept out."""
    outputs: list[Tensor] = []

    def keep(_module: nn.Module, _inputs: tuple[Tensor, ...], output: object) -> object:
        if not isinstance(output, Tensor) or not output.requires_grad:
            return output
        outputs.append(output)
        return output.clone()  # an in-place activation that follows must not change what is kept

    handles = [module.register_forward_hook(keep) for module in model.modules()]
    try:
        yield outputs
    finally:
        for handle in handles:
            handle.remove()
