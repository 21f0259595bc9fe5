"""The state of a training between two epochs, as one safetensors file: weights, optimiser, schedule, history.

No pickle: tensors are tensors, all else is JSON in the file's metadata. The random state needs no place here, because
every epoch's randomness is a function of (seed, epoch, sample).
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import nn

from pasm_aug.files import write_atomic


def save_checkpoint(
    path: str | Path, model: nn.Module, optimizer: Any, scheduler: Any, history: list[Any], identity: dict[str, Any]
) -> None:
    """Write the state after ``len(history)`` epochs of the training that ``identity`` describes, atomically."""
    state = optimizer.state_dict()
    tensors = {f"model.{k}": v.detach().cpu().contiguous() for k, v in model.state_dict().items()}
    numbers: dict[str, dict[str, Any]] = {}
    for index, values in state["state"].items():
        for key, value in values.items():
            if isinstance(value, torch.Tensor):
                tensors[f"optimizer.{index}.{key}"] = value.detach().cpu().contiguous()
            else:
                numbers.setdefault(str(index), {})[key] = value
    info = {
        "numbers": numbers,
        "param_groups": state["param_groups"],
        # a scheduler's settings (milestones, functions) come from the call; its counters are plain numbers and lists
        "scheduler": {k: v for k, v in scheduler.state_dict().items() if isinstance(v, (int, float, list))},
        "history": history,
        "identity": identity,
    }
    text = json.dumps(info)
    digest = _digest(tensors, text)
    write_atomic(path, save(tensors, {"state": text, "sha256": digest}))


def load_checkpoint(
    path: str | Path, model: nn.Module, optimizer: Any, scheduler: Any, identity: dict[str, Any]
) -> list[dict[str, float]]:
    """Put the state in ``path`` into the three; returns the history of the epochs that are done.

    Raises:
        ValueError: the file is damaged, of another network or of a training with another ``identity``.
    """
    try:
        with safe_open(str(path), framework="pt") as file:
            metadata = file.metadata() or {}
            tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
        if _digest(tensors, metadata["state"]) != metadata["sha256"]:
            raise ValueError("checksum differs")
        info = json.loads(metadata["state"])
        model.load_state_dict({k[6:]: v for k, v in tensors.items() if k.startswith("model.")})
    except (SafetensorError, KeyError, ValueError, RuntimeError, OSError) as error:
        raise ValueError(
            f"checkpoint {path} is damaged or of another network ({error}); delete it to start anew"
        ) from error
    differing = [
        f"{k} was {info['identity'].get(k)}, now {v}" for k, v in identity.items() if info["identity"].get(k) != v
    ]
    if differing:
        raise ValueError(f"checkpoint {path} is of another training ({'; '.join(differing)}); delete it to start anew")
    state: dict[int, dict[str, Any]] = {int(k): dict(v) for k, v in info["numbers"].items()}
    for key, value in tensors.items():
        if key.startswith("optimizer."):
            _, index, name = key.split(".", 2)
            state.setdefault(int(index), {})[name] = value
    optimizer.load_state_dict({"state": state, "param_groups": info["param_groups"]})
    scheduler.load_state_dict(info["scheduler"])
    return info["history"]


def _digest(tensors: dict[str, torch.Tensor], text: str) -> str:
    digest = hashlib.sha256(text.encode())
    for name in sorted(tensors):
        digest.update(name.encode())
        digest.update(tensors[name].reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()
