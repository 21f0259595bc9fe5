import io
import re
import warnings

import numpy as np
import PIL.Image
import pytest

from pasm_aug.asm.record import AsmRecord
from pasm_aug.asm.subsets import Partition
from pasm_aug.core.image_content import dataset_digest
from pasm_aug.report import partition_figures
from pasm_aug.report.outcome import stage_seconds
from pasm_aug.report.partitions import Quality, Sorted, most_suspicious, noisiest, open_partitions, subset_shares
from pasm_aug.report.run_report import write_report
from pasm_aug.rounds.folder import PARTITION
from tests.made_runs import made_record, made_run, network
from tests.shapes import Shapes

LABELS = np.array([0, 0, 0, 0, 1, 1, 1, 1])
FLIPPED = np.array([0, 0, 0, 1, 1, 1, 0, 0], bool)
BOUNDS = np.array([[0.2, 0.6], [0.3, 0.7], [0.2, 0.8]])


def by_hand(flipped=FLIPPED):
    """Two epochs, the third and the fourth, of 8 labels in 2 of 3 classes; three of them wrong."""
    record = AsmRecord.empty(8, 3)
    for epoch, p in ((2, [0.9, 0.9, 0.9, 0.4, 0.5, 0.1, 0.8, 0.8]), (3, [0.9, 0.9, 0.1, 0.15, 0.75, 0.05, 0.5, 0.8])):
        p, bounds = np.array(p, np.float32), BOUNDS + 0.01 * epoch
        low, high = bounds[LABELS].T
        subset = np.where(p >= high, 0, np.where(p <= low, 2, 1)).astype(np.uint8)
        record.add(epoch, Partition(subset, p, bounds), LABELS, flipped)
    return record


def sorted_by(record, number=0):
    return Sorted(network("asm" if number else "teacher", number, 700), record)


@pytest.fixture
def figures(monkeypatch):
    """Charts are handed over as figures, after they have been drawn."""
    draw = partition_figures.png

    def keep(figure):
        with PIL.Image.open(io.BytesIO(draw(figure))) as image:
            assert image.width <= 700  # a phone shows it legibly
            assert np.asarray(image).std() > 1
        return figure

    monkeypatch.setattr(partition_figures, "png", keep)


def test_the_quality_of_a_sorting_is_counted_by_hand():
    record = by_hand()
    assert record.sizes[-1].tolist() == [[2, 0, 2], [2, 1, 1], [0, 0, 0]]
    found = Quality.of(record.sizes[-1], record.wrong[-1])
    np.testing.assert_array_equal(found.flipped, [1 / 4, 2 / 4, np.nan])
    np.testing.assert_array_equal(found.purity, [1.0, 1 / 2, np.nan])
    np.testing.assert_array_equal(found.precision, [1 / 2, 1.0, np.nan])
    np.testing.assert_array_equal(found.recall, [1.0, 1 / 2, np.nan])
    whole = Quality.of(record.sizes[-1].sum(0), record.wrong[-1].sum(0))
    assert [float(x) for x in (whole.flipped, whole.purity, whole.precision, whole.recall)] == pytest.approx(
        [3 / 8, 3 / 4, 2 / 3, 2 / 3]
    )
    nothing = Quality.of(np.array([4, 0, 0]), np.array([0, 0, 0]))
    assert (nothing.flipped, nothing.purity) == (0.0, 1.0)
    assert np.isnan(nothing.precision)
    assert np.isnan(nothing.recall)


def test_shares_count_all_as_clean_until_the_first_sorting_and_suspects_are_the_least_probable():
    record = by_hand()
    np.testing.assert_allclose(
        subset_shares(record), [[1, 0, 0], [1, 0, 0], [5 / 8, 2 / 8, 1 / 8], [4 / 8, 1 / 8, 3 / 8]]
    )
    assert most_suspicious(record, 3) == [5, 2, 3]
    record.p_label[5] = np.nan  # never sorted
    assert most_suspicious(record, 8) == [2, 3, 6, 4, 7, 0, 1]
    assert noisiest(record, 5) == [0, 1]  # the third class has no label
    assert noisiest(record, 1) == [0]


@pytest.mark.filterwarnings("error")
def test_subsets_are_stacked_by_epoch_and_the_next_round_follows(figures):
    panel = partition_figures.subsets_figure([sorted_by(by_hand()), sorted_by(by_hand(), 1)]).axes[0]
    first = [patch.get_data() for patch in panel.patches[:3]]
    np.testing.assert_allclose(first[0].values, [1, 1, 5 / 8, 4 / 8])
    np.testing.assert_allclose(first[1].values, [1, 1, 7 / 8, 5 / 8])
    np.testing.assert_allclose(first[1].baseline, first[0].values)
    np.testing.assert_allclose(first[2].values, 1)
    assert first[0].edges.tolist() == [0.5, 1.5, 2.5, 3.5, 4.5]
    assert panel.patches[3].get_data().edges.tolist() == [4.5, 5.5, 6.5, 7.5, 8.5]
    (border,) = panel.lines
    assert border.get_xdata() == [4.5, 4.5]


