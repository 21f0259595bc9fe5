import re

import pytest

from pasm_aug.cli.entry import main
from pasm_aug.cli.trial import affordable
from pasm_aug.search.point_search import PointSearch
from tests.shapes import Shapes

QUICK = ["--dry-run", "--quiet", "--device", "cpu", "--limit", "70", "--batch-size", "8", "--budget", "8"]


def test_every_stage_is_tried_and_nothing_stays(empty, capsys):
    words = ["run", "--augment", "point", *QUICK, "--baselines", "none,shuffled"]
    words += ["--teacher-epochs", "50", "--epochs", "9", "--warmup", "5"]
    assert main(words) == 0
    out = capsys.readouterr().out
    stages = [line.split(" ok ")[0].strip() for line in out.splitlines() if " ok " in line]
    assert stages == [
        "reading the images",
        "making the network",
        "first teacher",
        "scoring",
        "search",
        "round of PASM: erased at the mined point",
        "round of no erasing",
        "round of PASM's square at another image's point",
        "test scores",
        "report",
    ]
    assert re.search(r"All of it will take about [\d.]+ (s|min) with 1 round, of which:", out)
    assert re.search(r"Each further round takes about [\d.]+ (s|min); at most 8 rounds are run", out)
    assert "Steps: 450 of the first teacher, 81 of each student in each round." in out  # 9 batches of 8 images an epoch
    assert re.search(r"about [\d,]+ in each mining, [\d.]+ an image", out)
    assert re.search(r"Memory: about [\d.]+ GB", out)
    for stage in ("imports", "first teacher: train", "PASM: erased at the mined point: mine", "no erasing: train"):
        assert re.search(rf"^ +[\d.]+ \w+  {stage}$", out, re.M), stage


def test_the_options_that_rounds_need_do_not_break_it(empty, capsys):
    assert main(["run", *QUICK, "--rounds", "0", "--baselines", "none"]) == 0
    assert "with 0 rounds" in capsys.readouterr().out
    words = ["--rounds", "3", "--baselines", "", "--search", "exhaustive", "--class-weights", "balanced"]
    words += ["--ema", "0.9", "--label-smoothing", "0.1", "--sampling", "balanced", "--schedule", "cosine"]
    quick = QUICK[: QUICK.index("--budget")]  # of the seeded search
    assert main(["run", "--augment", "point", *quick, *words, "--keep-points", "2", "--refresh", "0.1"]) == 0
    out = capsys.readouterr().out
    assert "with 3 rounds" in out
    assert "Each further round" not in out
    assert f"about {70 * 48 * 48 * 8:,} in each mining, {48 * 48 * 8:,} an image" in out


def test_a_single_training_is_tried_too(empty, capsys):
    assert main(["train", *QUICK[:-2], "--epochs", "40", "--early-stop", "1", "--out", "net"]) == 0
    out = capsys.readouterr().out
    assert re.search(r"training +ok", out)
    assert "Steps: 360." in out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--model", "torch.nn:Identity"], "making the network: model 'torch.nn:Identity' must give logits"),
        (["--data", "folder", "--root", "/nowhere"], "reading the images: "),
        (["--lr", "1e30", "--teacher-lr", "1e30"], "error: first teacher: teacher: the "),
        (["--teacher", "/nowhere"], "/nowhere"),
        (["--warmup", "7"], "--warmup must be at most the 6 epochs"),
        (["--precision", "fp16"], "fp16"),
    ],
)
def test_the_stage_that_fails_is_named_in_one_line(empty, capsys, words, message):
    assert main(["run", *QUICK, *words]) == 2
    err = capsys.readouterr().err
    assert message in err
    assert err.count("\n") == 1


def test_a_run_of_other_options_in_the_same_folder_is_noticed(tmp_path, capsys):
    (tmp_path / "config.json").write_text('{"data": "fer2013"}')
    (tmp_path / "round-0").mkdir()
    (tmp_path / "round-0" / "training.safetensors").write_bytes(b"begun")
    assert main(["run", *QUICK, "--out", str(tmp_path)]) == 2
    assert "data was fer2013, now synthetic" in capsys.readouterr().err
    assert {file.name for file in tmp_path.rglob("*")} == {"config.json", "round-0", "training.safetensors"}


def test_any_images_and_any_network(empty, tmp_path, capsys):
    for split, length in (("train", 24), ("val", 12), ("test", 12)):
        data = Shapes(length, seed=length)
        for index in range(length):
            image, label = data[index]
            folder = tmp_path / "data" / split / data.classes[label]
            folder.mkdir(parents=True, exist_ok=True)
            image.save(folder / f"{index}.png")
    words = ["run", "--data", "folder", "--root", str(tmp_path / "data"), "--model", "tests.shapes:OwnNet"]
    assert main([*words, "--image-size", "20", "--dry-run", "--quiet", "--baselines", "random-matched"]) == 0
    assert "round of PASM's square at a random place" in capsys.readouterr().out


@pytest.mark.parametrize("mode", ["paper", "exhaustive"])
def test_a_search_too_dear_to_try_is_tried_in_small(mode):
    whole = PointSearch(mode, objective="margin", seed=3)
    small, share = affordable(whole, (3, 48, 48))
    assert small.objective == "margin"
    assert small.cost((3, 48, 48)) <= 20
    assert share * small.cost((3, 48, 48)) == whole.cost((3, 48, 48))


def test_the_seeded_search_is_tried_as_it_is():
    search = PointSearch()
    assert affordable(search, (1, 8, 8)) == (search, 1.0)
