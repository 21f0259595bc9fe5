"""Networks and their files: build one by name, write it beside a ``model.json``, read it back.

A network that is built or loaded here carries ``.preprocess``, the module that turns uint8 images into its input;
mining and training use it, so the two can never normalise differently. It is an attribute, no part of the network:
whoever walks over its children or its state does not meet it.
"""

from __future__ import annotations

import hashlib
import importlib
import warnings
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save
from torch import Tensor, nn

from pasm_aug.core.errors import UserError
from pasm_aug.core.files import read_json, write_atomic, write_json
from pasm_aug.core.networks import to_tensors
from pasm_aug.core.pair import Pair
from pasm_aug.core.seeding import seeded
from pasm_aug.core.weights import load_weights, start_from

SURE_FIT = 0.9  # share of the parameters; below it, more than a head of other classes is missing
IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


class Preprocess(nn.Module):
    """uint8 (B, 1 or 3, H, W) in 0…255 → normalised float32 (B, 3, H, W); grey images fill all three channels.

    It follows the images to their device: as no part of the network, it does not move with it.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, mean: Sequence[float] = IMAGENET_MEAN, std: Sequence[float] = IMAGENET_STD) -> None:
        super().__init__()
        self.register_buffer("mean", torch.tensor(mean)[:, None, None], persistent=False)
        self.register_buffer("std", torch.tensor(std)[:, None, None], persistent=False)

    def forward(self, images: Tensor) -> Tensor:
        if self.mean.device != images.device:
            self.to(images.device)
        return (images.float() / 255 - self.mean) / self.std

    def extra_repr(self) -> str:
        return f"mean={self.mean.flatten().tolist()}, std={self.std.flatten().tolist()}"


class BasicBlock(nn.Module):
    """Two 3×3 convolutions and a shortcut (He et al., CVPR 2016, Fig. 2)."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.relu = nn.ReLU()
        self.downsample = (
            nn.Identity()
            if stride == 1 and inputs == outputs
            else nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs))
        )

    def forward(self, x: Tensor) -> Tensor:
        y = self.bn2(self.conv2(self.relu(self.bn1(self.conv1(x)))))
        return self.relu(y + self.downsample(x))


class SmallResNet(nn.Module):
    """A ResNet for 48×48 faces on a CPU: 3×3 stem of stride 2, three stages of one block (24, 48, 96 channels)."""

    def __init__(self, num_classes: int, width: int = 24) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, width, 3, 2, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.relu = nn.ReLU()
        self.layer1 = BasicBlock(width, width, 1)
        self.layer2 = BasicBlock(width, 2 * width, 2)
        self.layer3 = BasicBlock(2 * width, 4 * width, 2)
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(4 * width, num_classes)
        self.to(memory_format=torch.channels_last)

    def forward(self, x: Tensor) -> Tensor:
        x = x.contiguous(memory_format=torch.channels_last)  # a fifth faster on CPUs
        x = self.relu(self.bn1(self.conv1(x)))
        x = self.layer3(self.layer2(self.layer1(x)))
        return self.fc(self.avgpool(x).flatten(1))


def build_model(name: str, num_classes: int, *, weights: str | None = None, seed: int | None = 0) -> nn.Module:
    """A classifier by name, with ``.preprocess`` attached.

    Args:
        name (str): ``"small"`` (:class:`SmallResNet`), a torchvision classifier (``"resnet34"``, ``"vgg16"``, …),
            ``"timm:NAME"``, ``"package.module:factory"`` (called as ``factory(num_classes=...)``), or ``"pair:…"``: a
            :class:`~pasm_aug.core.pair.Pair` of two such networks, from different random weights.
        num_classes (int): number of outputs.
        weights (str, optional): ``None`` or ``"none"`` (random, from ``seed``), ``"imagenet"`` (downloads; the paper's
            choice), or a file or folder whose weights are taken where name and shape agree; see
            :func:`~pasm_aug.core.weights.start_from`.
        seed (int, optional): of the random initial weights, and the global random state stays as it was; ``None`` draws
            from it. Default: ``0``.

    Returns:
        nn.Module: takes float32 (B, 3, H, W), gives logits (B, num_classes); ``.preprocess`` takes uint8 and scales it
        as timm's own description of the network says, else by ImageNet's mean and deviation.

    Raises:
        ValueError: If the name is unknown, or the weights do not fit or cannot be had.
    """
    pretrained = weights == "imagenet"
    with nullcontext() if seed is None else seeded(seed):
        try:
            model = _construct(name, num_classes, pretrained)
        except UserError:
            raise
        except Exception as error:  # whatever another's factory raises
            if pretrained and isinstance(error, OSError):
                raise UserError(f"weights='imagenet' for {name!r} could not be downloaded: {error}") from error
            what = str(error) or type(error).__name__
            raise UserError(f"model {name!r} cannot be made: {what}") from error
    if getattr(model, "preprocess", None) is None:
        about = getattr(model.a if isinstance(model, Pair) else model, "pretrained_cfg", None) or {}  # timm's have one
        carry(model, Preprocess(about.get("mean", IMAGENET_MEAN), about.get("std", IMAGENET_STD)))
    if weights not in (None, "none", "imagenet"):
        for network in (model.a, model.b) if isinstance(model, Pair) else (model,):
            fit = start_from(network, Path(str(weights)).expanduser())
            if fit.share < SURE_FIT:
                warnings.warn(f"weights {str(weights)!r}: {fit}", stacklevel=2)
    return model


