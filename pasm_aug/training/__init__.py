"""One network: train it, score it. Knows nothing of rounds."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pasm_aug.core.lazy import lazy

if TYPE_CHECKING:  # the same names, for editors and type checkers
    from pasm_aug.training.evaluation import evaluate as evaluate
    from pasm_aug.training.export import export_network as export_network
    from pasm_aug.training.guards import DivergedError as DivergedError
    from pasm_aug.training.guards import OutOfMemoryError as OutOfMemoryError
    from pasm_aug.training.losses import distillation_loss as distillation_loss
    from pasm_aug.training.metrics import Metrics as Metrics
    from pasm_aug.training.occlusion import evaluate_occlusion as evaluate_occlusion
    from pasm_aug.training.occlusion_metrics import OcclusionMetrics as OcclusionMetrics
    from pasm_aug.training.result import TrainResult as TrainResult
    from pasm_aug.training.tracking import open_tracker as open_tracker
    from pasm_aug.training.trainer import train as train
else:
    __getattr__, __dir__, __all__ = lazy(
        __name__,
        {
            "trainer": "train",
            "result": "TrainResult",
            "evaluation": "evaluate",
            "metrics": "Metrics",
            "occlusion": "evaluate_occlusion",
            "occlusion_metrics": "OcclusionMetrics",
            "losses": "distillation_loss",
            "export": "export_network",
            "tracking": "open_tracker",
            "guards": "DivergedError OutOfMemoryError",
        },
    )
