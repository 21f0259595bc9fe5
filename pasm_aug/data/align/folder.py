"""A folder of photographs → the same tree of aligned faces, with ``align.csv`` saying what became of each.

The files, sorted, are cut into units of a few neighbours. A unit's images are written first, each atomically, then
its rows are appended to a journal, so a kill at any moment loses the units in hand and no more. What a unit holds does
not depend on what is done already, and every process computes on one thread: however often it is interrupted, however
many processes share it, the folder ends with the same bytes.
"""

from __future__ import annotations

import contextlib
import dataclasses
import multiprocessing
import os
import signal
import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, get_args

from pasm_aug.core.errors import UserError
from pasm_aug.core.file_lock import FileLock, LockedError
from pasm_aug.core.files import read_json, write_json
from pasm_aug.core.progress import progress_bar
from pasm_aug.core.recorded_options import refuse
from pasm_aug.data.align.aligner import FaceAligner
from pasm_aug.data.align.job import Job
from pasm_aug.data.align.records import Records, Row
from pasm_aug.data.files import find_images

NoFace = Literal["keep", "skip", "error"]
Format = Literal["png", "jpg"]
NO_FACE, FORMATS = get_args(NoFace), get_args(Format)


@dataclass(frozen=True)
class AlignSummary:
    """How many images became what, and how many ``faces`` were written; ``str()`` is one line."""

    aligned: int
    faces: int
    kept: int
    skipped: int
    unreadable: list[str] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)
    left_out: dict[str, int] = field(default_factory=dict)

    @classmethod
    def of(cls, rows: dict[str, list[Row]]) -> AlignSummary:
        """The summary of the rows of each file."""
        status = Counter(own[0]["status"] for own in rows.values())
        faces = sum(row["status"] == "aligned" for own in rows.values() for row in own)
        unreadable, failed = (
            sorted(file for file, own in rows.items() if own[0]["status"] == lost) for lost in ("unreadable", "failed")
        )
        return cls(status["aligned"], faces, status["kept"], status["skipped"], unreadable, failed)

    def __str__(self) -> str:
        text = f"{self.aligned:,} aligned" + (f" ({self.faces:,} faces)" if self.faces != self.aligned else "")
        for count, what in ((self.kept, "kept"), (self.skipped, "skipped")):
            text += f", {count:,} without a face ({what})" if count else ""
        for files, what in ((self.unreadable, "unreadable"), (self.failed, "on which the detector failed")):
            if more := len(files):
                text += f", {more:,} {what}: {', '.join(files[:3])}"
                text += f" and {more - 3:,} more" if more > 3 else ""
        for what, count in self.left_out.items():
            text += f"; left out, {what}: {count:,}"
        return text


