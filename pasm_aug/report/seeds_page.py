"""The page of one run under several seeds: did it help, the means, a link to each seed."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any
from urllib.parse import quote

from pasm_aug.core.files import write_csv, write_text
from pasm_aug.report.answer import KINDS, UNANSWERED, WORST, cards, erased_note
from pasm_aug.report.forest import Bar
from pasm_aug.report.method import method_name, what_was_done
from pasm_aug.report.outcome import arm_name, capital, main_arm
from pasm_aug.report.page import bullets, headline, page, paragraph, section, table
from pasm_aug.report.run_folder import Run
from pasm_aug.report.seeds import SCORES, Estimate, arm_gains, arm_means, arms_of, erased_share, too_few, trained_arms
from pasm_aug.report.settings_section import Changed, settings
from pasm_aug.report.titles import run_title

ABOUT = (
    "Percent right after the last round; ± is half the 95 % interval of the mean over the seeds (Student's t). Under a "
    "square: mean over its places."
)
LEGEND = (
    "{lead} ({erased}) minus each other arm of the same seed, so of the same first teacher, after the last round and "
    "so after as many epochs. Each seed a dot, their mean with its 95 % interval (Student's t) a bar. {worst}"
)

CHANCE = (
    "The intervals cover chance in training alone, not that of the test images: all seeds are tested on the same "
    "{count:,}, and on others every one of them might gain more, or less."
)


def write_seeds(
    out: Path, runs: Mapping[int, Run], *, changed: Changed | None = None, copy: Path | None = None
) -> Path:
    """Write ``seeds.csv`` (a row for each seed and arm) and ``report.html`` into ``out``; returns the page's path.

    Args:
        changed: as in :func:`~pasm_aug.report.run_report.write_report`.
        copy: where the page is to stand too, with links from there.
    """
    each, first = list(runs.values()), next(iter(runs.values()))
    rows: list[dict[str, Any]] = []
    for seed, run in runs.items():
        for arm in arms_of(each):
            last = run.arms[arm][-1]
            scores = {name: round(of(last), 4) for name, (_, of) in SCORES.items()}
            rows.append({"seed": seed, "arm": arm, "round": last.round, **scores})
    write_csv(out / "seeds.csv", rows)
    title = run_title(first.config, first.model)
    changed = changed and {name: values for name, values in changed.items() if name != "seed"}
    versions, seeds = first.model.get("versions") or {}, f"--seeds {','.join(map(str, runs))}"
    pages = [out / "report.html", *([copy] if copy else [])]
    top = [
        headline(title, f"{method_name(first)}, {len(each)} seed{'s' * (len(each) != 1)}"),
        *_answer(each),
        *([bullets(doubt, "verdict")] if (doubt := too_few(len(each))) else []),
        section("means", "Means", [_means(each)]),
    ]
    below = [
        section("method", "What was done", map(paragraph, what_was_done(first)), folded=True),
        section("settings", "Settings: the same again", settings(first.config, changed, versions, seeds), folded=True),
    ]
    for file in pages:
        file.parent.mkdir(parents=True, exist_ok=True)
        links = section("seeds", "Each seed", [_links(runs, file.resolve().parent)])
        write_text(file, page(f"{title}, several seeds: {out.resolve().name}", [*top, links, *below]))
    return pages[0]


def _answer(runs: Sequence[Run]) -> list[str]:
    """Did it help? The cards, and what the numbers in them are."""
    lead, gains = main_arm(runs[0].arms), arm_gains(runs)
    tested = runs[0].main[-1].test
    assert tested
    chance = paragraph(CHANCE.format(count=tested.count), "note")
    if not gains:
        return [paragraph(UNANSWERED, "note"), chance]
    bars = {
        score: [_bar(runs, arm, found[score]) for arm, found in gains.items() if found[score].known] for score in KINDS
    }
    erased = erased_note(lead, erased_share(runs, lead))
    text = LEGEND.format(lead=capital(arm_name(lead)), erased=erased, worst=WORST * bool(bars["worst"]))
    return [cards(bars, arm_name(lead)), paragraph(text, "note"), chance]


def _bar(runs: Sequence[Run], arm: str, gain: Estimate) -> Bar:
    note = erased_note(arm, erased_share(runs, arm))
    return Bar(arm_name(arm), note, gain.mean, gain.half, gain.signed(), gain.word, gain.values)


def _means(runs: Sequence[Run]) -> str:
    names = ("test", "mean", "worst")
    means, trained = arm_means(runs), trained_arms(runs)
    rows = [
        (capital(arm_name(arm)) if arm in trained else "First teacher", *(_percent(scores[name]) for name in names))
        for arm, scores in means.items()
    ]
    return table(("arm", *(SCORES[name][0] for name in names)), rows, caption=ABOUT)


def _percent(score: Estimate) -> str:
    return f"{score.mean:.1f}" + (f" ±{score.half:.1f}" if math.isfinite(score.half) else "")


def _links(runs: Mapping[int, Run], start: Path) -> str:
    """The report of each seed, as it is found from the folder ``start``."""
    links = ""
    for seed, run in runs.items():
        place = quote(os.fsencode(os.path.relpath(run.folder.resolve() / "report.html", start)))
        links += f'<li><a href="{place}">seed {seed}</a>: {escape(_line(run))}</li>'
    return f"<ul>{links}</ul>"


def _line(run: Run) -> str:
    last = run.main[-1]
    return f"test {last.test.accuracy:.1%} after round {last.round}" if last.test else "not scored"
