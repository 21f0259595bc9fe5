"""A user's network as it comes: what it returns, what its state holds, and copies of it.

Nothing is asked of it but ``forward``, ``parameters`` and ``state_dict``, and nothing is added to it.
"""

from __future__ import annotations

import copy
import hashlib
import io
import json
from collections import Counter, OrderedDict
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from pasm_aug.core.errors import UserError
from pasm_aug.core.options import without_addresses

ENCODED = "__encoded__."  # before the name of what is no plain tensor, in a file of tensors
_WRAPPERS = ("module.", "_orig_mod.")  # of DataParallel and torch.compile


def take_logits(outputs: Any) -> Tensor:
    """The logits (B, classes) of what a network returned.

    They are the tensor itself, its attribute or entry ``logits`` (Hugging Face, torchvision's Inception), or the first
    of a tuple or list.

    Raises:
        ValueError: none of these is a tensor of two dimensions.
    """
    found: Any = outputs
    if not isinstance(outputs, Tensor):
        if isinstance(outputs, Mapping) and "logits" in outputs:
            found = outputs["logits"]
        elif hasattr(outputs, "logits"):
            found = outputs.logits
        elif isinstance(outputs, tuple | list) and outputs:
            found = outputs[0]
    if not isinstance(found, Tensor) or found.ndim != 2:
        raise UserError(
            "model must return logits (B, classes), a tensor, or hold them as .logits, ['logits'] or the first of a "
            f"tuple; got {_kind(outputs)}: wrap it in a module whose forward returns them"
        )
    return found


def _kind(outputs: Any) -> str:
    if isinstance(outputs, Tensor):
        return str(tuple(outputs.shape))
    name = type(outputs).__name__
    if isinstance(outputs, tuple | list):
        return f"{name} of {_kind(outputs[0])}, …" if outputs else f"an empty {name}"
    return f"{name} of {', '.join(map(str, outputs))}" if isinstance(outputs, Mapping) else name


def copied(model: nn.Module) -> nn.Module:
    """A deep copy that shares nothing with ``model``.

    Tensors that a forward left in it (a kept feature, the weight that ``weight_norm`` computes) have a history, which
    cannot be copied: the copy has their values alone.
    """
    memo: dict[int, Any] = {}
    for module in model.modules():
        for tensor in _tensors_in(vars(module)):
            if not tensor.is_leaf:
                memo[id(tensor)] = tensor.detach().clone()
    return copy.deepcopy(model, memo)


def _tensors_in(value: Any, depth: int = 3) -> Iterator[Tensor]:
    if isinstance(value, Tensor):
        yield value
    elif depth and isinstance(value, Mapping | list | tuple):
        for item in value.values() if isinstance(value, Mapping) else value:
            yield from _tensors_in(item, depth - 1)


def to_tensors(state: Mapping[str, Any]) -> dict[str, Tensor]:
    """What a file of tensors can hold of a state: contiguous, on the CPU, none sharing memory with another.

    What is no plain tensor (``get_extra_state``, quantised weights) is encoded as ``torch.save`` does, such that
    reading it runs no code; :func:`from_tensors` gives it back.

    Raises:
        ValueError: an entry that cannot be read back so.
    """
    found: dict[str, Tensor] = {}
    seen: set[int] = set()
    for name, value in state.items():
        if not _is_plain(value):
            found[ENCODED + name] = _encoded(name, value)
            continue
        tensor = value.detach().cpu().contiguous()
        place = tensor.untyped_storage().data_ptr()
        found[name] = tensor.clone() if place in seen else tensor
        seen.add(place)
    return found


def from_tensors(tensors: Mapping[str, Tensor]) -> dict[str, Any]:
    """The state that :func:`to_tensors` was given."""
    return {name.removeprefix(ENCODED): _decoded(value) if name.startswith(ENCODED) else value
            for name, value in tensors.items()}  # fmt: skip