@pytest.mark.filterwarnings("error")
def test_classes_thresholds_and_what_was_found_are_the_record_s(figures):
    networks, names = [sorted_by(by_hand()), sorted_by(by_hand(), 1)], ["a", "b$c", "d"]
    panel = partition_figures.class_subsets_figure(networks[-1], names).axes[0]
    assert [text.get_text() for text in panel.get_yticklabels()] == ["a (4)", r"b\$c (4)"]
    widths = [[bar.get_width() for bar in bars] for bars in panel.containers]
    assert widths == [[0.5, 0.5], [0, 0.25], [0.5, 0.25]]
    lines = partition_figures.thresholds_figure(networks, names).axes[0].lines
    solid, dashed = ([line for line in lines if line.get_linestyle() == style] for style in ("-", "--"))
    assert [list(line.get_xdata()) for line in solid] == [[3, 4], [7, 8]] * 2
    np.testing.assert_allclose(solid[0].get_ydata(), [0.62, 0.63])
    np.testing.assert_allclose(dashed[2].get_ydata(), [0.32, 0.33])
    clean, noise, recall, wrong, *_ = partition_figures.found_figure(networks).axes[0].lines
    np.testing.assert_allclose(clean.get_ydata(), [1, 3 / 4])
    np.testing.assert_allclose(noise.get_ydata(), [1, 2 / 3])
    np.testing.assert_allclose(recall.get_ydata(), [1 / 3, 2 / 3])
    np.testing.assert_allclose(wrong.get_ydata(), [3 / 8, 3 / 8])
    lines = partition_figures.class_purity_figure(networks, names).axes[0].lines
    np.testing.assert_allclose(lines[0].get_ydata(), [1, 1])
    np.testing.assert_allclose(lines[2].get_ydata(), [1, 1 / 2])


class Noisy(Shapes):
    """Shapes of which every fifth label was made wrong."""

    def __init__(self, length=30):
        super().__init__(length)
        self.true_labels, self.flipped = self.labels, np.arange(length) % 5 == 0
        self.labels = np.where(self.flipped, (self.labels + 1) % 3, self.labels)


DATA = Noisy()


def sorted_run(folder, *, arm="asm", baselines=("plain",), flipped=DATA.flipped, data=DATA, **options):
    """A run whose networks, but those of the arm plain, sorted their labels."""
    run = made_run(folder, data, arm=arm, baselines=baselines, rounds=1, **options)
    results = [run.main[0], *(r for name, own in run.arms.items() if name != "plain" for r in own[1:])]
    for number, result in enumerate(results):
        about = {"data": dataset_digest(data), "options": {"combine": "mean"}}
        record = made_record(data.labels, len(data.classes), flipped=flipped, seed=number, about=about)
        record.save(run.folder / result.folder / PARTITION)
    return run


def report_of(run, data=DATA):
    path = write_report(run.folder, run.arms, data, config=run.config, seconds=stage_seconds(run.arms), size=5)
    return path.read_text()


def sections(text):
    return re.findall(r'</summary><div id="(\w+)">', text)


@pytest.mark.filterwarnings("error")
def test_a_run_by_asm_tells_what_was_believed_and_found_and_shows_the_suspects(tmp_path):
    run = sorted_run(tmp_path, config={"method": "asm", "noise": "symmetric:0.2"})
    text = report_of(run)
    assert sections(text)[3:6] == ["labels", "found", "suspects"]
    assert "could not be made" not in text
    assert '<p class="kicker">Adaptive Sample Mining</p><h1>Synthetic faces, small network</h1>' in text
    assert text.count("arXiv 2310.05618") == 1
    record = AsmRecord.open(tmp_path / "round-1" / PARTITION)
    sizes, wrong = record.sizes[-1].sum(0), record.wrong[-1].sum(0)
    clean = (
        f"In the end {sizes[0]} of 30 training labels were believed: {1 - wrong[0] / sizes[0]:.1%} of them are right"
    )
    assert text.count(clean) == 2  # in the verdict, and in its section
    assert f"Called noise: {sizes[2]}, {wrong[2] / sizes[2]:.1%} of them wrong; that finds {wrong[2] / 6:.1%}" in text
    assert "of all labels 80.0%" in text
    rows = [f"<td>from {name}</td>" for name in ("clean", "ambiguous", "noise")]
    moved = ["".join(f"<td>{count}</td>" for count in row) for row in record.moved[-1]]
    for row, counts in zip(rows, moved, strict=True):
        assert row + counts in text
    hits = int(DATA.flipped[most_suspicious(record, 16)].sum())
    assert f"{hits} of these 16 labels were made wrong" in text
    names = {file.name for file in (tmp_path / "figures").iterdir()}
    assert {"labels-epochs.png", "labels-classes.png", "thresholds.png", "found.png", "found-classes.png"} <= names
    assert {"suspects-1.jpg", "suspects-2.jpg"} <= names
    assert "not fitted" not in text  # 40 % of the training labels are right


