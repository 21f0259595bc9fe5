"""What type checkers know of a network that is built or loaded here; at run time it is any module."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from torch import Tensor, nn

if TYPE_CHECKING:

    class Classifier(nn.Module):
        """A network with its preprocessing.

        Attributes:
            preprocess: uint8 (B, 1 or 3, H, W) → its input. info: what ``model.json`` says, where it was loaded.
        """

        preprocess: Callable[[Tensor], Tensor]
        info: dict[str, Any]
else:
    Classifier = nn.Module
