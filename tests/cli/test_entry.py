import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import PIL.Image
import pytest

from pasm_aug.cache.position_cache import PositionCache
from pasm_aug.cli.entry import build_parser, main
from pasm_aug.models import load_model
from tests.shapes import Shapes

QUICK = ["--limit", "42", "--batch-size", "16", "--quiet", "--device", "cpu"]
POINT = ["run", "--augment", "point", *QUICK]


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A finished run on a few drawn faces."""
    out = tmp_path_factory.mktemp("run") / "out"
    assert main([*POINT, "--teacher-epochs", "2", "--epochs", "1", "--rounds", "2", "--out", str(out)]) == 0
    return out


def test_run_leaves_the_folder_of_the_contract(finished):
    names = {file.name for file in finished.iterdir()}
    assert names >= {"config.json", "rounds.csv", "report.html", "figures", "round-0", "round-1", "round-2"}
    assert (finished / "round-1" / "positions.safetensors").exists()
    rows = (finished / "rounds.csv").read_text().splitlines()
    assert [row.split(",")[0] for row in rows[1:]] == [
        "teacher",
        "point",
        "point",
        *(arm for arm in ("none", "random", "random-matched") for _ in "12"),
    ]
    assert all(float(row.split(",")[6]) <= 1 for row in rows[1:])
    model = json.loads((finished / "round-1" / "model.json").read_text())
    assert model["architecture"] == "small"
    page = (finished / "report.html").read_text()
    assert "pasm-aug run --limit 42 --rounds 2 --teacher-epochs 2 --augment point --epochs 1 --batch-size 16<" in page
    assert f"pasm_aug {model['versions']['pasm_aug']}, python " in page
    assert "paired image by image." in page  # the worst case under a square too
    assert len(PositionCache.open(finished / "round-1" / "positions.safetensors")) == 42


def test_run_again_trains_nothing_and_says_the_same(finished, capsys):
    before = (finished / "round-2" / "model.safetensors").stat().st_mtime_ns
    assert main([*POINT, "--teacher-epochs", "2", "--epochs", "1", "--rounds", "2", "--out", str(finished)]) == 0
    out = capsys.readouterr().out
    assert "going on with the run" in out
    assert "RandomErasing (torchvision)" in out
    assert str(finished / "report.html") in out
    assert (finished / "round-2" / "model.safetensors").stat().st_mtime_ns == before


def test_run_with_other_options_into_the_same_folder_is_refused(finished, capsys):
    assert main([*POINT, "--teacher-epochs", "2", "--epochs", "2", "--rounds", "2", "--out", str(finished)]) == 2
    assert "epochs was 1, now 2" in capsys.readouterr().err


def test_evaluate_prints_and_writes_what_the_run_found(finished, tmp_path, capsys):
    scores = tmp_path / "scores.json"
    words = ["evaluate", "--checkpoint", str(finished / "round-1"), "--limit", "42", "--json", str(scores), "--quiet"]
    assert main(words) == 0
    result = json.loads((finished / "round-1" / "result.json").read_text())
    assert json.loads(scores.read_text())["confusion"] == result["test"]["confusion"]
    assert f"{result['test']['accuracy']:.2%}" in capsys.readouterr().out


def test_mine_train_and_report_alone(finished, tmp_path, capsys):
    cache = tmp_path / "positions.safetensors"
    assert main(["mine", "--teacher", str(finished / "round-0"), "--out", str(cache), "--limit", "42", "--quiet"]) == 0
    first, again = (PositionCache.open(p).to_numpy() for p in (cache, finished / "round-1" / "positions.safetensors"))
    assert np.array_equal(first["xy"], again["xy"])
    words = ["train", *QUICK, "--epochs", "1", "--teacher", str(finished / "round-0")]
    assert main([*words, "--augment", "point", "--positions", str(cache), "--out", str(tmp_path / "net")]) == 0
    assert load_model(tmp_path / "net")
    (finished / "report.html").unlink()
    assert main(["report", str(finished)]) == 0
    assert (finished / "report.html").exists()
    assert "round" in capsys.readouterr().out


def test_run_on_a_folder_of_images_with_another_network(tmp_path):
    for split, length in (("train", 24), ("val", 12), ("test", 12)):
        data = Shapes(length, seed=length)
        for index in range(length):
            image, label = data[index]
            folder = tmp_path / "data" / split / data.classes[label]
            folder.mkdir(parents=True, exist_ok=True)
            image.resize((26, 22)).save(folder / f"{index}.png")
    words = ["run", "--data", "folder", "--root", str(tmp_path / "data"), "--model", "tests.shapes:OwnNet"]
    words += ["--image-size", "20", "--rounds", "1", "--epochs", "1", "--teacher-epochs", "1", "--baselines", ""]
    assert main([*words, "--quiet", "--out", str(tmp_path / "out")]) == 0
    assert "ring" in (tmp_path / "out" / "round-0" / "model.json").read_text()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["run", "--data", "fer2013"], "root"),
        (["run", "--data", "folder", "--root", "/nowhere"], "/nowhere"),
        (["run", "--limit", "14", "--model", "resnet1234"], "resnet1234"),
        (["run", "--baselines", "none,cutout"], "cutout"),
        (["run", "--preset", "paper", "--model", "small", "--limit", "14"], "ImageNet"),
        (["run", "--limit", "14", "--model", "os:getcwd"], "os:getcwd"),
        (["run", "--limit", "14", "--model", "torch.nn:Identity"], "must give logits"),
        (["run", "--limit", "14", "--model", "vit_b_32", "--image-size", "48"], "does not work on 48×48"),
        (["mine", "--teacher", "/nowhere", "--out", "x"], "/nowhere/model.json"),
        (["evaluate", "--checkpoint", "/nowhere"], "/nowhere"),
        (["report", "/nowhere"], "/nowhere/config.json"),
        (["train", "--augment", "point", "--out", "x"], "--positions"),
        (["run", "--root", "faces"], "--root faces is not for --data synthetic, which draws its faces: add --data"),
        (["run", "--seeds", "0,1", "--seed", "3"], "--seeds takes the place of --seed"),
        (["run", "--method", "asm", "--augment", "point"], "--method asm erases nothing, got --augment point"),
        (["run", "--baselines", "asm"], "--baselines asm needs --method asm or pasm+asm"),
        (["check", "--root", ".", "--out", "x"], "--out x lies in --root ., where it would be a class"),
    ],
)
def test_a_mistake_is_one_line_and_exit_code_2(words, message, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main([*words, *([] if words[0] == "report" else ["--quiet"])]) == 2
    err = capsys.readouterr().err
    assert message in err
    assert err.count("\n") == 1


@pytest.mark.parametrize(
    "words",
    [
        ["run", "--p", "x"],
        ["run", "--mask-size", "0"],
        ["run", "--value", "blue"],
        ["run", "--value", "300"],
        ["run", "--pres", "paper"],
        ["run", "--p", "2"],
        ["run", "--ema", "1"],
        ["run", "--lr", "inf"],
        ["run", "--warmup", "-1"],
        ["run", "--label-smoothing", "1"],
        ["run", "--patience", "0"],
        ["run", "--quiet=yes"],
        ["run", "--epochs", "2.5"],
        ["report"],
        ["sing"],
    ],
)
def test_a_wrong_option_is_exit_code_2(words, capsys):
    with pytest.raises(SystemExit) as stop:
        main(words)
    assert stop.value.code == 2
    assert "Traceback" not in capsys.readouterr().err


def test_an_image_that_is_none_is_named(tmp_path, capsys):
    for split in ("train", "val", "test"):
        for name in ("a", "b"):
            (tmp_path / split / name).mkdir(parents=True)
            for index in range(3):
                PIL.Image.new("L", (20, 20), index).save(tmp_path / split / name / f"{index}.png")
    (tmp_path / "train" / "b" / "1.png").write_bytes(b"no image")
    assert main(["run", "--data", "folder", "--root", str(tmp_path), "--quiet", "--out", str(tmp_path / "out")]) == 2
    assert "train/b/1.png" in capsys.readouterr().err


def test_help_gives_every_option_a_text():
    parser = build_parser()
    subparsers = next(action for action in parser._actions if action.dest == "command")
    for name, command in subparsers.choices.items():
        assert all(action.help for action in command._actions), name
        assert command.format_help()


def test_help_gives_every_default_that_is_none_of_nothing_and_no():
    parser = build_parser()
    subparsers = next(action for action in parser._actions if action.dest == "command")
    for name, command in subparsers.choices.items():
        formatter = command._get_formatter()
        for action in command._actions:
            if not (action.default is None or action.default is False or action.default == "==SUPPRESS=="):
                assert "default" in formatter._get_help_string(action), (name, action.dest)


def test_the_choices_of_the_command_line_are_those_of_the_trainer():
    from pasm_aug.training.options import SAMPLING
    from pasm_aug.training.schedule import SCHEDULES

    parser = build_parser()
    subparsers = next(action for action in parser._actions if action.dest == "command")
    for name in ("run", "train"):
        choices = {action.dest: action.choices for action in subparsers.choices[name]._actions}
        assert (choices["schedule"], choices["sampling"]) == (SCHEDULES, SAMPLING)


def test_help_is_quick_because_it_loads_no_torch():
    code = "import sys; from pasm_aug.cli.entry import build_parser; build_parser(); print('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "False\n"


def test_a_network_of_other_classes_is_refused_by_name(finished, tmp_path, capsys):
    for split in ("train", "val", "test"):
        for name in ("surprise", "sadness", "anger", "cat", "dog", "emu", "fox"):
            (tmp_path / split / name).mkdir(parents=True)
            for index in range(3):
                PIL.Image.new("L", (48, 48), index).save(tmp_path / split / name / f"{index}.png")
    data = ["--data", "folder", "--root", str(tmp_path), "--quiet"]
    teacher = str(finished / "round-0")
    for words in (
        ["run", "--teacher", teacher, "--out", str(tmp_path / "out")],
        ["run", "--augment", "point", "--miner", teacher, "--out", str(tmp_path / "out")],
        ["train", "--teacher", teacher, "--out", str(tmp_path / "out")],
        ["mine", "--teacher", teacher, "--out", str(tmp_path / "c")],
    ):
        assert main([*words, *data]) == 2
        assert "was trained on the classes neutral, anger" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
    assert main(["evaluate", "--checkpoint", teacher, *data]) == 0  # scoring goes by name, and says what it leaves out
    assert "does not know their class: 3 cat, 3 dog, 3 emu, 3 fox" in capsys.readouterr().out


def test_two_processes_run_the_whole_method(tmp_path):
    words = ["run", "--limit", "35", "--teacher-epochs", "1", "--epochs", "1", "--rounds", "1", "--baselines", "none"]
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m", "pasm_aug"]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    out = ["--quiet", "--out", str(tmp_path / "out")]
    done = subprocess.run([*command, *words, *out], env=environment, timeout=120, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("report:") == 1
    assert len((tmp_path / "out" / "rounds.csv").read_text().splitlines()) == 4


def test_preset_gives_way_to_options_beside_it():
    words = ["run", "--preset", "paper", "--beta", "0.5", "--out", "x"]
    seen = {}

    def capture(args):
        seen.update(vars(args))

    from pasm_aug.cli import run as commands

    original, commands.run = commands.run, capture
    try:
        assert main(words) == 0
    finally:
        commands.run = original
    assert (seen["search"], seen["model"], seen["image_size"], seen["lr"], seen["beta"]) == (
        "paper",
        "resnet34",
        224,
        0.01,
        0.5,
    )


def test_ctrl_c_is_one_line(tmp_path):
    words = ["run", *QUICK, "--teacher-epochs", "999", "--out", str(tmp_path / "out")]
    foreground = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)"  # in the background: ignored
    script = f"{foreground}; import sys; from pasm_aug.cli.entry import main; sys.exit(main(sys.argv[1:]))"
    process = subprocess.Popen([sys.executable, "-c", script, *words], stderr=subprocess.PIPE, text=True)
    while process.poll() is None and not (tmp_path / "out" / "round-0" / "training.safetensors").exists():
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    error = process.communicate(timeout=120)[1]
    assert error.splitlines()[-1] == "pasm-aug: interrupted; the same command goes on from here"
    assert process.returncode == 130


def test_a_killed_run_goes_on_to_the_same_end(tmp_path):
    """A real process, killed in the middle of whatever it is doing, three times; then the end must be bit-identical."""
    words = ["run", *QUICK, "--teacher-epochs", "3", "--epochs", "2", "--rounds", "1", "--baselines", "none"]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    out, rng = tmp_path / "killed", np.random.default_rng(0)
    for moment in ("round-0", "round-1", "baselines"):
        process = subprocess.Popen(
            [sys.executable, "-m", "pasm_aug", *words, "--out", str(out)], env=environment, stdout=subprocess.DEVNULL
        )
        while process.poll() is None and not (out / moment).exists():
            time.sleep(0.01)
        time.sleep(rng.uniform(0, 0.3))
        process.send_signal(signal.SIGKILL)
        process.wait()
    for name in ("killed", "whole"):
        command = [sys.executable, "-m", "pasm_aug", *words, "--out", str(tmp_path / name)]
        subprocess.run(command, env=environment, check=True, stdout=subprocess.DEVNULL)
    for file in ("round-0", "round-1", "baselines/none/round-1"):
        ends = [(tmp_path / name / file / "model.safetensors").read_bytes() for name in ("killed", "whole")]
        assert ends[0] == ends[1], file


def test_decoded_images_give_the_same_points(finished, tmp_path):
    words = ["mine", "--teacher", str(finished / "round-0"), "--limit", "8", "--budget", "8", "--quiet"]
    for extra in ([], ["--decoded", str(tmp_path / "decoded")]):
        assert main([*words, "--out", str(tmp_path / f"c{len(extra)}"), *extra]) == 0
    one, other = (PositionCache.open(tmp_path / name).to_numpy() for name in ("c0", "c2"))
    assert all(np.array_equal(one[name], other[name]) for name in one)
    assert [file.suffix for file in (tmp_path / "decoded").iterdir()] != []


def test_every_arm_of_erasing_by_command(finished, tmp_path):
    arms = "random-matched,shuffled,shuffled-class,cam-peak,cam-region"
    words = [*POINT, "--teacher", str(finished / "round-0"), "--epochs", "1", "--rounds", "1", "--budget", "8"]
    assert main([*words, "--baselines", arms, "--out", str(tmp_path)]) == 0
    rows = [row.split(",") for row in (tmp_path / "rounds.csv").read_text().splitlines()]
    share = {row[0]: float(row[rows[0].index("erased_share")]) for row in rows[1:]}
    assert list(share) == ["teacher", "point", *arms.split(",")]
    for arm in arms.split(",")[:-1]:
        assert share[arm] == pytest.approx(share["point"], rel=0.25)  # the same square, clipped at other places
    assert (tmp_path / "baselines" / "cam-peak" / "round-1" / "cam-peak.safetensors").exists()
    assert main([*words[:-2], "--augment", "cam-region", "--baselines", "", "--out", str(tmp_path / "cam")]) == 0
    train = ["train", *QUICK, "--epochs", "1", "--out", str(tmp_path / "t")]
    assert main([*train, "--augment", "cam-region"]) == 2  # whose maps?
    assert main([*train, "--augment", "cam-region", "--teacher", str(finished / "round-0")]) == 0


def test_sigterm_of_a_scheduler_is_one_line_and_the_same_command_goes_on(tmp_path):
    words = ["run", *QUICK, "--teacher-epochs", "2", "--epochs", "1", "--rounds", "1", "--baselines", ""]
    command = [sys.executable, "-m", "pasm_aug", *words, "--out", str(tmp_path / "out")]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True)
    while process.poll() is None and not (tmp_path / "out" / "round-0").exists():
        time.sleep(0.01)
    process.send_signal(signal.SIGTERM)
    assert process.communicate()[1].splitlines()[-1] == "pasm-aug: terminated; the same command goes on from here"
    assert process.returncode == 143
    assert main([*words, "--out", str(tmp_path / "out")]) == 0


def test_the_options_of_a_run_are_kept_and_run_it_again(finished, tmp_path, capsys):
    text = (finished / "run.yaml").read_text()
    assert "# training (section IV-B; Eq. 4)" in text
    assert main(["run", "--options", str(finished / "run.yaml")]) == 0  # the same folder: nothing is left to do
    assert "going on with the run" in capsys.readouterr().out
    assert main(["run", "--options", str(finished / "run.yaml"), "--out", str(tmp_path), "--rounds", "0"]) == 0
    assert (tmp_path / "config.json").read_text() != (finished / "config.json").read_text()
    assert "\nrounds: 0\n" in (tmp_path / "run.yaml").read_text()
    assert "\nepochs: 1\n" in (tmp_path / "run.yaml").read_text()


def test_rounds_with_everything_switched_on(tmp_path):
    words = [*POINT, "--teacher-epochs", "2", "--epochs", "2", "--baselines", "none", "--patience", "2"]
    words += ["--margin", "0.5", "--keep-points", "2", "--refresh", "0.05", "--label-smoothing", "0.1"]
    words += ["--class-weights", "balanced", "--ema", "0.5", "--schedule", "cosine", "--warmup", "1"]
    assert main([*words, "--out", str(tmp_path)]) == 0
    options = json.loads((tmp_path / "options.json").read_text())
    assert options["loss"] == {"alpha": 1.0, "beta": 0.1, "label_smoothing": 0.1, "class_weights": "balanced"}
    assert (options["keep_points"], options["refresh"]) == (2, 0.05)
    assert options["training"]["schedule"] == "cosine"
    assert "round" in json.loads((tmp_path / "stop.json").read_text())["reason"]
    assert "# synthetic, small, point round 1" in (tmp_path / "round-1" / "README.md").read_text()


@pytest.mark.slow
def test_under_torchrun_the_error_of_the_process_that_failed_is_shown(tmp_path):
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m", "pasm_aug"]
    words = ["evaluate", "--checkpoint", str(tmp_path / "nowhere"), "--device", "cpu", "--quiet"]
    done = subprocess.run(
        [*command, *words], env=os.environ | {"OMP_NUM_THREADS": "1"}, timeout=120, capture_output=True, text=True
    )
    assert done.returncode != 0
    shown = done.stderr[done.stderr.index("Root Cause") :]
    assert "nowhere/model.json cannot be read" in shown


def test_early_stopping_reaches_the_teacher_and_the_students(tmp_path):
    words = ["run", *QUICK, "--rounds", "1", "--baselines", "", "--early-stop", "1", "--lr", "1e-9"]
    assert (
        main([*words, "--teacher-epochs", "30", "--epochs", "30", "--teacher-lr", "1e-9", "--out", str(tmp_path)]) == 0
    )
    for number in (0, 1):
        assert len((tmp_path / f"round-{number}" / "metrics.csv").read_text().splitlines()) < 30
