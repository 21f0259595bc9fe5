"""What a plug-in user imports: erase where the teacher looks, as torchvision v2 transforms. Runs no network."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pasm_aug.core.lazy import lazy

if TYPE_CHECKING:  # the same names, for editors and type checkers
    from pasm_aug.transforms.baselines import CamRegionErase as CamRegionErase
    from pasm_aug.transforms.baselines import CountedRandomErasing as CountedRandomErasing
    from pasm_aug.transforms.baselines import RandomPlaceErase as RandomPlaceErase
    from pasm_aug.transforms.erase import PointAdversarialErase as PointAdversarialErase
    from pasm_aug.transforms.erase_point import ErasePoint as ErasePoint
    from pasm_aug.transforms.indexed_dataset import IndexedDataset as IndexedDataset
    from pasm_aug.transforms.indexed_dataset import SampleIndex as SampleIndex
    from pasm_aug.transforms.miss_report import CacheMiss as CacheMiss
    from pasm_aug.transforms.numpy_hwc import NumpyHWC as NumpyHWC
    from pasm_aug.transforms.paired_view import PairedView as PairedView
else:
    __getattr__, __dir__, __all__ = lazy(
        __name__,
        {
            "erase": "PointAdversarialErase",
            "paired_view": "PairedView",
            "erase_point": "ErasePoint",
            "indexed_dataset": "IndexedDataset SampleIndex",
            "miss_report": "CacheMiss",
            "numpy_hwc": "NumpyHWC",
            "baselines": "CamRegionErase CountedRandomErasing RandomPlaceErase",
        },
    )
