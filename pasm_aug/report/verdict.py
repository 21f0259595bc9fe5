"""The outcome of a run in plain sentences, whichever way it fell."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pasm_aug.report.difference import difference
from pasm_aug.report.effect import Effect, effects
from pasm_aug.report.outcome import Arms, arm_name, capital, main_arm
from pasm_aug.rounds.results import RoundResult, best_round

FITTED = 0.98  # share of its training data that a teacher should have right before hard erasing can help


def labels_trusted(config: Mapping[str, Any]) -> bool:
    """Whether a run took the labels of its training data as they are: none made wrong, none sorted out."""
    return not config.get("noise") and config.get("method") in (None, "pasm")


def verdict(arms: Arms, *, trusted: bool = True) -> str:
    """The outcome in plain sentences, whichever way it fell: first did it help, then what validation picked.

    Args:
        trusted: of :func:`labels_trusted`. Where labels are wrong, and accuracy on the training data counts them as
            they are given, a teacher that has not fitted them is no worse for it.
    """
    return " ".join([*effect_sentences(arms), *picked_sentences(arms), *cautions(arms, trusted=trusted)])


def effect_sentences(arms: Arms) -> list[str]:
    """What the main arm has over each other arm after the same round, so after as many epochs."""
    name = capital(arm_name(main_arm(arms)))
    return [f"{name} against {arm_name(e.arm)}, both after round {e.round}: {_both(e)}." for e in effects(arms)]


def picked_sentences(arms: Arms) -> list[str]:
    """What validation picked: of the main arm against the first teacher, then of the other arms."""
    first, main = next(iter(arms.values()))[0], main_arm(arms)
    picked, last = best_round(arms[main]), arms[main][-1]
    if not (picked.test and first.test and last.test):
        return []
    lines = [_against_first(first, picked, last, arm_name(main))]
    rivals = {arm_name(arm): best_round(results) for arm, results in arms.items() if arm != main}
    others = [
        f"{name} {f'round {best.round}' if best.round else 'its own first teacher'} ({best.test.accuracy:.1%})"
        for name, best in rivals.items()
        if best.test and (best.round or best.folder != first.folder)
    ]
    if rivals:
        lines.append(f"Of the other arms it picks {'; '.join(others) or 'the first teacher too'}.")
    return lines


def cautions(arms: Arms, *, trusted: bool = True) -> list[str]:
    """What must be known beside the numbers; ``trusted`` as in :func:`verdict`."""
    first, main = next(iter(arms.values()))[0], main_arm(arms)
    lines = []
    if trusted and first.train.accuracy < FITTED:
        lines.append(
            f"The first teacher has only {first.train.accuracy:.1%} of its training data right: it has not fitted them "
            f"(at least {FITTED:.0%}), and hard erasing tends to help only then. Train it longer (--teacher-epochs)."
        )
    if "plain" in arms and main not in ("asm", "plain"):
        lines.append("Every arm but plain training sorts its labels by ASM; plain training believes them all.")
    picked = {arm_name(arm): best_round(results) for arm, results in arms.items()}
    apart = {name: best for name, best in {"the first teacher": first, **picked}.items() if best.apart}
    if apart and first.test and first.apart:
        said = ", ".join(f"{name} {best.apart.accuracy:.1%}" for name, best in apart.items() if best.apart)
        lines.append(
            f"{first.test.count - first.apart.count:,} of the {first.test.count:,} test images also stand in the "
            f"training data; of the others right: {said}."
        )
    return lines


def _both(effect: Effect) -> str:
    text = f"{effect.test} points of test accuracy, {effect.test.word}"
    if effect.worst:
        text += f"; {effect.worst} points right wherever a grey square stands, {effect.worst.word}"
    return text


def _against_first(first: RoundResult, picked: RoundResult, last: RoundResult, name: str) -> str:
    """One sentence on the arm ``name``; all three have been scored on the test split."""
    assert first.test
    assert picked.test
    assert last.test
    if picked.round:
        gain = difference(first.test, picked.test)
        return (
            f"Validation picks round {picked.round} of {name}: {picked.test.accuracy:.1%} of the test images right; "
            f"the first teacher, which had fewer epochs, has {first.test.accuracy:.1%}"
            f"{f' ({gain} points, {gain.word})' if gain.paired else ''}."
        )
    if last is first:
        return f"Only the first teacher was trained: {first.test.accuracy:.1%} of the test images right."
    return (
        f"No round of {name} improved on the first teacher's validation accuracy, so validation picks the first "
        f"teacher: {first.test.accuracy:.1%} of the test images right ({name}'s round {last.round}: "
        f"{last.test.accuracy:.1%})."
    )
