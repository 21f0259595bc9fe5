"""Networks and their files: build one by name, write it beside a ``model.json``, read it back.

A network that is built or loaded here carries ``.preprocess``, the module that turns uint8 images into its input;
mining and training use it, so the two can never normalise differently. It is an attribute, no part of the network:
whoever walks over its children or its state does not meet it.
"""

from __future__ import annotations

import hashlib
import importlib
import numbers
import warnings
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any, cast

import torch
from safetensors.torch import save
from torch import Tensor, nn

from pasm_aug.core.classifier import Classifier
from pasm_aug.core.errors import UserError
from pasm_aug.core.files import read_json, write_atomic, write_json
from pasm_aug.core.networks import to_tensors
from pasm_aug.core.pair import Pair
from pasm_aug.core.seeding import seeded
from pasm_aug.core.small_resnet import SmallResNet
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


def build_model(name: str, num_classes: int, *, weights: str | None = None, seed: int | None = 0) -> Classifier:
    """A classifier by name, with ``.preprocess`` attached.

    Args:
        name (str): ``"small"`` (:class:`~pasm_aug.core.small_resnet.SmallResNet`), a torchvision classifier
            (``"resnet34"``, ``"vgg16"``, …), ``"timm:NAME"``, ``"package.module:factory"`` (called as
            ``factory(num_classes=...)``), or ``"pair:…"``: a :class:`~pasm_aug.core.pair.Pair` of two such networks,
            from different random weights.
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
        ValueError: If there is no class, the name is unknown, or the weights do not fit or cannot be had.
    """
    if not isinstance(num_classes, numbers.Integral) or num_classes < 1:
        raise UserError(f"num_classes must be a whole number, at least 1, got {num_classes!r}")
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
    return cast("Classifier", model)


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
        info (dict): what ``model.json`` says, as JSON holds it; the weights' ``sha256`` is added. No key is required to
            write it, or to read it back with ``load_model(folder, model=network)``. To be used by name it must tell:

            * ``architecture`` (str): as :func:`build_model` takes it. Required by ``load_model(folder)`` and by every
              command; ``None`` for a network that only its own code can make.
            * ``classes`` (list of str): names, one for each output, in their order. Required by the same; data sets
              meet a network by these names.
            * ``image_size`` (int): side of the square images in pixels. Required by ``evaluate``, ``predict``,
              ``mine``, ``audit`` and ``preview``, which resize to it.
            * ``mean``, ``std`` (lists of float, as long as the input has channels): of the input, images scaled to
              0…1. Required unless the architecture has a ``.preprocess`` of its own, or takes ImageNet's, the default.

            What follows may be left out:

            * ``channels`` (int): of the images that it was trained on, 1 for grey ones, 3 for colour; ``evaluate``,
              ``predict``, ``audit`` and ``preview`` make colour images grey for 1.

            And what the model card tells:

            * ``weights`` (str): initial weights, ``weights_fit`` (str): how much of them fitted.
            * ``imported`` (dict): ``file``, ``keys`` and ``prefix`` of weights that somebody else trained.
            * ``seed`` (int), ``epoch`` (int): of the training, whose last or best epoch it is;
              ``diverged_after_epoch`` (int): it broke off there.
            * ``parent`` (str): folder of its teacher; ``initial`` (str): ``"refine"`` or ``"scratch"``, from that one's
              weights or from new ones.
            * ``data`` (dict): ``name``, ``length`` and ``digest`` of the training split; with wrong labels ``noise``
              and how many are ``flipped``. ``audit`` sees from it that a network was trained on the same images.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    data = save(to_tensors(model.state_dict()))
    write_atomic(folder / "model.safetensors", data)
    write_json(folder / "model.json", info | {"sha256": hashlib.sha256(data).hexdigest()})


def load_model(path: str | Path, *, model: nn.Module | None = None) -> Classifier:
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
    loaded = cast("Classifier", model)
    loaded.info = info
    return loaded.eval()
