"""``pasm-aug preview``: what the erasing does to your own images, as a contact sheet."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from pasm_aug.cli.options.fields import add_fields, keywords_of
from pasm_aug.cli.options.groups import add_seed_and_device, add_source, add_split
from pasm_aug.cli.options.network import add_network
from pasm_aug.core.errors import UserError
from pasm_aug.core.parsers import at_least, path
from pasm_aug.rounds.arms import square_of
from pasm_aug.rounds.erasing import Erasing

ARMS = ("point", "random", "random-matched", "online")
MOST = 200  # images, as many as a contact sheet holds


def add_preview(parser: argparse.ArgumentParser) -> None:
    """The options of ``pasm-aug preview``."""
    group = parser.add_argument_group("preview")
    group.add_argument(
        "--positions",
        metavar="FILE",
        type=path,
        help="cache of `pasm-aug mine`; without one --augment point erases squares of the same size at random places",
    )
    add_network(group, "--network", help="folder of the network that --augment online hurts")
    group.add_argument("--count", metavar="N", type=at_least(1, int), default=12, help=f"images, at most {MOST}")
    group.add_argument("--draws", metavar="K", type=at_least(1, int), default=3, help="of the erasing, for each image")
    group.add_argument("--out", metavar="FILE", type=path, default=Path("preview.png"), help="PNG to write")
    group.add_argument("--open", action="store_true", help="show it in the browser")
    group = parser.add_argument_group("data")
    add_source(group)
    add_split(group, "train")
    group.add_argument(
        "--image-size",
        metavar="S",
        type=at_least(8, int),
        help="images are resized to S×S (default: as --positions were mined or --network was trained, else not at all)",
    )
    group = parser.add_argument_group("erasing")
    group.add_argument(
        "--augment",
        choices=ARMS,
        default="point",
        help="point: a square at the mined point; random: torchvision's RandomErasing as published; random-matched: "
        "the square of point at random places; online: the square that hurts --network most, as it is tried in a "
        "training step",
    )
    add_fields(group, Erasing, "erasing")
    add_seed_and_device(parser.add_argument_group("machine"))


def preview(args: argparse.Namespace) -> None:
    """Write a contact sheet: a few images, and what the erasing makes of each."""
    from pasm_aug.cli.opening import say  # loads torch: not for --help
    from pasm_aug.core.files import save_image
    from pasm_aug.core.processes import process_state

    check_preview(args)
    sheet, told = (online_sheet if args.augment == "online" else point_sheet)(args)
    if process_state().is_main_process:
        args.out.parent.mkdir(parents=True, exist_ok=True)
        save_image(args.out, sheet)
        if args.open:
            import webbrowser

            webbrowser.open(args.out.resolve().as_uri())
    say(f"→ {args.out}: {told}")


def check_preview(args: argparse.Namespace) -> None:
    """What can be seen to be wrong before any image is read.

    Raises:
        ValueError: options that need another one beside them; a file that is no PNG.
    """
    if args.augment == "online" and args.network is None:
        raise UserError("--augment online needs --network DIR, the trained network that it hurts")
    online = dict.fromkeys(("network", "model", "classes"), ("online",))
    for option, arms in (online | {"positions": ("point", "random-matched")}).items():
        if getattr(args, option) is not None and args.augment not in arms:
            raise UserError(f"--{option} goes with --augment {' or '.join(arms)}, got --augment {args.augment}")
    if args.count > MOST:
        raise UserError(f"--count must be at most {MOST}, got {args.count}")
    if args.out.suffix.lower() != ".png":
        raise UserError(f"--out must end in .png, got {args.out}")


def point_sheet(args: argparse.Namespace) -> tuple[Any, str]:
    """The sheet of a transform that asks no network, and a word on it."""
    from pasm_aug.cache.position_cache import PositionCache
    from pasm_aug.rounds.arms import hit_rate, make_erase
    from pasm_aug.transforms.preview import preview_sheet

    cache = PositionCache.open(args.positions) if args.positions else None
    if cache is not None and args.image_size is None:
        args.image_size = mined_size(cache)
    dataset = opened(args)
    erase = make_erase(args.augment, cache, **keywords_of(args, Erasing))
    few = dataset.limited(args.count)
    told = f"{len(few):,} images, {args.draws} draws each; "
    if args.augment == "random":
        told += "torchvision's RandomErasing, which erases half of the images"
    elif cache is None:
        size = square_of(args.augment, size=args.mask_size)["size"]
        told += f"no --positions, so every square ({side(size)}) lies at a random place"
    else:
        told += f"hit rate {hit_rate(cache, dataset):.0%} of {min(256, len(dataset)):,} images looked up"
    return preview_sheet(erase, few, count=len(few), draws=args.draws, seed=args.seed), told


def online_sheet(args: argparse.Namespace) -> tuple[Any, str]:
    """The sheet of an adversary that asks a network, and a word on it."""
    import torch

    from pasm_aug.cli.networks import open_any_model, trained_size
    from pasm_aug.core.image_content import same_channels, to_uint8_tensor
    from pasm_aug.core.processes import process_state
    from pasm_aug.data.mapped_labels import MappedLabels
    from pasm_aug.search.online import OnlineAdversarialErase

    args.image_size = trained_size(args, "network")
    model, info = open_any_model(args, "network")
    known = MappedLabels(opened(args).limited(args.count), info["classes"], channels=info.get("channels"))
    items = [known[index] for index in range(len(known))]
    device = process_state(args.device).device
    images = torch.stack(same_channels([to_uint8_tensor(image) for image, _ in items])).to(device)
    labels = torch.tensor([label for _, label in items], device=device)
    given = keywords_of(args, Erasing)
    square = square_of("online", size=given["size"], value=given["value"])
    erase = OnlineAdversarialErase(model.to(device), p=given["p"], hardness=given["hardness"], seed=args.seed, **square)
    told = f"{len(known):,} images, {args.draws} draws each; p: the network's probability of the label"
    return erase.preview(images, labels, classes=known.classes, draws=args.draws), told


def opened(args: argparse.Namespace) -> Any:
    """The split as it lies on the disk; images keep their size unless one is asked for."""
    from pasm_aug.cli.opening import data_options
    from pasm_aug.data.registry import open_dataset

    return open_dataset(args.data, args.root, args.split, size=args.image_size, limit=args.limit, **data_options(args))


def mined_size(cache: Any) -> int | None:
    """The side of the images that were mined, if they are square."""
    from pasm_aug.cache.findings import search_fingerprint

    shape = search_fingerprint(cache.metadata["fingerprint"]).get("probe_shape", ())
    return int(shape[1]) if len(shape) == 3 and shape[1] == shape[2] else None


def side(size: float | int) -> str:
    """A square's side in words."""
    return f"{size} pixels" if isinstance(size, int) else f"{size:.3g} of the shorter side"
