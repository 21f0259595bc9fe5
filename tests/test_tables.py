"""The paper beside ours: every number that is known is there, runs are done once, images are those that are named."""

import json
import sys
from pathlib import Path

import numpy as np
import PIL.Image
import pytest

from pasm_aug.cache.position_cache import PositionCache
from pasm_aug.core.files import read_json
from pasm_aug.rounds.arms import AUGMENTS

sys.path.insert(0, str(Path(__file__).parents[1] / "benchmarks"))

import tables
from paper_claims import TABLES, Run
from paper_figures import DRAW, FIGURES, MASKS
from paper_runs import Bench
from paper_stand_ins import TURNED, drawn, small_vgg

TINY = ["--limit", "14", "--image-size", "24", "--epochs", "1", "--teacher-epochs", "1", "--budget", "4", "--quiet"]
KNOWN = {  # of the paper, in the order of its rows
    1: [{"PASM": 87.50}, {"PASM": 88.68}],
    2: [{"PASM": 72.73}, {"PASM": 73.59}],
    3: [{"PASM": 83.27}, {"PASM": 89.66}, {"PASM": 88.17}],
    4: [{"PASM": 79.65}],
    5: [{"PASM": 54.78}],
    6: [{"RAF-DB": 85.93, "FER2013": 72.92}, {"RAF-DB": 86.57, "FER2013": 73.08}, {"RAF-DB": 86.86, "FER2013": 73.24}],
    7: [{"RAF-DB": 87.54, "FER2013": 73.50}, {"RAF-DB": 87.09, "FER2013": 72.73}],
}


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    return tmp_path_factory.mktemp("tables")


def call(place, *words):
    given = ["--results", str(place / "tables.jsonl"), "--figures", str(place), "--out", str(place / "run"), *TINY]
    return tables.main([*words, *given])


@pytest.fixture(scope="module")
def table_6(place):
    assert call(place, "--table", "6") == 0
    return [json.loads(line) for line in (place / "tables.jsonl").read_text().splitlines()]


def test_each_result_is_kept_once_and_is_that_of_its_run(place, table_6):
    assert [row["name"] for row in table_6] == [
        "small point",
        *(f"small {arm}-beta-0" for arm in ("none", "random", "random-matched", "cam-region", "point")),
    ]
    for row in table_6:
        folder = place / "run" / "small" / row["name"].split()[1] / f"round-{row['round']}"
        kept = read_json(folder / "result.json")
        assert row["accuracy"] == pytest.approx(kept["test"]["accuracy"], abs=1e-6)
        assert np.trace(row["confusion"]) / row["count"] == pytest.approx(row["accuracy"], abs=1e-6)
        options = read_json(folder.parent / "options.json")
        assert options["loss"]["beta"] == (0 if row["round"] else 0.1)
        assert options["augment"] == row["run"]["augment"]


def test_a_second_call_prints_the_same_and_runs_nothing(place, table_6, capsys, monkeypatch):
    monkeypatch.setattr(Bench, "results", None)
    before = (place / "tables.jsonl").read_bytes()
    assert call(place, "--table", "6") == 0
    assert (place / "tables.jsonl").read_bytes() == before
    told, by_arm = capsys.readouterr().out, {row["run"]["augment"]: row for row in table_6[1:]}
    for label, paper, arm in (
        ("RandomErasing", "85.93 | 72.92", "random"),
        ("Adversarial Erasing (CAM)", "86.57 | 73.08", "cam-region"),
        ("PASM without teacher", "86.86 | 73.24", "point"),
        ("no erasing", "– | –", "none"),
    ):
        assert f"| {label} | {paper} | {100 * by_arm[arm]['accuracy']:.1f} ± " in told
    assert "14 to train" in told
    assert "24×24 pixels (224×224)" in told


def test_other_options_are_other_results(place, table_6):
    ours, other = Bench(TINY), Bench([*TINY, "--lr", "0.02"])
    score = TABLES[6].rows[1].ours["ours"]
    assert ours.best(score, table_6)["name"] == "small none-beta-0"
    assert other.best(score, table_6) is None
    assert other.out != ours.out
    assert Bench([*TINY, "--root", "elsewhere"]).best(score, table_6)  # the same data, wherever it lies


def test_the_papers_settings_are_those_of_the_command_line():
    bench = Bench(["--preset", "paper", "--data", "rafdb", "--root", "nowhere"])
    assert bench.networks == ("resnet34", "vgg16")
    assert (bench.args.image_size, bench.args.weights, bench.args.search) == (224, "imagenet", "paper")
    assert [bench.has(on) for on in ("test", "pose30", "mask", "ckplus")] == [True, True, False, False]


def test_the_matrices_of_figure_5_are_those_of_table_6(place, table_6, capsys):
    assert call(place, "--figure", "5") == 0
    told = capsys.readouterr().out
    random = np.array(next(row for row in table_6 if row["run"]["augment"] == "random")["confusion"])
    recall = 100 * random.diagonal() / random.sum(1)
    line = next(line for line in told.splitlines() if line.startswith("| RandomErasing (5c) |") and "86.9" not in line)
    assert line.endswith(" | ".join(f"{value:.1f}" for value in recall) + " |")
    with PIL.Image.open(place / "paper-figure-5-synthetic.png") as image:
        assert image.width > 4 * image.height


