"""Options that were recorded: what differs is named, what was not recorded is not compared."""

import pytest

from pasm_aug.core.recorded_options import differences, refuse


def test_differences_are_named_at_any_depth_with_both_values():
    before = {"lr": 0.1, "seed": 0, "loss": {"alpha": 1.0, "beta": 0.1}}
    now = {"lr": 0.01, "seed": 0, "loss": {"alpha": 1.0, "beta": 0.2}, "new": 3}
    assert differences(before, now) == ["lr was 0.1, now 0.01", "loss.beta was 0.1, now 0.2"]
    assert differences(before, before) == []


def test_it_refuses_with_the_callers_words():
    with pytest.raises(ValueError, match="here: lr was 1, now 2; seed was 0, now 3!"):
        refuse({"lr": 1, "seed": 0}, {"lr": 2, "seed": 3}, "here: {differing}!")
    refuse({"lr": 1}, {"lr": 1}, "never {differing}")