def test_classes_that_drown_are_named(tmp_path):
    flipped = DATA.labels == 1
    text = report_of(sorted_run(tmp_path, flipped=flipped))
    assert "Classes that drown in wrong labels, fewer than half of those believed are right: cross (0%)." in text
    (tmp_path / "other").mkdir()
    text = report_of(sorted_run(tmp_path / "other", flipped=np.zeros(30, bool)))
    assert "none is known to be wrong" in text
    assert "drown" not in text
    assert not (tmp_path / "other" / "figures" / "found.png").exists()


@pytest.mark.filterwarnings("error")
def test_without_known_truth_nothing_is_said_of_it_and_without_asm_nothing_at_all(tmp_path):
    plain = Shapes(30)
    run = sorted_run(tmp_path / "asm", arm="point", baselines=("asm", "plain"), flipped=None, data=plain,
                     config={"method": "pasm+asm", "asm_erase": "clean"})  # fmt: skip
    text = report_of(run, plain)
    assert [name for name in sections(text) if name in ("labels", "found", "suspects")] == ["labels", "suspects"]
    assert "Point Adversarial Self Mining with Adaptive Sample Mining" in text
    assert "only images whose label is believed are erased" in text
    assert "made wrong" not in text
    assert "<td>ASM, round 1</td>" in text[text.index('id="labels"') : text.index('id="suspects"')]
    assert "In the end" not in text
    text = report_of(made_run(tmp_path / "pasm", plain, rounds=1), plain)
    assert not {"labels", "found", "suspects"} & set(sections(text))
    assert "Adaptive Sample Mining" not in text
    assert "not fitted" in text


def test_a_damaged_partition_is_named_and_the_page_made_without_it(tmp_path):
    run = sorted_run(tmp_path)
    file = tmp_path / "round-1" / PARTITION
    data = bytearray(file.read_bytes())
    data[-3] ^= 1
    file.write_bytes(data)
    with pytest.warns(UserWarning, match=r"round-1/partition\.safetensors is damaged"):
        text = report_of(run)
    assert "Left out:" in text
    assert {"labels", "found", "suspects"} < set(sections(text))  # of the first teacher
    assert "of the first teacher" in text
    (tmp_path / "round-0" / PARTITION).write_bytes(b"")
    with pytest.warns(UserWarning, match=r"partition\.safetensors"):
        text = report_of(run)
    assert not {"labels", "found", "suspects"} & set(sections(text))
    assert text.count("Left out:") == 2


@pytest.mark.filterwarnings("error")
def test_images_that_are_gone_or_others_are_not_shown_as_suspects(tmp_path):
    run = sorted_run(tmp_path)
    assert "suspects" not in sections(report_of(run, None))
    for other in (Shapes(30), Noisy(33)):
        text = report_of(run, other)
        assert "are not those whose labels were sorted" in text
    assert not (tmp_path / "figures" / "suspects-1.jpg").exists()


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(
    ("rule", "sentence"),
    [
        ("fixed", "The thresholds were the same for all classes: clean from 0.8 on, noise up to 0.2."),
        ("agree", "Thresholds decided nothing"),
    ],
)
def test_thresholds_that_tell_nothing_are_told_in_a_sentence(tmp_path, rule, sentence):
    run = sorted_run(tmp_path)
    file = tmp_path / "round-1" / PARTITION
    record = AsmRecord.open(file)
    if rule == "fixed":
        record.thresholds[:] = [0.2, 0.8]
    else:
        record.about["options"]["combine"] = "agree"
    record.save(file)
    assert sentence in report_of(run)
    assert not (tmp_path / "figures" / "thresholds.png").exists()


@pytest.mark.filterwarnings("error")
def test_a_training_that_never_sorted_or_sorted_once_or_in_a_hundred_classes(tmp_path):
    run = sorted_run(tmp_path)
    AsmRecord.empty(30, 3).save(tmp_path / "round-1" / PARTITION)
    made_record(DATA.labels, 3, epochs=1, flipped=DATA.flipped).save(tmp_path / "round-0" / PARTITION)
    found, damaged = open_partitions(run.arms)
    assert [network.result.round for network in found] == [0]
    assert not damaged
    assert "What the last epoch changed" not in report_of(run)
    labels = np.arange(400) % 100
    network = sorted_by(made_record(labels, 100, epochs=2, flipped=labels < 20))
    names = [f"a class with a long name {n}" for n in range(100)]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        images = [
            partition_figures.class_subsets_figure(network, names),
            partition_figures.thresholds_figure([network], names),
            partition_figures.class_purity_figure([network], names),
        ]
    for image in images:
        with PIL.Image.open(io.BytesIO(image)) as opened:
            assert opened.width <= 700
            assert opened.height < 1300
