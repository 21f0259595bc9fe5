"""``pasm-aug align``: a folder of photographs into a folder of faces."""

from __future__ import annotations

import argparse

from pasm_aug.cli.options.groups import HelpFormatter
from pasm_aug.core.parsers import path

EPILOG = """examples:
  pasm-aug align photos faces                                   then: pasm-aug run --data folder --root faces
  pasm-aug align photos faces --select all --no-face skip       every face of group images, and nothing else
  pasm-aug align photos faces --processes 8 --min-face-size 60  fast, for large photographs with large faces

The tree of SRC (class folders, splits, file names) is kept. faces/align.csv says for each image what was found (box,
five landmarks, probability) and done. The same command goes on where it was interrupted, and does what is new."""


class _Formatter(HelpFormatter, argparse.RawDescriptionHelpFormatter):
    """Shows the defaults and leaves the examples as they are."""


def add_align(parser: argparse.ArgumentParser) -> None:
    """The options of ``pasm-aug align``."""
    parser.epilog = EPILOG
    parser.formatter_class = _Formatter
    parser.add_argument("src", metavar="SRC", type=path, help="folder of photographs, with any sub-folders")
    parser.add_argument("dst", metavar="DST", type=path, help="folder of faces: new, or one that this command began")
    group = parser.add_argument_group("faces")
    group.add_argument("--size", metavar="S", type=int, default=224, help="side of the aligned image in pixels")
    group.add_argument(
        "--margin",
        metavar="M",
        type=float,
        default=0.15,
        help="room around the face on each side, as a share of ArcFace's frame (which cuts the chin at 0)",
    )
    group.add_argument(
        "--mode",
        choices=("similarity", "eyes", "crop"),
        default="similarity",
        help="similarity: turned and scaled so that eyes, nose and mouth meet a template; eyes: the eyes alone; crop: "
        "the detector's box, not turned",
    )
    group.add_argument(
        "--select",
        choices=("largest", "center", "all"),
        default="largest",
        help="of several faces: the largest, the one nearest to the centre, or all, as NAME_0, NAME_1, …",
    )
    group.add_argument(
        "--min-face-size", metavar="P", type=int, default=20, help="smallest face in pixels; more is faster"
    )
    group.add_argument(
        "--no-face",
        choices=("keep", "skip", "error"),
        default="keep",
        help="an image without a face: keep its centre square, skip it, or end with an error when all others are done",
    )
    group = parser.add_argument_group("output")
    group.add_argument("--format", choices=("png", "jpg"), default="png", help="of the aligned images")
    group.add_argument("--quality", metavar="Q", type=int, default=95, help="of JPEG, 1 to 100")
    group = parser.add_argument_group("machine")
    group.add_argument(
        "--processes",
        metavar="N",
        type=int,
        default=1,
        help="processes that share the work, one core each; the result does not depend on it",
    )
    group.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto", help="auto: a GPU if there is one")
    group.add_argument("--quiet", action="store_true", help="no progress bar")


def align(args: argparse.Namespace) -> None:
    """Align a folder and say in one line what became of its images."""
    from pasm_aug.cli.opening import say
    from pasm_aug.data.align.aligner import FaceAligner
    from pasm_aug.data.align.folder import align_folder

    aligner = FaceAligner(
        args.size,
        margin=args.margin,
        mode=args.mode,
        select=args.select,
        device=args.device,
        min_face_size=args.min_face_size,
    )
    summary = align_folder(
        args.src,
        args.dst,
        aligner,
        no_face=args.no_face,
        format=args.format,
        quality=args.quality,
        processes=args.processes,
        progress=not args.quiet,
    )
    say(str(summary))