def align_folder(
    src: str | Path,
    dst: str | Path,
    aligner: FaceAligner | None = None,
    *,
    no_face: NoFace = "keep",
    format: Format = "png",
    quality: int = 95,
    processes: int = 1,
    resume: bool = True,
    progress: bool = True,
) -> AlignSummary:
    """Align every image below a folder into another one, keeping sub-folders (labels, splits) and names.

    Running it again does what is missing: images that are new, newer than their output, unreadable until now, or
    whose output is gone. An image on which the detector raises is named and counted as failed. Outputs of images that
    are gone are removed: nobody trains on what was taken out.

    ``dst`` gets ``align.json``, the options, and ``align.csv``, sorted by file, with a row for each image (with
    ``select="all"``, for each face): file, output, status (aligned | kept | skipped | unreadable | failed), number of
    faces found, box and landmarks in pixels of the photograph (see :mod:`pasm_aug.data.align.warp`), probability. Files
    that differ in their ending only (a.jpg, a.bmp) keep it: a.jpg.png, a.bmp.png.

    Args:
        src (str or ``pathlib.Path``): folder of photographs; hidden files are left out.
        dst (str or ``pathlib.Path``): a new or empty folder, or an existing one made with the same options.
        aligner (FaceAligner, optional): ``None`` has the default options. With ``select="all"`` outputs are named a_0,
            a_1, … in any case.
        no_face (str): ``"keep"`` (default) writes the centre square of an image without a face, ``"skip"`` writes
            nothing, ``"error"`` neither, and raises when all others are done.
        format (str): ``"png"`` (default) or ``"jpg"``.
        quality (int): of JPEG, 1…100. Default: ``95``.
        processes (int): that share the work, each on one thread. A script that starts several needs Python's usual
            ``if __name__ == "__main__":``. Default: ``1``.
        resume (bool): ``False`` makes every image again, with other options if you like. Default: ``True``.
        progress (bool): show a bar. Default: ``True``.

    Returns:
        AlignSummary: how many images became what.

    Raises:
        FileNotFoundError: If there is no such folder, or no image in it.
        ValueError: If an option is off its range; if ``dst`` lies in ``src``, was made with other options, is foreign
            or in use; if images have no face and ``no_face="error"``.
    """
    for name, value, good, wanted in (
        ("no_face", no_face, no_face in NO_FACE, ", ".join(NO_FACE)),
        ("format", format, format in FORMATS, ", ".join(FORMATS)),
        ("quality", quality, 1 <= quality <= 100, "in 1…100"),
        ("processes", processes, processes >= 1, "1 or more"),
    ):
        if not good:
            raise UserError(f"{name} must be {wanted}, got {value!r}")
    src, dst = Path(src).resolve(), Path(dst).resolve()
    if not src.is_dir():
        raise FileNotFoundError(f"{src} is no folder of photographs")
    if dst.is_relative_to(src):
        raise UserError(f"{dst} lies in {src}: aligned faces would be taken for photographs; choose another folder")
    found = find_images(src)
    files = [path.relative_to(src) for path in found.images]
    if not files:
        raise FileNotFoundError(f"{src} holds no image")
    job = Job(src, dst, aligner or FaceAligner(), no_face == "keep", format, quality)
    names = dict(zip((path.as_posix() for path in files), output_names(files), strict=True))
    dst.mkdir(parents=True, exist_ok=True)
    if not (dst / "align.json").exists() and any(not path.name.startswith(".") for path in dst.iterdir()):
        raise UserError(f"{dst} holds files but no align.json, so they are not ours: choose a new or empty folder")
    with contextlib.ExitStack() as stack:
        try:
            stack.enter_context(FileLock(dst / ".align", doing="filled"))
        except LockedError as error:
            raise UserError(f"{dst} is being filled by another process") from error
        records = Records(dst)
        if not resume:
            records.forget(list(records.rows))
        _check_options(dst, job.options(), resume)
        todo = {
            file for file, name in names.items() if not job.done(file, name, records.rows.get(file), records.written)
        }
        records.forget([file for file in records.rows if file in todo or file not in names])
        every = list(names.items())
        cut = (every[start : start + job.aligner.batch_size] for start in range(0, len(every), job.aligner.batch_size))
        units = [rest for unit in cut if (rest := [item for item in unit if item[0] in todo])]
        bar = progress_bar(total=len(every), done=len(every) - len(todo), name="aligning", shown=progress)
        for rows in _work(job, units, processes, stack.enter_context(bar)):
            records.add(rows)
        records.fold()
    summary = dataclasses.replace(AlignSummary.of(records.rows), left_out=found.left_out)
    if no_face == "error" and summary.skipped:
        first = min(file for file, rows in records.rows.items() if rows[0]["status"] == "skipped")
        raise UserError(
            f"no face in {summary.skipped:,} of {len(every):,} images, the first is {src / first}; all others are "
            f"done; {dst / 'align.csv'} lists these as skipped"
        )
    return summary


def output_names(files: Sequence[Path]) -> list[str]:
    """Name (posix path without ending) of the output of each file: its stem, or all of it where two share a stem.

    Raises:
        ValueError: two would still be one.
    """
    stems = [path.with_suffix("").as_posix() for path in files]
    count = Counter(stem.casefold() for stem in stems)  # some file systems do not tell a from A
    names = [path.as_posix() if count[stem.casefold()] > 1 else stem for path, stem in zip(files, stems, strict=True)]
    owner: dict[str, Path] = {}
    for path, name in zip(files, names, strict=True):
        if (other := owner.setdefault(name.casefold(), path)) is not path:
            raise UserError(f"{other} and {path} would both become {name}: rename one")
    return names


def _check_options(dst: Path, options: dict[str, Any], resume: bool) -> None:
    """Compare the options with those that ``dst`` was made with, or write them."""
    path = dst / "align.json"
    old = read_json(path) if path.exists() else None
    if old is not None and resume:
        refuse(old, options, f"{dst} was made with other options ({{differing}}): choose another folder")
    if old != options:
        write_json(path, options)


def _work(job: Job, units: list[list[tuple[str, str]]], processes: int, bar: Any) -> Iterator[list[Row]]:
    """The rows of each unit, in whatever order they are finished."""
    if min(processes, len(units)) <= 1:
        import torch

        threads = torch.get_num_threads()
        torch.set_num_threads(1)
        try:
            for unit in units:
                yield job.run(unit)
                bar.update(len(unit))
        finally:
            torch.set_num_threads(threads)
        return
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(min(processes, len(units)), context, _begin, (job,))
    try:
        running = {pool.submit(_run, unit): len(unit) for unit in units}
        for done in as_completed(running):
            yield done.result()
            bar.update(running[done])
    except BrokenProcessPool as error:
        raise OSError("a process died, out of memory perhaps: take fewer; the same call goes on from here") from error
    finally:
        pool.shutdown(cancel_futures=True)


_job: Job | None = None


def _begin(job: Job) -> None:
    """The start of a process of the pool: one thread, and it dies with its parent, however that dies."""
    global _job
    import torch

    _job = job
    torch.set_num_threads(1)
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # at Ctrl-C it ends without a traceback of its own
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _run(unit: list[tuple[str, str]]) -> list[Row]:
    assert _job is not None
    return _job.run(unit)
