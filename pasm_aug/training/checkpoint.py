"""The state of a training between two steps, as one safetensors file: weights, optimiser, schedule, history.

Tensors are tensors, all else is JSON in the file's metadata or encoded so that reading it runs no code. The random
state needs no place here, because all randomness is a function of (seed, epoch, sample). The checkpoint before the last
one is kept: should a disk corrupt the last, the training goes on from there, to the same end.
"""

from __future__ import annotations

import hashlib
import json
import os
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import nn

from pasm_aug.core.errors import UserError
from pasm_aug.core.files import write_atomic
from pasm_aug.core.networks import from_tensors, plain_state, to_tensors
from pasm_aug.core.recorded_options import refuse

_PLAIN = "state"  # of optimiser and schedule, all that is no tensor


@dataclass
class Saved:
    """What a checkpoint holds besides the weights, the optimiser and the schedule.

    Attributes:
        history: rows of the epochs that are done.
        step: batches done of the epoch after them.
        numbers: other values of the training, as JSON holds them.
        tensors: other tensors of it, by name.
    """

    history: list[dict[str, Any]] = field(default_factory=list)
    step: int = 0
    numbers: dict[str, Any] = field(default_factory=dict)
    tensors: dict[str, Any] = field(default_factory=dict)


def previous(path: str | Path) -> Path:
    """Where the checkpoint before the last one lies."""
    path = Path(path)
    return path.with_name(f"{path.stem}.previous{path.suffix}")


def remove_checkpoint(path: str | Path) -> None:
    """Remove a training's checkpoints; it is done."""
    for file in (Path(path), previous(path)):
        file.unlink(missing_ok=True)


def save_checkpoint(
    path: str | Path,
    model: nn.Module,
    optimizer: Any,
    scheduler: Any,
    history: list[Any],
    identity: Mapping[str, Any],
    *,
    step: int = 0,
    numbers: Mapping[str, Any] | None = None,
    tensors: Mapping[str, Any] | None = None,
) -> None:
    """Write the state of the training that ``identity`` describes, atomically; see :class:`Saved`."""
    state = optimizer.state_dict()
    named = {f"model.{k}": v for k, v in model.state_dict().items()}
    named |= {f"other.{k}": v for k, v in (tensors or {}).items()}
    plain: dict[int, dict[str, Any]] = {}
    for index, values in state["state"].items():
        for key, value in values.items():
            if isinstance(value, torch.Tensor):
                named[f"optimizer.{index}.{key}"] = value
            else:
                plain.setdefault(index, {})[key] = value
    # functions and the like, which a schedule may hold too, come from the call
    named[_PLAIN] = plain_state(
        {"optimizer": plain, "param_groups": state["param_groups"], "scheduler": scheduler.state_dict()}
    )
    info = {
        "history": history,
        "step": step,
        "numbers": dict(numbers or {}),
        "identity": dict(identity),
    }
    text = json.dumps(info)
    held = to_tensors(named)
    data = save(held, {"state": text, "sha256": _digest(held, text)})
    path = Path(path)
    if path.exists():
        os.replace(path, previous(path))
    write_atomic(path, data)


def load_checkpoint(
    path: str | Path, model: nn.Module, optimizer: Any, scheduler: Any, identity: Mapping[str, Any]
) -> Saved | None:
    """Put the last good state at ``path`` into the three; ``None`` where no checkpoint lies.

    A damaged file is named in a warning, and the one before it taken.

    Raises:
        ValueError: both files are damaged, or of another network or of a training with another ``identity``.
    """
    good: list[tuple[dict[str, Any], dict[str, Any]]] = []
    damaged: dict[Path, str] = {}
    for file in (Path(path), previous(path)):
        try:
            good += [_read(file)] if file.exists() else []
        except (SafetensorError, KeyError, ValueError, RuntimeError, OSError) as error:
            damaged[file] = f"checkpoint {file} is damaged ({error})"
    if damaged and not good:
        raise UserError(f"{'; '.join(damaged.values())}; delete it to start anew")
    for file, text in damaged.items():
        warnings.warn(f"{text}: going on from the one beside it", stacklevel=2)
        file.unlink(missing_ok=True)  # else the next checkpoint would push it into the place of the good one
    if not good:
        return None
    tensors, info = good[0]
    another = f"checkpoint {path} is of another training ({{differing}}); delete it to start anew"
    refuse(info["identity"], identity, another)
    try:
        model.load_state_dict({k[6:]: v for k, v in tensors.items() if k.startswith("model.")})
    except RuntimeError as error:
        raise UserError(f"checkpoint {path} is of another network ({error}); delete it to start anew") from error
    plain = tensors.get(_PLAIN, info)  # an earlier version kept these as JSON
    state: dict[int, dict[str, Any]] = {int(k): dict(v) for k, v in plain["optimizer"].items()}
    for key, value in tensors.items():
        if key.startswith("optimizer."):
            _, index, name = key.split(".", 2)
            state.setdefault(int(index), {})[name] = value
    optimizer.load_state_dict({"state": state, "param_groups": plain["param_groups"]})
    scheduler.load_state_dict(plain["scheduler"])
    others = {k[6:]: v for k, v in tensors.items() if k.startswith("other.")}
    return Saved(info["history"], info["step"], info["numbers"], others)


def _read(path: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """State and the rest of one file, verified."""
    with safe_open(str(path), framework="pt") as file:
        metadata = file.metadata() or {}
        tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
    if _digest(tensors, metadata["state"]) != metadata["sha256"]:
        raise UserError("checksum differs")
    return from_tensors(tensors), json.loads(metadata["state"])


def _digest(tensors: dict[str, torch.Tensor], text: str) -> str:
    digest = hashlib.sha256(text.encode())
    for name in sorted(tensors):
        digest.update(name.encode())
        if tensors[name].numel():  # an empty one has no bytes to view
            digest.update(tensors[name].reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()
