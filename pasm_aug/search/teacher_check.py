"""Is this a teacher worth mining with? Told at the start, or after a few images, before hours are spent on all."""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from pasm_aug.core.errors import UserError
from pasm_aug.core.items import class_names
from pasm_aug.core.networks import take_logits
from pasm_aug.search.teacher import TeacherObjective

ENOUGH = 64  # images to speak of chance


def check_outputs(teacher: TeacherObjective, shape: Sequence[int], dataset: Any) -> None:
    """Try a teacher on four images of noise.

    Args:
        teacher: entered. shape: (C, H, W) of the images. dataset: what will be mined, with ``classes`` or without.

    Raises:
        ValueError: what it says of an image depends on others beside it, or on chance.
    """
    noise = np.random.Generator(np.random.Philox(1)).integers(0, 256, (4, *shape), dtype=np.uint8)
    inputs = teacher.to_input(torch.from_numpy(noise))
    with torch.no_grad():
        alone, among, again = (take_logits(teacher.model(inputs[:n])).double() for n in (1, len(noise), 1))
    if not torch.allclose(alone, again, rtol=1e-3, atol=1e-4, equal_nan=True):
        raise UserError(
            "teacher must give the same logits each time: something in it is random in evaluation mode too (dropout "
            "called without training=self.training?)"
        )
    if not torch.allclose(alone[0], among[0], rtol=1e-3, atol=1e-4, equal_nan=True):
        raise UserError(
            "teacher's logits of an image must not depend on the images beside it (a batch norm without running "
            "statistics, means over the batch?): its points would depend on the batch size"
        )
    classes = len(class_names(dataset))
    if classes and among.shape[1] != classes:
        warnings.warn(
            f"the teacher has {among.shape[1]:,} outputs for {classes} classes: is it another network's head?",
            stacklevel=4,
        )
    if bool((among >= 0).all()) and torch.allclose(among.sum(1), torch.ones(len(among)).to(among), atol=1e-3):
        warnings.warn(
            "the teacher's outputs sum to 1: they look like probabilities, and the search takes logits; leave out the "
            "soft-max at its end",
            stacklevel=4,
        )


def check_chance(right: int, count: int, classes: int) -> None:
    """Warn if ``right`` of ``count`` images of ``classes`` classes is hardly more than chance would have right."""
    chance = 1 / max(2, classes)
    if right <= count * chance + 2 * math.sqrt(count * chance * (1 - chance)):
        warnings.warn(
            f"the teacher has {right} of the first {count} images right, hardly more than chance ({chance:.0%}): are "
            "its weights loaded, its classes in the order of the labels, its input scaled as in its training?",
            stacklevel=5,
        )
