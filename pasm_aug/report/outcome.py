"""The outcome of a run in tables, and the words for its arms, networks and times."""

from __future__ import annotations

from collections.abc import Mapping

from pasm_aug.report.difference import difference, half_width
from pasm_aug.rounds.arms import AUGMENTS, BARE, ONE_ROUND
from pasm_aug.rounds.results import RoundResult, best_round
from pasm_aug.training.metrics import Metrics

Arms = Mapping[str, list[RoundResult]]


def capital(text: str) -> str:
    """The same with a capital at its beginning."""
    return text[:1].upper() + text[1:]


def arm_name(arm: str) -> str:
    """An arm in a word or two."""
    return AUGMENTS.get(arm, arm).split(":")[0]


def network_name(result: RoundResult) -> str:
    """A network of a run, for people."""
    return f"{arm_name(result.arm)}, round {result.round}" if result.round else "first teacher"


def main_arm(arms: Arms) -> str:
    """The arm that the report is about: the method's own, or the first."""
    first = next(iter(arms))
    return "point" if "point" in arms and first not in ONE_ROUND else first


def arms_sentence(arms: Arms) -> str:
    """The arms, for people."""
    main = main_arm(arms)
    others = ", ".join(arm_name(arm) for arm in arms if arm != main)
    return f"{arm_name(main)}, compared with {others}" if others else arm_name(main)


def table_rows(arms: Arms) -> list[tuple[str, ...]]:
    """(arm, round, training, validation, test, under a square, erased, note) of every network, for terminal and page.

    Under a square: mean over its places / right at all of them. Erased: of the pixels of its training images.
    """
    rows = []
    for arm, results in arms.items():
        chosen = best_round(results)
        for r in results:
            first = next(iter(arms.values()))[0]
            if r.round == 0 and arm != next(iter(arms)) and r.folder == first.folder:
                continue  # most arms fork from the one first teacher
            name = "first teacher" if r.round == 0 else AUGMENTS.get(arm, arm)
            name += ", of plain training" if r.round == 0 and r.folder != first.folder else ""
            note = "◀ picked by validation" if r is chosen and len(results) > 1 else ""
            hidden = r.occluded and f"{100 * r.occluded['mean']:.1f} / {100 * r.occluded['worst']:.1f}"
            erased = f"{r.erased_share:.1%}" if r.round and arm not in BARE else "–"
            scores = (percent(getattr(r, split)) for split in ("train", "val", "test"))
            rows.append((name, str(r.round), *scores, hidden or "–", erased, note))
    return rows


def gain_rows(arms: Arms) -> list[tuple[str, ...]]:
    """(network over another, gain on validation, on test, what that means, images won and lost), for the page.

    Every student of the main arm against the round that it had to beat, then the picked round against the first
    teacher and against the picked rounds of the other arms.
    """
    main = arms[main_arm(arms)]
    rounds, picked = {r.round: r for r in main}, best_round(main)
    over = {r.round: r.teacher_round if r.gain_over is None else r.gain_over for r in main}
    pairs = [(r, rounds[before]) for r in main if r.round and (before := over[r.round]) in rounds]
    rivals = [best_round(results) for arm, results in arms.items() if arm != main_arm(arms)]
    pairs += [(picked, rival) for rival in (main[0], *rivals) if rival is not picked and (picked, rival) not in pairs]
    return [_gain_row(after, before, main[0]) for after, before in pairs]


def _gain_row(after: RoundResult, before: RoundResult, first: RoundResult) -> tuple[str, ...]:
    test = difference(before.test, after.test) if before.test and after.test else None
    paired, name = test and test.paired, network_name(before)
    if before.arm == after.arm and before.round:
        name = f"round {before.round}"
    elif not before.round and before.folder != first.folder:
        name += " of plain training"  # the one arm with a first teacher of its own
    return (
        f"{network_name(after)} over {name}",
        str(difference(before.val, after.val)),
        str(test) if test else "–",
        test.word if test else "–",
        f"{paired.won:,} / {paired.lost:,}" if paired else "–",
    )


def text_table(arms: Arms) -> str:
    """The table as aligned text: accuracies in percent with their 95 % interval; below it what a square is."""
    rows = [("arm", "round", "train", "val", "test", "under a square", "erased", ""), *table_rows(arms)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = [
        "  ".join([row[0].ljust(widths[0]), *(map(str.rjust, row[1:-1], widths[1:-1])), row[-1]]).rstrip()
        for row in rows
    ]
    known = any(r.occluded for results in arms.values() for r in results)
    legend = ["under a grey square, 13/48 of the image: right on average over its places / right wherever it stands"]
    return "\n".join([lines[0], "─" * max(map(len, lines)), *lines[1:], *(legend if known else [])])


def stage_seconds(arms: Arms) -> dict[str, float]:
    """Seconds of mining and of training (scoring included), summed over the rounds of each arm."""
    seconds: dict[str, float] = {}
    first = next(iter(arms.values()))[0]
    for number, (arm, results) in enumerate(arms.items()):
        for r in results:
            own = r.folder != first.folder
            if r.arm == "teacher" and number and not own:
                continue  # the same first teacher again
            for kind, value in r.seconds.items():
                name = AUGMENTS.get(r.arm, r.arm)
                if r.arm == "teacher":
                    name = f"first teacher of {arm_name(arm)}" if number else "first teacher"
                stage = f"{name}: {kind}"
                seconds[stage] = seconds.get(stage, 0.0) + value
    return seconds


def duration(seconds: float) -> str:
    """Seconds as people say them."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes // 60} h {minutes % 60:02d} min" if minutes >= 60 else f"{minutes} min {rest:02d} s"


def percent(scores: Metrics | None) -> str:
    """An accuracy in percent with its 95 % interval."""
    if scores is None:
        return "–"
    return f"{100 * scores.accuracy:.1f} ±{100 * half_width(scores):.1f}"
