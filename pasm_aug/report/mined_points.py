"""What one file of mined points holds: of which images, by which teacher and search, and what came of it."""

from __future__ import annotations

from typing import Any

import numpy as np

from pasm_aug.cache.findings import findings_of, outputs_of, search_fingerprint
from pasm_aug.cache.position_cache import PositionCache

BINS = 10  # of the drop, a tenth each
BAR = 40  # signs of the longest bar
FIRST = ("mode", "objective", "points")  # of the options of a search


def describe(cache: PositionCache) -> dict[str, Any]:
    """All that :func:`as_text` tells, as JSON holds it.

    ``p`` and ``classes`` count distinct images by the first point of each; ``changed`` is the share of those whose
    answer changes, at least and at most (:mod:`pasm_aug.cache.findings`).
    """
    columns, about = cache.to_numpy(), cache.metadata
    fingerprint, data = about.get("fingerprint", {}), about.get("dataset", {})
    made, outputs = search_fingerprint(fingerprint), outputs_of(about)
    teacher = made.get("teacher", {})
    clean, point, labels = columns["p_clean"], columns["p_point"][:, 0], columns["label"]
    found, names = findings_of(clean, point, outputs), data.get("classes", [])
    known = np.isfinite(clean) & np.isfinite(point)
    counts, edges = np.histogram(np.clip(clean[known] - point[known], 0, 1), BINS, (0, 1))
    classes = []
    for label in np.unique(labels[known]).tolist():
        of = findings_of(clean[labels == label], point[labels == label], outputs)
        name = names[label] if 0 <= label < len(names) else str(label)
        classes.append({"class": name, "label": label} | _plain(of))
    return {
        "file": cache.path,
        "samples": len(cache),
        "rows": len(labels),
        "points": cache.points,
        "channels": cache.channels,
        "not_mined": cache.unmined,
        "several_labels": cache.conflicts,
        "searched": len(labels) + len(columns["skipped_key"]),
        "queries": about["queries"],
        "forwards": about["forwards"],
        "created_by": about.get("created_by"),
        "data": {
            "digest": data.get("digest"),
            "length": data.get("length"),
            "classes": names,
            "image": made.get("probe_shape"),
        },
        "teacher": {
            "weights": teacher.get("weights"),
            "architecture": teacher.get("architecture"),
            "outputs": outputs,
        },
        "search": made.get("search") or {name: made[name] for name in ("maps",) if name in made},
        "refreshed": (made.get("refresh") or {}).get("threshold"),
        "moved": fingerprint.get("moved"),
        "stacked": len(fingerprint.get("stacked", ())) or None,
        "p": _plain(found),
        "drop": {"edges": [round(edge, 1) for edge in edges.tolist()], "counts": counts.tolist()},
        "classes": classes,
    }


def _plain(found: Any) -> dict[str, Any]:
    if not found.images:
        return {"images": 0, "clean": None, "point": None, "drop": None, "changed": None}
    numbers = {"clean": found.clean, "point": found.point, "drop": found.clean - found.point}
    rounded = {name: round(value, 6) for name, value in numbers.items()}
    changed = None if found.changed is None else [round(share, 6) for share in found.changed]
    return {"images": found.images, **rounded, "changed": changed}


def as_text(cache: PositionCache, found: dict[str, Any]) -> str:
    """What :func:`describe` found, for people."""
    return "\n\n".join(filter(None, (_origin(cache, found), _drops(found), _classes(found))))


def _origin(cache: PositionCache, found: dict[str, Any]) -> str:
    data, teacher = found["data"], found["teacher"]
    names = f" of {len(data['classes'])} classes ({', '.join(data['classes'])})" if data["classes"] else ""
    size = "" if data["image"] is None else f", searched as {'×'.join(map(str, data['image']))}"
    length = "an unknown number of" if data["length"] is None else f"{data['length']:,}"
    lines = [cache.summary(), f"data: {length} images{names}{size}, digest {data['digest'] or 'unknown'}"]
    if teacher["weights"]:
        weights, network = (_short(teacher[name]) for name in ("weights", "architecture"))
        outputs = f", {teacher['outputs']} outputs" if teacher["outputs"] else ""
        lines.append(f"teacher: weights {weights}, network {network}{outputs}")
    if found["search"]:
        options = sorted(found["search"].items(), key=lambda pair: pair[0] not in FIRST)
        words = [f"{name.replace('_', ' ')} {value}" for name, value in options if value is not None]
        lines.append(f"search: {', '.join(words)}")
    if found["searched"]:
        queries, forwards = (found[name] / found["searched"] for name in ("queries", "forwards"))
        lines.append(f"cost of an image: {queries:,.1f} queries, {forwards:,.1f} forwards")
    if found["refreshed"] is not None:
        lines.append(f"refreshed: searched anew where the probability had moved by {found['refreshed']:g} or more")
    if found["moved"]:
        told = ", ".join(f"{name} {value}" for name, value in found["moved"].items() if not isinstance(value, dict))
        lines.append(f"moved: the places are not those that were mined ({told or 'peaks of activation maps'})")
    if found["created_by"]:
        lines.append(f"written by {found['created_by']}")
    if found["stacked"]:
        lines.append(f"stacked: the points of {found['stacked']} caches; teacher and search are the first one's")
    return "\n".join(lines)


def _drops(found: dict[str, Any]) -> str:
    counts, edges = found["drop"]["counts"], found["drop"]["edges"]
    if not sum(counts):
        return ""
    lines = ["drop of p(label)  images"]
    for low, high, count in zip(edges, edges[1:], counts, strict=False):
        bar = "#" * -(-count * BAR // max(counts))
        lines.append(f"{'under 0.1' if low == 0 else f'{low:.1f} … {high:.1f}':>16}  {count:>6,}  {bar}".rstrip())
    return "\n".join(lines)


def _classes(found: dict[str, Any]) -> str:
    if not found["classes"]:
        return ""
    rows = [("class", "images", "before", "after", "drop", "answer changes")]
    for one in found["classes"]:
        numbers = (f"{one[name]:.3f}" for name in ("clean", "point", "drop"))
        changed = dict.fromkeys(f"{share:.0%}" for share in one["changed"] or ())  # one where both agree
        rows.append((one["class"], f"{one['images']:,}", *numbers, " to ".join(changed) or "–"))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join("  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True)) for row in rows)


def _short(digest: str | None) -> str:
    return "unknown" if digest is None else digest[:12]
