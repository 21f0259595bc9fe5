"""What is done already is told again, and other options are refused, without torch; whatever changed is worked on."""

import errno
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest

from pasm_aug.cli.at_once import changed_since, told_at_once
from pasm_aug.cli.entry import main, parse
from pasm_aug.cli.options.settle import settle_run, settle_train
from pasm_aug.cli.recorded import config_of
from pasm_aug.core.checksums import resealed
from pasm_aug.core.files import write_json
from tests.made_runs import made_run
from tests.shapes import Shapes

RUN = ["run", "--data", "folder", "--rounds", "1", "--baselines", "none,random"]


def made(folder, words):
    """A finished run of these options, with every file that is looked at."""
    args = parse([*words, "--out", str(folder)])
    names, config = settle_run(args), config_of(args)
    run = made_run(folder, Shapes(30), arm=names[0], baselines=names[1:], rounds=1, config=config)
    (folder / "report.html").touch()
    (folder / "run.yaml").touch()
    for arm in (folder, *(folder / "baselines").iterdir()):
        write_json(arm / "stop.json", {"reason": "Enough.", "best_round": 1, "rounds": 1})
        for place in (arm, *arm.glob("round-*")):
            with resealed(place):
                pass
    return run


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A finished run, in ``out``, on the images in ``faces``."""
    folder = tmp_path_factory.mktemp("at-once")
    (folder / "faces" / "a").mkdir(parents=True)
    (folder / "faces" / "a" / "1.png").touch()
    made(folder / "out", [*RUN, "--root", str(folder / "faces")])
    return folder


@pytest.fixture
def copied(finished, tmp_path):
    """The same, to be changed."""
    shutil.copytree(finished / "out", tmp_path / "out")
    return tmp_path / "out"


def words_of(finished, out=None, *more):
    return [*RUN, "--root", str(finished / "faces"), "--out", str(out or finished / "out"), *more]


def in_a_process(*words):
    """(exit code, standard output, standard error) of a command, and whether torch was loaded for it."""
    code = (
        "import sys; from pasm_aug.cli.entry import main\n"
        "try:\n    code = main(sys.argv[1:])\n"
        "except SystemExit as stop:\n    code = stop.code or 0\n"
        "print('torch' in sys.modules); sys.exit(code)"
    )
    done = subprocess.run([sys.executable, "-c", code, *words], capture_output=True, text=True)
    *out, loaded = done.stdout.splitlines()
    return done.returncode, "\n".join(out), done.stderr, loaded == "True"


def test_a_finished_run_is_told_again_without_torch(finished):
    code, out, err, loaded = in_a_process(*words_of(finished))
    assert (code, err, loaded) == (0, "", False)
    for text in ("nothing is left to do", "RandomErasing (torchvision)", "Enough.", f"report: {finished}/out/report"):
        assert text in out
    assert out.index("no erasing") < out.index("RandomErasing")  # the arms in the order of --baselines


@pytest.mark.parametrize("more", [["--epochs", "9"], ["--epochs", "9", "--dry-run"]])
def test_other_options_are_refused_without_torch(finished, more):
    code, _, err, loaded = in_a_process(*words_of(finished), *more)
    assert (code, loaded) == (2, False)
    assert "holds a run with other options (epochs was 6, now 9)" in err


@pytest.mark.parametrize(
    "words",
    [["--version"], ["--help"], ["run", "--help"], ["run", "--epoch", "3"], ["run", "--baselines", "none,cutout"],
     ["train", "--augment", "point", "--out", "x"], ["run", "--warmup", "99"], ["run", "--noise", "much:3"]],
)  # fmt: skip
def test_help_and_mistakes_need_no_torch(words):
    code, out, err, loaded = in_a_process(*words)
    assert not loaded
    assert (code == 0) == bool(out) != bool(err)


def test_several_seeds_are_told_again_without_torch(tmp_path):
    for seed in (0, 1):
        made(tmp_path / f"seed-{seed}", ["run", "--rounds", "1", "--baselines", "none", "--seed", str(seed)])
    words = ["run", "--rounds", "1", "--baselines", "none", "--out", str(tmp_path), "--seeds"]
    code, out, err, loaded = in_a_process(*words, "0,1")
    assert (code, err, loaded) == (0, "", False)
    assert "2 seeds, percent" in out
    assert not told_at_once(parse([*words, "0-2"]))


def test_a_finished_training_is_told_again_without_torch(finished, tmp_path):
    shutil.copytree(finished / "out" / "round-1", tmp_path / "net")
    words = ["train", "--limit", "30", "--out", str(tmp_path / "net")]
    args = parse(words)
    settle_train(args)
    with resealed(tmp_path / "net"):
        write_json(tmp_path / "net" / "config.json", config_of(args))
        (tmp_path / "net" / "train.yaml").touch()
    code, out, err, loaded = in_a_process(*words)
    assert (code, err, loaded) == (0, "", False)
    assert out.startswith(f"{tmp_path}/net holds this network already: train ")
    assert not told_at_once(parse([*words, "--dry-run"]))


def test_what_is_there_is_told_only_while_nothing_has_changed(finished, copied, capsys):
    assert told_at_once(parse(words_of(finished, copied)))
    assert "going on with the run" in capsys.readouterr().out
    for more in (["--baselines", "none"], ["--baselines", "none,random,cam-peak"], ["--dry-run"]):
        assert not told_at_once(parse(words_of(finished, copied, *more)))
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("name", ["round-1/metrics.csv", "baselines/none/stop.json", "config.json", "report.html"])
def test_a_damaged_file_is_left_to_the_work(finished, copied, name):
    (copied / name).write_bytes(b"{}")
    assert not told_at_once(parse(words_of(finished, copied)))


@pytest.mark.parametrize("name", ["baselines/none/stop.json", "SHA256SUMS", "baselines/random/round-1/SHA256SUMS"])
def test_a_run_that_has_not_ended_goes_on(finished, copied, name):
    with resealed(copied / "baselines/none"):
        (copied / name).unlink()
    if name.endswith("SUMS"):
        assert not (copied / name).exists()
    assert not told_at_once(parse(words_of(finished, copied)))


def test_options_that_an_older_version_did_not_record_are_left_to_the_work(finished, copied):
    with resealed(copied):
        config = json.loads((copied / "config.json").read_text())
        del config["schedule"]
        write_json(copied / "config.json", config)
    assert not told_at_once(parse(words_of(finished, copied)))


def test_several_processes_ask_each_other_first(finished, monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert not told_at_once(parse(words_of(finished)))


def test_images_that_came_since_are_looked_at(finished, copied):
    os.utime(copied / "run.yaml", (0, 0))  # as if it had been written long ago
    assert not told_at_once(parse(words_of(finished, copied)))


def test_changes_are_seen_at_any_depth_and_through_links(tmp_path):
    (tmp_path / "data" / "a").mkdir(parents=True)
    (tmp_path / "far").mkdir()
    (tmp_path / "data" / "a" / "1.png").touch()
    (tmp_path / "data" / "far").symlink_to(tmp_path / "far")
    (tmp_path / "data" / "a" / "round").symlink_to(tmp_path / "data")
    now = time.time() + 60
    paths = [tmp_path / "data"]
    assert not changed_since(now, paths)
    assert not changed_since(now, [tmp_path / "data" / "a" / "1.png"])
    assert changed_since(now, [*paths, tmp_path / "gone"])
    moment = max(os.stat(path).st_ctime for path in tmp_path.rglob("*"))
    assert not changed_since(moment, paths)
    for file in (tmp_path / "data" / "a" / "1.png", tmp_path / "far" / "new.png"):
        while time.time() <= moment + 0.02:  # a file system counts in hundredths of a second
            time.sleep(0.01)
        file.write_bytes(b"new")
        assert changed_since(moment, paths)
        moment = max(os.stat(path).st_ctime for path in tmp_path.rglob("*"))
        assert not changed_since(moment, paths)


def test_a_defect_in_telling_is_told_as_one(finished, copied, capsys, monkeypatch):
    monkeypatch.setattr("pasm_aug.cli.at_once.tell_run", lambda *_: {}["nothing"])
    assert main(words_of(finished, copied)) == 1
    err = capsys.readouterr().err
    assert "a defect of pasm-aug" in err
    assert err.count("\n") == 1


def test_a_defect_is_told_where_its_folder_cannot_be_written(finished, copied, capsys, monkeypatch):
    make = tempfile.mkstemp

    def elsewhere(suffix, prefix, folder=None):
        if folder is not None:
            raise PermissionError(errno.EACCES, "Permission denied", str(folder))
        return make(suffix, prefix)

    monkeypatch.setattr(tempfile, "mkstemp", elsewhere)
    monkeypatch.setattr("pasm_aug.cli.at_once.tell_run", lambda *_: {}["nothing"])
    assert main(words_of(finished, copied)) == 1
    told = re.search(r"report it with (\S+):", capsys.readouterr().err)
    assert "KeyError: 'nothing'" in Path(told[1]).read_text()
    Path(told[1]).unlink()
