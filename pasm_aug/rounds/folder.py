"""The folder of one finished stage: weights, scores, model card, and the sums by which damage is noticed."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors.torch import save
from torch import nn

from pasm_aug.asm.method import ASM
from pasm_aug.asm.record import PARTITION
from pasm_aug.core.checksums import CHECKSUMS, damaged, resealed
from pasm_aug.core.errors import UserError
from pasm_aug.core.files import read_json, write_atomic
from pasm_aug.core.processes import exists_for_all, process_state
from pasm_aug.core.versions import versions
from pasm_aug.models import load_model, save_model
from pasm_aug.rounds.model_card import model_card
from pasm_aug.rounds.results import RoundResult
from pasm_aug.training.checkpoint import remove_checkpoint
from pasm_aug.training.result import TrainResult

ERASED = "erased.safetensors"  # a few images as the arm online erased them
MINING = "mining.json"  # the seconds that mining took, until the round is done


def write_round(result: RoundResult, trained: TrainResult, info: Mapping[str, Any]) -> RoundResult:
    """Write what a stage made; ``result.json`` comes last and says that it is done.

    Args:
        info: for ``model.json``.
    """
    folder = Path(result.folder)
    if process_state().is_main_process:
        folder.mkdir(parents=True, exist_ok=True)
        save_model(folder, trained.model, {**info, "epoch": trained.epoch, "versions": versions()})
        if shown := trained.gallery and trained.gallery.state_dict():
            write_atomic(folder / ERASED, save(shown))
        if isinstance(trained.method, ASM):
            trained.method.record.save(folder / PARTITION)
    return rewrite_round(result)


def rewrite_round(result: RoundResult) -> RoundResult:
    """Write the scores and the model card of a stage again, now that more is known."""
    folder = Path(result.folder)
    if process_state().is_main_process:
        options = folder.parent / "options.json"
        known = read_json(options) if folder.name == f"round-{result.round}" and options.exists() else None
        with resealed(folder):
            info = read_json(folder / "model.json")
            card = model_card(info, result, options=known or info.get("alone"))
            write_atomic(folder / "README.md", card.encode("utf-8", "surrogateescape"))
            result.save()
            _remove_interim(folder)  # the result is there: nothing will go on from it
    process_state().wait_for_everyone()
    return result


def read_round(folder: Path, model: nn.Module) -> tuple[RoundResult, nn.Module] | None:
    """A finished stage and its network, for which ``model`` is filled; ``None`` where it is not finished.

    Raises:
        ValueError: one of its files is damaged.
    """
    if not exists_for_all(folder / "result.json"):
        return None
    if corrupt := damaged(folder):
        raise UserError(
            f"{', '.join(str(folder / name) for name in corrupt)} is damaged: it is not what {CHECKSUMS} says; put it "
            f"back from a copy, or remove {folder} to do that round again"
        )
    if (
        process_state().is_main_process and not (folder / CHECKSUMS).exists()
    ):  # stopped just before the list was written
        with resealed(folder):
            _remove_interim(folder)
    process_state().wait_for_everyone()
    return RoundResult.load(folder), load_model(folder, model=model)


def _remove_interim(folder: Path) -> None:
    remove_checkpoint(folder / "training.safetensors")
    (folder / MINING).unlink(missing_ok=True)
