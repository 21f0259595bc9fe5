"""A folder of photographs → the same tree of aligned faces, with ``align.csv`` saying what became of each.

The files, sorted, are cut into units of a few neighbours. A unit's pictures are written first, each atomically, then
its rows are appended to a journal, so a kill at any moment loses the units in hand and no more. What a unit holds does
not depend on what is done already, and every process computes on one thread: however often it is interrupted, however
many processes share it, the folder ends with the same bytes.
"""

from __future__ import annotations

import contextlib
import csv
import io
import json
import multiprocessing
import os
import re
import signal
import threading
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from PIL import Image, ImageOps
from tqdm import tqdm

from pasm_aug.align import Face, FaceAligner, read_photograph
from pasm_aug.cache_file import CacheError
from pasm_aug.data.files import PictureError, list_pictures
from pasm_aug.files import read_json, write_atomic, write_json
from pasm_aug.lock import CacheLock

_PARTS = ("left_eye", "right_eye", "nose", "left_mouth", "right_mouth")  # left and right as seen in the picture
COLUMNS = (
    *("file", "output", "status", "faces", "left", "top", "right", "bottom"),
    *(f"{part}_{axis}" for part in _PARTS for axis in "xy"),
    "probability",
)
NO_FACE, FORMATS = ("keep", "skip", "error"), ("png", "jpg")
_HELD = 2**25  # pixels of decoded photographs that a process holds at a time

Row = dict[str, str]


@dataclass(frozen=True)
class AlignSummary:
    """How many pictures became what, and how many ``faces`` were written; ``str()`` is one line."""

    aligned: int
    faces: int
    kept: int
    skipped: int
    unreadable: list[str] = field(default_factory=list)

    @classmethod
    def of(cls, rows: dict[str, list[Row]]) -> AlignSummary:
        """The summary of the rows of each file."""
        status = Counter(own[0]["status"] for own in rows.values())
        faces = sum(row["status"] == "aligned" for own in rows.values() for row in own)
        unreadable = sorted(file for file, own in rows.items() if own[0]["status"] == "unreadable")
        return cls(status["aligned"], faces, status["kept"], status["skipped"], unreadable)

    def __str__(self) -> str:
        text = f"{self.aligned:,} aligned" + (f" ({self.faces:,} faces)" if self.faces != self.aligned else "")
        for count, what in ((self.kept, "kept"), (self.skipped, "skipped")):
            text += f", {count:,} without a face ({what})" if count else ""
        if more := len(self.unreadable):
            text += f", {more:,} unreadable: {', '.join(self.unreadable[:3])}"
            text += f" and {more - 3:,} more" if more > 3 else ""
        return text


