"""``pasm-aug mine``: what it tells beforehand with ``--dry-run``, and in the end."""

import re

import pytest

from pasm_aug.cache.position_cache import PositionCache
from pasm_aug.cli.entry import main
from pasm_aug.data.synthetic.dataset import CLASSES
from pasm_aug.models import build_model, save_model

QUICK = ["--limit", "70", "--quiet", "--device", "cpu", "--budget", "8"]


@pytest.fixture(scope="module")
def network(tmp_path_factory):
    folder = tmp_path_factory.mktemp("network")
    about = {"architecture": "small", "classes": list(CLASSES), "image_size": 24}
    save_model(folder, build_model("small", 7, seed=0), about)
    return folder


def test_a_dry_run_tells_time_and_memory_and_keeps_nothing(network, empty, capsys):
    assert main(["mine", "--teacher", str(network), "--out", "p", *QUICK, "--dry-run"]) == 0
    out = capsys.readouterr().out
    stages = [line.split(" ok ")[0].strip() for line in out.splitlines() if " ok " in line]
    assert stages == ["reading the images", "opening the teacher", "warming up", "mining"]
    assert re.search(r"All of it will take about [\d.]+ (s|min), of which:", out)
    for stage in ("imports", "reading the images", "mining"):
        assert re.search(rf"^ +[\d.]+ \w+  {stage}$", out, re.M), stage
    (queries, each) = re.search(r"about ([\d,]+), (\d+) an image", out).groups()
    assert int(queries) == pytest.approx(70 * int(each), rel=0.1)
    assert re.search(r"Memory: about [\d.]+ GB", out)


def test_a_search_too_dear_to_try_is_reckoned_from_a_small_one(network, empty, capsys):
    quick = QUICK[: QUICK.index("--budget")]  # of the seeded search
    assert main(["mine", "--teacher", str(network), "--out", "p", *quick, "--dry-run", "--search", "exhaustive"]) == 0
    assert f"about {70 * 24 * 24 * 8:,}, {24 * 24 * 8:,} an image" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--teacher", "/nowhere"], "/nowhere/model.json"),
        (["--points", "600"], "mining: points must be at most 576"),
        (["--data", "folder", "--root", "/nowhere"], "reading the images: "),
    ],
)
def test_what_would_fail_is_told_in_one_line(network, empty, capsys, words, message):
    assert main(["mine", "--teacher", str(network), "--out", "p", *QUICK, "--dry-run", *words]) == 2
    err = capsys.readouterr().err
    assert message.removeprefix("mining: ") in err
    assert err.count("\n") == 1


def test_mining_ends_with_what_it_found_and_a_dry_run_knows_what_is_there(network, tmp_path, capsys):
    words = ["mine", "--teacher", str(network), "--out", str(tmp_path / "p"), *QUICK]
    assert main(words) == 0
    cache, (out, err) = PositionCache.open(tmp_path / "p"), capsys.readouterr()
    assert out.startswith(cache.summary())
    teacher, closing = out.splitlines()[-2:]
    assert re.fullmatch(r"the teacher has \d+\.\d% of the 70 images right", teacher)
    assert re.match(
        rf"mined 70 images with {cache.metadata['queries']:,} queries in \d+\.\d s: mean p\(label\) ", closing
    )
    assert err == "" or "hardly more than chance" in err  # the network is not trained
    before = (tmp_path / "p").read_bytes()
    assert main([*words, "--dry-run"]) == 0
    out = capsys.readouterr().out
    assert f"70 images in {tmp_path / 'p'} need no search again" in out
    assert "Queries of the search: about 0, " in out
    assert (tmp_path / "p").read_bytes() == before
    assert main([*words, "--dry-run", "--no-resume"]) == 0
    assert "need no search again" not in capsys.readouterr().out
    assert main(words) == 0
    assert capsys.readouterr().out.splitlines()[-1].startswith("nothing was left to search: ")
