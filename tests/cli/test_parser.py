"""Mistyped names, versions, completion: what the parser says before any command runs."""

import os
import re
import subprocess
import sys

import pytest

from pasm_aug.cli.entry import main
from pasm_aug.cli.parser import closest


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["run", "--epoch", "3"], "unrecognized arguments: --epoch 3; --epoch: did you mean --epochs?"),
        (["run", "--epohcs=3"], "--epohcs: did you mean --epochs?"),
        (["run", "--pres", "paper", "--lrr", "1"], "--pres: did you mean --preset?; --lrr: did you mean --lr?"),
        (["mine", "--techer", "x", "--out", "y"], "are required: --teacher; --techer: did you mean --teacher?"),
        (["mien", "--teacher", "x"], "invalid choice: 'mien' (did you mean mine? choose from run, train, mine, "),
        (["run", "--data", "fer"], "argument --data: invalid choice: 'fer' (did you mean fer2013? choose from "),
        (["run", "--augment", "pont"], "invalid choice: 'pont' (did you mean point? choose from "),
        (["run", "--zzzzzz"], "unrecognized arguments: --zzzzzz; see pasm-aug run --help"),
        (["zzz"], "invalid choice: 'zzz' (choose from run, "),
        (
            ["run", "--epochs", "-1"],
            "argument --epochs: wanted a whole number of at least 1, got '-1'; see pasm-aug run",
        ),
        ([], "the following arguments are required: COMMAND; see pasm-aug --help"),
    ],
)
def test_a_mistake_is_one_line_that_says_what_was_likely_meant(words, message, capsys):
    with pytest.raises(SystemExit) as stop:
        main(words)
    assert stop.value.code == 2
    out, err = capsys.readouterr()
    assert message in err
    assert err.startswith("pasm-aug")
    assert (err.count("\n"), out) == (1, "")


def test_names_that_begin_alike_come_before_those_that_resemble():
    assert closest("--mask", ["--task", "--mask-size"]) == "--mask-size"
    assert closest("--tsak", ["--task", "--mask-size"]) == "--task"
    assert closest("a", ["anger"]) is None
    assert closest("x", []) is None


def test_the_version_of_the_package_and_of_torch_without_loading_it(capsys):
    with pytest.raises(SystemExit) as stop:
        main(["--version"])
    assert stop.value.code == 0
    version = r"pasm-aug \d+\.\d+\.\d+ \(Python 3\.\d+\.\d+\S*, torch \d\S+, torchvision \d\S+\)\n"
    assert re.fullmatch(version, capsys.readouterr().out)


def completions(line, folder):
    """What a shell is told on Tab, as argcomplete's hook asks: on file descriptor 8."""
    asked = {"_ARGCOMPLETE": "1", "COMP_LINE": line, "COMP_POINT": str(len(line)), "COMP_TYPE": "9"}
    asked |= {"_ARGCOMPLETE_IFS": "\n", "_ARGCOMPLETE_SUPPRESS_SPACE": "1"}
    command = ["bash", "-c", '"$0" -m pasm_aug 8>&1 9>/dev/null 1>/dev/null 2>/dev/null', sys.executable]
    return subprocess.run(command, env=os.environ | asked, cwd=folder, capture_output=True, text=True, timeout=60)


@pytest.mark.parametrize(
    ("line", "wanted"),
    [
        ("pasm-aug pre", {"predict", "preview"}),
        ("pasm-aug run --data f", {"fer2013", "ferplus", "folder"}),
        ("pasm-aug mine --teac", {"--teacher"}),
        ("pasm-aug inspect posi", {"positions.safetensors"}),
    ],
)
def test_tab_completes_commands_options_choices_and_files(line, wanted, tmp_path):
    pytest.importorskip("argcomplete")
    (tmp_path / "positions.safetensors").touch()
    assert {word.strip() for word in completions(line, tmp_path).stdout.split("\n")} == wanted


def test_a_shell_that_asks_where_argcomplete_is_missing_runs_no_command(tmp_path, monkeypatch):
    monkeypatch.setenv("_ARGCOMPLETE", "1")
    monkeypatch.setitem(sys.modules, "argcomplete", None)
    with pytest.raises(SystemExit) as stop:
        main(["run", "--out", str(tmp_path / "out")])
    assert stop.value.code == 1
    assert not (tmp_path / "out").exists()