def align_folder(
    src: str | Path,
    dst: str | Path,
    aligner: FaceAligner | None = None,
    *,
    no_face: str = "keep",
    format: str = "png",
    quality: int = 95,
    processes: int = 1,
    resume: bool = True,
    progress: bool = True,
) -> AlignSummary:
    """Align every picture below a folder into another one, keeping sub-folders (labels, splits) and names.

    Running it again does what is missing: pictures that are new, newer than their output, unreadable until now, or
    whose output is gone. Outputs of pictures that are gone are removed: nobody trains on what was taken out.

    ``dst`` gets ``align.json``, the options, and ``align.csv``, sorted by file, with a row for each picture (with
    ``select="all"``, for each face): file, output, status (aligned | kept | skipped | unreadable), number of faces
    found, box and landmarks in pixels of the photograph (see :mod:`pasm_aug.align`), probability. Files that differ in
    their ending only (a.jpg, a.bmp) keep it: a.jpg.png, a.bmp.png.

    Args:
        src: folder of photographs; hidden files are left out.
        dst: a new or empty folder, or one begun with the same options.
        aligner: ``None`` has the default options. With ``select="all"`` outputs are named a_0, a_1, … in any case.
        no_face: "keep" writes the centre square of a picture without a face, "skip" writes nothing, "error" neither,
            and raises when all others are done.
        format: "png" or "jpg".
        quality: of JPEG, 1…100.
        processes: that share the work, each on one thread. A script that asks for several needs Python's usual
            ``if __name__ == "__main__":``.
        resume: ``False`` makes every picture again, with other options if you like.
        progress: show a bar.

    Raises:
        FileNotFoundError: no such folder, or no picture in it.
        ValueError: an option off its range; ``dst`` in ``src``, begun with other options, foreign, or in use; pictures
            without a face with ``no_face="error"``.
    """
    for name, value, good, wanted in (
        ("no_face", no_face, no_face in NO_FACE, ", ".join(NO_FACE)),
        ("format", format, format in FORMATS, ", ".join(FORMATS)),
        ("quality", quality, 1 <= quality <= 100, "in 1…100"),
        ("processes", processes, processes >= 1, "1 or more"),
    ):
        if not good:
            raise ValueError(f"{name} must be {wanted}, got {value!r}")
    src, dst = Path(src).resolve(), Path(dst).resolve()
    if not src.is_dir():
        raise FileNotFoundError(f"{src} is no folder of photographs")
    if dst.is_relative_to(src):
        raise ValueError(f"{dst} lies in {src}: aligned faces would be taken for photographs; choose another folder")
    files = [path.relative_to(src) for path in list_pictures(src)]
    if not files:
        raise FileNotFoundError(f"{src} holds no picture")
    job = _Job(src, dst, aligner or FaceAligner(), no_face == "keep", format, quality)
    names = dict(zip((path.as_posix() for path in files), output_names(files), strict=True))
    dst.mkdir(parents=True, exist_ok=True)
    if not (dst / "align.json").exists() and any(not path.name.startswith(".") for path in dst.iterdir()):
        raise ValueError(f"{dst} holds files but no align.json, so they are not ours: choose a new or empty folder")
    with contextlib.ExitStack() as stack:
        try:
            stack.enter_context(CacheLock(dst / ".align"))
        except CacheError as error:
            raise ValueError(f"{dst} is being filled by another process") from error
        records = _Records(dst)
        if not resume:
            records.forget(list(records.rows))
        _check_begun(dst, job.options(), resume)
        todo = {file for file, name in names.items() if not records.done(file, name, job)}
        records.forget([file for file in records.rows if file in todo or file not in names])
        every = list(names.items())
        cut = (every[start : start + job.aligner.batch_size] for start in range(0, len(every), job.aligner.batch_size))
        units = [rest for unit in cut if (rest := [item for item in unit if item[0] in todo])]
        bar = tqdm(total=len(every), initial=len(every) - len(todo), unit="picture", disable=not progress)
        for rows in _work(job, units, processes, stack.enter_context(bar)):
            records.add(rows)
        records.fold()
    summary = AlignSummary.of(records.rows)
    if no_face == "error" and summary.skipped:
        first = min(file for file, rows in records.rows.items() if rows[0]["status"] == "skipped")
        raise ValueError(
            f"no face in {summary.skipped:,} of {len(every):,} pictures, the first is {src / first}; all others are "
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
            raise ValueError(f"{other} and {path} would both become {name}: rename one")
    return names


@dataclass(frozen=True)
class _Job:
    """What a process needs to know. A unit of its work is a list of (file below ``src``, name of the output)."""

    src: Path
    dst: Path
    aligner: FaceAligner
    keep: bool
    format: str
    quality: int

    def options(self) -> dict[str, Any]:
        """What decides on the content of ``dst``."""
        options = {"source": str(self.src), **self.aligner.options()}
        options |= {"no_face": "keep" if self.keep else "skip", "format": self.format}
        options |= {"quality": self.quality} if self.format == "jpg" else {}
        return json.loads(json.dumps(options))

    def output(self, name: str, number: int) -> str:
        """The file of a face, below ``dst``."""
        return f"{name}_{number}.{self.format}" if self.aligner.select == "all" else f"{name}.{self.format}"

    def run(self, unit: list[tuple[str, str]]) -> list[Row]:
        """Align and write the pictures of a unit; their rows."""
        rows: list[Row] = []
        held: list[tuple[str, str, Image.Image]] = []
        for file, name in unit:
            try:
                held.append((file, name, read_photograph(self.src / file)))
            except PictureError:
                rows.append({"file": file, "status": "unreadable"})
            if sum(picture.width * picture.height for *_, picture in held) > _HELD:
                rows += self._finish(held)
                held = []
        return rows + self._finish(held)

    def _finish(self, held: list[tuple[str, str, Image.Image]]) -> list[Row]:
        rows: list[Row] = []
        found = self.aligner.detect([picture for *_, picture in held])
        for (file, name, picture), faces in zip(held, found, strict=True):
            about = {"file": file, "faces": str(len(faces))}
            for number, face in enumerate(self.aligner.cut(picture, faces)):
                output = self._save(name, number, face.picture)
                rows.append(about | {"output": output, "status": "aligned"} | _numbers(face))
            if not faces and self.keep:
                square = ImageOps.fit(picture, (self.aligner.size, self.aligner.size), Image.Resampling.BICUBIC)
                rows.append(about | {"output": self._save(name, 0, square), "status": "kept"})
            elif not faces:
                rows.append(about | {"status": "skipped"})
        return rows

    def _save(self, name: str, number: int, picture: Image.Image) -> str:
        data = io.BytesIO()
        if self.format == "png":
            picture.save(data, "PNG")
        else:
            picture.save(data, "JPEG", quality=self.quality, subsampling=0)
        output = self.output(name, number)
        path = self.dst / output
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(path, data.getvalue())
        return output


def _numbers(face: Face) -> Row:
    values = [*face.box, *face.landmarks.ravel()]
    return dict(zip(COLUMNS[4:], [*(f"{value:.2f}" for value in values), f"{face.probability:.4f}"], strict=True))


class _Records:
    """The rows of each file: ``align.csv``, and the journal of what was done since that was written."""

    def __init__(self, dst: Path) -> None:
        self.dst, self.csv, self.journal = dst, dst / "align.csv", dst / ".align.journal"
        self.rows: dict[str, list[Row]] = {}
        there = [path for path in (self.csv, self.journal) if path.exists()]
        self.written = max((path.stat().st_mtime_ns for path in there), default=0)
        for path in there:
            whole = path.read_bytes().decode("utf-8", "surrogateescape").rpartition("\n")[0]  # a kill cuts the last
            rows = csv.DictReader(io.StringIO(whole, newline=""))
            if list(rows.fieldnames or COLUMNS) != list(COLUMNS):
                raise ValueError(f"{path} is damaged: its columns are {', '.join(rows.fieldnames or ())}")
            self._take([row for row in rows if None not in row and None not in row.values()])
        if self.journal.exists():
            self.fold()
        for path in dst.rglob(".*.tmp"):
            if re.fullmatch(r"\..+\.\d+\.tmp", path.name):
                path.unlink(missing_ok=True)  # its process was killed before it could rename it

    def done(self, file: str, name: str, job: _Job) -> bool:
        """Whether all outputs of a file exist, under the names they should have, and none is older than the file."""
        rows = self.rows.get(file)
        if not rows or rows[0]["status"] == "unreadable":
            return False
        if job.aligner.select == "all" and rows[0]["status"] == "aligned" and rows[0]["faces"] != str(len(rows)):
            return False
        changed = (job.src / file).stat().st_mtime_ns
        changed = 0 if changed > time.time_ns() else changed  # a camera whose clock was wrong
        for number, row in enumerate(rows):
            output = self.dst / row["output"]
            if row["output"] and (row["output"] != job.output(name, number) or not output.exists()):
                return False
            if changed > (output.stat().st_mtime_ns if row["output"] else self.written):
                return False
        return True

    def forget(self, files: Iterable[str]) -> None:
        """Drop files and their outputs."""
        for file in files:
            for row in self.rows.pop(file):
                if row["output"]:
                    (self.dst / row["output"]).unlink(missing_ok=True)

    def add(self, rows: list[Row]) -> None:
        """Take the rows of a finished unit; when this returns they are on the disk."""
        rows = [{column: row.get(column, "") for column in COLUMNS} for row in rows]
        with open(self.journal, "ab") as handle:
            handle.write(_csv_bytes(rows, header=handle.tell() == 0))
            handle.flush()
            os.fsync(handle.fileno())
        self._take(rows)

    def fold(self) -> None:
        """Write all rows into ``align.csv``, unless they stand there, and drop the journal."""
        data = _csv_bytes([row for file in sorted(self.rows) for row in self.rows[file]], header=True)
        if not self.csv.exists() or self.csv.read_bytes() != data:
            write_atomic(self.csv, data)
        self.journal.unlink(missing_ok=True)

    def _take(self, rows: list[Row]) -> None:
        fresh: dict[str, list[Row]] = {}
        for row in rows:
            fresh.setdefault(row["file"], []).append(row)
        self.rows |= fresh


def _csv_bytes(rows: list[Row], *, header: bool) -> bytes:
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, COLUMNS, lineterminator="\n")
    if header:
        writer.writeheader()
    writer.writerows(rows)
    return text.getvalue().encode("utf-8", "surrogateescape")


def _check_begun(dst: Path, options: dict[str, Any], resume: bool) -> None:
    """Compare the options with those that ``dst`` was begun with, or write them."""
    path = dst / "align.json"
    old = read_json(path) if path.exists() else None
    if old is not None and resume:
        names = [name for name in {**old, **options} if old.get(name) != options.get(name)]
        if names:
            differing = "; ".join(f"{name} was {old.get(name)}, now {options.get(name)}" for name in names)
            raise ValueError(f"{dst} was made with other options ({differing}): choose another folder")
    if old != options:
        write_json(path, options)


def _work(job: _Job, units: list[list[tuple[str, str]]], processes: int, bar: Any) -> Iterator[list[Row]]:
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


_job: _Job | None = None


def _begin(job: _Job) -> None:
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
