"""The figures of a training as TensorBoard scalars, so that ``tensorboard --logdir DIR`` draws them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path

from pasm_aug.core.errors import UserError

EVENTS = "events.out.tfevents.*"


def check_installed() -> None:
    """Raise a ValueError where the package ``tensorboard`` is missing."""
    if find_spec("tensorboard") is None:
        raise UserError("curves for TensorBoard (--tensorboard) need its package: pip install tensorboard")


class EventLog:
    """Event files of one training; :meth:`write` takes its whole history each time and adds what is new.

    A training that goes on after an interruption begins its log anew and hands over all its rows: no epoch is missing
    and none stands there twice.

    Args:
        folder: made where it is missing; event files that lie in it are removed.

    Raises:
        ValueError: the package ``tensorboard`` is not installed.
    """

    def __init__(self, folder: str | Path) -> None:
        check_installed()
        from torch.utils.tensorboard import SummaryWriter

        for file in Path(folder).glob(EVENTS):
            file.unlink()
        self.writer = SummaryWriter(str(folder))
        self.written = 0

    def write(self, history: Sequence[Mapping[str, float]]) -> None:
        """Add the rows that are new and flush them to the disk.

        Args:
            history: a row an epoch, from the first one on; ``epoch`` is the step, ``seconds`` what it took, and every
                other column a curve of its name. The time axis shows the seconds of training.
        """
        elapsed = 0.0
        for number, row in enumerate(history):
            elapsed += row.get("seconds", 0.0)
            if number < self.written:
                continue
            for name, value in row.items():
                if name != "epoch":
                    self.writer.add_scalar(name, value, int(row["epoch"]), walltime=elapsed)
        self.written = max(self.written, len(history))
        self.writer.flush()

    def close(self) -> None:
        """Close the event file."""
        self.writer.close()


def write_events(folder: str | Path, history: Sequence[Mapping[str, float]]) -> None:
    """Write the whole history of a training into ``folder``; see :class:`EventLog`."""
    log = EventLog(folder)
    log.write(history)
    log.close()
