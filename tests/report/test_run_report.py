import base64
import io
import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import PIL.Image
import pytest
import torch
from safetensors.torch import save_file

from pasm_aug.data.synthetic.dataset import SyntheticExpressions
from pasm_aug.models import build_model
from pasm_aug.report.figures import confusion_figure
from pasm_aug.report.gallery import gallery_picks
from pasm_aug.report.outcome import stage_seconds, text_table
from pasm_aug.report.regions import region_sentence, region_shares
from pasm_aug.report.run_report import write_report
from pasm_aug.report.verdict import verdict
from pasm_aug.rounds.results import RoundResult
from pasm_aug.search.mine import mine_positions
from pasm_aug.training.metrics import Metrics
from tests.made_runs import made_run
from tests.shapes import Shapes


def scores(accuracy, count=1000):
    right = round(accuracy * count)
    return Metrics(right / count, 1.0, [right / count] * 7, np.diag([right // 7] * 7).tolist(), count)


def result(arm, number, train, val, test, improved=True, **options):
    return RoundResult(arm, number, "nowhere", None, improved, scores(train), scores(val), scores(test), **options)


@pytest.fixture
def arms():
    first = result("teacher", 0, 0.99, 0.70, 0.70, seconds={"train": 5.0})
    point = [
        first,
        result("point", 1, 0.99, 0.80, 0.81, seconds={"mine": 2.0, "train": 1.0}, queries=64),
        result("point", 2, 0.99, 0.79, 0.9, improved=False, seconds={"mine": 2.0, "train": 1.0}, queries=64),
    ]
    none = [first, result("none", 1, 0.99, 0.71, 0.70), result("none", 2, 0.99, 0.72, 0.71)]
    return {"point": point, "none": none}


def test_the_table_shows_the_teacher_once_and_marks_what_validation_picked(arms):
    lines = text_table(arms).splitlines()
    assert len(lines) == 2 + 1 + 2 + 2
    assert sum("first teacher" in line for line in lines) == 1
    assert [("picked" in line) for line in lines[2:]] == [False, True, False, False, True]
    assert "81.0 ±2.4" in lines[3]
    assert "71.0 ±2.8" in lines[6]
    assert "90.0" in lines[4]  # a better test score does not make a round the picked one


def test_the_verdict_says_how_it_fell(arms):
    assert "Validation picks round 1 of PASM: 81.0%" in verdict(arms)
    assert "both after round 2: +19.0 ±3.4 points of test accuracy, a clear gain" in verdict(arms)
    swapped = {"point": arms["none"], "none": arms["point"]}
    assert "-19.0 ±3.4 points of test accuracy, a clear loss" in verdict(swapped)
    close = arms | {"none": [arms["point"][0], result("none", 1, 0.99, 0.8, 0.805)]}
    assert "both after round 1: +0.5 ±3.5 points of test accuracy, no measurable effect" in verdict(close)
    assert "not fitted" not in verdict(arms)
    arms["point"][0].train = scores(0.8)
    assert "not fitted" in verdict(arms)


def test_stage_seconds_count_the_teacher_once(arms):
    assert stage_seconds(arms) == {
        "first teacher: train": 5.0,
        "PASM: erased at the mined point: mine": 4.0,
        "PASM: erased at the mined point: train": 2.0,
    }


class Fixed:
    """A cache that places every point at one pixel."""

    def __init__(self, x, y):
        self.x, self.y = x, y

    def lookup(self, indices):
        hit = np.ones(len(indices), bool)
        return type("Points", (), {"hit": hit, "xy": np.tile([self.x, self.y], (len(indices), 1, 1))})


class Boxes:
    def __len__(self):
        return 3

    def regions(self, index):
        return [(2.0, 2.0, 6.0, 6.0), (4.0, 4.0, 8.0, 8.0)]

    def face_box(self, index):
        return (0.0, 0.0, 10.0, 10.0)


def test_region_shares_count_points_and_overlapping_boxes():
    assert region_shares(Boxes(), Fixed(3, 3)) == (1.0, pytest.approx(0.28))
    assert region_shares(Boxes(), Fixed(6, 3)) == (0.0, pytest.approx(0.28))
    assert region_shares([1, 2, 3], Fixed(3, 3)) is None
    assert "2.0 times" in region_sentence(1, (0.5, 0.25))


def test_the_gallery_goes_round_the_classes_however_few_images_one_has():
    assert gallery_picks(np.array([1, 1, 1, 0, 1])) == [3, 0, 1, 2, 4]
    assert gallery_picks(np.arange(20) % 10) == list(range(8))


def test_a_data_set_of_a_thousand_classes_gets_figures_of_a_sane_size(tmp_path):
    image = confusion_figure({"a": np.eye(1000, dtype=int), "b": np.eye(1000, dtype=int)}, list(map(str, range(1000))))
    assert max(PIL.Image.open(io.BytesIO(image)).size) < 3000


class Images(HTMLParser):
    def __init__(self):
        super().__init__()
        self.sources, self.outside, self.anchors, self.names = [], [], [], []

    def handle_starttag(self, tag, attrs):
        values = dict(attrs)
        if tag == "img":
            self.sources.append(values["src"])
            assert values["alt"]
        self.outside += [v for k, v in attrs if k in ("href", "src") and not v.startswith(("data:", "#"))]
        self.anchors += [v[1:] for k, v in attrs if k == "href" and v.startswith("#")]
        self.names += [v for k, v in attrs if k == "id"]


def test_the_page_holds_its_images_and_needs_nothing_else(tmp_path, arms):
    data = SyntheticExpressions(length=21)
    folder = tmp_path / "round-1"
    mine_positions(build_model("small", 7), data, folder / "positions.safetensors", progress=False)
    arms["point"][1].folder = str(folder)
    path = write_report(tmp_path, arms, data, config={"seed": 0, "data": "<b>"}, seconds={"mine": 1.0}, size=31 / 224)
    text = path.read_text()
    page = Images()
    page.feed(text)
    assert page.outside == []
    assert page.anchors == ["accuracy", "classes", "gallery", "positions", "movement", "costs", "settings"]
    assert page.names == ["method", *page.anchors]
    names = {"accuracy.png", "confusion-before.png", "confusion-after.png"}
    names |= {"confusion-change.png", "class-gains.png", "gallery-1.jpg", "gallery-2.jpg", "gallery-drop-1.jpg"}
    names |= {"gallery-drop-2.jpg", "heatmap-round-1.jpg", "confidence.png"}
    assert {file.name for file in (tmp_path / "figures").iterdir()} == names
    assert len(page.sources) == len(names)
    for source in page.sources:
        image = PIL.Image.open(io.BytesIO(base64.b64decode(source.partition(",")[2])))
        assert min(image.size) > 200
    assert "<td>&lt;b&gt;</td>" in text
    assert "<h1>&lt;b&gt;, own network</h1>" in text
    assert "times chance" in text
    assert not re.search(r"https?://", text)


DATA = Shapes(30)


def report_of(run, data=DATA):
    """The text of a run's report, all of whose parts were made."""
    path = write_report(run.folder, run.arms, data, config=run.config, seconds=stage_seconds(run.arms), size=31 / 224)
    return path.read_text()


def sections(text):
    page = Images()
    page.feed(text)
    return page.names[1:]  # what was done, in every report


ALL = ["accuracy", "classes", "gallery", "positions", "movement", "training", "costs", "settings"]


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(
    ("options", "parts"),
    [
        ({"arm": "cam-peak", "baselines": ()}, ALL),
        ({"arm": "cam-region", "rounds": 1, "baselines": ()}, [name for name in ALL if name != "movement"]),
        ({"arm": "none", "baselines": ()}, ["accuracy", "classes", "training", "costs", "settings"]),
        ({"rounds": 0, "baselines": ()}, ["accuracy", "classes", "training", "costs", "settings"]),
        ({"known": False, "test_labels": [0, 2] * 9, "rounds": 1}, ALL),
    ],
    ids=["peak of the map", "region of the map", "no erasing", "no round", "older folder, a class without an image"],
)
def test_a_report_is_made_of_whatever_a_run_left(tmp_path, options, parts):
    run = made_run(tmp_path, DATA, **options)
    text = report_of(run)
    assert sections(text) == parts
    assert "could not be made" not in text
    assert ("Every round was run." in text) == options.get("known", True)


@pytest.mark.filterwarnings("error")
def test_a_hundred_classes_and_eight_rounds_stay_light(tmp_path):
    class Many:
        """200 noisy images of 96×96 in a hundred classes."""

        labels, classes = np.arange(200) % 100, [f"class {n}" for n in range(100)]

        def __len__(self):
            return 200

        def __getitem__(self, index):
            pixels = np.random.default_rng(index).integers(0, 256, (96, 96, 3), dtype=np.uint8)
            return PIL.Image.fromarray(pixels), int(self.labels[index])

    run = made_run(tmp_path, Many(), rounds=8, baselines=(), side=96, channels=3)
    text = report_of(run, Many())
    assert sections(text) == ALL
    assert len(text) < 3_000_000
    assert text.count("data:image/jpeg") == 4 + 4 + 1  # 16 images by four; four rounds' maps; arrows


def test_a_damaged_file_costs_its_own_part_and_is_named(tmp_path):
    run = made_run(tmp_path, DATA, baselines=(), rounds=1)
    (tmp_path / "round-1" / "metrics.csv").write_text("epoch,loss\n1,much\n")
    positions = tmp_path / "round-1" / "positions.safetensors"
    positions.write_bytes(positions.read_bytes()[:-9])
    (tmp_path / "stop.json").write_text("{")
    with pytest.warns(UserWarning, match=r"metrics\.csv is damaged"):
        text = report_of(run)
    assert sections(text) == ["accuracy", "classes", "training", "costs", "settings"]
    for file in ("metrics.csv is damaged", "positions.safetensors", "stop.json is damaged"):
        assert file in text


@pytest.mark.filterwarnings("error")
def test_without_its_images_a_run_is_reported_all_the_same(tmp_path):
    text = report_of(made_run(tmp_path, DATA, baselines=()), None)
    assert sections(text) == ["accuracy", "classes", "movement", "training", "costs", "settings"]
    assert "no galleries" in text
    assert "square taken for" in text or "cross taken for" in text  # names from model.json
    for fact in ("30 training, 30 validation, 30 test", "Every round was run.", "PASM, round 2 over round 1"):
        assert fact in text


def test_a_run_of_the_arm_online_tells_what_it_did(tmp_path):
    run = made_run(tmp_path, Shapes(12), arm="online", rounds=1, baselines=("random-matched",))
    last = run.main[-1]
    shown = {"samples": torch.tensor([0, 5]), "first": torch.zeros(2, 1, 20, 20, dtype=torch.uint8)}
    save_file(shown | {"last": shown["first"] + 9}, Path(last.folder) / "erased.safetensors")
    for result in (run.main[0], last):
        result.occluded = {"mean": 0.4, "worst": 0.125, "eyes": 0.3, "mouth": 0.2}
    path = write_report(tmp_path, run.arms, Shapes(12), config=run.config, seconds={}, size=13 / 48)
    text = path.read_text()
    assert "in every step of its training the square that hurts it most" in text
    assert "as the student saw them" in text
    assert "<td>online PASM, round 1</td><td>40.0</td><td>12.5</td><td>30.0</td><td>20.0</td>" in text
    assert "What is erased" in text
    assert (tmp_path / "figures" / "gallery-1.jpg").exists()


def test_the_first_screen_answers_and_what_is_said_twice_is_left_out(tmp_path):
    run = made_run(tmp_path, DATA, baselines=("none", "random-matched"), rise=0.3, rounds=2)
    text = report_of(run)
    answer = text[: text.index("<nav")]
    assert "<h1>Synthetic faces, small network</h1>" in answer
    assert answer.count('<p class="badge">') == 1  # nothing is known of occlusion
    assert answer.index("PASM&#x27;s square at a random place") < answer.index("no erasing")
    assert "after round 2 of both" in answer
    folded = set(re.findall(r'<details><summary><h2>[^<]*</h2></summary><div id="(\w+)">', text))
    assert folded == {"method", "movement", "training", "costs", "settings"}


def test_rounds_that_erased_at_the_same_points_are_shown_once(tmp_path):
    run = made_run(tmp_path, DATA, baselines=(), rounds=2)
    first, second = (tmp_path / f"round-{n}" / "positions.safetensors" for n in (1, 2))
    both = report_of(run)
    second.write_bytes(first.read_bytes())
    once = report_of(run)
    assert both.count("data:image/jpeg") - once.count("data:image/jpeg") == 2  # a map; where the points moved
    assert "The other rounds erased at the points of the round before." in once
    assert "The other rounds" not in both


def test_settings_are_what_was_changed_a_command_and_versions(tmp_path):
    run = made_run(tmp_path, DATA, baselines=())
    save = {"out": tmp_path, "arms": run.arms, "dataset": None, "config": run.config, "seconds": {}, "size": 5}
    text = write_report(**save, changed={"limit": (300, None), "channels_last": (True, False)}).read_text()
    settings = text[text.index('<div id="settings">') :]
    assert "<td>--limit</td><td>300</td><td>–</td>" in settings
    assert "<pre><code>pasm-aug run --limit 300 --channels-last</code></pre>" in settings
    assert "mask_size" not in settings
    assert "All options as by default." in write_report(**save, changed={}).read_text()
    assert "mask" in write_report(**save).read_text()
