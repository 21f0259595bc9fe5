"""``pasm-aug import-model``: somebody's weights into a folder that every command takes for a network."""

from __future__ import annotations

import argparse

from pasm_aug.cli.options.network import add_classes
from pasm_aug.core.errors import UserError
from pasm_aug.core.parsers import at_least, numbers, path


def add_import_model(parser: argparse.ArgumentParser) -> None:
    """The options of ``pasm-aug import-model``."""
    parser.add_argument(
        "weights",
        metavar="FILE",
        type=path,
        help="weights alone, as torch.save(model.state_dict(), FILE) or safetensors write them; also a checkpoint that "
        "holds them beside other tensors and numbers. Nothing is unpickled",
    )
    group = parser.add_argument_group("network")
    group.add_argument(
        "--model",
        metavar="NAME",
        required=True,
        help="its architecture: a torchvision classifier (resnet18), timm:NAME, package.module:factory or small",
    )
    add_classes(group, required=True)
    group.add_argument(
        "--key",
        metavar="KEY",
        help="of the weights in a checkpoint (default: found; averaged ones, as state_dict_ema, before others)",
    )
    group = parser.add_argument_group("input")
    group.add_argument(
        "--image-size",
        metavar="S",
        type=at_least(8, int),
        help="side of the images that it was trained on (default: 48 for the small network, else 224)",
    )
    group.add_argument(
        "--channels",
        type=int,
        choices=(1, 3),
        default=3,
        help="of these images: 3 colour, 1 grey, which a network of three channels sees three times",
    )
    for name in ("mean", "std"):
        group.add_argument(
            f"--{name}",
            metavar="V,V,V",
            type=numbers,
            help=f"{name} of its input, of images scaled to 0…1; one number: of all channels (default: the "
            "architecture's own preprocess, else ImageNet's)",
        )
    parser.add_argument_group("output").add_argument(
        "--out", metavar="DIR", type=path, required=True, help="new folder for model.safetensors and model.json"
    )


def import_model(args: argparse.Namespace) -> None:
    """Fill the architecture with the weights, try it once, and write it as a folder of ours."""
    from pasm_aug.cli.networks import noise_images, own_model, try_out  # these load torch: not for --help
    from pasm_aug.cli.opening import say
    from pasm_aug.core.processes import process_state
    from pasm_aug.models import save_model

    if (args.mean is None) != (args.std is None):
        raise UserError(f"--mean and --std go together, got {'--mean' if args.std is None else '--std'} alone")
    if args.mean and not (len(args.mean) == len(args.std) in (1, 3) and min(args.std) > 0):
        raise UserError(
            f"--mean and --std must be 1 or 3 numbers each, --std above 0, got {len(args.mean)} and "
            f"{', '.join(map(str, args.std))}"
        )
    if (args.out / "model.json").exists():
        raise UserError(f"--out {args.out} holds a network already: choose another folder")
    model, info, taken = own_model(args, args.weights, key=args.key, mean=args.mean or (), std=args.std or ())
    try_out(args, model, noise_images(args.channels, info["image_size"]), len(info["classes"]), (False,))
    source = {"file": args.weights.name, "keys": list(taken.keys), "prefix": taken.prefix}
    if process_state().is_main_process:
        save_model(args.out, model, info | {"channels": args.channels, "imported": source})
    say(
        f"{args.weights}: {taken}\n→ {args.out}\nScore it where you know the outcome: an accuracy below that means "
        f"another order of --classes, --mean and --std or --image-size: pasm-aug evaluate --checkpoint {args.out} "
        "--data folder --root DIR"
    )
