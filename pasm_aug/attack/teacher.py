"""Scores one-pixel changes by a frozen teacher, and counts what that costs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Self

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor, nn

from pasm_aug.attack.frozen import device_of, frozen
from pasm_aug.attack.objectives import Objective, check_objective, log_odds

Preprocess = Callable[[Tensor], Tensor]

# Pixels of network input in one batch. A CPU is fastest while activations stay in its cache (measured: 32 images of
# 48 × 48 run three times as fast as 256); a GPU while it is full.
_PIXELS = {"cpu": 32 * 48 * 48, "other": 2048 * 48 * 48}


@dataclass(frozen=True)
class Clean:
    """What the teacher says of unchanged images.

    Attributes:
        logits: (B, classes) float64. prediction: (B,) int64, its largest. target: (B,) int64, the attacked class.
        scores: (B,) float64, the objective. probabilities: (B,) float64 of the target.
    """

    logits: NDArray[np.float64]
    prediction: NDArray[np.int64]
    target: NDArray[np.int64]
    scores: NDArray[np.float64]
    probabilities: NDArray[np.float64]


@dataclass(frozen=True)
class Gradient:
    """The objective's slope: ``inputs`` and ``slopes``, both (B, channels, height, width) of the network's input."""

    inputs: Tensor
    slopes: Tensor


class TeacherObjective:
    """Scores one-pixel changes by a frozen teacher; a context manager, to be used within ``with``.

    Args:
        model: any classifier, (B, …) → logits (B, classes), classes ≥ 2.
        preprocess: (B, C, H, W) uint8 → the network's input; ``None`` takes ``model.preprocess``.
        objective: minimised. ``"true_prob"`` and ``"predicted_prob"``: log-odds of the label and of the class predicted
            on the clean image; ``"margin"``: logit less the best other one; or a callable
            (logits (B, classes) float64, target (B,) int64, both on the CPU) → (B,).
        attack: ``"label"``, or ``"predicted"``: the class predicted on the clean image takes the label's place.
        batch_size: images per forward; ``None``: by the size of the network's input.
        device: where to compute; the model goes there and comes back. ``None``: where the model lies.

    Attributes:
        queries, forwards: candidates scored so far, and forward-equivalents spent (a forward of one image counts 1, a
            backward 2).

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
    ) -> None:
        if not isinstance(model, nn.Module):
            raise TypeError(f"teacher must be a torch.nn.Module, got {type(model).__name__}")
        preprocess = preprocess if preprocess is not None else getattr(model, "preprocess", None)
        if not callable(preprocess):
            raise ValueError(
                "preprocess is missing: pass preprocess=f with f: (B, C, H, W) uint8 -> the network's input, "
                "e.g. lambda x: (x.float() / 255 - mean) / std, or give the model such a method"
            )
        if batch_size is not None and batch_size < 1:
            raise ValueError(f"batch_size must be at least 1 or None, got {batch_size}")
        self.model = model
        self.preprocess: Preprocess = preprocess
        self.objective = check_objective(objective)
        self.attacks_prediction = attack == "predicted" or objective == "predicted_prob"
        self.batch_size = batch_size
        self.device = torch.device(device) if device is not None else device_of(model)
        self.queries = 0
        self.forwards = 0
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        self._stack.enter_context(frozen(self.model, self.device))
        return self

    def __exit__(self, *error: object) -> None:
        self._stack.close()

    def clean(self, images: Tensor, labels: ArrayLike) -> Clean:
        """Score unchanged images, (B, C, H, W) uint8 with labels (B,)."""
        return self._clean(images, labels, slopes=None)

    def gradient(self, images: Tensor, labels: ArrayLike) -> tuple[Clean, Gradient | None]:
        """As :meth:`clean`, with the objective's gradient; ``None`` where the network gives none."""
        slopes: list[tuple[Tensor, Tensor] | None] = []
        clean = self._clean(images, labels, slopes)
        parts = [part for part in slopes if part is not None]
        if not parts or len(parts) < len(slopes):
            return clean, None
        return clean, Gradient(torch.cat([x for x, _ in parts]), torch.cat([g for _, g in parts]))

    def _clean(self, images: Tensor, labels: ArrayLike, slopes: list[tuple[Tensor, Tensor] | None] | None) -> Clean:
        truth = torch.as_tensor(np.asarray(labels, dtype=np.int64))
        if truth.shape != (len(images),):
            raise ValueError(f"labels must have shape (B,) = ({len(images)},), got {tuple(truth.shape)}")
        rows: list[tuple[Tensor, ...]] = []
        for part in self._chunks(images, len(images)):
            inputs = self.to_input(images[part])
            with torch.set_grad_enabled(slopes is not None):
                if slopes is not None and inputs.is_floating_point():
                    inputs = inputs.detach().requires_grad_()
                logits = self._logits(inputs, range(part.start, part.stop))
                self._check_labels(truth[part], logits.shape[1], part.start)
                prediction = logits.argmax(dim=1)
                target = prediction if self.attacks_prediction else truth[part]
                scores = self._scores(logits, target, range(part.start, part.stop))
            if slopes is not None:
                slopes.append(self._slope(scores, inputs))
            scores, logits = scores.detach(), logits.detach()
            rows.append((logits, prediction, target, scores, log_odds(logits, target).sigmoid()))
        return Clean(*(torch.cat(column).numpy() for column in zip(*rows, strict=True)))

    def _slope(self, scores: Tensor, inputs: Tensor) -> tuple[Tensor, Tensor] | None:
        if not scores.requires_grad:
            return None
        try:
            (slope,) = torch.autograd.grad(scores.sum(), inputs, allow_unused=True)
        except torch.OutOfMemoryError:
            raise
        except RuntimeError:  # such as a recurrent cuDNN layer, which cannot go backward in evaluation mode
            return None
        self.forwards += 2 * len(inputs)
        return None if slope is None else (inputs.detach(), slope)

    def evaluate(
        self, images: Tensor, target: ArrayLike, index: ArrayLike, xy: ArrayLike, colour: ArrayLike
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Score N one-pixel changes: change n paints pixel ``xy[n]`` of ``images[index[n]]`` in ``colour[n]``.

        Args:
            images: (B, C, H, W) uint8. target: (B,) the attacked class of each. index: (N,) which image.
            xy: (N, 2) integer (x, y) inside the image. colour: (N, C) uint8.

        Returns:
            Scores (N,) float64, to be minimised, and the target's probabilities (N,) float64.
        """
        images = images.to(self.device)
        which = np.asarray(index, dtype=np.int64)
        rows = torch.from_numpy(which).to(self.device)
        x, y = torch.from_numpy(np.array(xy, dtype=np.int64)).to(self.device).unbind(-1)
        paint = torch.from_numpy(np.array(colour, dtype=np.uint8)).to(self.device)
        wanted = torch.from_numpy(np.asarray(target, dtype=np.int64)[which])
        scores, probabilities = torch.empty(2, len(which), dtype=torch.float64)
        for part in self._chunks(images, len(which)):
            changed = images[rows[part]]
            changed[torch.arange(len(changed), device=self.device), :, y[part], x[part]] = paint[part]
            with torch.no_grad():
                logits = self._logits(self.to_input(changed), which[part])
                scores[part] = self._scores(logits, wanted[part], which[part])
                probabilities[part] = log_odds(logits, wanted[part]).sigmoid()
        self.queries += len(which)
        return scores.numpy(), probabilities.numpy()

    def scores(self, images: Tensor, target: ArrayLike, xy: ArrayLike, colour: ArrayLike) -> NDArray[np.float64]:
        """Scores (B, M) of M changes per image: ``xy`` (B, M, 2) and ``colour`` (B, M, C)."""
        places, paint = np.asarray(xy), np.asarray(colour)
        batch, each = places.shape[:2]
        index = np.repeat(np.arange(batch), each)
        flat = self.evaluate(images, target, index, places.reshape(-1, 2), paint.reshape(batch * each, -1))[0]
        return flat.reshape(batch, each)

    def to_input(self, images: Tensor) -> Tensor:
        """The network's input of (B, C, H, W) uint8 images, on the device."""
        inputs = self.preprocess(images.to(self.device))
        if not isinstance(inputs, Tensor) or len(inputs) != len(images):
            got = tuple(inputs.shape) if isinstance(inputs, Tensor) else type(inputs).__name__
            raise ValueError(f"preprocess must return a tensor with one input per image ({len(images)}), got {got}")
        return inputs.to(self.device)

    def _chunks(self, images: Tensor, count: int) -> Iterator[slice]:
        """Even parts of ``count`` images: a lone one would take another path through a matrix product and round
        differently."""
        if count == 0:
            return
        parts = -(-count // (self.batch_size or self._auto_batch_size(images)))
        edges = [count * part // parts for part in range(parts + 1)]
        yield from map(slice, edges[:-1], edges[1:])

    def _auto_batch_size(self, images: Tensor) -> int:
        shape = self.to_input(images[:1]).shape
        area = shape[-1] * shape[-2] if len(shape) == 4 else images.shape[-1] * images.shape[-2]
        cpu = self.device.type == "cpu"
        return min(max(_PIXELS["cpu" if cpu else "other"] // area, 8 if cpu else 32), 8192)

    def _logits(self, inputs: Tensor, index: ArrayLike) -> Tensor:
        """Logits in float64 on the CPU; ``index`` names the images for messages."""
        logits = self.model(inputs.clone() if inputs.requires_grad else inputs)  # in-place layers may not touch a leaf
        if not isinstance(logits, Tensor) or logits.ndim != 2 or len(logits) != len(inputs) or logits.shape[1] < 2:
            got = tuple(logits.shape) if isinstance(logits, Tensor) else type(logits).__name__
            raise ValueError(f"teacher must return logits (B, classes) with B = {len(inputs)}, classes >= 2, got {got}")
        self.forwards += len(inputs)
        logits = logits.to("cpu", torch.float64)
        if not torch.isfinite(logits).all():
            bad = int((~torch.isfinite(logits)).any(dim=1).nonzero()[0])
            values = logits[bad].tolist()
            raise ValueError(f"teacher must return finite logits, got {values} for image {np.asarray(index)[bad]}")
        return logits

    def _scores(self, logits: Tensor, target: Tensor, index: ArrayLike) -> Tensor:
        scores = self.objective(logits, target)
        if not isinstance(scores, Tensor) or scores.shape != target.shape:
            got = tuple(scores.shape) if isinstance(scores, Tensor) else type(scores).__name__
            raise ValueError(f"objective must return one number per image, shape {tuple(target.shape)}, got {got}")
        scores = scores.to("cpu", torch.float64)
        if torch.isnan(scores).any():
            bad = int(torch.isnan(scores).nonzero()[0])
            raise ValueError(f"objective must not return NaN, got NaN for image {np.asarray(index)[bad]}")
        return scores

    @staticmethod
    def _check_labels(labels: Tensor, classes: int, start: int) -> None:
        wrong = ((labels < 0) | (labels >= classes)).nonzero()
        if len(wrong):
            first = int(wrong[0])
            raise ValueError(
                f"labels must lie in 0..{classes - 1}, for the teacher has {classes} outputs; "
                f"got {int(labels[first])} for image {start + first}"
            )
