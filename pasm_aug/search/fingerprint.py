"""What mined points depend on, as plain values that can be stored and compared."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from pasm_aug.search.frozen import device_of, frozen
from pasm_aug.search.point_search import PointSearch


def make_fingerprint(
    teacher: nn.Module, search: PointSearch, preprocess: Callable[[Tensor], Tensor] | None, shape: tuple[int, ...]
) -> dict[str, Any]:
    """What the points depend on: the network, its preprocessing (through the logits of fixed images), the search."""
    noise = np.random.Generator(np.random.Philox(0)).integers(0, 256, (2, *shape), dtype=np.uint8)
    device = device_of(teacher)
    if preprocess is None:
        raise ValueError("preprocess must be given: this teacher carries none (uint8 (B, C, H, W) → its input)")
    try:
        with torch.no_grad(), frozen(teacher, device):
            logits = teacher(preprocess(torch.from_numpy(noise).to(device)))
    except RuntimeError as error:
        raise ValueError(f"teacher does not work on images of shape {shape}: {error}") from error
    if not torch.isfinite(logits).all():
        raise ValueError("teacher must return finite logits, got NaN or infinity on an image of noise")
    return {
        "teacher": describe_state(teacher) | {"probe_logits": logits.double().flatten().tolist()},
        "probe_shape": list(shape),
        "search": search.settings(),
    }


def describe_state(model: nn.Module) -> dict[str, str]:
    """What the network is, for fingerprints: digests of its weights and of its architecture."""
    structure = repr(model).replace("_orig_mod", "module")
    architecture = hashlib.sha256(structure.encode()).hexdigest()
    return {"weights": weights_digest(model.state_dict()), "architecture": architecture}


def weights_digest(state: Mapping[str, Tensor]) -> str:
    """A digest of the tensors of a network, of whatever wrapper they come."""
    digest = hashlib.sha256()
    for name, tensor in sorted(state.items()):
        name = name.replace("module.", "").replace("_orig_mod.", "")
        digest.update(json.dumps([name, str(tensor.dtype), list(tensor.shape)]).encode())
        digest.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()
