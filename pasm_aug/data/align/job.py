"""What one process does with a few photographs: read, find faces, align, write."""

from __future__ import annotations

import io
import json
import time
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image, ImageOps

from pasm_aug.core.files import write_atomic
from pasm_aug.data.align.aligner import FaceAligner
from pasm_aug.data.align.records import Row, numbers_of
from pasm_aug.data.align.warp import read_photograph
from pasm_aug.data.files import ImageError

_HELD = 2**25  # pixels of decoded photographs that a process holds at a time


@dataclass(frozen=True)
class Job:
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

    def done(self, file: str, name: str, rows: Sequence[Row] | None, written: int) -> bool:
        """Whether all outputs of a file exist, under the names they should have, and none is older than the file.

        Args:
            rows: what is recorded of the file, if anything; written: when, in nanoseconds.
        """
        if not rows or rows[0]["status"] in ("unreadable", "failed"):
            return False
        if self.aligner.select == "all" and rows[0]["status"] == "aligned" and rows[0]["faces"] != str(len(rows)):
            return False
        changed = (self.src / file).stat().st_mtime_ns
        changed = 0 if changed > time.time_ns() else changed  # a camera whose clock was wrong
        for number, row in enumerate(rows):
            output = self.dst / row["output"]
            if row["output"] and (row["output"] != self.output(name, number) or not output.exists()):
                return False
            if changed > (output.stat().st_mtime_ns if row["output"] else written):
                return False
        return True

    def run(self, unit: list[tuple[str, str]]) -> list[Row]:
        """Align and write the images of a unit; their rows."""
        rows: list[Row] = []
        held: list[tuple[str, str, Image.Image]] = []
        for file, name in unit:
            try:
                held.append((file, name, read_photograph(self.src / file)))
            except ImageError:
                rows.append({"file": file, "status": "unreadable"})
            if sum(image.width * image.height for *_, image in held) > _HELD:
                rows += self._finish(held)
                held = []
        return rows + self._finish(held)

    def _finish(self, held: list[tuple[str, str, Image.Image]]) -> list[Row]:
        rows: list[Row] = []
        found = self.aligner.detect_each([image for *_, image in held])
        for (file, name, image), faces in zip(held, found, strict=True):
            if isinstance(faces, Exception):
                warnings.warn(f"no face was looked for in {self.src / file}: {faces}", stacklevel=2)
                rows.append({"file": file, "status": "failed"})
                continue
            about = {"file": file, "faces": str(len(faces))}
            for number, face in enumerate(self.aligner.cut(image, faces)):
                output = self._save(name, number, face.image)
                rows.append(about | {"output": output, "status": "aligned"} | numbers_of(face))
            if not faces and self.keep:
                square = ImageOps.fit(image, (self.aligner.size, self.aligner.size), Image.Resampling.BICUBIC)
                rows.append(about | {"output": self._save(name, 0, square), "status": "kept"})
            elif not faces:
                rows.append(about | {"status": "skipped"})
        return rows

    def _save(self, name: str, number: int, image: Image.Image) -> str:
        data = io.BytesIO()
        if self.format == "png":
            image.save(data, "PNG")
        else:
            image.save(data, "JPEG", quality=self.quality, subsampling=0)
        output = self.output(name, number)
        path = self.dst / output
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(path, data.getvalue())
        return output
