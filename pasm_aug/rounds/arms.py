"""The arms of a comparison: which transform erases, and what random geometry follows it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pasm_aug.core.errors import UserError
from pasm_aug.core.items import unpacked

if TYPE_CHECKING:  # the command line's --help reads AUGMENTS without loading torch
    from torch import nn
    from torch.utils.data import Dataset
    from torchvision.transforms import v2

    from pasm_aug.cache.position_cache import PositionCache
    from pasm_aug.core.processes import Device

AUGMENTS = {
    "point": "PASM: erased at the mined point",
    "online": "online PASM: erased where it hurts the student now",
    "none": "no erasing",
    "random": "RandomErasing (torchvision)",
    "random-matched": "PASM's square at a random place",
    "shuffled": "PASM's square at another image's point",
    "shuffled-class": "PASM's square at the point of another image of the class",
    "cam-peak": "PASM's square at the peak of the class activation map",
    "cam-region": "the class activation map's region (Wei et al. 2017)",
    "asm": "ASM: wrong labels sorted out, nothing erased",
    "plain": "plain training: all labels believed, nothing erased",
}
GEOMETRIES = {
    "none": "images as they are, for what has a left and a right, such as digits",
    "flip": "mirrored half of the time",
    "affine": "mirrored, turned by up to 10°, moved by up to 8 % and scaled by up to a tenth, for long trainings from "
    "scratch",
}
BARE = ("none", "asm", "plain")  # the arms that erase nothing
ONE_ROUND = ("online", "asm", "plain")  # they need no teacher to be replaced for new points: one round unless asked
QUERIES = 4  # squares that the arm online tries exactly in each step
_SQUARES: dict[bool, dict[str, Any]] = {  # whether the arm online leads: what it erases, and those compared with it
    False: {"size": 31 / 224, "value": "point"},
    True: {"size": 13 / 48, "value": "mean"},
}
MINED = ("point", "random-matched", "shuffled", "shuffled-class", "cam-peak")  # the arms that need mined points


def make_geometry(name: str = "flip") -> v2.Transform | None:
    """The random geometry of the command line, one of :data:`GEOMETRIES`.

    No more than a flip unless asked for: a first teacher must be able to fit its training data, or erasing hard places
    only hurts. What ``affine`` uncovers at the border is mid-grey: it is for uint8 images.
    """
    from torchvision.transforms import v2

    if name == "none":
        return None
    flip = v2.RandomHorizontalFlip()
    if name == "flip":
        return flip
    moved = v2.RandomAffine(
        10, translate=(0.08, 0.08), scale=(0.9, 1.1), interpolation=v2.InterpolationMode.BILINEAR, fill=127
    )
    return v2.Compose([flip, moved])


def square_of(
    augment: str, matched_to: str = "point", *, size: float | int | None = None, value: Any = None
) -> dict[str, Any]:
    """Size and fill of an arm's square: what is given, else what suits the arm, or the one that it is matched to."""
    usual = _SQUARES["online" in (augment, matched_to)]
    return {"size": usual["size"] if size is None else size, "value": usual["value"] if value is None else value}


def mines(augment: str, matched_to: str = "point") -> bool:
    """Whether an arm needs the points of a search; a random place for the square of the arm online needs none."""
    return augment in MINED and (augment, matched_to) != ("random-matched", "online")


def matched_to(names: Sequence[str]) -> str:
    """The arm whose square ``random-matched`` erases elsewhere: the one that leads, or the paper's."""
    return "online" if names[0] == "online" else "point"


def check_arm(augment: str) -> None:
    """Raise a ValueError for an unknown arm."""
    if augment not in AUGMENTS:
        raise UserError(f"augment must be one of {', '.join(AUGMENTS)}, got {augment!r}")


def arm_positions(
    augment: str,
    mined: PositionCache | None,
    teacher: nn.Module | None,
    dataset: Dataset,
    folder: Path,
    *,
    seed: int = 0,
    device: Device | None = None,
    progress: bool = True,
) -> PositionCache | None:
    """What :func:`make_erase` reads its places from: the mined points, or those moved elsewhere.

    Args:
        mined: the points of ``teacher`` on ``dataset``, for the arms in :data:`MINED`.
        teacher: whose activation maps are followed by the arms ``cam-…``; the others need none.
        folder: where ``<augment>.safetensors`` and, for the activation maps, ``cams.safetensors`` are kept.
        seed: of the shuffling.
    """
    from pasm_aug.cache.rearrange import cam_peak_positions, shuffled_positions
    from pasm_aug.search.cam_cache import class_activation_cache

    check_arm(augment)
    file = folder / f"{augment}.safetensors"
    if augment in ("shuffled", "shuffled-class"):
        assert mined is not None
        return shuffled_positions(mined, file, seed=seed, within_class=augment == "shuffled-class")
    if augment not in ("cam-peak", "cam-region"):
        return mined
    assert teacher is not None
    cams = class_activation_cache(teacher, dataset, folder / "cams.safetensors", device=device, progress=progress)
    if augment == "cam-region":
        return cams
    assert mined is not None
    return cam_peak_positions(mined, cams, file)


def hit_rate(positions: PositionCache, dataset: Any) -> float:
    """Share of the images of ``dataset`` whose point the cache knows, of 256 evenly spaced ones, by their content."""
    import numpy as np

    from pasm_aug.core.image_content import content_key

    few = min(256, len(dataset))
    keys = np.array([content_key(unpacked(dataset[len(dataset) * i // few])[0]) for i in range(few)])
    return float(positions.lookup(keys=keys).hit.mean())


def make_erase(
    augment: str,
    positions: PositionCache | str | Path | None,
    *,
    p: float = 1.0,
    size: float | int | None = None,
    value: Any = None,
    queries: int = QUERIES,
    hardness: str | float = "worst",
    matched_to: str = "point",
) -> Callable[..., Any] | None:
    """The erasing transform of one arm.

    ``"point"`` erases a square at the mined point; ``"random-matched"``, ``"shuffled"``, ``"shuffled-class"`` and
    ``"cam-peak"`` the same square with the same fill elsewhere; ``"online"`` is to be called in the training step;
    ``"cam-region"`` the region of high activation; ``"random"`` is torchvision's ``RandomErasing`` with its published
    settings; those in :data:`BARE` erase nothing.

    Args:
        positions: of :func:`arm_positions`; ``None``: an arm that needs them places PASM's square at random.
        p, size, value: of the square, ``None`` as in :func:`square_of`; ``p`` of the region too.
        queries, hardness: of :class:`~pasm_aug.search.online.OnlineAdversarialErase` (``queries`` is its ``budget``).
        matched_to: whose squares ``"random-matched"`` erases: those of ``"point"``, centred on any pixel, or those of
            ``"online"``, which lie within the image.
    """
    from pasm_aug.transforms.baselines import CamRegionErase, CountedRandomErasing, RandomPlaceErase
    from pasm_aug.transforms.erase import PointAdversarialErase

    check_arm(augment)
    if augment in BARE:
        return None
    if augment == "random":
        return CountedRandomErasing()
    if augment == "cam-region" and positions is not None:
        return CamRegionErase(positions, p=p)
    square: Any = square_of(augment, matched_to, size=size, value=value)
    if augment == "online":
        from pasm_aug.search.online import OnlineAdversarialErase

        return OnlineAdversarialErase(p=p, budget=queries, hardness=hardness, **square)
    kind = RandomPlaceErase if augment == "random-matched" else PointAdversarialErase
    return kind(positions, p=p, **square)
