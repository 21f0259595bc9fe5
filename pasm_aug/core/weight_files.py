"""Files of weights, as other people's programs leave them: which tensors they hold. Nothing is ever unpickled."""

from __future__ import annotations

import hashlib
import re
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load
from torch import Tensor

from pasm_aug.core.errors import UserError
from pasm_aug.core.files import read_json
from pasm_aug.core.networks import from_tensors

# Of the weights, in a file of more: averaged ones (EMA) first, for those are what its program scored.
CONTAINERS = (
    *("state_dict_ema", "model_ema", "ema_state_dict", "ema_model", "params_ema", "ema"),
    *("state_dict", "model_state_dict", "model_state", "model", "network", "net", "params", "module"),
)


def weights_file(path: Path) -> Path:
    """The file itself, or the one in a folder of :func:`~pasm_aug.models.save_model`."""
    return path / "model.safetensors" if path.is_dir() else path


def read_weights(path: Path, key: str | None = None) -> dict[str, Any]:
    """The weights in a file or folder, by name: those of :func:`find_weights`.

    Raises:
        ValueError: it cannot be read, is damaged, or holds no weights that can be found.
    """
    return find_weights(path, key)[0]


def find_weights(path: Path, key: str | None = None) -> tuple[dict[str, Any], list[str]]:
    """The weights in a folder with ``model.safetensors``, a ``.safetensors`` file or a torch file of tensors.

    Args:
        key: in a file of more, what they are called; default the first of :data:`CONTAINERS` that is there, else the
            only mapping of tensors.

    Returns:
        The tensors by name, and the keys that led to them in the file.

    Raises:
        ValueError: as :func:`read_weights`.
    """
    file = weights_file(path)
    state, taken = _contents(path, file), list[str]()
    while (name := key if key and not taken else _inner(state)) is not None:
        if not isinstance(state, Mapping) or name not in state:
            raise UserError(f"{file} has no key {name!r}: it holds {_listed(state)}")
        taken.append(name)
        state = state[name]
    if not _holds_tensors(state):
        raise UserError(f"{file} holds no tensors by name, got {_listed(state)}")
    return (from_tensors(state) if file.suffix == ".safetensors" else dict(state)), taken


def _inner(state: Any) -> str | None:
    """The key of the weights in a mapping of more; ``None`` if it holds none, or itself is what is looked for."""
    if not isinstance(state, Mapping):
        return None
    known = [name for name in CONTAINERS if _holds_tensors(state.get(name)) or _inner(state.get(name)) is not None]
    if known or _holds_tensors(state):
        return known[0] if known else None
    others = [name for name, value in state.items() if _holds_tensors(value)]
    return others[0] if len(others) == 1 else None


def _holds_tensors(value: Any) -> bool:
    return isinstance(value, Mapping) and any(isinstance(one, Tensor) for one in value.values())


def _listed(state: Any) -> str:
    """A file's contents in a word, or its first keys."""
    if not isinstance(state, Mapping):
        return f"a {type(state).__name__}"
    return f"{', '.join(map(str, list(state)[:8]))}{', …' if len(state) > 8 else ''}" if state else "nothing"


def _contents(path: Path, file: Path) -> Any:
    """What a file holds, its bytes checked against a ``model.json`` beside it."""
    try:
        data = file.read_bytes()
    except OSError as error:
        raise UserError(f"weights {str(path)!r} cannot be read: {error.strerror}") from error
    if path.is_dir() and (path / "model.json").exists():
        wanted = read_json(path / "model.json").get("sha256")
        if wanted and wanted != hashlib.sha256(data).hexdigest():
            raise UserError(f"{file} is damaged: its sha256 is not the one in model.json")
    try:
        if file.suffix == ".safetensors":
            return load(data)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of a compiled script, which is refused below
            return torch.load(file, map_location="cpu", weights_only=True)
    except SafetensorError as error:
        raise UserError(f"{file} holds no readable weights: {error}") from error
    except Exception as error:  # torch's loader answers to what is none of its files with whatever it trips over
        found = re.search(r"GLOBAL (\S+)|(TorchScript)", str(error))
        if not found:
            what = str(error).partition("\n")[0].removeprefix("Weights only load failed. ")
            raise UserError(f"{file} holds no readable weights: {type(error).__name__} {what}".rstrip()) from error
        raise UserError(
            f"{file} holds more than tensors ({found[1] or found[2]}), a whole model perhaps, whose code would run: "
            "it is never unpickled. Where it was made, save its weights alone: "
            "torch.save(model.state_dict(), 'weights.pt')"
        ) from error