def check_state(model: nn.Module) -> None:
    """Raise a ValueError now rather than after an epoch if the network's state cannot be written down."""
    to_tensors({name: value for name, value in model.state_dict().items() if not _is_plain(value)})


def _is_plain(value: Any) -> bool:
    return isinstance(value, Tensor) and value.layout is torch.strided and not value.is_quantized


def _encoded(name: str, value: Any) -> Tensor:
    data = io.BytesIO()
    try:
        torch.save(value, data)
        _decoded(tensor := torch.frombuffer(bytearray(data.getvalue()), dtype=torch.uint8))
    except Exception as error:  # whatever pickling, or reading it back without running code, trips over
        raise UserError(
            f"the network's state_dict() holds {name!r}, a {type(value).__name__}, which cannot be written down "
            "without code: get_extra_state() may return numbers, strings, tensors, and lists, tuples and dicts of them"
        ) from error
    return tensor


def _decoded(tensor: Tensor) -> Any:
    return torch.load(io.BytesIO(tensor.numpy().tobytes()), map_location="cpu", weights_only=True)


def plain_state(value: Any) -> Any:
    """What outlives the process of an optimiser's or scheduler's state: numbers, strings, tensors, in any nesting.

    Of dictionaries the entries that hold something else (a function, another object) are left out: they come from the
    call. The keys stay what they are, integers among them.
    """
    kept = _plain(value)
    return {} if kept is _OTHER else kept


_OTHER = object()


def _plain(value: Any) -> Any:
    if value is None or isinstance(value, bool | Tensor):
        return value
    for kind in (int, float, str):
        if isinstance(value, kind):
            return kind(value)  # numpy's numbers and enumerations among them
    if isinstance(value, Mapping):
        items = {key: kept for key, item in value.items() if (kept := _plain(item)) is not _OTHER}
        return Counter(items) if isinstance(value, Counter) else items
    if isinstance(value, list | tuple):
        parts = [None if (kept := _plain(item)) is _OTHER else kept for item in value]
        return tuple(parts) if isinstance(value, tuple) else parts
    return _OTHER


def architecture_of(model: nn.Module) -> str:
    """The network's structure in words, the same in every process."""
    text = repr(model)
    carried = vars(model).get("preprocess")
    if isinstance(carried, nn.Module):  # the module that scales its images is told as if it were its last part
        inner = repr(carried).replace("\n", "\n  ")
        head = text[:-1] if text.endswith("\n)") else f"{text.removesuffix('()')}(\n"
        text = f"{head}  (preprocess): {inner}\n)"
    return without_addresses(text).replace("_orig_mod", "module")


def weights_digest(state: Mapping[str, Any]) -> str:
    """A digest of the state of a network, of whatever wrapper it comes."""
    digest = hashlib.sha256()
    for name, value in sorted(state.items()):
        for wrapper in _WRAPPERS:
            name = name.replace(wrapper, "")
        _add(digest, name, value)
    return digest.hexdigest()


def _add(digest: Any, name: str, value: Any) -> None:
    if isinstance(value, Tensor) and value.is_quantized:
        _add(digest, f"{name} {value.qscheme()}", value.int_repr())
        value = value.dequantize()
    if isinstance(value, Tensor):
        tensor = value.detach().cpu().to_dense() if value.layout is not torch.strided else value.detach().cpu()
        digest.update(json.dumps([name, str(tensor.dtype), list(tensor.shape)]).encode())
        digest.update(tensor.contiguous().reshape(-1).view(torch.uint8).numpy().data)
    elif isinstance(value, Mapping | OrderedDict):
        for key, item in value.items():
            _add(digest, f"{name}.{key}", item)
    elif isinstance(value, list | tuple):
        for number, item in enumerate(value):
            _add(digest, f"{name}.{number}", item)
    else:
        digest.update(json.dumps([name, without_addresses(repr(value))]).encode())
