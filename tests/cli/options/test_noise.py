"""``--noise`` from text to what NoisyLabels takes."""

import argparse
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pasm_aug.cli.entry import parse
from pasm_aug.cli.options.noise import KINDS, noise_keywords, settle_noise
from pasm_aug.core.errors import UserError
from pasm_aug.data import noisy_labels


def settled(text):
    args = argparse.Namespace(noise=text)
    settle_noise(args)
    return args.noise


def test_its_kinds_are_those_of_the_data_set():
    assert tuple(KINDS) == noisy_labels.KINDS


@given(st.sampled_from(list(KINDS)), st.floats(0, 1))
def test_one_share_is_one_text_and_comes_back(kind, rate):
    text = settled(f"{kind}:{rate!r}")
    assert settled(text) == text
    assert noise_keywords(text) == {"kind": kind, "rate": rate}


def test_the_same_share_in_other_words_is_the_same():
    assert settled("symmetric:.30") == settled("symmetric:0.3") == "symmetric:0.3"
    assert settled(None) is None


def test_a_file(tmp_path, monkeypatch):
    (tmp_path / "noise.csv").write_text("")
    monkeypatch.chdir(tmp_path)
    assert settled("noise.csv") == Path("noise.csv")
    assert noise_keywords(settled("noise.csv")) == {"file": Path("noise.csv")}


@pytest.mark.parametrize(
    "text", ["symmetric", "symmetric:", "pair:1.1", "uniform:-0.1", "pair:nan", "sym:0.3", "0.3", "", ".", "pair:30%"]
)
def test_anything_else_is_refused(text):
    with pytest.raises(UserError, match=r"--noise must be symmetric:R, uniform:R, pair:R with a share R in 0…1, or a"):
        settled(text)


def test_only_commands_that_train_know_it():
    for command in (["run"], ["train", "--out", "x"]):
        assert parse([*command, "--noise", "pair:0.1"]).noise == "pair:0.1"
        assert parse(command).noise is None
    for command in (["mine", "--teacher", "x", "--out", "x"], ["evaluate", "--checkpoint", "x"]):
        assert not hasattr(parse(command), "noise")
