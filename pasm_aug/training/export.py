"""A trained network as one file for other programs, its preprocessing inside: ONNX, or torch's exported program."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from pasm_aug.core.errors import UserError
from pasm_aug.core.files import write_atomic
from pasm_aug.core.networks import copied, take_logits
from pasm_aug.models import preprocess_of

FORMATS = ("onnx", "pt2")
OUTPUTS = ("logits", "probabilities")
ONNX_NEEDS = ("onnx", "onnxscript", "onnxruntime")
EXAMPLE, TRIED = 2, (1, 5)  # images in the batch that is traced, and in those that are compared


class Whole(nn.Module):
    """uint8 images (B, C, H, W) → logits or probabilities (B, classes) float32."""

    def __init__(self, network: nn.Module, preprocess: Callable[[Tensor], Tensor], outputs: str) -> None:
        super().__init__()
        self.network, self.preprocess, self.outputs = network, preprocess, outputs

    def forward(self, images: Tensor) -> Tensor:
        logits = take_logits(self.network(self.preprocess(images))).float()
        return logits.softmax(1) if self.outputs == "probabilities" else logits


def export_network(
    model: nn.Module,
    path: str | Path,
    *,
    image_size: int,
    channels: int = 3,
    classes: Sequence[str] = (),
    outputs: str = "logits",
    preprocess: Callable[[Tensor], Tensor] | None = None,
) -> float:
    """Write a network that takes uint8 images (B, C, H, W), of any B, and gives logits or probabilities (B, classes).

    The file is run on random images and compared with the network before it appears, whole or not at all.

    Args:
        model (nn.Module): any classifier; is not changed.
        path (path): ends in ``.onnx`` (input ``images``, output as ``outputs`` says; custom metadata ``classes``,
            ``image_size``, ``channels``, ``outputs``, each as JSON) or in ``.pt2``
            (``torch.export.load(path).module()(images)``; the same as the extra file ``model.json``).
        image_size (int): H = W. channels (int): C, 1 or 3.
        classes (sequence of str): names in the order of the outputs.
        outputs (str): ``"logits"`` or ``"probabilities"``.
        preprocess (callable, optional): uint8 (B, C, H, W) → the network's input; default the model's own.

    Returns:
        float: the largest difference to the network that was seen.

    Raises:
        ValueError: an unknown ending or ``outputs``, missing packages, a network that cannot be exported, or whose file
            says something else.
    """
    path = Path(path)
    if path.suffix[1:] not in FORMATS:
        raise UserError(f"path must end in {' or '.join('.' + name for name in FORMATS)}, got {str(path)!r}")
    if outputs not in OUTPUTS:
        raise UserError(f"outputs must be one of {', '.join(OUTPUTS)}, got {outputs!r}")
    if path.suffix == ".onnx" and (missing := [name for name in ONNX_NEEDS if find_spec(name) is None]):
        raise UserError(f"a file .onnx needs packages: pip install {' '.join(missing)}")
    whole = copied(Whole(model, preprocess_of(model, preprocess), outputs)).cpu().eval()
    whole.to(memory_format=torch.contiguous_format)
    about = {"classes": list(classes), "image_size": image_size, "channels": channels, "outputs": outputs}
    generator = torch.Generator().manual_seed(0)
    images = [
        torch.randint(0, 256, (count, channels, image_size, image_size), generator=generator).byte()
        for count in (EXAMPLE, *TRIED)
    ]
    write, read = (_onnx, _run_onnx) if path.suffix == ".onnx" else (_program, _run_program)
    with torch.no_grad():
        with _told(type(model).__name__):
            data = write(whole, images[0], about)
            run = read(data)
        differences = [_difference(run(batch), whole(batch)) for batch in images[1:]]
    write_atomic(path, data)
    return max(differences)


def _difference(found: Tensor, wanted: Tensor) -> float:
    if found.shape != wanted.shape or not torch.allclose(found, wanted, rtol=1e-3, atol=1e-4):
        got = f"{(found - wanted).abs().max():.3g}" if found.shape == wanted.shape else f"shape {tuple(found.shape)}"
        raise UserError(f"the exported network must say what the network says, on random images it differs by {got}")
    return float((found - wanted).abs().max())


@contextmanager
def _told(name: str) -> Iterator[None]:
    """Whatever tracing trips over, in one line."""
    try:
        yield
    except Exception as error:
        reason = next((line for line in str(error).splitlines() if line.strip()), type(error).__name__)
        raise UserError(f"model {name} cannot be exported: {reason}") from error


def _program(whole: nn.Module, example: Tensor, about: dict[str, Any]) -> bytes:
    shapes = {"images": {0: torch.export.Dim("batch")}}
    program = torch.export.export(whole, (example,), dynamic_shapes=shapes)
    data = io.BytesIO()
    torch.export.save(program, data, extra_files={"model.json": json.dumps(about)})
    return data.getvalue()


def _run_program(data: bytes) -> Callable[[Tensor], Tensor]:
    return torch.export.load(io.BytesIO(data)).module()  # what was written here a moment ago


def _onnx(whole: nn.Module, example: Tensor, about: dict[str, Any]) -> bytes:
    import onnx

    program = torch.onnx.export(
        whole,
        (example,),
        dynamo=True,
        dynamic_shapes={"images": {0: "batch"}},
        input_names=["images"],
        output_names=[about["outputs"]],
        verbose=False,
    )
    assert program is not None
    proto = program.model_proto
    onnx.helper.set_model_props(proto, {name: json.dumps(value) for name, value in about.items()})
    return proto.SerializeToString()


def _run_onnx(data: bytes) -> Callable[[Tensor], Tensor]:
    import onnxruntime

    session = onnxruntime.InferenceSession(data, providers=["CPUExecutionProvider"])

    def run(images: Tensor) -> Tensor:
        (found,) = session.run(None, {"images": images.numpy()})
        return torch.from_numpy(np.asarray(found))

    return run
