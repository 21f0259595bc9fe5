"""What mined points depend on, as plain values that can be stored and compared."""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np
import torch
from torch import nn

from pasm_aug.core.errors import UserError
from pasm_aug.core.networks import architecture_of, take_logits, weights_digest
from pasm_aug.search.point_search import PointSearch
from pasm_aug.search.teacher import TeacherObjective


def make_fingerprint(teacher: TeacherObjective, search: PointSearch, shape: tuple[int, ...]) -> dict[str, Any]:
    """What the points depend on: the network, its preprocessing (through the logits of fixed images), the search.

    Args:
        teacher: as ``search.objective_of`` makes it, entered. shape: (C, H, W) of the images.
    """
    noise = torch.from_numpy(np.random.Generator(np.random.Philox(0)).integers(0, 256, (2, *shape), dtype=np.uint8))
    try:
        with torch.no_grad():
            logits = take_logits(teacher.model(teacher.to_input(noise)))
    except RuntimeError as error:
        raise UserError(f"teacher does not work on images of shape {shape}: {error}") from error
    if not torch.isfinite(logits).all():
        raise UserError("teacher must return finite logits, got NaN or infinity on an image of noise")
    settings = search.settings()
    if search.mode == "seeded" and search.incremental and search.objective != "patch":
        settings["ranked_by"] = "windows" if teacher.prepared(noise) is not None else "input gradient"
    return {
        "teacher": describe_state(teacher.model) | {"probe_logits": logits.double().flatten().tolist()},
        "probe_shape": list(shape),
        "search": settings,
    }


def describe_state(model: nn.Module) -> dict[str, str]:
    """What the network is, for fingerprints: digests of its weights and of its architecture."""
    architecture = hashlib.sha256(architecture_of(model).encode()).hexdigest()
    return {"weights": weights_digest(model.state_dict()), "architecture": architecture}
