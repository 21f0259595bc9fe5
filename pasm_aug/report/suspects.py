"""What an audit of the labels found, as rows of a table, as text and as captions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from pasm_aug.asm.suspects import average_precision, class_confidence, probably_wrong, ranking, suspicion
from pasm_aug.report.lettering import shortened

MANY = 0.5  # suspects, a share of the images: half of the labels of a data set that is in use are not wrong
LEARNED = 1.25  # times the share of the most frequent class: what networks that have learned something agree with


@dataclass(frozen=True, eq=False)
class Findings:
    """Labels, and what a network says of the images.

    Attributes:
        probabilities: (N, K) float32. labels: (N,) int64, as given.
        together: (N, K) float32, of networks that have seen the images and have not; they rank better, where there are
            any. ``None``: ``probabilities`` rank.
        classes: K names.
        place: (N,) int64, each image's place in what was audited.
        split, index, path: (N,) of where each image stands; a path is empty where it is not known.
        noise_epochs: (N,) int64, how many epochs of a training called each label noise, where that is known.
        truth: (N,) names of the true classes, where they are known.
    """

    probabilities: np.ndarray
    labels: np.ndarray
    classes: Sequence[str]
    place: np.ndarray
    split: Sequence[str]
    index: Sequence[int]
    path: Sequence[str]
    together: np.ndarray | None = None
    noise_epochs: np.ndarray | None = None
    truth: Sequence[str] | None = None

    @property
    def ranked_by(self) -> np.ndarray:
        """(N, K) float32 probabilities."""
        return self.probabilities if self.together is None else self.together

    @cached_property
    def order(self) -> np.ndarray:
        """(N,) int64, the most suspicious first: by the raw probability of the label."""
        return ranking(self.ranked_by, self.labels)

    @cached_property
    def wrong(self) -> np.ndarray:
        """(N,) bool, whether a label is probably wrong."""
        return probably_wrong(self.probabilities, self.labels, self.together)

    @cached_property
    def false(self) -> np.ndarray:
        """(N,) bool, whether a label is wrong; all ``False`` where the truth is not known."""
        names = np.array(self.classes)[self.labels]
        return np.zeros(len(names), dtype=bool) if self.truth is None else names != np.array(self.truth)

    @cached_property
    def predicted(self) -> np.ndarray:
        return self.probabilities.argmax(1)

    def rows(self) -> list[dict[str, Any]]:
        """Of ``suspects.csv``: every image, ranked."""
        found = []
        for rank, i in enumerate(self.order.tolist(), 1):
            label, predicted, p = int(self.labels[i]), int(self.predicted[i]), self.probabilities[i]
            row = {"rank": rank, "split": self.split[i], "index": int(self.index[i]), "path": self.path[i]}
            row |= {"label": self.classes[label], "p_label": f"{p[label]:.6g}"}
            row |= {"predicted": self.classes[predicted], "p_predicted": f"{p[predicted]:.6g}"}
            if self.together is not None:
                row["p_label_together"] = f"{self.together[i, label]:.6g}"
            row["probably_wrong"] = str(bool(self.wrong[i])).lower()
            if self.noise_epochs is not None:
                row["noise_epochs"] = int(self.noise_epochs[i])
            if self.truth is not None:
                row["true_label"] = self.truth[i]
            found.append(row)
        return found

    def captions(self, count: int) -> list[tuple[str, str]]:
        """Two lines for each of the ``count`` most suspicious images."""
        lines = []
        for rank, i in enumerate(self.order[:count].tolist(), 1):
            seen = int(self.predicted[i])
            label = shortened(self.classes[int(self.labels[i])])
            lines.append((f"{rank}. {label}", f"→ {shortened(self.classes[seen])} {self.probabilities[i, seen]:.1%}"))
        return lines

    def top(self, count: int) -> str:
        """A line for each of the ``count`` most suspicious images."""
        lines = []
        for rank, i in enumerate(self.order[:count].tolist(), 1):
            label, seen = int(self.labels[i]), int(self.predicted[i])
            name = self.path[i] or f"{self.split[i]} {self.index[i]}"
            lines.append(
                f"{rank:>4}. {name}: {self.classes[label]} (p {self.probabilities[i, label]:.2g}) → "
                f"{self.classes[seen]} {self.probabilities[i, seen]:.1%}"
            )
        return "\n".join(lines)

    def table(self) -> str:
        """Images, suspects, their share, agreement with the labels and mean probability of the label, by class."""
        usual = class_confidence(self.probabilities, self.labels)
        head = ["class", "images", "suspects", "share", "agreed", "p(label)"]
        head += [] if self.truth is None else ["wrong", "area"]
        parts = [(name, self.labels == label, usual[label]) for label, name in enumerate(self.classes)]
        own = self.probabilities[np.arange(len(self.labels)), self.labels].mean()
        parts.append(("all", np.ones(len(self.labels), dtype=bool), own))
        cells = [head]
        for name, members, mean in parts:
            count = int(members.sum())
            if not count:
                cells.append([name, "0", *"–" * (len(head) - 2)])
                continue
            agreed = (self.predicted == self.labels)[members].mean()
            row = [name, f"{count:,}", f"{int(self.wrong[members].sum()):,}", f"{self.wrong[members].mean():.1%}"]
            row += [f"{agreed:.1%}", f"{mean:.2f}"]
            if self.truth is not None:
                found = average_precision(self.false[members], suspicion(self.ranked_by, self.labels)[members])
                row += [f"{int(self.false[members].sum()):,}", "–" if np.isnan(found) else f"{found:.3f}"]
            cells.append(row)
        widths = [max(len(row[column]) for row in cells) for column in range(len(head))]
        lines = ["  ".join([row[0].ljust(widths[0]), *(c.rjust(w) for c, w in zip(row[1:], widths[1:], strict=True))])
                 for row in cells]  # fmt: skip
        lines[-1:] = ["─" * len(lines[0]), lines[-1]]
        return "\n".join(lines)

    def doubt(self) -> str:
        """What to say where the networks have learned too little to judge; else empty."""
        agreed, most = (self.predicted == self.labels).mean(), np.bincount(self.labels).max() / len(self.labels)
        if agreed < LEARNED * most:
            why = f"{agreed:.1%} of the labels are what is seen in the images, and the most frequent class alone has "
            why += f"{most:.1%}"
        elif (called := self.wrong.mean()) > MANY:
            why = f"{called:.1%} of the labels are suspects, more than can be believed: go by the ranking, not by them"
        else:
            return ""
        return f"little to go by: {why}. More --epochs or more images help, or a --network or --weights that knows more"

    def measured(self) -> str:
        """How well the wrong labels were found, where the truth is known; else empty."""
        if self.truth is None:
            return ""
        if not self.false.any():
            return "against the truth: no label is wrong, there is nothing to find"
        area = average_precision(self.false, suspicion(self.ranked_by, self.labels))
        hits = int((self.false & self.wrong).sum())
        precision = f"{hits / self.wrong.sum():.1%}" if self.wrong.any() else "none"
        return (
            f"against the truth: area under precision-recall {area:.3f} of the ranking (by chance "
            f"{self.false.mean():.3f}); of the suspects {precision} are wrong labels, of the wrong labels "
            f"{hits / self.false.sum():.1%} are suspects"
        )
