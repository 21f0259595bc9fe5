"""Files of weights: read one, and fill a network with what it holds."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load
from torch import Tensor, nn

from pasm_aug.core.errors import UserError
from pasm_aug.core.files import read_json
from pasm_aug.core.networks import from_tensors

PREFIXES = ("module.", "_orig_mod.", "backbone.", "model.", "network.", "net.", "encoder.", "student.", "teacher.")
CONTAINERS = ("state_dict", "model_state_dict", "model", "net", "ema")  # of the weights, in a torch file of more
LEAST_FIT = 0.5  # share of a network's parameters that --weights must fill


def load_weights(model: nn.Module, path: Path) -> None:
    """Fill ``model`` from a folder with ``model.safetensors``, a ``.safetensors`` file, or a torch file of tensors.

    Raises:
        ValueError: it cannot be read, or is of another network.
    """
    state, own = read_weights(path), model.state_dict()
    differing = sorted(
        (own.keys() ^ state.keys()) | {k for k in own.keys() & state.keys() if not _fits(own[k], state[k])}
    )
    if differing:
        raise UserError(
            f"{_weights_file(path)} does not fit the {type(model).__name__}: {len(differing)} tensors differ in name "
            f"or shape (first: {differing[:3]})"
        )
    model.load_state_dict(state)


@dataclass(frozen=True)
class Fit:
    """How much of a network a file of weights filled; ``str()`` says it.

    Attributes:
        tensors, of: filled, and of how many. share: of the network's parameters that were filled, in [0, 1].
        missing: names of the tensors that keep their initial values.
    """

    tensors: int
    of: int
    share: float
    missing: tuple[str, ...]

    def __str__(self) -> str:
        text = f"{self.tensors} of {self.of} tensors fit, {self.share:.1%} of the parameters"
        first = ", ".join(self.missing[:3]) + (", …" if len(self.missing) > 3 else "")
        return f"{text}; initial values remain in {first}" if self.missing else text


def start_from(model: nn.Module, path: Path) -> Fit:
    """Fill what fits of ``model`` from a file or folder of weights; a head of other classes keeps its initial values.

    Common prefixes of the names (``module.``, ``_orig_mod.``, ``backbone.``, ``model.``, …) are no hindrance.

    Raises:
        ValueError: it cannot be read, or fills less than :data:`LEAST_FIT` of the network's parameters.
    """
    own, state = model.state_dict(), read_weights(path)
    taken: dict[str, Any] = {}
    for name, value in state.items():
        known = _known_name(name, own)
        if known is not None and _fits(own[known], value):
            taken.setdefault(known, value)
    sizes = {name: parameter.numel() for name, parameter in model.named_parameters(remove_duplicate=False)}
    share = sum(sizes.get(name, 0) for name in taken) / max(1, sum(sizes.values()))
    fit = Fit(len(taken), len(own), share, tuple(name for name in own if name not in taken))
    if share < LEAST_FIT:
        raise UserError(
            f"{_weights_file(path)} does not fit the {type(model).__name__}: {fit.tensors} of its {fit.of} tensors, "
            f"{share:.1%} of its parameters, have the same name and shape there, at least {LEAST_FIT:.0%} must "
            f"(the file holds {', '.join(list(state)[:3])}, …; the network {', '.join(list(own)[:3])}, …)"
        )
    model.load_state_dict(taken, strict=False)
    return fit


def _known_name(name: str, own: Mapping[str, Any]) -> str | None:
    """The network's own name of a tensor, without the prefixes of what wrapped it when it was saved."""
    while name not in own:
        prefix = next((prefix for prefix in PREFIXES if name.startswith(prefix)), None)
        if prefix is None:
            return None
        name = name.removeprefix(prefix)
    return name


def _fits(own: Any, value: Any) -> bool:
    if isinstance(own, Tensor) and isinstance(value, Tensor):
        return own.shape == value.shape
    return not isinstance(own, Tensor) and not isinstance(value, Tensor)


def read_weights(path: Path) -> dict[str, Any]:
    """The state that :func:`load_weights` reads.

    Raises:
        ValueError: it cannot be read, or is damaged.
    """
    file = _weights_file(path)
    try:
        data = file.read_bytes()
    except OSError as error:
        raise UserError(f"weights {str(path)!r} cannot be read: {error.strerror}") from error
    if path.is_dir() and (path / "model.json").exists():
        wanted = read_json(path / "model.json").get("sha256")
        if wanted and wanted != hashlib.sha256(data).hexdigest():
            raise UserError(f"{file} is damaged: its sha256 is not the one in model.json")
    try:
        plain = file.suffix == ".safetensors"
        state: Any = load(data) if plain else torch.load(file, map_location="cpu", weights_only=True)
    except (SafetensorError, RuntimeError, ValueError, EOFError, OSError) as error:
        raise UserError(f"{file} holds no readable weights: {error}") from error
    except Exception as error:  # torch's UnpicklingError for anything but plain tensors
        raise UserError(
            f"{file} is not a plain file of tensors (it is never unpickled): {type(error).__name__}"
        ) from error
    for key in CONTAINERS:
        if isinstance(state, Mapping) and isinstance(state.get(key), Mapping):
            state = state[key]
    if not isinstance(state, Mapping) or not any(isinstance(value, Tensor) for value in state.values()):
        raise UserError(f"{file} holds no tensors by name, got a {type(state).__name__}")
    return from_tensors(state) if plain else dict(state)


def _weights_file(path: Path) -> Path:
    return path / "model.safetensors" if path.is_dir() else path
