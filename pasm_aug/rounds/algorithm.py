"""The rounds of self mining: mine with the teacher, train a student on what it erased, let the better one teach.

:func:`iter_rounds` reads like Algorithm 1 of the paper, with the two things the paper leaves open filled in: it stops
by itself when validation stops improving, and every stage that is done is on the disk and never done twice.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Unpack

from torch import nn
from torch.utils.data import Dataset

from pasm_aug.core.checksums import resealed
from pasm_aug.core.errors import UserError
from pasm_aug.core.file_lock import FileLock
from pasm_aug.core.files import write_json
from pasm_aug.core.image_content import dataset_digest
from pasm_aug.core.items import check_map_style
from pasm_aug.core.options import replaced, takes
from pasm_aug.core.processes import process_state
from pasm_aug.data.base import SPLITS
from pasm_aug.rounds.arms import ONE_ROUND
from pasm_aug.rounds.keywords import RoundKeywords
from pasm_aug.rounds.options import RoundOptions
from pasm_aug.rounds.results import RoundResult, best_round, write_rounds
from pasm_aug.rounds.resume import check_folder, check_options
from pasm_aug.rounds.stages import Stages


@takes(RoundOptions)
def run_rounds(
    model: Callable[[], nn.Module],
    datasets: Mapping[str, Dataset],
    *,
    out: str | Path,
    options: RoundOptions | None = None,
    **keywords: Unpack[RoundKeywords],
) -> list[RoundResult]:
    """Run the rounds of one arm (Algorithm 1 of the paper); the same call goes on where an earlier one stopped.

    A student that does not improve on the best validation accuracy so far teaches nobody. When the rounds have ended,
    every network is scored on the test split, and ``rounds.csv`` and ``stop.json`` (why they ended) are written.

    Args:
        model (callable): makes an untrained classifier; any architecture.
        datasets (mapping): ``"train"``, ``"val"`` and ``"test"``; items (image, label) without random transforms.
        out (path): folder; ``round-0`` holds the first teacher, ``round-r`` round r's positions, student and scores.
        options (RoundOptions, optional): all options at once; ``keywords`` win over them.
        keywords: those of :class:`~pasm_aug.rounds.options.RoundOptions`, which explains them.

    Returns:
        list of RoundResult: round 0, 1, …

    Raises:
        TypeError: a keyword that is none; a network in place of what makes one; a split that is no data set.
        ValueError: wrong options; a split is missing; ``out`` holds rounds of others, or a damaged file.
        DivergedError: the first teacher's loss, or a student's in its first epoch, became NaN or infinite.
    """
    return list(iter_rounds(model, datasets, out=out, options=options, **keywords))


@takes(RoundOptions)
def iter_rounds(
    model: Callable[[], nn.Module],
    datasets: Mapping[str, Dataset],
    *,
    out: str | Path,
    options: RoundOptions | None = None,
    **keywords: Unpack[RoundKeywords],
) -> Iterator[RoundResult]:
    """:func:`run_rounds`, round by round: work is done as the results are taken.

    Yields:
        RoundResult: round 0, 1, … as each ends; after the last one every result's ``test`` is filled in.
    """
    return _rounds(model, datasets, Path(out), replaced(options or RoundOptions(), "run_rounds", **keywords))


def _rounds(
    model: Callable[[], nn.Module], datasets: Mapping[str, Dataset], out: Path, options: RoundOptions
) -> Iterator[RoundResult]:
    if isinstance(model, nn.Module) or not callable(model):
        raise TypeError(
            "model must be a function that makes an untrained network, such as lambda: build_model('small', 7, "
            f"seed=None), got {type(model).__name__}"
        )
    if not isinstance(datasets, Mapping) or not {*SPLITS} <= {*datasets}:
        got = ", ".join(map(str, datasets)) if isinstance(datasets, Mapping) else type(datasets).__name__
        raise UserError(f"datasets must be a mapping that holds {', '.join(SPLITS)}, got {got}")
    for name in SPLITS:
        check_map_style(datasets[name], name)
    main, rule = process_state(options.training.device).is_main_process, options.stopping
    if options.augment in ONE_ROUND and rule.rounds is None:
        rule = replaced(rule, rounds=1)
    stages = Stages(model, {name: datasets[name] for name in SPLITS}, out, options)
    if main:
        check_folder(out)
    data = {name: dataset_digest(datasets[name]) for name in ("train", "val")}  # test stays unread
    if main:
        out.mkdir(parents=True, exist_ok=True)
    with FileLock(out / "rounds", enabled=main):
        check_options(out, options.identity() | {"data": data})
        best, network = stages.first_teacher()
        results = [best]
        yield best
        while not (reason := rule.reason(results)):
            result, pupil = stages.one_round(len(results), best, network, rule.reference(results))
            results.append(result)
            if result.improved:
                best, network = result, pupil
            yield result
        stages.score_on_test(results)
        with resealed(out, enabled=main):
            if main:
                write_rounds(out / "rounds.csv", results)
                stop = {"reason": reason, "best_round": best_round(results).round, "rounds": len(results) - 1}
                write_json(out / "stop.json", stop)
