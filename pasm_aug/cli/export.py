"""``pasm-aug export``: a trained network as one file for other programs."""

from __future__ import annotations

import argparse

from pasm_aug.cli.options.network import add_network
from pasm_aug.core.parsers import path


def add_export(parser: argparse.ArgumentParser) -> None:
    """The options of ``pasm-aug export``."""
    add_network(parser, "network", help="folder of the trained network, such as a run's round")
    parser.add_argument(
        "--format",
        choices=("onnx", "pt2", "both"),
        default="onnx",
        help="onnx: model.onnx for ONNX Runtime and others; pt2: model.pt2, read by torch.export.load",
    )
    parser.add_argument(
        "--outputs", choices=("logits", "probabilities"), default="logits", help="what the file's network gives"
    )
    parser.add_argument("--out", metavar="DIR", type=path, help="write there (default: where the network lies)")
    parser.set_defaults(image_size=None)  # the network's own


def export(args: argparse.Namespace) -> None:
    """Write the network with its preprocessing, and say how little the file differs from it.

    Raises:
        ValueError: no network there, or one that cannot be exported.
    """
    from pasm_aug.cli.networks import open_any_model  # these load torch: not for --help
    from pasm_aug.cli.opening import say
    from pasm_aug.core.checksums import CHECKSUMS, damaged, resealed
    from pasm_aug.core.processes import process_state
    from pasm_aug.training.export import FORMATS, export_network

    model, info = open_any_model(args, "network")
    if not process_state().is_main_process:
        return
    folder = args.out or (args.network if args.network.is_dir() else args.network.parent)
    folder.mkdir(parents=True, exist_ok=True)
    size, channels, classes = int(info["image_size"]), int(info.get("channels") or 3), list(info["classes"])
    how = {"image_size": size, "channels": channels, "classes": classes, "outputs": args.outputs}
    takes, gives = f"uint8 images (B, {channels}, {size}, {size})", f"{args.outputs} (B, {len(classes)})"
    files = [folder / f"model.{ending}" for ending in FORMATS if args.format in (ending, "both")]
    listed = (folder / CHECKSUMS).exists() and not set(damaged(folder)) - {file.name for file in files}
    with resealed(folder, enabled=listed):  # a list that tells of damage stays
        for file in files:
            difference = export_network(model, file, **how)
            say(f"{takes} → {gives}, on random images within {difference:.1g} of the network's  → {file}")
