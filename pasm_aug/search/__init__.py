"""Everything that queries a network: the search for the pixel that hurts most, and mining a data set with it.

``evolution`` proposes by differential evolution, ``surrogate`` by what a gradient predicts, ``teacher`` scores the
proposals (``incremental/``: only the windows that a pixel changes), ``point_search`` puts them together, ``mine`` does
a data set: ``teacher_check`` looks at the teacher first, and each process takes its ``share``. ``online`` searches
squares inside the training step: ``adversary`` scores places, ``boxes`` and ``fills`` make them, ``place_table``
remembers them from epoch to epoch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pasm_aug.core.lazy import lazy

if TYPE_CHECKING:  # the same names, for editors and type checkers
    from pasm_aug.search.cam import class_activation_maps as class_activation_maps
    from pasm_aug.search.evolution import DifferentialEvolution as DifferentialEvolution
    from pasm_aug.search.mine import mine_positions as mine_positions
    from pasm_aug.search.online import OnlineAdversarialErase as OnlineAdversarialErase
    from pasm_aug.search.point_search import PointSearch as PointSearch
    from pasm_aug.search.result import PointResult as PointResult
else:
    __getattr__, __dir__, __all__ = lazy(
        __name__,
        {
            "online": "OnlineAdversarialErase",
            "point_search": "PointSearch",
            "result": "PointResult",
            "evolution": "DifferentialEvolution",
            "mine": "mine_positions",
            "cam": "class_activation_maps",
        },
    )
