"""Files that appear whole or not at all."""

from __future__ import annotations

import csv
import io
import json
import os
import zlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pasm_aug.core.errors import UserError

if TYPE_CHECKING:
    from PIL import Image


LONGEST = 255  # bytes of a file's name, on every file system in use


def write_atomic(path: str | Path, data: bytes) -> None:
    """Write to a temporary neighbour, flush it to the disk, rename it into place, flush the folder.

    Raises:
        OSError: it cannot be written; the error names ``path``.
    """
    path = Path(path)
    short = zlib.crc32(os.fsencode(path.name))  # the name itself may be as long as a name can be
    temporary = path.with_name(f".{short:08x}.{os.getpid()}.tmp")
    try:
        with open(temporary, "wb") as handle:
            handle.write(data)
            handle.flush()
            os.fsync(handle.fileno())
        os.replace(temporary, path)
    except OSError as error:  # of a full disk it names no file, else the temporary one
        raise OSError(error.errno, error.strerror, str(path)) from error
    finally:
        temporary.unlink(missing_ok=True)
    if hasattr(os, "O_DIRECTORY"):
        folder = os.open(path.parent, os.O_DIRECTORY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def write_text(path: str | Path, text: str) -> None:
    """Write UTF-8, atomically; a file's name that is none stands there in its own bytes."""
    write_atomic(path, text.encode("utf-8", "surrogateescape"))


def beside(path: Path, ending: str) -> Path:
    """``path`` with ``ending`` behind its name; of a name too long for that, the beginning and a checksum."""
    name = os.fsencode(path.name)
    if len(name) + len(ending) > LONGEST:
        check = f"~{zlib.crc32(name):08x}"
        name = name[: LONGEST - len(ending) - len(check)]
        return path.with_name(name.decode(errors="ignore") + check + ending)
    return path.with_name(path.name + ending)


def save_image(path: str | Path, image: Image.Image) -> None:
    """Write a PIL image as PNG, atomically."""
    buffer = io.BytesIO()
    image.save(buffer, format="png")
    write_atomic(path, buffer.getvalue())


def write_json(path: str | Path, value: Any) -> None:
    """Write ``value`` as indented JSON, atomically."""
    write_text(path, json.dumps(value, indent=2) + "\n")


def read_json(path: str | Path) -> dict[str, Any]:
    """The object in a JSON file.

    Raises:
        ValueError: the file is missing or damaged, by name.
    """
    try:
        value = json.loads(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise UserError(f"{path} is damaged: {error}") from error
    if not isinstance(value, dict):
        raise UserError(f"{path} is damaged: it should hold an object")
    return value


def write_csv(path: Path, rows: list[dict[str, Any]]) -> None:
    """Rows as CSV, atomically; a column that only some rows have is empty in the others."""
    text = io.StringIO()
    writer = csv.DictWriter(text, list(dict.fromkeys(name for row in rows for name in row)), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    write_text(path, text.getvalue())
