"""The outcome of a run in tables and in plain sentences, whichever way it fell."""

from __future__ import annotations

from collections.abc import Mapping

from pasm_aug.report.difference import Difference, difference, half_width
from pasm_aug.rounds.arms import AUGMENTS, BARE
from pasm_aug.rounds.results import RoundResult, best_round
from pasm_aug.training.evaluation import Metrics

FITTED = 0.98  # share of its training data that a teacher should have right before hard erasing can help

Arms = Mapping[str, list[RoundResult]]


def arm_name(arm: str) -> str:
    """An arm in a word or two."""
    return AUGMENTS.get(arm, arm).split(":")[0]


def network_name(result: RoundResult) -> str:
    """A network of a run, for people."""
    return f"{arm_name(result.arm)}, round {result.round}" if result.round else "first teacher"


def main_arm(arms: Arms) -> str:
    """The arm that the report is about: the method's own, or the first."""
    first = next(iter(arms))
    return "point" if "point" in arms and first != "online" else first


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
    return [_gain_row(after, before) for after, before in pairs]


def _gain_row(after: RoundResult, before: RoundResult) -> tuple[str, ...]:
    test = difference(before.test, after.test) if before.test and after.test else None
    paired, same_arm = test and test.paired, before.arm == after.arm
    return (
        f"{network_name(after)} over " + (f"round {before.round}" if same_arm else network_name(before)),
        str(difference(before.val, after.val)),
        str(test) if test else "–",
        test.word if test else "–",
        f"{paired.won:,} / {paired.lost:,}" if paired else "–",
    )


def text_table(arms: Arms) -> str:
    """The table as aligned text: accuracies in percent with their 95 % interval."""
    rows = [("arm", "round", "train", "val", "test", "under a square", "erased", ""), *table_rows(arms)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = [
        "  ".join([row[0].ljust(widths[0]), *(map(str.rjust, row[1:-1], widths[1:-1])), row[-1]]).rstrip()
        for row in rows
    ]
    return "\n".join([lines[0], "─" * max(map(len, lines)), *lines[1:]])


def verdict(arms: Arms) -> str:
    """The outcome in plain sentences, whichever way it fell."""
    return " ".join(verdict_sentences(arms))


def verdict_sentences(arms: Arms) -> list[str]:
    """The sentences of :func:`verdict`."""
    first = next(iter(arms.values()))[0]
    lines = []
    if first.train.accuracy < FITTED:
        lines.append(
            f"The first teacher has only {first.train.accuracy:.1%} of its training data right: it has not fitted them "
            f"(at least {FITTED:.0%}), and hard erasing tends to help only then. Train it longer (--teacher-epochs)."
        )
    main = main_arm(arms)
    picked, last = best_round(arms[main]), arms[main][-1]
    if picked.test and first.test and last.test:
        lines.append(_against_first(first, picked, last, arm_name(main)))
        for arm, results in arms.items():
            rival, end = best_round(results), results[-1]
            if arm == main or rival.test is None or end.test is None:
                continue
            name = AUGMENTS.get(arm, arm)
            if rival.round == picked.round == 0 and end is not rival:  # both arms come down to the same network
                lines.append(
                    f"{name[:1].upper()}{name[1:]} did not improve on it either (round {end.round}: "
                    f"{end.test.accuracy:.1%}); against that, {arm_name(main)}'s round {last.round} has "
                    f"{_in_points(difference(end.test, last.test))}."
                )
                continue
            lines.append(
                f"Against {name} with the same budget (round {rival.round}: {rival.test.accuracy:.1%}): "
                f"{_in_points(difference(rival.test, picked.test))}."
            )
    apart = {name: best for name, best in {"the first teacher": first, **_picked(arms)}.items() if best.apart}
    if apart and first.test and first.apart:
        said = ", ".join(f"{name} {best.apart.accuracy:.1%}" for name, best in apart.items() if best.apart)
        lines.append(
            f"{first.test.count - first.apart.count:,} of the {first.test.count:,} test images also stand in the "
            f"training data; of the others right: {said}."
        )
    return lines


def _against_first(first: RoundResult, picked: RoundResult, last: RoundResult, name: str) -> str:
    """One sentence on the arm ``name``; all three have been scored on the test split."""
    assert first.test
    assert picked.test
    assert last.test
    if picked.round:
        gain = difference(first.test, picked.test)
        return (
            f"{name[:1].upper()}{name[1:]} (round {picked.round}) has {picked.test.accuracy:.1%} of the test images "
            f"right, the first teacher {first.test.accuracy:.1%}{': ' + _in_points(gain) if gain.paired else ''}."
        )
    if last is first:
        return f"Only the first teacher was trained: {first.test.accuracy:.1%} of the test images right."
    return (
        f"No round of {name} improved on the first teacher's validation accuracy, so the first teacher stays: "
        f"{first.test.accuracy:.1%} of the test images right ({name}'s round {last.round}: {last.test.accuracy:.1%})."
    )


def _in_points(gain: Difference) -> str:
    same = ", on the same images" if gain.paired else ""
    return f"{gain.points:+.1f} points, {gain.word} (±{gain.half:.1f}{same})"


def _picked(arms: Arms) -> dict[str, RoundResult]:
    """Each arm's name, and the round that validation picked."""
    return {arm_name(arm): best_round(results) for arm, results in arms.items()}


def stage_seconds(arms: Arms) -> dict[str, float]:
    """Seconds of mining and of training (scoring included), summed over the rounds of each arm."""
    seconds: dict[str, float] = {}
    for number, results in enumerate(arms.values()):
        for r in results:
            if r.arm == "teacher" and number:
                continue  # the same first teacher again
            for kind, value in r.seconds.items():
                name = "first teacher" if r.arm == "teacher" else AUGMENTS.get(r.arm, r.arm)
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
