"""The figures of a training in an experiment tracker: TensorBoard, Weights & Biases, MLflow, …, as accelerate has them.

https://huggingface.co/docs/accelerate/usage_guides/tracking
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pasm_aug.core.errors import UserError

if TYPE_CHECKING:  # --help reads the names without loading torch
    from accelerate import Accelerator
    from accelerate.tracking import GeneralTracker

TRACKERS = ("tensorboard", "wandb", "mlflow", "aim", "clearml", "comet_ml", "dvclive", "swanlab", "trackio")
PROJECT = "pasm_aug"


def check_installed(name: str) -> None:
    """Raise a ValueError for a tracker that accelerate does not know, or whose package is missing."""
    from accelerate.tracking import get_available_trackers

    if name not in TRACKERS:
        raise UserError(f"tracker must be one of {', '.join(TRACKERS)}, got {name!r}")
    if name not in map(str, get_available_trackers()):
        raise UserError(f"tracker {name!r} (--tracker {name}) needs its package: pip install {name}")


def open_tracker(name: str, folder: str | Path) -> GeneralTracker:
    """A tracker for one training, which :func:`~pasm_aug.training.trainer.train` starts and finishes.

    Args:
        name (str): one of :data:`TRACKERS`; where it sends its figures, or keeps them, its own environment variables
            say (``WANDB_MODE``, ``WANDB_DIR``, ``MLFLOW_TRACKING_URI``, …).
        folder (path): of the training; it names the run in the project ``pasm_aug``, and TensorBoard's files lie in
            ``tensorboard`` there, in which those of an earlier start count no more.

    Raises:
        ValueError: an unknown tracker, or its package is not installed.
    """
    check_installed(name)
    from accelerate.tracking import LOGGER_TYPE_TO_CLASS

    kind: Any = LOGGER_TYPE_TO_CLASS[name]
    folder = Path(folder)
    run = "/".join(folder.resolve().parts[-2:])
    if name == "tensorboard":
        return kind(name, folder, purge_step=1)
    return kind(PROJECT, **{"wandb": {"name": run}, "mlflow": {"run_name": run}}.get(name, {}))


class EpochLog:
    """The epochs of one training in the trackers of an accelerator; a context manager, within which they are open.

    :meth:`write` takes the whole history each time and adds what is new. A training that goes on after an interruption
    begins a run anew and hands over all its rows: no epoch is missing and none stands there twice.

    Args:
        accelerator: made with ``log_with``, or without: then nothing is written.
        config: what decided the training, for the trackers that compare runs by it.

    Raises:
        ValueError: when entered, a tracker that cannot start.
    """

    def __init__(self, accelerator: Accelerator, config: Mapping[str, Any]) -> None:
        self.accelerator, self.config, self.written = accelerator, config, 0

    def __enter__(self) -> EpochLog:
        plain = {k: value if isinstance(value, str | int | float) else str(value) for k, value in self.config.items()}
        try:
            self.accelerator.init_trackers(PROJECT)
            for tracker in self.accelerator.trackers:
                if tracker.name != "tensorboard":  # its table of options would be one more run, of no figures
                    tracker.store_init_configuration(plain)
        except OSError:
            raise
        except Exception as error:  # whatever another's package raises: no key, no server, no store
            names = ", ".join(tracker.name for tracker in self.accelerator.log_with)
            raise UserError(f"tracker {names!r} cannot start: {error}") from error
        return self

    def __exit__(self, *error: object) -> None:
        for tracker in self.accelerator.trackers:  # Accelerator.end_training would part the processes as well
            tracker.finish()

    def write(self, history: Sequence[Mapping[str, float]]) -> None:
        """Add the rows that are new.

        Args:
            history: a row an epoch, from the first one on; ``epoch`` is the step, ``seconds`` what it took, and every
                other column a curve of its name. TensorBoard's time axis shows the seconds of training.
        """
        elapsed = 0.0
        for number, row in enumerate(history):
            elapsed += row.get("seconds", 0.0)
            if number >= self.written:
                figures = {name: float(value) for name, value in row.items() if name != "epoch"}
                when = {"tensorboard": {"walltime": elapsed}}
                self.accelerator.log(figures, step=int(row["epoch"]), log_kwargs=when)
        self.written = max(self.written, len(history))
