import argparse
import json
from pathlib import Path

import pytest
import yaml
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from pasm_aug.cli.entry import build_parser, main, parse
from pasm_aug.cli.options.file import read_options, write_options
from pasm_aug.cli.options.groups import PAPER
from pasm_aug.cli.run import add_run
from pasm_aug.cli.train import add_train
from pasm_aug.rounds.arms import AUGMENTS


def command(name="run"):
    commands = next(action for action in build_parser()._actions if isinstance(action, argparse._SubParsersAction))
    return commands.choices[name]


def read(folder, text, suffix="yaml", name="run"):
    path = folder / f"options.{suffix}"
    path.write_text(text)
    return read_options(path, command(name))


def test_yaml_toml_and_json_say_the_same(tmp_path):
    wanted = {"epochs": 3, "lr": 1e-4, "mask_size": 31 / 224, "quiet": True, "data": "folder", "root": Path("faces")}
    yaml_text = "epochs: 3\nlr: 1e-4\nmask-size: 31/224\nquiet: yes\ndata: folder\nroot: faces\n"
    toml_text = 'epochs = 3\nlr = 1e-4\nmask_size = "31/224"\nquiet = true\ndata = "folder"\nroot = "faces"\n'
    json_text = '{"epochs": 3, "lr": 1e-4, "mask-size": "31/224", "quiet": true, "data": "folder", "root": "faces"}'
    for suffix, text in (("yaml", yaml_text), ("yml", yaml_text), ("toml", toml_text), ("json", json_text)):
        assert read(tmp_path, text, suffix) == wanted, suffix


@pytest.mark.parametrize(
    ("line", "wanted"),
    [
        ("precision: no", {"precision": "no"}),
        ("precision: 'no'", {"precision": "no"}),
        ("lr: 1e-4", {"lr": 1e-4}),
        ("batch-size: 0x10", None),
        ("p: .5", {"p": 0.5}),
        ("quiet: on", {"quiet": True}),
        ("quiet: No", {"quiet": False}),
        ("value: 127", {"value": 127.0}),
        ("value: mean", {"value": "mean"}),
        ("mask-size: 7", {"mask_size": 7}),
        ("baselines: ''", {"baselines": ""}),
        ("root: ~", {"root": None}),
        ("root:", {"root": None}),
        ("root: 'null'", {"root": Path("null")}),
        ("ema: null", {"ema": None}),
        ("class-weights: none", {"class_weights": "none"}),
        ("model: timm:resnet18", {"model": "timm:resnet18"}),
        ("", {}),
        ("# nothing but a comment", {}),
    ],
)
def test_yaml_guesses_nothing(tmp_path, line, wanted):
    if wanted is None:
        with pytest.raises(ValueError, match="batch-size: wanted a whole number of at least 2, got '0x10'"):
            read(tmp_path, line)
    else:
        assert read(tmp_path, line) == wanted


@pytest.mark.parametrize(
    ("suffix", "text", "message"),
    [
        ("yaml", "epoch: 3", r"has no option 'epoch' \(did you mean epochs\?\)"),
        ("yaml", "sing: 3", "has no option 'sing'"),
        ("yaml", "epochs: 3\nlr: fast", "lr: wanted a number of at least 0, got 'fast'"),
        ("yaml", "lr: .nan", "lr: wanted a number"),
        ("yaml", "lr: true", "lr: wanted a number of at least 0, got 'true'"),
        ("yaml", "epochs: 2.5", "epochs: wanted a whole number of at least 1, got '2.5'"),
        ("yaml", "epochs: 0", "epochs: wanted a whole number of at least 1, got '0'"),
        ("yaml", "epochs:", "epochs: wanted a value, got none"),
        ("yaml", "epochs: [1, 2]", "epochs: wanted one value, got a list"),
        ("yaml", "training: {epochs: 3}", "training: wanted one value, got a group"),
        ("yaml", "epochs: 1\nepochs: 2", "epochs stands there twice"),
        ("yaml", "mask-size: 5\nmask_size: 6", "mask_size stands there twice"),
        ("yaml", "precision: half", "precision: wanted one of no, bf16, fp16, got 'half'"),
        ("yaml", "quiet: 1", "quiet: wanted true or false, got '1'"),
        ("yaml", "options: other.yaml", "has no option 'options'"),
        ("yaml", "dry-run: true", "has no option 'dry-run'"),
        ("yaml", "- epochs", "it should hold lines such as epochs: 12"),
        ("yaml", "epochs: 'x", "cannot be read"),
        ("yaml", "a: " + "[" * 1500, "cannot be read"),
        ("toml", "epochs = ", "cannot be read"),
        ("toml", "[training]\nepochs = 3", "training: wanted one value, got a group"),
        ("toml", "lr = 2020-01-01", "lr: wanted a number"),
        ("json", "[1]", "it should hold an object"),
        ("json", '{"epochs": 1, "epochs": 2}', "epochs stands there twice"),
        ("json", '{"epochs": 2.5}', "got '2.5'"),
        ("json", '{"precision": false}', "wanted one of no, bf16, fp16, got 'false'"),
        ("json", "{", "cannot be read"),
        ("ini", "epochs = 3", "must end in .yaml, .yml, .toml or .json"),
    ],
)
def test_what_is_wrong_is_named_with_file_and_key(tmp_path, suffix, text, message):
    with pytest.raises(ValueError, match=message) as error:
        read(tmp_path, text, suffix)
    assert f"options.{suffix}" in str(error.value)


def test_a_file_that_is_not_there_is_named(tmp_path):
    with pytest.raises(ValueError, match=r"nothing\.yaml cannot be read: No such file"):
        read_options(tmp_path / "nothing.yaml", command())


