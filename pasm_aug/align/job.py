"""What one process does with a few photographs: read, find faces, align, write."""

from __future__ import annotations

import io
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image, ImageOps

from pasm_aug.align import FaceAligner, read_photograph
from pasm_aug.align.records import Row, numbers_of
from pasm_aug.data.files import PictureError
from pasm_aug.files import write_atomic

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
                rows.append(about | {"output": output, "status": "aligned"} | numbers_of(face))
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
