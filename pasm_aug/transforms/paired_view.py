"""The clean twin: the same image erased and whole, under the same random geometry and colour (paper, Eq. 4).

The student sees the erased one, the teacher the whole one. v2 transforms draw one set of parameters for all images of
a call, so both go through together.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torchvision import tv_tensors
from torchvision.transforms import v2
from torchvision.transforms.v2._utils import is_pure_tensor

from pasm_aug.core.errors import UserError

# These refuse two images in a call; their draws do not depend on the image, so the same state gives the same ones.
_ONE_IMAGE = (v2.AutoAugment, v2.RandAugment, v2.TrivialAugmentWide, v2.AugMix)


class PairedView(nn.Module):
    """(image, label) → (erased, clean, label); a SampleIndex may follow the label and is used up here.

    Args:
        erase (callable or None): the transform that erases: a v2 transform (sees the label and index too) or any
            function of the image alone; ``None`` gives two views of the clean image. An ``OnlineAdversarialErase``
            stands here for :func:`~pasm_aug.training.trainer.train`, which lets it erase in the step.
        then (Module, optional): v2 transform, or ``v2.Compose`` or ``nn.Sequential`` of them, for both images together.

    Raises:
        TypeError: ``then`` holds something that is no v2 transform, which would draw for each image anew.
        ValueError: when called, a sample that is not (image, label) or (image, label, index), or images that came out
            of ``then`` unlike.
    """

    def __init__(self, erase: Callable[..., Any] | None, then: nn.Module | None = None) -> None:
        super().__init__()
        if erase is not None and not callable(erase):
            raise TypeError(f"erase must be a transform or None, got {erase!r}")
        self.erase, self.then = erase, then
        self._steps = [] if then is None else _flat(then)

    def forward(self, *inputs: Any) -> tuple[Any, Any, Any]:
        erased, clean, label = self._erased(*inputs)
        for step in self._steps:
            erased, clean = _together(step, erased, clean)
        if type(erased) is not type(clean) or (isinstance(erased, Tensor) and erased.shape != clean.shape):
            raise UserError(f"then must treat both images alike, got {_describe(erased)} and {_describe(clean)}")
        return erased, clean, label

    def _erased(self, *inputs: Any) -> tuple[Any, Any, Any]:
        """(erased, clean, label), no geometry yet."""
        sample = inputs[0] if len(inputs) == 1 else inputs
        if not isinstance(sample, tuple | list) or len(sample) not in (2, 3):
            raise UserError(f"sample must be (image, label) or (image, label, index), got {_describe(sample)}")
        if getattr(self.erase, "in_step", False):
            raise UserError(
                "erase must be a transform, got one that erases in the training step: call it there on the batch, or "
                "hand this view to train(augment=...)"
            )
        clean, label = sample[:2]
        erased = _copied(clean)  # what writes in place, here or in ``then``, must not reach the clean one
        if self.erase is not None:
            whole = isinstance(self.erase, v2.Transform)  # v2 takes the sample; v1 and plain functions the image alone
            erased = self.erase(erased, *sample[1:])[0] if whole else self.erase(erased)
        return erased, clean, label

    def erased_only(self, *inputs: Any) -> tuple[Any, Any]:
        """(erased, label), for where the clean image is not needed: the first of the pair, in half of the time."""
        erased, _, label = self._erased(*inputs)
        return self.clean_only(erased, label)

    def clean_only(self, image: Any, label: Any, *index: Any) -> tuple[Any, Any]:
        """(image, label) under the geometry, for what erases behind it."""
        for step in self._steps:
            image = step(image)
        return image, label

    def extra_repr(self) -> str:
        return ", ".join(f"{name}=None" for name in ("erase", "then") if getattr(self, name) is None)


class ErasedOnly(nn.Module):
    """The erased image and the label of a :class:`PairedView`, for where nobody sees the clean one."""

    def __init__(self, view: PairedView) -> None:
        super().__init__()
        self.view, self.erase = view, view.erase

    def forward(self, *sample: Any) -> tuple[Any, Any]:
        return self.view.erased_only(*sample)


def _flat(then: nn.Module) -> list[v2.Transform]:
    """The single transforms: between them, plain tensors are marked as images again (see :func:`_together`)."""
    if isinstance(then, v2.Compose | nn.Sequential):
        children = then.transforms if isinstance(then, v2.Compose) else list(then)
        return [step for child in children for step in _flat(child)]
    if not isinstance(then, v2.Transform):
        raise TypeError(
            f"then must consist of torchvision.transforms.v2 transforms (v2.Lambda wraps others), got {then!r}"
        )
    return [then]


def _together(step: v2.Transform, erased: Any, clean: Any) -> tuple[Any, Any]:
    """One call for both. Of several plain tensors v2 would transform the first alone, so they go in as Images."""
    plain = is_pure_tensor(erased) and is_pure_tensor(clean)
    if plain:
        erased, clean = tv_tensors.Image(erased), tv_tensors.Image(clean)
    if isinstance(step, _ONE_IMAGE):
        state = torch.get_rng_state()
        erased = step(erased)
        torch.set_rng_state(state)
        clean = step(clean)
    else:
        erased, clean = step(erased, clean)
    if plain and isinstance(erased, Tensor) and isinstance(clean, Tensor):
        erased, clean = erased.as_subclass(Tensor), clean.as_subclass(Tensor)
    return erased, clean


def _copied(image: Any) -> Any:
    return image.clone() if isinstance(image, Tensor) else image.copy()


def _describe(value: Any) -> str:
    if isinstance(value, tuple | list):
        return f"{type(value).__name__} of {len(value)}"
    return f"{type(value).__name__}{tuple(value.shape) if isinstance(value, Tensor) else ''}"
