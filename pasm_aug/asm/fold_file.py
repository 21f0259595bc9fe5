"""What the network that leaves one fold out says of all images: a safetensors file, verified."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from pasm_aug.core.errors import UserError
from pasm_aug.core.files import read_json, write_atomic, write_json
from pasm_aug.core.processes import exists_for_all, process_state
from pasm_aug.core.recorded_options import refuse

FORMAT = "pasm_aug fold 1"
ADVICE = "choose another folder"


def check_about(path: Path, about: Mapping[str, Any]) -> None:
    """Compare what all folds of a folder depend on with what is recorded at ``path``; record it where nothing is.

    Raises:
        ValueError: other data or options; the message names what differs.
    """
    if exists_for_all(path):
        refuse(read_json(path), about, f"{path.parent} holds folds of other data or options ({{differing}}): {ADVICE}")
    elif process_state().is_main_process:
        write_json(path, dict(about))
    process_state().wait_for_everyone()  # else another looks for it before it is there


def write_fold(path: Path, indices: np.ndarray, logits: np.ndarray, identity: Mapping[str, Any]) -> None:
    """Write the ``logits`` (N, K) float32 of a network, atomically.

    Args:
        indices: (n,) int64, of the images that it was not trained on.
        identity: what they depend on, as JSON holds it.
    """
    held = {"indices": indices, "logits": np.ascontiguousarray(logits)}
    text = json.dumps(dict(identity))
    write_atomic(path, save(held, {"format": FORMAT, "identity": text, "sha256": _sha256(held, text)}))


def read_fold(path: Path, indices: np.ndarray, identity: Mapping[str, Any]) -> np.ndarray:
    """(N, K) float32 logits of the network that was not trained on the images ``indices``.

    Raises:
        ValueError: the file is damaged, or was made of other data or with other options; the message names it.
    """
    try:
        with safe_open(str(path), framework="np") as file:
            about = file.metadata() or {}
            held = {name: file.get_tensor(name) for name in ("indices", "logits")}
        text = about["identity"]
        if about["format"] != FORMAT or about["sha256"] != _sha256(held, text):
            raise UserError("checksum differs")
    except (SafetensorError, KeyError, ValueError, OSError) as error:
        raise UserError(f"{path} is damaged ({error}): delete it, and its fold is trained again") from error
    refuse(json.loads(text), identity, f"{path} is of other data or options ({{differing}}): {ADVICE}")
    if not np.array_equal(held["indices"], indices):
        raise UserError(f"{path} is of other images: {ADVICE}")
    return held["logits"]


def _sha256(held: Mapping[str, np.ndarray], text: str) -> str:
    digest = hashlib.sha256(text.encode())
    for name in sorted(held):
        digest.update(f"{name} {held[name].dtype} {held[name].shape}".encode())
        digest.update(np.ascontiguousarray(held[name]).data)
    return digest.hexdigest()
