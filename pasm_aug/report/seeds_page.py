"""The page of one run under several seeds: did it help, the means, a link to each seed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

from pasm_aug.core.files import write_csv, write_text
from pasm_aug.report.answer import KINDS, UNANSWERED, WORST, cards, erased_note
from pasm_aug.report.forest import Bar
from pasm_aug.report.method import method_name, what_was_done
from pasm_aug.report.outcome import arm_name, capital, main_arm
from pasm_aug.report.page import bullets, headline, page, paragraph, section, table
from pasm_aug.report.run_folder import Run
from pasm_aug.report.seeds import ALONE, SCORES, Estimate, arm_gains, arm_means, arms_of, erased_share
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


def write_seeds(out: Path, runs: Mapping[int, Run], *, changed: Changed | None = None) -> Path:
    """Write ``seeds.csv`` (a row for each seed and arm) and ``report.html`` into ``out``; returns the page's path.

    Args:
        changed: as in :func:`~pasm_aug.report.run_report.write_report`.
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
    body = [
        headline(title, f"{method_name(first)}, {len(each)} seed{'s' * (len(each) != 1)}"),
        *_answer(each),
        *([bullets([ALONE], "verdict")] if len(each) < 2 else []),
        section("means", "Means", [_means(each)]),
        section("seeds", "Each seed", [_links(runs)]),
        section("method", "What was done", map(paragraph, what_was_done(first)), folded=True),
        section("settings", "Settings: the same again", settings(first.config, changed, versions, seeds), folded=True),
    ]
    write_text(out / "report.html", page(f"{title}, several seeds: {out.resolve().name}", body))
    return out / "report.html"


def _answer(runs: Sequence[Run]) -> list[str]:
    """Did it help? The cards, and what the numbers in them are."""
    lead, gains = main_arm(runs[0].arms), arm_gains(runs)
    if not gains:
        return [paragraph(UNANSWERED, "note")]
    bars = {
        score: [_bar(runs, arm, found[score]) for arm, found in gains.items() if found[score].known] for score in KINDS
    }
    erased = erased_note(lead, erased_share(runs, lead))
    text = LEGEND.format(lead=capital(arm_name(lead)), erased=erased, worst=WORST * bool(bars["worst"]))
    return [cards(bars, arm_name(lead)), paragraph(text, "note")]


def _bar(runs: Sequence[Run], arm: str, gain: Estimate) -> Bar:
    note = erased_note(arm, erased_share(runs, arm))
    return Bar(arm_name(arm), note, gain.mean, gain.half, gain.signed(), gain.values)


def _means(runs: Sequence[Run]) -> str:
    names = ("test", "mean", "worst")
    rows = [(capital(arm_name(arm)), *(str(scores[name]) for name in names)) for arm, scores in arm_means(runs).items()]
    return table(("arm", *(SCORES[name][0] for name in names)), rows, caption=ABOUT)


def _links(runs: Mapping[int, Run]) -> str:
    links = "".join(
        f'<li><a href="seed-{seed}/report.html">seed {seed}</a>: {escape(_line(run))}</li>'
        for seed, run in runs.items()
    )
    return f"<ul>{links}</ul>"


def _line(run: Run) -> str:
    last = run.main[-1]
    return f"test {last.test.accuracy:.1%} after round {last.round}" if last.test else "not scored"