@pytest.mark.slow
@pytest.mark.parametrize("number", [3, 6, 7, 8])
def test_the_other_figures_are_drawn(place, number, capsys):
    assert call(place, "--figure", str(number)) == 0
    images = [Path(name) for name in capsys.readouterr().out.partition("→ ")[2].strip().split(", ")]
    assert len(images) == 2 if number == 6 else images
    assert all(np.asarray(PIL.Image.open(path)).std() > 5 for path in images)


def test_another_network_mines_what_it_would_mine_for_itself(place, table_6):
    Bench([*TINY, "--out", str(place / "run")]).results(Run(1, beta=0.0, mined_by=0), 1)
    own, other = (
        PositionCache.open(place / "run" / folder / "round-1" / "positions.safetensors").to_numpy()
        for folder in ("small/point", "paper_stand_ins-small_vgg/point-beta-0-mined-by-small")
    )
    assert np.array_equal(own["xy"], other["xy"])


def test_every_number_that_is_known_of_the_paper_is_there():
    assert {number: [row.paper for row in claim.rows if row.paper] for number, claim in TABLES.items()} == KNOWN
    assert set(FIGURES) == set(DRAW) == {3, 5, 6, 7, 8}
    assert [round(224 * row.ours["ours"].run.size) for row in FIGURES[7].rows[1:]] == list(MASKS)
    for claim in (*TABLES.values(), *FIGURES.values()):
        scores = [score for row in claim.rows for score in row.ours.values()]
        assert scores
        assert {score.run.augment for score in scores} <= set(AUGMENTS)
        assert all(score.round is None or score.round <= score.rounds for score in scores)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--table", "8"], "invalid choice: 8"),
        (["--figure", "4"], "invalid choice: 4"),
        ([], "one of the arguments --table --figure is required"),
        (["--table", "1", "--figure", "3"], "not allowed with argument"),
        (["--table", "1", "--epoch", "3"], "did you mean --epochs"),
    ],
)
def test_what_is_unknown_is_refused_in_a_line(words, message, capsys):
    with pytest.raises(SystemExit) as raised:
        tables.main(words)
    told = capsys.readouterr().err
    assert raised.value.code == 2
    assert message in told
    assert told.count("\n") == 1


@pytest.mark.parametrize("words", ["--table 3 --data ckplus", "--table 4 --data rafdb", "--table 5 --data folder"])
def test_a_table_without_images_to_test_on_says_what_it_wants(place, words, capsys):
    assert call(place, *words.split(), "--root", "nowhere") == 2
    assert "wanted --data synthetic, --data rafdb with its lists (Table 3), or --other-root" in capsys.readouterr().err


def test_ck_plus_is_tested_by_names_of_classes(tmp_path):
    for number, name in enumerate(("anger", "contempt", "disgust", "fear", "happy", "sadness", "surprise")):
        (tmp_path / name).mkdir()
        for person in range(2):
            image = PIL.Image.new("L", (6, 6), 20 * number + person)
            image.save(tmp_path / name / f"S{person:03}_001_00000010.png")
    with pytest.warns(UserWarning, match="CK"):
        known, seen = Bench(TINY, None, tmp_path).other("ckplus")
    assert known.dropped == {"contempt": 2}
    assert len(known) == 12
    assert len(seen) == 0
    assert {known.classes[label] for label in known.labels} == set(known.classes) - {"neutral"}


@pytest.mark.filterwarnings("ignore:RAF-DB:UserWarning")
def test_rafdbs_lists_are_read_and_images_of_the_training_split_told_apart(tmp_path):
    from tests.data.test_rafdb import TEST, occlusion, write_official

    write_official(tmp_path)
    (tmp_path / "occlusion_list.txt").write_text(occlusion([TEST[4], TEST[2], TEST[9]]))
    aligned = tmp_path / "Image" / "aligned"
    words = ["--data", "rafdb", "--root", str(tmp_path), "--image-size", "24", "--quiet"]
    train = [str(path) for path in Bench(words).splits["train"].source.paths]
    (aligned / f"{TEST[2][0]}_aligned.jpg").write_bytes(Path(train[0]).read_bytes())
    known, seen = Bench(words).other("occlusion")
    assert known.labels.tolist() == [TEST[i][1] - 1 for i in (4, 2, 9)]
    assert seen.indices == [1]
    with pytest.raises(FileNotFoundError, match="pose30"):
        next(Bench(words).missing(Bench(words).wanted(TABLES[3].rows[1:]), []))


def test_stand_ins_are_what_they_are_called():
    for name, hides in (("glasses", "glasses"), ("mask", "mask"), ("hand", "hand")):
        faces = drawn(name, 24)
        assert all(getattr(faces.face(index), hides) is not None for index in range(20))
    turned = drawn("turned", 24)
    assert all(abs(turned.dataset.face(int(index)).yaw) > TURNED for index in turned.indices[:50])
    assert 0.2 < len(turned) / len(turned.dataset) < 0.45
    posed, wild = (drawn(name, 24).face(0).noise for name in ("posed", "wild"))
    assert posed < wild


def test_the_small_vgg_fits_what_it_stands_in_for():
    import torch

    network = small_vgg(7).eval()
    assert network(torch.zeros(2, 3, 48, 48)).shape == (2, 7)
    assert sum(isinstance(part, torch.nn.MaxPool2d) for part in network) == 3
