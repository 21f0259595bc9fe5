"""This process among its fellows, and the device it computes on: accelerate's view, with our defaults."""

from __future__ import annotations

import time
from datetime import timedelta
from pathlib import Path

import torch
from accelerate import Accelerator, PartialState
from accelerate.state import AcceleratorState
from accelerate.tracking import GeneralTracker
from accelerate.utils import broadcast_object_list

from pasm_aug.core.errors import UserError

# How long a process waits for the others. They may search or write for hours; who dies ends all of them anyway.
PATIENCE = timedelta(days=2)
Device = str | torch.device


def process_state(device: Device | None = None) -> PartialState:
    """Rank, number of processes and barriers; under ``torchrun`` the processes find each other here.

    accelerate keeps one state for a process, so the first call decides on the device.

    Args:
        device: ``"cpu"``, ``"cuda"`` or a ``torch.device`` of these without a number; ``None``: a GPU if there is one.

    Raises:
        ValueError: an unknown device, a GPU where there is none, or another one than the first call's.
    """
    state = PartialState(cpu=_on_cpu(device), timeout=PATIENCE)
    if device is not None and state.device.type != str(device):
        raise UserError(f"device '{device}' was requested, but this process already computes on {state.device}")
    return state


def exists_for_all(path: Path) -> bool:
    """Whether the first process sees a file; the others wait until they see it too, for a file system may be slow.

    Raises:
        FileNotFoundError: this process does not see it even after a minute.
    """
    state = PartialState()
    (exists,) = broadcast_object_list([path.exists()])
    until = time.monotonic() + 60
    while exists and not path.exists():
        if time.monotonic() > until:
            raise FileNotFoundError(f"{path} is seen by the first process, but not by process {state.process_index}")
        time.sleep(0.1)
    return bool(exists)


def make_accelerator(
    device: Device | None = None, precision: str = "no", tracker: GeneralTracker | None = None
) -> Accelerator:
    """Device, precision and processes for training; ``device`` ``None`` is a GPU if there is one.

    Raises:
        ValueError: another device, or a GPU where there is none.
        TypeError: a tracker that is none of accelerate's.
    """
    if not isinstance(tracker, GeneralTracker | None):
        raise TypeError(
            f"tracker must be one of accelerate's, such as open_tracker('wandb', folder), got {type(tracker).__name__}"
        )
    process_state(device)
    if AcceleratorState._shared_state and AcceleratorState().mixed_precision != precision:
        AcceleratorState._reset_state()  # else accelerate refuses another precision in the same process
    return Accelerator(cpu=_on_cpu(device), mixed_precision=precision, log_with=tracker)


def _on_cpu(device: Device | None) -> bool:
    name = None if device is None else str(device)
    if name not in (None, "cpu", "cuda"):
        hint = ": which one, CUDA_VISIBLE_DEVICES tells" if name.startswith("cuda:") else ""
        raise UserError(f"device must be None, 'cpu' or 'cuda', got {name!r}{hint}")
    if name == "cuda" and not torch.cuda.is_available():
        raise UserError("device 'cuda' was requested, but torch sees no CUDA device")
    return name == "cpu" or not torch.cuda.is_available()
