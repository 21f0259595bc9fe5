"""What the networks of all folds say of all images: of those that they were not trained on, and of the others."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, eq=False)
class FoldJudgements:
    """Of F networks, N images and K classes.

    Attributes:
        logits: (F, N, K) float32, of every network on every image.
        fold: (N,) int64, the network that has not been trained on the image.
    """

    logits: np.ndarray
    fold: np.ndarray

    @property
    def out_of_sample(self) -> np.ndarray:
        """(N, K) float32 probabilities by the one network that has not been trained on the image."""
        return _softmax(self._unseen)

    @property
    def together(self) -> np.ndarray:
        """(N, K) float32 probabilities by that network and the mean of those that have, each half of the logits.

        A network learns what most labels have in common before it remembers single ones (Arpit et al., "A closer look
        at memorization in deep networks", ICML 2017), so those that were trained on an image tell of its label too:
        much as long as they have not fitted it, nothing when they have. In all settings measured
        (``benchmarks/audit.py``) both together rank wrong labels better than the one network alone; half and half was
        the best or near it of five weights.
        """
        networks = len(self.logits)
        seen = (self.logits.sum(0, dtype=np.float64) - self._unseen) / (networks - 1)
        return _softmax((self._unseen + seen) / 2)

    @property
    def _unseen(self) -> np.ndarray:
        return self.logits[self.fold, np.arange(len(self.fold))].astype(np.float64)


def _softmax(logits: np.ndarray) -> np.ndarray:
    shares = np.exp(logits - logits.max(1, keepdims=True))
    return (shares / shares.sum(1, keepdims=True)).astype(np.float32)
