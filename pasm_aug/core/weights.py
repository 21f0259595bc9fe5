"""Fill a network with the weights in a file: its own, somebody else's, or what fits of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from pasm_aug.core.errors import UserError
from pasm_aug.core.weight_files import find_weights, read_weights, weights_file

PREFIXES = ("module.", "_orig_mod.", "backbone.", "model.", "network.", "net.", "encoder.", "student.", "teacher.")
LEAST_FIT = 0.5  # share of a network's parameters that --weights must fill
NAMED = 3  # tensors that an error names of each kind


def load_weights(model: nn.Module, path: Path) -> None:
    """Fill ``model`` from a folder with ``model.safetensors``, a ``.safetensors`` file, or a torch file of tensors.

    Raises:
        ValueError: it cannot be read, or is of another network.
    """
    state = read_weights(path)
    if wrong := misfit(model.state_dict(), state):
        raise UserError(f"{weights_file(path)} does not fit the {type(model).__name__}: {wrong}")
    model.load_state_dict(state)


@dataclass(frozen=True)
class Taken:
    """Somebody's weights in a network; ``str()`` says what was made of the file.

    Attributes:
        tensors: that were taken. keys: that led to them in the file. prefix: that their names had there.
        left_out: names of tensors that stand beside the network's.
    """

    tensors: int
    keys: tuple[str, ...]
    prefix: str
    left_out: tuple[str, ...]

    def __str__(self) -> str:
        text = f"all {self.tensors} tensors"
        text += f" of {'.'.join(map(repr, self.keys))}" if self.keys else ""
        text += f", their prefix {self.prefix!r} taken away" if self.prefix else ""
        return f"{text}; left out: {_first(self.left_out)}" if self.left_out else text


def take_weights(model: nn.Module, path: Path, key: str | None = None) -> Taken:
    """Fill all of ``model`` from somebody's file: in whatever key, and with whatever prefix before all names.

    Args:
        key: as in :func:`~pasm_aug.core.weight_files.find_weights`.

    Raises:
        ValueError: it cannot be read, or holds not exactly the tensors of this network; names the first few.
    """
    (state, keys), own = find_weights(path, key), model.state_dict()
    prefix = _prefix(own, state)
    inner = {name.removeprefix(prefix): value for name, value in state.items() if name.startswith(prefix)}
    counters = {name: own[name] for name in own.keys() - inner.keys() if name.endswith("num_batches_tracked")}
    if wrong := misfit(own, inner | counters):  # older files have no such counters, and nothing depends on them
        raise UserError(f"{weights_file(path)} does not fit the {type(model).__name__}: {wrong}")
    model.load_state_dict(inner | counters)
    outside = tuple(name for name in state if not name.startswith(prefix))
    return Taken(len(inner), tuple(keys), prefix, outside)


def _prefix(own: Mapping[str, Any], state: Iterable[str]) -> str:
    """What stands before the network's names in most of the names of a file: ``module.``, ``model.``, …"""
    found = Counter(
        name[:start]
        for name in state
        for start in (0, *(at + 1 for at, sign in enumerate(name) if sign == "."))
        if name[start:] in own
    )
    ((prefix, count),) = found.most_common(1) or [("", 0)]
    return prefix if 2 * count >= len(own) else ""  # of another network: named as they stand in the file


def misfit(own: Mapping[str, Any], state: Mapping[str, Any]) -> str:
    """Which tensors are missing, unexpected or of another shape; empty if there are none."""
    shapes = [
        f"{name}: {_shape(state[name])} in the file, {_shape(value)} in the network"
        for name, value in own.items()
        if name in state and not _fits(value, state[name])
    ]
    kinds = {
        "missing": [name for name in own if name not in state],
        "unexpected": [name for name in state if name not in own],
        "of another shape": shapes,
    }
    return "; ".join(f"{len(names)} {kind} ({_first(names)})" for kind, names in kinds.items() if names)


def _first(names: Iterable[str]) -> str:
    names = list(names)
    return ", ".join(names[:NAMED]) + (", …" if len(names) > NAMED else "")


def _shape(value: Any) -> str:
    return str(tuple(value.shape)) if isinstance(value, Tensor) else f"a {type(value).__name__}"


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
        return f"{text}; initial values remain in {_first(self.missing)}" if self.missing else text


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
            f"{weights_file(path)} does not fit the {type(model).__name__}: {fit.tensors} of its {fit.of} tensors, "
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
