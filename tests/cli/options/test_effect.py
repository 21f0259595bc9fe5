"""Options without effect are refused, and whatever a run writes down is taken again."""

import argparse

import pytest

from pasm_aug.cli.entry import parse
from pasm_aug.cli.options.settle import settle_run, settle_train
from pasm_aug.cli.run import add_run
from pasm_aug.core.errors import UserError


@pytest.mark.parametrize(
    ("words", "needs"),
    [
        (["--search", "paper"], "--search needs an arm that mines points, as --augment point does; got online, none"),
        (["--augment", "point", "--rounds", "1", "--keep-points", "2"], "--keep-points needs several rounds"),
        (["--augment", "point", "--refresh", ".1", "--miner", "x"], "--refresh needs to mine with the teacher"),
        (["--patience", "2"], "--patience needs rounds that end by themselves"),
        (["--augment", "point", "--rounds", "2", "--margin", "2"], "--margin needs rounds that end by themselves"),
        (["--teacher", "x", "--teacher-epochs", "3"], "--teacher-epochs needs a first teacher that is trained here"),
        (["--augment", "point", "--search", "exhaustive", "--budget", "3"], "--budget needs --search seeded and"),
        (["--augment", "none", "--baselines", "", "--p", ".5"], "--p needs an arm that erases a square or a region"),
        (
            ["--augment", "cam-region", "--baselines", "none", "--value", "mean"],
            "--value needs an arm that erases a sq",
        ),
        (["--method", "asm", "--mask-size", "9"], "--mask-size needs an arm that erases a square; got asm, plain"),
        (["--augment", "point", "--hardness", "drawn"], "--hardness needs --augment online"),
        (["--mask-size", "48"], "--mask-size 48 covers all of the 48×48 images"),
        (["--asm-low", ".3"], "--asm-low needs --method asm or pasm"),
        (["--method", "asm", "--asm-erase", "all"], "--asm-erase needs --method pasm"),
        (["--method", "asm", "--alpha", "2"], "--alpha needs --method pasm"),
    ],
)
def test_what_has_no_effect_on_a_run_is_refused(words, needs):
    with pytest.raises(UserError) as error:
        settle_run(parse(["run", *words]))
    assert str(error.value).startswith(needs)


@pytest.mark.parametrize(
    ("words", "needs"),
    [
        (["--positions", "x"], "--positions needs --augment point, random-matched"),
        (["--beta", ".5"], "--beta needs --teacher"),
        (["--budget", "3"], "--budget needs --augment online"),
        (["--p", ".5"], "--p needs an arm that erases"),
        (["--augment", "random", "--mask-size", "9"], "--mask-size needs an arm that erases a square; got random"),
        (["--asm-omega", "1"], "--asm-omega needs --method asm"),
    ],
)
def test_what_has_no_effect_on_a_training_is_refused(words, needs):
    with pytest.raises(UserError) as error:
        settle_train(parse(["train", "--out", "x", *words]))
    assert str(error.value).startswith(needs)


@pytest.mark.parametrize(
    "words",
    [
        [],
        ["--preset", "paper"],
        ["--preset", "paper", "--augment", "online"],
        ["--preset", "paper", "--teacher", "x"],
        ["--method", "asm"],
        ["--method", "pasm+asm", "--asm-erase", "all", "--asm-low", ".1"],
        ["--augment", "point", "--budget", "3", "--refresh", ".1", "--keep-points", "2", "--margin", "0"],
        ["--augment", "cam-region", "--p", ".5"],
        ["--augment", "none", "--baselines", "online", "--hardness", "drawn", "--mask-size", "9"],
        ["--baselines", "none,none,random", "--budget", "8"],
    ],
)
def test_what_a_run_writes_down_is_taken_again(words):
    args = parse(["run", *words])
    names = settle_run(args)
    args.preset = None  # only its options are written down
    assert settle_run(args) == names
    assert len(names) == len(set(names))
    parser = argparse.ArgumentParser()
    add_run(parser)
    again = argparse.Namespace(**{action.dest: getattr(args, action.dest) for action in parser._actions[1:]})
    again.command = "run"
    assert settle_run(again) == names


def test_a_folder_within_the_images_would_be_a_class(tmp_path, monkeypatch):
    (tmp_path / "faces" / "happy").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "faces")
    for words in (["run", "--root", "."], ["train", "--root", str(tmp_path / "faces"), "--out", "happy/net"]):
        args = parse([*words, "--data", "folder"])
        with pytest.raises(UserError, match=r"lies in --root .*, where it would be a class of the data set"):
            (settle_run if words[0] == "run" else settle_train)(args)
    (tmp_path / "faces" / "Train").mkdir()  # with folders for the splits, others are none of the data set
    settle_run(parse(["run", "--root", ".", "--data", "folder"]))