def test_nothing_in_a_file_is_run(tmp_path):
    made = tmp_path / "made"
    with pytest.raises(ValueError, match="wanted one value"):
        read(tmp_path, f"model: !!python/object/apply:pathlib.Path.touch [{made}]")
    assert not made.exists()


@pytest.mark.parametrize("suffix", ["yaml", "toml", "json"])
def test_the_command_line_wins_over_the_file_and_the_file_over_the_preset(tmp_path, suffix):
    path = tmp_path / f"options.{suffix}"
    values = {"preset": "paper", "lr": 0.5, "beta": 0.25, "quiet": True, "epochs": 9}
    if suffix == "toml":
        path.write_text('preset = "paper"\nlr = 0.5\nbeta = 0.25\nquiet = true\nepochs = 9\n')
    else:
        path.write_text(json.dumps(values) if suffix == "json" else yaml.safe_dump(values))
    args = parse(["run", "--options", str(path), "--beta", "0.75", "--no-quiet"])
    assert (args.lr, args.beta, args.quiet, args.epochs) == (0.5, 0.75, False, 9)
    assert (args.model, args.image_size, args.search) == ("resnet34", 224, "paper")
    args = parse(["run", "--options", str(path), "--preset", "paper", "--lr=0.125"])
    assert (args.lr, args.beta, args.epochs, args.teacher_lr) == (0.125, 0.25, 9, 0.01)
    assert parse(["run"]).lr == 0.01  # nothing of it stays


def test_an_option_that_is_required_may_stand_in_the_file(tmp_path, capsys):
    path = tmp_path / "train.yaml"
    path.write_text("out: net\nepochs: 2\n")
    args = parse(["train", "--options", str(path)])
    assert (args.out, args.epochs, args.lr, args.augment) == (Path("net"), 2, 0.05, "none")
    path.write_text("epochs: 2\n")
    with pytest.raises(SystemExit):
        parse(["train", "--options", str(path)])
    assert "--out" in capsys.readouterr().err


def test_a_mistake_in_a_file_is_one_line_and_exit_code_2(tmp_path, capsys):
    path = tmp_path / "options.yaml"
    path.write_text("epochs: many\n")
    for words in (["run", "--options", str(path)], ["train", "--out", "x", f"--options={path}"]):
        assert main(words) == 2
        err = capsys.readouterr().err
        assert f"{path}: epochs: wanted a whole number" in err
        assert err.count("\n") == 1


names = st.text(st.characters(categories=("L", "N", "P", "Zs", "S")), min_size=1, max_size=12)
paths = st.none() | names.filter(lambda text: "\0" not in text).map(Path)
positive = st.floats(0, 1e6) | st.sampled_from([1e-4, 1e-05, 0.1, 3])
VALUES = {
    "out": paths,
    "root": paths,
    "teacher": paths,
    "preset": st.sampled_from([None, "paper"]),
    "precision": st.sampled_from(["no", "bf16", "fp16"]),
    "device": st.sampled_from(["auto", "cpu", "cuda"]),
    "augment": st.sampled_from(sorted(AUGMENTS)),
    "model": names,
    "weights": names,
    "baselines": st.just("") | names,
    "value": st.sampled_from(["point", "mean", "random"]) | st.floats(0, 255),
    "mask_size": st.integers(1, 300) | st.floats(1e-6, 1),
    "lr": positive,
    "margin": positive,
    "warmup": positive,
    "checkpoint_minutes": positive,
    "p": st.floats(0, 1),
    "refresh": st.floats(0, 1),
    "ema": st.none() | st.floats(1e-6, 0.999),
    "early_stop": st.none() | st.integers(1, 99),
    "rounds": st.none() | st.integers(0, 99),
    "image_size": st.none() | st.integers(8, 999),
    "compile": st.booleans(),
    "quiet": st.booleans(),
}


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(values=st.fixed_dictionaries({}, optional=VALUES))
@example(values={"root": Path("no"), "model": "1e3", "baselines": "", "weights": "null", "teacher": Path("a: b # c")})
def test_what_a_run_writes_down_gives_the_same_options_again(tmp_path, values):
    args = parse(["run"])
    vars(args).update(values)
    path = tmp_path / "run.yaml"
    write_options(path, args, add_run)
    again = parse(["run", "--options", str(path)])
    assert again.options == path
    assert vars(again) | {"options": None} == vars(args)


def test_a_preset_that_was_overruled_stays_overruled(tmp_path):
    args = parse(["run", "--preset", "paper", "--image-size", "48", "--lr", "0.5"])
    args.device = None  # as it is once the machine has been looked at
    write_options(tmp_path / "run.yaml", args, add_run)
    again = parse(["run", "--options", str(tmp_path / "run.yaml")])
    assert (again.image_size, again.lr, again.device) == (48, 0.5, "auto")
    assert all(getattr(again, name) == value for name, value in PAPER.items() if name not in ("image_size", "lr"))


@pytest.mark.parametrize(("name", "add"), [("run", add_run), ("train", add_train)])
def test_the_file_holds_every_option_under_the_title_of_its_group(tmp_path, name, add):
    args = parse([name, "--out", "somewhere"])
    write_options(tmp_path / "o.yaml", args, add)
    text = (tmp_path / "o.yaml").read_text()
    known = {action.dest for action in command(name)._actions} - {"help", "options", "dry_run"}
    assert {key.replace("-", "_") for key in yaml.safe_load(text)} == known
    titles = [line[2:] for line in text.splitlines()[1:] if line.startswith("# ")]
    groups = [group.title for group in command(name)._action_groups if group.title in titles]
    assert titles == groups
    assert "machine" in titles
