"""Scores one-pixel changes by a frozen teacher, and counts what that costs."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Self

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor, nn

from pasm_aug.core.geometry import side_in_pixels
from pasm_aug.core.memory_batches import chunks, in_chunks
from pasm_aug.core.painting import paint_squares
from pasm_aug.search.frozen import device_of, frozen
from pasm_aug.search.incremental.graph import NotFollowedError
from pasm_aug.search.incremental.network import Incremental, prepare
from pasm_aug.search.incremental.windows import Maps
from pasm_aug.search.network_input import NetworkInput, Preprocess
from pasm_aug.search.objectives import Objective, log_odds
from pasm_aug.search.scoring import Clean, Judge

_SIZES = 4  # of images, for which the network is kept prepared


@dataclass(frozen=True)
class Gradient:
    """The objective's gradient: ``inputs`` and ``values``, both (B, channels, height, width) of the network's input."""

    inputs: Tensor
    values: Tensor


class TeacherObjective:
    """Scores one-pixel changes by a frozen teacher; a context manager, to be used within ``with``.

    Args:
        model: any classifier, (B, …) → logits (B, classes), classes ≥ 2.
        preprocess: (B, C, H, W) uint8 → the network's input; ``None`` takes ``model.preprocess``.
        objective: minimised. ``"true_prob"`` and ``"predicted_prob"``: log-odds of the label and of the class predicted
            on the clean image; ``"margin"``: logit less the best other one; ``"patch"``: log-odds of the label with a
            whole square painted instead of a pixel; or a callable (logits (B, classes) float64, target (B,) int64,
            both on the CPU) → (B,).
        patch: side of that square, as the ``size`` of :class:`~pasm_aug.transforms.erase.PointAdversarialErase`.
        attack: ``"label"``, or ``"predicted"``: the class predicted on the clean image takes the label's place.
        batch_size: images per forward at most; ``None``: by size. Halved where memory does not suffice.
        device: where to compute; the model goes there and comes back. ``None``: where the model lies.
        incremental: recompute only what a changed pixel reaches, where the network allows it: the same scores but for
            rounding.

    Attributes:
        queries, forwards: candidates scored so far, and forward-equivalents spent (a forward of one image counts 1, a
            backward 2, a window the share of a forward's operations that it takes).
        seen, right: images searched so far, and those of them that the teacher has right.
        not_followed: why the network has to run whole, if it has to; known once :meth:`prepared` was called.

    Raises:
        ValueError: no preprocess; labels outside the teacher's outputs; logits that are not finite or not
            (B, classes); an objective that returns NaN or another shape.
    """

    def __init__(
        self,
        model: nn.Module,
        preprocess: Preprocess | None = None,
        *,
        objective: Objective = "true_prob",
        attack: str = "label",
        batch_size: int | None = None,
        device: torch.device | str | None = None,
        incremental: bool = True,
        patch: float | int = 31 / 224,
    ) -> None:
        if not isinstance(model, nn.Module):
            raise TypeError(f"teacher must be a torch.nn.Module, got {type(model).__name__}")
        self.model = model
        self.judge = Judge(objective, attack)
        self.device = torch.device(device) if device is not None else device_of(model)
        self.to_input = NetworkInput(model, preprocess, self.device, batch_size)
        self.patch = patch if objective == "patch" else 1
        self.incremental = incremental and objective != "patch"
        self.queries = 0
        self.forwards = 0.0
        self.seen = self.right = 0
        self.not_followed = ""
        self._stack = ExitStack()
        self._prepared: dict[tuple[int, int, int], Incremental | None] = {}

    def __enter__(self) -> Self:
        self._stack.enter_context(frozen(self.model, self.device, self.to_input.preprocess))
        return self

    def __exit__(self, *error: object) -> None:
        self._stack.close()

    def prepared(self, images: Tensor) -> Incremental | None:
        """The network made ready for one-pixel changes of images of this size; ``None`` if it has to run whole."""
        shape = (images.shape[1], images.shape[2], images.shape[3])
        if shape not in self._prepared:
            while len(self._prepared) >= _SIZES:  # the oldest goes: each holds a folded copy of the weights
                del self._prepared[next(iter(self._prepared))]
            self._prepared[shape] = None
            if self.incremental:
                try:
                    self._prepared[shape] = prepare(self.model, self.to_input, shape, self.device)
                except NotFollowedError as error:
                    self.not_followed = str(error)
        return self._prepared[shape]

    def clean(self, images: Tensor, labels: ArrayLike) -> Clean:
        """Score unchanged images, (B, C, H, W) uint8 with labels (B,)."""
        return self._clean(images, labels, gradients=None)

    def gradient(self, images: Tensor, labels: ArrayLike) -> tuple[Clean, Gradient | None]:
        """As :meth:`clean`, with the objective's gradient; ``None`` where the network gives none."""
        gradients: list[tuple[Tensor, Tensor] | None] = []
        clean = self._clean(images, labels, gradients)
        parts = [part for part in gradients if part is not None]
        if not parts or len(parts) < len(gradients):
            return clean, None
        return clean, Gradient(torch.cat([x for x, _ in parts]), torch.cat([g for _, g in parts]))

    def maps(self, images: Tensor, labels: ArrayLike, links: Sequence[str] = ()) -> tuple[Clean, Maps]:
        """As :meth:`clean`, with the feature maps of a :meth:`prepared` network.

        Args:
            links: layers where the objective's gradient is wanted too.
        """
        ready, truth = self.prepared(images), self.judge.truth(labels, len(images))
        assert ready is not None
        judged: list[tuple[Tensor, ...]] = []

        def score(logits: Tensor) -> Tensor:
            judged.append(self.judge.columns(self.judge.checked(logits, len(images)), truth, slice(0, len(images))))
            return judged[0][3]

        maps = Maps(ready.influence, self.to_input(images), ready.split_layer, links, score if links else None)
        if not links:
            score(maps.logits)
        self.forwards += len(images) * (3 if maps.gradients else 1)
        return Clean(*(column.detach().numpy() for column in judged[0])), maps

    def _clean(self, images: Tensor, labels: ArrayLike, gradients: list[tuple[Tensor, Tensor] | None] | None) -> Clean:
        truth = self.judge.truth(labels, len(images))
        rows: list[tuple[Tensor, ...]] = []
        for part in chunks(0, len(images), self.to_input.most(images)):
            inputs = self.to_input(images[part])
            with torch.set_grad_enabled(gradients is not None):
                if gradients is not None and inputs.is_floating_point():
                    inputs = inputs.detach().requires_grad_()
                judged = self.judge.columns(self._logits(inputs, range(part.start, part.stop)), truth, part)
            if gradients is not None:
                gradients.append(self._gradient(judged[3], inputs))
            rows.append(tuple(column.detach() for column in judged))
        return Clean(*(torch.cat(column).numpy() for column in zip(*rows, strict=True)))

    def _gradient(self, scores: Tensor, inputs: Tensor) -> tuple[Tensor, Tensor] | None:
        if not scores.requires_grad:
            return None
        try:
            (gradient,) = torch.autograd.grad(scores.sum(), inputs, allow_unused=True)
        except torch.OutOfMemoryError:
            raise
        except RuntimeError:  # such as a recurrent cuDNN layer, which cannot go backward in evaluation mode
            return None
        self.forwards += 2 * len(inputs)
        return None if gradient is None else (inputs.detach(), gradient)

    def evaluate(
        self,
        images: Tensor,
        target: ArrayLike,
        index: ArrayLike,
        xy: ArrayLike,
        colour: ArrayLike,
        maps: Maps | None = None,
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Score N changes: change n paints pixel ``xy[n]`` (or the square around it) of ``images[index[n]]``.

        Args:
            images: (B, C, H, W) uint8. target: (B,) the attacked class of each. index: (N,) which image.
            xy: (N, 2) integer (x, y) inside the image. colour: (N, C) uint8.
            maps: of these images, from :meth:`maps`: only windows of them are recomputed.

        Returns:
            Scores (N,) float64, to be minimised, and the target's probabilities (N,) float64.
        """
        images = images.to(self.device)
        which, paint = np.asarray(index, dtype=np.int64), np.array(colour, dtype=np.uint8)
        rows = torch.from_numpy(which).to(self.device)
        places = torch.from_numpy(np.array(xy, dtype=np.int64)).to(self.device)
        wanted = torch.from_numpy(np.asarray(target, dtype=np.int64)[which])
        scores, probabilities = torch.empty(2, len(which), dtype=torch.float64)
        ready = self.prepared(images) if maps is not None else None

        def work(part: slice) -> None:
            if maps is not None and ready is not None and ready.split_layer is not None:
                logits = ready.logits(maps, rows[part], places[part], ready.values(paint[part]))
                logits = self.judge.checked(logits, part.stop - part.start, which[part])
                self.forwards += ready.share * len(logits)
            else:
                colours = torch.from_numpy(paint[part]).to(self.device)
                changed = paint_squares(images[rows[part]], places[part], colours, self.side(images))
                logits = self._logits(self.to_input(changed), which[part])
            scores[part] = self.judge.scores(logits, wanted[part], which[part])
            probabilities[part] = log_odds(logits, wanted[part]).sigmoid()

        most = self.to_input.most(images)
        if ready is not None and ready.split_layer is not None:
            most = ready.at_once(ready.split_layer)
        with torch.no_grad():
            in_chunks(work, len(which), min(most, self.to_input.batch_size or most))
        self.queries += len(which)
        return scores.numpy(), probabilities.numpy()

    def side(self, images: Tensor) -> int:
        """Pixels along the side of what one change paints."""
        return side_in_pixels(self.patch, min(images.shape[-2:]))

    def scores(self, images: Tensor, target: ArrayLike, xy: ArrayLike, colour: ArrayLike) -> NDArray[np.float64]:
        """Scores (B, M) of M changes per image: ``xy`` (B, M, 2) and ``colour`` (B, M, C)."""
        places, paint = np.asarray(xy), np.asarray(colour)
        batch, each = places.shape[:2]
        index = np.repeat(np.arange(batch), each)
        flat = self.evaluate(images, target, index, places.reshape(-1, 2), paint.reshape(batch * each, -1))[0]
        return flat.reshape(batch, each)

    def _logits(self, inputs: Tensor, index: ArrayLike) -> Tensor:
        """Logits of the whole network; ``index`` names the images for messages."""
        logits = self.model(inputs.clone() if inputs.requires_grad else inputs)  # in-place layers may not touch a leaf
        logits = self.judge.checked(logits, len(inputs), index)
        self.forwards += len(inputs)
        return logits
