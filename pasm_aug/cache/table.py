"""The points of a cache as a pandas table. pandas is no requirement: whoever asks for a table has it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from pasm_aug.cache.record import Points
from pasm_aug.core.errors import UserError

if TYPE_CHECKING:
    import pandas as pd


def as_table(points: Points, labels: np.ndarray) -> pd.DataFrame:
    """One row for each sample and point.

    Args:
        points: of N samples, K points each. labels: (N,) integers; what stands where nothing was mined is not read.

    Raises:
        ValueError: pandas is not installed.
    """
    try:
        import pandas as pd
    except ImportError as error:
        raise UserError(
            "PositionCache.to_pandas needs the package pandas: pip install pandas, or pasm_aug[pandas]"
        ) from error
    count, each, channels = points.colour.shape
    missing = np.repeat(~points.hit, each)

    def whole(values: np.ndarray) -> pd.array:
        return pd.arrays.IntegerArray(np.ascontiguousarray(values.reshape(-1)), missing.copy())

    def real(values: np.ndarray) -> np.ndarray:
        return np.where(missing, np.nan, values.reshape(-1)).astype(np.float32)

    names = ("grey",) if channels == 1 else ("red", "green", "blue")
    return pd.DataFrame(
        {
            "index": np.repeat(np.arange(count), each),
            "rank": np.tile(np.arange(each), count),
            "label": whole(np.repeat(labels, each)),
            **{name: whole(points.xy[:, :, axis]) for axis, name in enumerate("xy")},
            **{name: whole(points.colour[:, :, channel]) for channel, name in enumerate(names)},
            "p_clean": real(np.repeat(points.p_clean, each)),
            "p_point": real(points.p_point),
        }
    )