def carry(model: nn.Module, preprocess: Callable[[Tensor], Tensor]) -> nn.Module:
    """``model`` with its preprocessing as an attribute, which is no part of it."""
    vars(model)["preprocess"] = preprocess
    return model


def preprocess_of(model: nn.Module, preprocess: Callable[[Tensor], Tensor] | None = None) -> Callable[..., Tensor]:
    """``preprocess``, else the one that ``model`` carries.

    Raises:
        ValueError: neither is there. Nobody guesses: a wrong normalisation fails in silence.
    """
    found = preprocess if preprocess is not None else getattr(model, "preprocess", None)
    if not callable(found):
        raise UserError(
            "preprocess is missing: pass preprocess=f with f: (B, C, H, W) uint8 -> the network's input, "
            "e.g. lambda x: (x.float() / 255 - mean) / std, or give the model such a method"
        )
    return found


def _construct(name: str, num_classes: int, pretrained: bool) -> nn.Module:
    if name == "small":
        if pretrained:
            raise UserError("model 'small' has no ImageNet weights; use weights='none' or another model")
        return SmallResNet(num_classes)
    if name.startswith("pair:"):
        return Pair(*(_construct(name[5:], num_classes, pretrained) for _ in range(2)))
    if name.startswith("timm:"):
        return importlib.import_module("timm").create_model(name[5:], pretrained=pretrained, num_classes=num_classes)
    if ":" in name:
        module, _, factory = name.partition(":")
        if pretrained:
            raise UserError(f"weights='imagenet' is not available for the factory {name!r}; load them in the factory")
        return getattr(importlib.import_module(module), factory)(num_classes=num_classes)
    import torchvision.models

    if name not in torchvision.models.list_models(module=torchvision.models):
        raise UserError(
            f"model must be 'small', a torchvision classifier such as 'resnet34', 'timm:NAME', "
            f"'package.module:factory' or 'pair:' before one of them, got {name!r}"
        )
    if not pretrained:
        return torchvision.models.get_model(name, num_classes=num_classes)
    model = torchvision.models.get_model(name, weights="DEFAULT")
    linear = [(path, module) for path, module in model.named_modules() if isinstance(module, nn.Linear)]
    if not linear:
        raise UserError(f"model {name!r} has no linear head to replace; use weights='none'")
    path, head = linear[-1]
    model.set_submodule(path, nn.Linear(head.in_features, num_classes))
    return model


def save_model(folder: str | Path, model: nn.Module, info: dict[str, Any]) -> None:
    """Write ``model.safetensors`` and then ``model.json``, each atomically.

    Args:
        folder (str or ``pathlib.Path``): is made if missing.
        model (nn.Module): is not changed.
        info (dict): what ``model.json`` says, as JSON holds it; the weights' sha256 is added. :func:`load_model` needs
            ``architecture`` and ``classes``, and ``mean`` and ``std`` unless the architecture has a preprocessing of
            its own.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    data = save(to_tensors(model.state_dict()))
    write_atomic(folder / "model.safetensors", data)
    write_json(folder / "model.json", info | {"sha256": hashlib.sha256(data).hexdigest()})


def load_model(path: str | Path, *, model: nn.Module | None = None) -> nn.Module:
    """The network of a folder that :func:`save_model` wrote, in eval mode, with ``.info``.

    Args:
        path (str or ``pathlib.Path``): the folder, or its ``model.json``.
        model (nn.Module, optional): a network of the same architecture to fill; without it the one that ``model.json``
            names is built.

    Returns:
        nn.Module: with ``.preprocess`` and ``.info``, what ``model.json`` says.

    Raises:
        ValueError: If files are missing, damaged, or of another network.
    """
    folder = Path(path).parent if Path(path).name == "model.json" else Path(path)
    info = read_json(folder / "model.json")
    if model is None:
        if not info.get("architecture"):
            raise UserError(f"{folder}/model.json names no architecture that can be built; pass model=")
        if not info.get("classes"):
            raise UserError(f"{folder}/model.json names no classes")
        model = build_model(info["architecture"], len(info["classes"]))
        if info.get("mean"):  # else the architecture has a preprocessing of its own
            carry(model, Preprocess(info["mean"], info["std"]))
    load_weights(model, folder)
    model.info = info  # type: ignore[assignment]
    return model.eval()
