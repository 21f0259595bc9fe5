"""Data sets by the name under which the command line knows them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from PIL import Image, ImageOps

from pasm_aug.core.errors import UserError
from pasm_aug.data.affectnet import AffectNet
from pasm_aug.data.base import ExpressionDataset, Split, Transform
from pasm_aug.data.ckplus import CKPlus
from pasm_aug.data.fer2013 import FER2013
from pasm_aug.data.ferplus import FERPlus
from pasm_aug.data.folder import ExpressionFolder
from pasm_aug.data.left_out import without_listed
from pasm_aug.data.manifest import Manifest
from pasm_aug.data.rafdb import RAFDB
from pasm_aug.data.synthetic.dataset import SyntheticExpressions


def _synthetic(root: str | Path | None, split: Split, *, size: int | None = None, **options: Any) -> ExpressionDataset:
    return SyntheticExpressions(split, size=48 if size is None else size, **options)


def _on_disk(
    dataset: Callable[..., ExpressionDataset],
    name: str,
    root: str | Path | None,
    split: Split,
    *,
    size: int | None = None,
    transform: Transform | None = None,
    **options: Any,
) -> ExpressionDataset:
    if root is None:
        raise UserError(f"root must name the folder of the data set {name!r}, got None")
    if size is not None:
        transform = partial(_resized, size=size, then=transform)
    return dataset(root, split, transform=transform, **options)


# Name → function (root, split, *, size, seed, transform, **options of the class).
DATASETS: Mapping[str, Callable[..., ExpressionDataset]] = {
    "synthetic": _synthetic,
    "fer2013": partial(_on_disk, FER2013, "fer2013"),
    "ferplus": partial(_on_disk, FERPlus, "ferplus"),
    "rafdb": partial(_on_disk, RAFDB, "rafdb"),
    "ckplus": partial(_on_disk, CKPlus, "ckplus"),
    "affectnet": partial(_on_disk, AffectNet, "affectnet"),
    "manifest": partial(_on_disk, Manifest, "manifest"),
    "folder": partial(_on_disk, ExpressionFolder, "folder"),
}


def open_dataset(
    name: str,
    root: str | Path | None = None,
    split: Split = "train",
    *,
    size: int | None = None,
    limit: int | None = None,
    seed: int = 0,
    exclude: str | Path | None = None,
    transform: Transform | None = None,
    **options: Any,
) -> ExpressionDataset:
    """One split of a data set by name.

    Args:
        name (str): a key of :data:`DATASETS`.
        root (str or ``pathlib.Path``, optional): where it lies; the synthetic faces need none.
        split (str): ``"train"`` (default), ``"val"`` or ``"test"``.
        size (int, optional): side of the images in pixels: synthetic faces are drawn in it (48 by default), images
            from disk are cut to a square and resized before ``transform`` (as they are by default).
        limit (int, optional): at most so many items, spread over all classes (seeded, the same for the same seed).
        seed (int): of the drawn faces, of drawn splits and of ``limit``. Default: ``0``.
        exclude (str or ``pathlib.Path``, optional): a list of images that are left out, before ``limit``; see
            :func:`~pasm_aug.data.left_out.without_listed`.
        transform (callable, optional): applied to each image.
        **options: of the data set's class.

    Returns:
        ExpressionDataset: items (image, label).

    Raises:
        ValueError: If the name is unknown, the root missing, size or limit below 1, or the list of another data set.
    """
    if name not in DATASETS:
        raise UserError(f"name must be one of {', '.join(DATASETS)}, got {name!r}")
    for argument, number in (("size", size), ("limit", limit)):
        if number is not None and number < 1:
            raise UserError(f"{argument} must be at least 1, got {number}")
    dataset = DATASETS[name](root, split, size=size, seed=seed, transform=transform, **options)
    if exclude is not None:
        dataset = without_listed(dataset, exclude, split)
    return dataset if limit is None else dataset.limited(limit, seed)


def resize_square(image: Image.Image, size: int) -> Image.Image:
    """The largest centred square, resized (bilinear, antialiased) to ``size`` × ``size`` unless it has that size."""
    if image.size == (size, size):
        return image
    if image.mode not in ("L", "RGB"):
        image = image.convert("L" if image.mode == "1" else "RGB")  # palettes cannot be interpolated
    return ImageOps.fit(image, (size, size), Image.Resampling.BILINEAR)


def _resized(image: Image.Image, size: int, then: Transform | None) -> Any:
    image = resize_square(image, size)
    return image if then is None else then(image)
