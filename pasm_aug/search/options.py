"""The options of a search, and what follows from them; :mod:`pasm_aug.search.point_search` does it."""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass, fields
from typing import Any, Literal, get_args

import torch

from pasm_aug.core.checks import check_size
from pasm_aug.core.errors import UserError
from pasm_aug.core.rng import words
from pasm_aug.search.objectives import Objective, check_objective

Mode = Literal["seeded", "paper", "exhaustive"]
Misclassified = Literal["mine", "predicted", "skip"]
Strategy = Literal["rand1", "best1"]


@dataclass(frozen=True, repr=False)
class SearchOptions:
    """Options of :class:`~pasm_aug.search.point_search.PointSearch`.

    Args:
        mode: ``"seeded"``, ``"paper"`` or ``"exhaustive"``.
        points: places per image (K), on different pixels.
        objective: minimised; ``"true_prob"``, ``"margin"``, ``"predicted_prob"``, ``"patch"`` or a callable, as in
            :class:`~pasm_aug.search.teacher.TeacherObjective`. ``"patch"`` looks for the square whose colour
            costs most, not the pixel: dearer to query, and harder on the teacher (benchmarks/README.md); ``p_point`` is
            then the probability under the square. The published objective is the pixel's.
        patch: side of that square, as the ``size`` of :class:`~pasm_aug.transforms.erase.PointAdversarialErase`.
        misclassified: what to attack on an image that the teacher gets wrong: ``"mine"`` the true class all the same,
            ``"predicted"`` the class it predicts, ``"skip"`` nothing.
        population_size: a count; ``None``: 400, in ``"seeded"`` the number of candidates.
        generations: after the initial population; ``None``: 100, in ``"seeded"`` 0.
        mutation: F of differential evolution.
        strategy: ``"rand1"`` or ``"best1"``; ``None``: rand1, in ``"seeded"`` best1.
        budget: forward-equivalents that ``"seeded"`` may spend on an image, roughly: 20 find 96 % of the best pixel's
            drop, 80 find 99 % (benchmarks/README.md).
        candidates: how many of its candidates ``"seeded"`` scores exactly; ``None``: as the budget allows.
        seed: of the random streams.
        batch_size, device, incremental: as in ``TeacherObjective``; they change results by rounding alone, but without
            ``incremental`` the only surrogate is the input gradient.
        min_distance: pixels (Chebyshev) between the K places; where the image does not hold so many, it gives way.

    Raises:
        ValueError: an argument out of its range.
    """

    mode: Mode = "seeded"
    _: KW_ONLY
    points: int = 1
    objective: Objective = "true_prob"
    patch: float | int = 31 / 224
    misclassified: Misclassified = "mine"
    population_size: int | None = None
    generations: int | None = None
    mutation: float = 0.5
    strategy: Strategy | None = None
    budget: float = 20.0  # the command line's, too
    candidates: int | None = None
    seed: int = 0
    batch_size: int | None = None
    device: torch.device | str | None = None
    min_distance: int = 1
    incremental: bool = True

    def __post_init__(self) -> None:
        check_objective(self.objective)
        words(self.seed)
        words_of = {
            "mode": get_args(Mode),
            "misclassified": get_args(Misclassified),
            "strategy": (*get_args(Strategy), None),
        }
        for name, known in words_of.items():
            if (value := getattr(self, name)) not in known:
                raise UserError(f"{name} must be one of {known}, got {value!r}")
        object.__setattr__(self, "patch", check_size("patch", self.patch))  # numpy's numbers are Python's from here on
        if not 0 < self.mutation <= 2:
            raise UserError(f"mutation must lie in (0, 2], got {self.mutation}")
        least = {"points": 1, "min_distance": 1, "budget": 4, "candidates": 1, "population_size": 4, "generations": 0}
        for name, low in least.items():
            value = getattr(self, name)
            if value is not None and value < low:
                raise UserError(f"{name} must be at least {low}, got {value}")
        if self.mode == "seeded" and self.candidates is not None and self.candidates < self.points:
            raise UserError(f"candidates must be at least points, got {self.candidates} for {self.points} points")

    def __repr__(self) -> str:
        """The mode, and the options that are not as they are by default."""
        changed = {f.name: value for f in fields(self) if (value := getattr(self, f.name)) != f.default}
        if callable(self.objective):
            changed["objective"] = _path_of(self.objective)
        changed.pop("mode", None)
        words = [repr(self.mode), *(f"{name}={value!r}" for name, value in changed.items())]
        return f"{type(self).__name__}({', '.join(words)})"

    @property
    def exact(self) -> int:
        """Exact candidates where no chain of surrogates decides on their number."""
        return self.candidates or max(self.points, int(self.budget) - 3)

    @property
    def evolution(self) -> tuple[int, int, str]:
        """Population, generations and strategy with the mode's own defaults filled in."""
        seeded = self.mode == "seeded"
        size = self.population_size or (max(self.exact, 4) if seeded else 400)
        generations = (0 if seeded else 100) if self.generations is None else self.generations
        return size, generations, self.strategy or ("best1" if seeded else "rand1")

    def cost(self, shape: tuple[int, ...]) -> int:
        """Queries for one image of shape (C, H, W), roughly."""
        size, generations, _ = self.evolution
        if self.mode == "exhaustive":
            return shape[1] * shape[2] * 2 ** shape[0]
        return size * (generations + 1) if self.mode == "paper" else self.exact + size * generations

    def settings(self) -> dict[str, Any]:
        """All that a result depends on, ready for JSON."""
        name: str = self.objective if isinstance(self.objective, str) else _path_of(self.objective)
        common: dict[str, Any] = {
            "mode": self.mode,
            "points": self.points,
            "objective": name,
            "misclassified": self.misclassified,
            "min_distance": self.min_distance,
        }
        if name == "patch":
            common["patch"] = self.patch
        if self.mode == "exhaustive":
            return common
        size, generations, strategy = self.evolution
        evolution = {"population_size": size, "generations": generations, "mutation": self.mutation}
        common |= evolution | {"strategy": strategy, "seed": self.seed}
        if self.mode == "paper":
            return common
        return common | {"budget": self.budget, "candidates": self.candidates, "incremental": self.incremental}


def _path_of(function: Any) -> str:
    """module.name of a function, or of the class of a callable object."""
    named = function if hasattr(function, "__qualname__") else type(function)
    return f"{named.__module__}.{named.__qualname__}"
