"""What a run did, for people who have never heard of it."""

from __future__ import annotations

from pasm_aug.report.outcome import main_arm
from pasm_aug.report.run_folder import Run

WHAT = (
    "A teacher network is trained. For each training image a search finds the one pixel whose change hurts the "
    "teacher most; a square is erased there; a student learns from the erased images and from the teacher's "
    "predictions on the whole ones. If the student is better on the validation split, it becomes the next teacher. The "
    "other arms do the same with another way of erasing, or none, and the same number of epochs."
)
WHAT_ONLINE = (
    "A teacher network is trained. A student goes on from it, and in every step of its training the square that hurts "
    "it most is searched and erased in each image; it learns from the erased images and from the teacher's predictions "
    "on the whole ones. The other arms do the same with another way of erasing, or none, and the same number of epochs."
)
WHAT_ASM = (
    "A pair of networks is trained by Adaptive Sample Mining, which sorts out the labels that are probably wrong. A "
    "student pair goes on from it in the same way and learns from the first pair's predictions too. Nothing is erased."
)
SORTED = (
    "The networks are pairs trained by Adaptive Sample Mining, which sorts out the labels that are probably wrong; "
    "{erased}."
)
PLAIN = "Plain training is another pair that believes every label, its first teacher too, for as many epochs."
ERASED = {
    "clean": "only images whose label is believed are erased",
    "noise": "only images whose label is called noise are erased",
    "all": "images are erased whatever their label is called",
    "suspect": "only images whose label is not believed are erased, and the label loses weight for it",
}


def method_name(run: Run) -> str:
    """What was tried, for the line above the title."""
    arm = main_arm(run.arms)
    if arm in ("asm", "plain"):
        return "Adaptive Sample Mining"
    name = "Online Point Adversarial Self Mining" if arm == "online" else "Point Adversarial Self Mining"
    return f"{name}{' with Adaptive Sample Mining' if _sorts(run) else ''}"


def _sorts(run: Run) -> bool:
    return run.config.get("method") in ("asm", "pasm+asm")


def what_was_done(run: Run) -> list[str]:
    """What such a run does."""
    arm, plain = main_arm(run.arms), [PLAIN] if "plain" in run.arms else []
    if arm in ("asm", "plain"):
        return [" ".join([WHAT_ASM, *plain])]
    how = SORTED.format(erased=ERASED.get(str(run.config.get("asm_erase")), ERASED["clean"]))
    return [WHAT_ONLINE if arm == "online" else WHAT, *([" ".join([how, *plain])] if _sorts(run) else [])]
