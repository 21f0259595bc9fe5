"""The pixel that, changed alone, costs a classifier most of its confidence (Eq. 2 and 3 of the paper).

Three ways, dear to cheap: ``"exhaustive"`` tries every position × every corner of the colour cube; ``"paper"`` is the
one-pixel attack of Su et al. 2019 as the paper uses it; ``"seeded"``, the default, ranks all positions × corners by
surrogates (exact up to some layer, linear behind it), scores the best exactly, and may evolve from there.
"""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor, nn

from pasm_aug.core.errors import UserError
from pasm_aug.core.image_content import content_key
from pasm_aug.core.memory_batches import in_chunks
from pasm_aug.search.block import search_block
from pasm_aug.search.network_input import Preprocess
from pasm_aug.search.options import SearchOptions
from pasm_aug.search.result import PointResult
from pasm_aug.search.teacher import TeacherObjective


@dataclass(frozen=True, repr=False)
class PointSearch(SearchOptions):
    """A search with its options (:class:`~pasm_aug.search.options.SearchOptions`); :meth:`run` does it."""

    def run(
        self,
        teacher: nn.Module | TeacherObjective,
        images: Tensor | NDArray[np.uint8],
        labels: ArrayLike | Tensor,
        *,
        preprocess: Preprocess | None = None,
        keys: ArrayLike | None = None,
    ) -> PointResult:
        """Find the points of a batch; each image's do not depend on the others.

        That is true of a teacher whose logits do not: :func:`~pasm_aug.search.mine.mine_positions` tries that first.

        Args:
            teacher: classifier, (B, …) → logits (B, classes), left exactly as it was; or what :meth:`objective_of` made
                of it, entered, which is worth it where many batches follow.
            images: (B, C, H, W) uint8, C = 1 or 3. labels: (B,) integers in 0..classes − 1.
            preprocess: (B, C, H, W) uint8 → the teacher's input; ``None`` takes ``teacher.preprocess``.
            keys: (B,) int64 that name the images' random streams; ``None``: their content keys.

        Raises:
            TypeError, ValueError: images, labels or keys of a wrong type, shape or range; more points than pixels; and
                what :class:`~pasm_aug.search.teacher.TeacherObjective` raises.
        """
        pixels, truth = _check_images(images), _check_labels(labels)
        count, channels, height, width = pixels.shape
        if self.points > height * width:
            raise UserError(f"points must be at most {height * width} in a {width}x{height} image, got {self.points}")
        names = np.array([content_key(image) for image in pixels] if keys is None else keys, dtype=np.int64)
        if names.shape != (count,) or truth.shape != (count,):
            raise UserError(f"labels and keys must have shape ({count},), got {truth.shape} and {names.shape}")
        result = PointResult.empty(count, self.points, channels)
        if count == 0:
            return result
        with ExitStack() as stack:
            objective = teacher
            if isinstance(objective, nn.Module):
                objective = stack.enter_context(self.objective_of(objective, preprocess))
            pixels = pixels.to(objective.device)
            ready = objective.prepared(pixels)

            def work(part: slice) -> None:
                search_block(self, objective, pixels[part], truth[part], names[part], result.rows(part))

            in_chunks(work, count, ready.images_at_once() if ready is not None else count)
        return result

    def objective_of(self, teacher: nn.Module, preprocess: Preprocess | None = None) -> TeacherObjective:
        """What this search minimises, with that teacher; a context manager."""
        return TeacherObjective(
            teacher,
            preprocess,
            objective=self.objective,
            attack="predicted" if self.misclassified == "predicted" else "label",
            batch_size=self.batch_size,
            device=self.device,
            incremental=self.incremental,
            patch=self.patch,
        )


def _check_images(images: Tensor | NDArray[np.uint8]) -> Tensor:
    pixels = images.detach() if isinstance(images, Tensor) else torch.from_numpy(np.array(images))
    if pixels.dtype != torch.uint8:
        raise TypeError(f"images must be uint8, got {pixels.dtype}")
    if pixels.ndim != 4 or pixels.shape[1] not in (1, 3) or 0 in pixels.shape[1:]:
        raise UserError(f"images must have shape (B, C, H, W) with C = 1 or 3, got {tuple(pixels.shape)}")
    return pixels


def _check_labels(labels: ArrayLike | Tensor) -> NDArray[np.int64]:
    array = labels.detach().cpu().numpy() if isinstance(labels, Tensor) else np.asarray(labels)
    if array.size and not np.issubdtype(array.dtype, np.integer):
        raise TypeError(f"labels must be integers, got {array.dtype}")
    return array.astype(np.int64)
