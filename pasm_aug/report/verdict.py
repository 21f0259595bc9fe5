"""The outcome of a run in plain sentences, whichever way it fell."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pasm_aug.report.difference import Difference, difference
from pasm_aug.report.outcome import Arms, arm_name, main_arm
from pasm_aug.rounds.results import RoundResult, best_round

FITTED = 0.98  # share of its training data that a teacher should have right before hard erasing can help


def labels_trusted(config: Mapping[str, Any]) -> bool:
    """Whether a run took the labels of its training data as they are: none made wrong, none sorted out."""
    return not config.get("noise") and config.get("method") in (None, "pasm")


def verdict(arms: Arms, *, trusted: bool = True) -> str:
    """The outcome in plain sentences, whichever way it fell; ``trusted`` as in :func:`verdict_sentences`."""
    return " ".join(verdict_sentences(arms, trusted=trusted))


def verdict_sentences(arms: Arms, *, trusted: bool = True) -> list[str]:
    """The sentences of :func:`verdict`.

    Args:
        trusted: of :func:`labels_trusted`. Where labels are wrong, and accuracy on the training data counts them as
            they are given, a teacher that has not fitted them is no worse for it.
    """
    first = next(iter(arms.values()))[0]
    lines = []
    if trusted and first.train.accuracy < FITTED:
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
            name, same = arm_name(arm), rival.folder == picked.folder
            if same and rival.round == picked.round == 0 and end is not rival:  # both come down to the first teacher
                lines.append(
                    f"{name[:1].upper()}{name[1:]} did not improve on it either (round {end.round}: "
                    f"{end.test.accuracy:.1%}); against that, {arm_name(main)}'s round {last.round} has "
                    f"{_in_points(difference(end.test, last.test))}."
                )
                continue
            own = not rival.round and rival.folder != first.folder
            which = "its own first teacher" if own else f"round {rival.round}"
            lines.append(
                f"Against {name} with the same budget ({which}: {rival.test.accuracy:.1%}): "
                f"{_in_points(difference(rival.test, picked.test))}."
            )
        lines += _wherever(arms)
    if "plain" in arms and main not in ("asm", "plain"):
        lines.append("Every arm but plain training sorts its labels by ASM; plain training believes them all.")
    apart = {name: best for name, best in {"the first teacher": first, **_picked(arms)}.items() if best.apart}
    if apart and first.test and first.apart:
        said = ", ".join(f"{name} {best.apart.accuracy:.1%}" for name, best in apart.items() if best.apart)
        lines.append(
            f"{first.test.count - first.apart.count:,} of the {first.test.count:,} test images also stand in the "
            f"training data; of the others right: {said}."
        )
    return lines


def _wherever(arms: Arms) -> list[str]:
    """What each arm's last round keeps right in the worst case under a square, where all are known."""
    main = main_arm(arms)
    worst = {arm: results[-1].occluded["worst"] for arm, results in arms.items() if results[-1].occluded}
    if main not in worst or not arms[main][-1].round:
        return []
    others = ", ".join(f"{arm_name(arm)} {share:.1%}" for arm, share in worst.items() if arm != main)
    return [
        f"Right wherever a grey square stands, after the last round: {arm_name(main)} {worst[main]:.1%}"
        f"{f'; {others}' if others else ''}."
    ]


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
