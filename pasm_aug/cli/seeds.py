"""``pasm-aug run --seeds 0,1,2``: the same run under several seeds, and what they say together."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path

from pasm_aug.core.errors import UserError
from pasm_aug.core.recorded_options import differences
from pasm_aug.report.run_folder import Run, read_run


def single_runs(args: argparse.Namespace) -> dict[int, argparse.Namespace]:
    """Seed → the options of its run, in a folder of its own, ``seed-S`` in ``--out``.

    Raises:
        ValueError: ``--out`` holds a run of a single seed.
    """
    out: Path = args.out or Path("runs") / args.data
    if (out / "config.json").exists():
        raise UserError(f"--out {out} holds a run of one seed: choose another folder for --seeds")
    return {
        seed: argparse.Namespace(**vars(args) | {"seed": seed, "seeds": None, "out": out / f"seed-{seed}"})
        for seed in args.seeds
    }


def run_seeds(args: argparse.Namespace, add: Callable[[argparse.ArgumentParser], None]) -> None:
    """Run each seed, and summarise all that lie there; done ones are not done again.

    Args:
        add: adds the command's options to a parser.

    Raises:
        ValueError: ``--out`` holds a run of a single seed.
    """
    from pasm_aug.cli.job import run_job  # these load torch: not to tell finished runs again
    from pasm_aug.cli.opening import say
    from pasm_aug.core.processes import process_state

    for number, (seed, single) in enumerate(single_runs(args).items(), 1):
        say(f"seed {seed} ({number} of {len(args.seeds)})")
        run_job(single, add)
    if process_state().is_main_process:
        summarise(args.out or Path("runs") / args.data, args.seeds, add)


def summarise(
    out: Path, seeds: Sequence[int], add: Callable[[argparse.ArgumentParser], None], *, copy: Path | None = None
) -> None:
    """Tables and the page of the finished runs in ``out/seed-S``; one that is left out is named.

    Args:
        seeds: those that must be among them; the others are told with them if they have ended and are alike.
        add: as in :func:`run_seeds`.
        copy: as in :func:`~pasm_aug.report.seeds_page.write_seeds`.

    Raises:
        ValueError: none of the runs has ended, or one of ``seeds`` has not or is damaged.
    """
    from pasm_aug.cli.changed import changed_options
    from pasm_aug.report.seeds import text_summary
    from pasm_aug.report.seeds_page import write_seeds  # loads matplotlib

    runs: dict[int, Run] = {}
    for seed in sorted({*seeds, *seeds_in(out)}, key=lambda seed: seed not in seeds):  # the others are like these
        try:
            run = read_run(out / f"seed-{seed}")
        except UserError as error:
            if seed in seeds:
                raise
            print(f"seed {seed} is left out: {error}")
            continue
        if runs and (apart := _differing(next(iter(runs.values())), run)):
            print(f"seed {seed} is left out, it was run with other options than seed {next(iter(runs))}: {apart}")
        else:
            runs[seed] = run
    if not runs:
        raise UserError(f"{out} holds no seed whose run has ended: go on with the command that began it")
    runs = dict(sorted(runs.items()))
    page = write_seeds(out, runs, changed=changed_options(next(iter(runs.values())).config, add), copy=copy)
    print(f"\n{text_summary(list(runs.values()))}\n\nreport: {page}")


def _differing(run: Run, other: Run) -> str:
    """In what else than the seed two runs differ; empty where in nothing."""
    one, two = ({k: v for k, v in r.config.items() if k not in ("seed", "baselines")} for r in (run, other))
    arms = [] if run.arms.keys() == other.arms.keys() else ["other baselines"]
    return "; ".join([*differences(one, two), *arms])


def seeds_in(folder: Path) -> list[int]:
    """The seeds whose runs lie in a folder of ``--seeds``, in order; none in another folder."""
    names = [path.parent.name.removeprefix("seed-") for path in folder.glob("seed-*/config.json")]
    return sorted(int(name) for name in names if name.isdigit())
