"""Accuracy on the test split with a part of every image hidden: what every network of a run is scored under."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from torch import nn
from torch.utils.data import Dataset

from pasm_aug.core.files import write_json
from pasm_aug.core.processes import Device, process_state
from pasm_aug.rounds.hidden_images import write_hidden
from pasm_aug.training.occlusion import evaluate_occlusion

OCCLUSION: dict[str, Any] = {"sizes": (13 / 48,), "fills": ("grey",), "places": 4}


def occluded_scores(
    network: nn.Module, test: Dataset, folder: Path, *, device: Device | None = None, workers: int = 0
) -> dict[str, float]:
    """Right under a grey square, ``"mean"`` over its places and ``"worst"``, right at all of them; and by hidden band.

    The whole of it goes into two files in ``folder``.
    """
    found = evaluate_occlusion(network, test, **OCCLUSION, device=device, workers=workers)
    if process_state().is_main_process:
        write_json(folder / "occlusion.json", found.asdict())
        write_hidden(folder, found)
    (square,) = found.squares
    assert square.mean is not None
    bands = {name: band.accuracy for name, band in found.bands.items()}
    return {"mean": square.mean, "worst": square.worst} | bands
