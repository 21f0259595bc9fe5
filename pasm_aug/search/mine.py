"""Mine a data set: the most informative point of every image, into one file.

Each process searches its share and appends what it found to a journal of its own, acknowledged batch by batch;
at the end one of them merges the journals into the cache file. Killed at any moment, the same call goes on.
"""

from __future__ import annotations

import dataclasses
import functools
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from accelerate import PartialState
from accelerate.utils import gather_object
from torch import Tensor, nn
from torch.utils.data import Dataset

from pasm_aug.cache.format import CacheError, check_fingerprint
from pasm_aug.cache.journal import Journal, journal_paths, read_journal
from pasm_aug.cache.merge import write_cache
from pasm_aug.cache.position_cache import PositionCache
from pasm_aug.cache.record import row_dtype
from pasm_aug.core.errors import UserError
from pasm_aug.core.file_lock import FileLock
from pasm_aug.core.image_content import as_uint8, content_key, dataset_digest, probed
from pasm_aug.core.items import check_map_style, class_names, class_of, unpacked
from pasm_aug.core.processes import Device, process_state
from pasm_aug.core.progress import above_bar
from pasm_aug.search.closing import Account
from pasm_aug.search.fingerprint import make_fingerprint
from pasm_aug.search.options import Mode
from pasm_aug.search.point_search import PointSearch
from pasm_aug.search.refresh import refreshed
from pasm_aug.search.result import PointResult
from pasm_aug.search.share import KeyedImages, claimed, mine_share
from pasm_aug.search.teacher import TeacherObjective
from pasm_aug.search.teacher_check import ENOUGH, check_chance, check_outputs

IMAGES_AT_ONCE = 32  # images searched in lockstep, at most
QUERIES_AT_ONCE = 1 << 17  # and what a kill may cost at most


def mine_positions(
    teacher: nn.Module,
    dataset: Dataset,
    path: str | Path,
    *,
    search: Mode | PointSearch = "seeded",
    preprocess: Callable[[Tensor], Tensor] | None = None,
    batch_size: int | None = None,
    device: Device | None = None,
    seed: int = 0,
    workers: int = 0,
    resume: bool = True,
    refresh: tuple[PositionCache, float] | None = None,
    progress: bool = True,
    tell: Callable[[str], None] | None = None,
) -> PositionCache:
    """Search every image of ``dataset`` and write the points found to ``path``.

    Under ``torchrun`` every process calls this; each takes a share, and all return the same cache. Images that an
    existing cache of the same teacher and search already holds are not searched again, so photographs added later
    extend it.

    Args:
        teacher: the classifier to attack; left exactly as it was.
        dataset: items (image, label), or dicts with these entries, the image a PIL image or uint8 (C, H, W) of any
            size, without random transforms.
        path: of the cache; journals and a lock lie beside it while the work goes on.
        search: a mode's name or a :class:`PointSearch`.
        preprocess: uint8 (B, C, H, W) → network input; required unless the teacher carries ``.preprocess``.
        batch_size: images a forward, unless ``search`` is a :class:`PointSearch`; changes speed and memory, not the
            result. Default automatic.
        device: ``None`` (a GPU if there is one), ``"cpu"`` or ``"cuda"``.
        seed: of the search; ignored when ``search`` is a :class:`PointSearch`, which has its own.
        workers: processes that decode images.
        resume: go on from journals and an existing cache; ``False`` starts anew.
        refresh: (cache of an earlier teacher, threshold): search only images whose true-class probability moved by
            the threshold or more; see :func:`~pasm_aug.search.refresh.refreshed`.
        progress: show a bar, and write what was found to standard error in the end.
        tell: takes what was found instead, whatever ``progress`` says.

    Raises:
        TypeError: a data set without a length, or without items by index.
        ValueError: items that change from one reading to the next, labels without an output, NaN logits.
        CacheError: what lies at ``path`` belongs to another teacher or search, or is damaged.
    """
    account = Account()
    check_map_style(dataset)
    if not len(dataset):  # type: ignore[arg-type]
        raise UserError("dataset must not be empty")
    if isinstance(search, str):
        search = PointSearch(search, seed=seed, batch_size=batch_size)
    state, path = process_state(device), Path(path)
    search = dataclasses.replace(search, device=search.device or state.device)
    path.parent.mkdir(parents=True, exist_ok=True)
    shape = _check_deterministic(dataset), *as_uint8(unpacked(dataset[0])[0]).shape[1:]
    if resume and path.exists():  # images of another size may have joined at the front
        made = PositionCache.open(path).metadata["fingerprint"]
        shape = tuple(made.get("probe_shape", shape))  # a stacked or moved cache has none, and is refused below
    with search.objective_of(teacher, preprocess) as objective:
        fingerprint = make_fingerprint(objective, search, shape)
        find = functools.partial(search.run, objective)
        if refresh:
            fingerprint["refresh"] = {"threshold": refresh[1], "before": refresh[0].metadata["fingerprint"]}
            find = functools.partial(refreshed, search, *refresh, objective)
        how: dict[str, Any] = {"resume": resume, "workers": workers, "progress": progress, "state": state}
        _mine(objective, find, dataset, path, search, fingerprint, account, **how)
    cache = PositionCache.open(path)
    if (tell or progress) and state.is_main_process:
        (tell or above_bar)(account.text(cache))
    return cache


