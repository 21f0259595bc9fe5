"""What a report is about, as its title says it: the data and the network."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pasm_aug.report.outcome import capital

DATA = {
    "synthetic": "synthetic faces",
    "fer2013": "FER2013",
    "ferplus": "FER+",
    "rafdb": "RAF-DB",
    "ckplus": "CK+",
    "affectnet": "AffectNet",
}


def run_title(config: Mapping[str, Any], model: Mapping[str, Any]) -> str:
    """Such as "Synthetic faces, small network".

    Args:
        config: of the run. model: what the first teacher's ``model.json`` tells, where there is one.
    """
    return capital(f"{_data(config)}, {_network(str(model.get('architecture') or config.get('model') or ''))}")


def _data(config: Mapping[str, Any]) -> str:
    """Images in folders are called after their folder."""
    name = str(config.get("data") or "own images")
    if name in ("folder", "manifest") and config.get("root"):
        return f"images of {Path(config['root']).name}"
    return DATA.get(name, name)


def _network(name: str) -> str:
    if name.startswith("pair:"):
        return f"two of {_network(name.removeprefix('pair:'))}"
    return {"": "own network", "small": "small network"}.get(name, name.removeprefix("timm:"))
