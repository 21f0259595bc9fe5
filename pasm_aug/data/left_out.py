"""A data set without the images that a list names, as the rows of ``suspects.csv`` that a person found mislabelled."""

from __future__ import annotations

from pathlib import Path, PurePosixPath

import numpy as np

from pasm_aug.core.errors import UserError
from pasm_aug.data.base import ExpressionDataset, ExpressionSubset
from pasm_aug.data.origin import item_paths
from pasm_aug.data.tables import read_table


def without_listed(dataset: ExpressionDataset, file: str | Path, split: str) -> ExpressionDataset:
    """The items of a whole split that ``file`` does not list.

    Args:
        dataset: the split.
        file: CSV with the columns ``split`` and ``index`` (from 0, in that split); further ones are passed over, but
            ``label`` (the class's name) and ``path`` must agree with the data set where they are filled in.
        split: rows of other splits are passed over.

    Raises:
        ValueError: no such file, a malformed row or one of another data set; file and line are named. Or nothing would
            be left of a class.
    """
    file, kept, paths = Path(file), np.ones(len(dataset), dtype=bool), item_paths(dataset)
    if not file.is_file():
        raise UserError(f"exclude must be a CSV file with the columns split and index, got {file}")
    for place, row in read_table(file, ("split", "index")):
        if row["split"] != split:
            continue
        index = place.integer(row["index"], "index", 0, len(dataset) - 1)
        label, path = dataset.classes[int(dataset.labels[index])], row.get("path", "")
        if row.get("label", label) not in ("", label):
            raise place.error(f"label must be {label!r} as in the data set, got {row['label']!r}: {_OTHER}")
        ending = PurePosixPath("/", path).as_posix()  # without a leading ./
        if path and paths is not None and not paths[index].absolute().as_posix().endswith(ending):
            raise place.error(f"path must be that of image {index}, {paths[index]}, got {path!r}: {_OTHER}")
        kept[index] = False
    gone = sorted(set(dataset.labels.tolist()) - set(dataset.labels[kept].tolist()))
    if gone:
        raise UserError(
            f"{file} lists every image of {', '.join(dataset.classes[label] for label in gone)} in {split}: keep the "
            "rows of those images alone that are to be left out"
        )
    return dataset if kept.all() else ExpressionSubset(dataset, np.flatnonzero(kept))


_OTHER = "the list belongs to another data set, or to this one as it was before"