def _mine(
    teacher: TeacherObjective,
    find: Callable[..., PointResult],
    dataset: Any,
    path: Path,
    search: PointSearch,
    fingerprint: dict[str, Any],
    account: Account,
    *,
    resume: bool,
    workers: int,
    progress: bool,
    state: PartialState,
) -> None:
    """What :func:`mine_positions` does once it knows what to make of what."""
    channels = fingerprint["probe_shape"][0]
    with FileLock(path, doing="mined", enabled=state.is_main_process, error=CacheError):
        rows = _known_rows(path, fingerprint, search.points, channels, resume, state)
        account.paid = int(rows["queries"].sum(dtype=np.int64))
        state.wait_for_everyone()
        done = set(zip(rows["key"].tolist(), rows["label"].tolist(), strict=True))
        if not done:
            check_outputs(teacher, fingerprint["probe_shape"], dataset)
        told = False

        def watch() -> None:
            nonlocal told
            if not told and teacher.seen >= ENOUGH:
                told = True
                check_chance(teacher.right, teacher.seen, len({label for _, label in done}))

        at_once = images_at_once(search, as_uint8(unpacked(dataset[0])[0]).shape)
        indices = claimed(len(dataset), at_once, _counter(path), state)
        with Journal(f"{path}.journal-{state.process_index}", fingerprint, search.points, channels) as journal:
            identity = mine_share(
                find, KeyedImages(dataset, channels), indices, journal, at_once, done,
                workers=workers, progress=progress and state.is_main_process, watch=watch,
            )  # fmt: skip
        shares = gather_object([(identity, teacher.seen, teacher.right)])
        state.wait_for_everyone()
        if state.is_main_process:
            _merge(path, dataset, fingerprint, rows, {i: k for share, _, _ in shares for i, k in share.items()})
        state.wait_for_everyone()
    account.searched, account.right = (sum(share[i] for share in shares) for i in (1, 2))


_times = Counter[str]()  # that each path was mined in this process; the same in all of them


def _counter(path: Path) -> str:
    _times[str(path)] += 1
    return f"pasm_aug/{path}/{_times[str(path)]}"


def images_at_once(search: PointSearch, shape: tuple[int, ...]) -> int:
    """How many images (C, H, W) are searched before they are acknowledged: the dearer the search, the fewer."""
    return max(1, min(IMAGES_AT_ONCE, QUERIES_AT_ONCE // search.cost(shape)))


def _check_deterministic(dataset: Any) -> int:
    """Read some items twice; return the number of channels that the cache will hold."""
    channels = 1
    for index in sorted({*probed(len(dataset)), len(dataset) - 1}):
        (first, label), (second, again) = (unpacked(dataset[index])[:2] for _ in range(2))
        if class_of(label, index) != class_of(again, index) or content_key(first) != content_key(second):
            raise UserError(
                f"dataset item {index} differs from one reading to the next: pass the data set without its random "
                "transforms"
            )
        channels = max(channels, as_uint8(first).shape[0])
    return channels


def _known_rows(
    path: Path, fingerprint: dict[str, Any], points: int, channels: int, resume: bool, state: PartialState
) -> np.ndarray:
    """Rows that need no search: of an existing cache, and of the journals of an interrupted call."""
    parts = [np.empty(0, row_dtype(points, channels))]
    if not resume:
        if state.is_main_process:
            for file in [str(path), *journal_paths(path)]:
                Path(file).unlink(missing_ok=True)
        return parts[0]
    if path.exists():
        cache = PositionCache.open(path)
        check_fingerprint(cache.metadata["fingerprint"], fingerprint, path)
        parts.append(cache.to_rows())
    parts += [read_journal(file, fingerprint) for file in journal_paths(path)]
    return np.concatenate(parts)


def _merge(
    path: Path, dataset: Any, fingerprint: dict[str, Any], rows: np.ndarray, identity: dict[int, tuple[int, int]]
) -> None:
    journals = journal_paths(path)
    found = [read_journal(file, fingerprint) for file in journals]
    keys, labels = (np.array([identity[i][j] for i in range(len(dataset))], dtype=np.int64) for j in (0, 1))
    old = PositionCache.open(path) if path.exists() else None
    about = {
        "digest": dataset_digest(dataset),
        "length": len(dataset),
        "classes": class_names(dataset),
    }
    if any(map(len, found)) or old is None or old.metadata["dataset"] != about:  # else it is there already
        rows = np.concatenate([rows, *found])
        write_cache(path, rows, keys, labels, {"fingerprint": fingerprint, "dataset": about})
    for file in journals:
        Path(file).unlink()
