"""`pasm-aug audit`: real runs on a few images, killed ones, and what cannot be."""

import csv
import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.numpy import load_file, save_file

from pasm_aug.asm.judgements import FoldJudgements
from pasm_aug.asm.record import AsmRecord
from pasm_aug.asm.suspects import average_precision
from pasm_aug.cli.entry import main
from pasm_aug.cli.find_suspects import in_sample
from pasm_aug.core.image_content import to_uint8_tensor
from pasm_aug.data.folder import ExpressionFolder
from pasm_aug.data.joined import open_splits
from pasm_aug.models import load_model, save_model
from pasm_aug.report.suspect_sheet import sheet_size
from tests.shapes import Shapes, own_net

NET = ["--model", "tests.shapes:OwnNet", "--image-size", "20"]
QUICK = [*NET, "--epochs", "6", "--batch-size", "16", "--folds", "2", "--quiet", "--device", "cpu"]
ONE = ["rank", "split", "index", "path", "label", "p_label", "predicted", "p_predicted", "probably_wrong"]
COLUMNS = [*ONE[:-1], "p_label_together", *ONE[-1:]]


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """240 shapes in class folders, of two sizes; a tenth of them in the wrong folder."""
    folder, data = tmp_path_factory.mktemp("data") / "shapes", Shapes(240)
    for index in range(240):
        image, label = data[index]
        shown = (label + 1) % 3 if index % 10 == 0 else label
        file = folder / data.classes[shown] / f"{data.classes[label]}-{index}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        (image.resize((40, 40)) if index % 3 else image).save(file)
    return folder


def audit(root, out, *words):
    return main(["audit", "--data", "folder", "--root", str(root), "--out", str(out), *QUICK, *map(str, words)])


@pytest.fixture(scope="module")
def finished(root, tmp_path_factory):
    """An audit by one thread: the last bits of a training are those of its number of threads."""
    out, threads = tmp_path_factory.mktemp("audit") / "out", torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        assert audit(root, out, "--epochs", "12", "--top", "11") == 0
    finally:
        torch.set_num_threads(threads)
    return out


def rows_of(out):
    with (out / "suspects.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def is_wrong(row):
    return not row["path"].startswith(f"{row['label']}/{row['label']}-")


def test_images_that_were_found_wrong_are_left_out(finished, root, tmp_path, capsys):
    """The rows of suspects.csv that a person keeps are a list for --exclude, of this data set alone."""
    rows = [row for row in rows_of(finished) if is_wrong(row)]
    kept = tmp_path / "wrong.csv"
    with kept.open("w", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS)
        writer.writeheader()
        writer.writerows(rows)
    dataset = open_splits("folder", root, exclude=kept)
    assert len(dataset) == 240 - len(rows) == 216
    assert all(path.name.startswith(path.parent.name) for path in dataset.paths)
    capsys.readouterr()
    other = ["audit", "--data", "synthetic", "--exclude", str(kept), "--out", str(tmp_path / "out")]
    assert main(other) == 2
    assert f"{kept}, line 2: label must be" in capsys.readouterr().err
    assert audit(root, finished, "--epochs", "12", "--exclude", kept) == 2  # other images: another folder
    assert "choose another --out" in capsys.readouterr().err


def test_the_wrong_ones_come_first(finished, root):
    rows = rows_of(finished)
    assert list(rows[0]) == COLUMNS
    assert [row["rank"] for row in rows] == [str(n) for n in range(1, 241)]
    assert {row["path"] for row in rows} == {f.relative_to(root).as_posix() for f in root.rglob("*.png")}
    assert all(row["path"].split("/")[0] == row["label"] for row in rows)
    p = np.array([float(row["p_label_together"]) for row in rows])
    assert np.all(np.diff(p) >= 0)
    wrong = np.array([is_wrong(row) for row in rows])
    assert wrong.sum() == 24
    assert average_precision(wrong, -p) > 0.5
    called = np.array([row["probably_wrong"] == "true" for row in rows])
    assert {row["probably_wrong"] for row in rows} == {"true", "false"}
    assert wrong[called].mean() > 0.4
    for row in rows:
        assert (row["label"] == row["predicted"]) == (float(row["p_label"]) == float(row["p_predicted"]))


def test_index_and_split_lead_to_the_image(finished, root):
    splits = {name: ExpressionFolder(root, name) for name in ("train", "val", "test")}
    rows = rows_of(finished)
    assert {row["split"] for row in rows} == set(splits)
    for row in rows[:20]:
        assert splits[row["split"]].paths[int(row["index"])] == root / row["path"]


def test_the_sheet_is_a_png_of_its_size(finished):
    with Image.open(finished / "suspects.png") as image:
        image.load()
        assert (image.format, image.size) == ("PNG", sheet_size(11))
        cells = np.asarray(image.convert("L")).reshape(2, image.height // 2, 8, image.width // 8).transpose(0, 2, 1, 3)
    shown = [cell.min() < 120 for cell in cells.reshape(16, -1)]
    assert shown == [True] * 11 + [False] * 5


def test_cleanlab_ranks_alike(finished):
    rank = pytest.importorskip("cleanlab.rank")
    found = pytest.importorskip("cleanlab.filter")
    judged, labels, place = kept(finished)
    rows = rows_of(finished)
    order = [place[row["split"], int(row["index"])] for row in rows]
    for column, probabilities in (("p_label", judged.out_of_sample), ("p_label_together", judged.together)):
        quality = rank.get_label_quality_scores(labels, probabilities.astype(float), method="self_confidence")
        assert quality[order] == pytest.approx([float(row[column]) for row in rows], rel=1e-4)
    issues = found.find_label_issues(
        labels, judged.out_of_sample.astype(float), filter_by="confident_learning", n_jobs=1
    )
    issues &= judged.together.argmax(1) != labels
    assert issues[order].tolist() == [row["probably_wrong"] == "true" for row in rows]


def kept(out):
    """What the folder keeps of the networks, the labels, and where each image stands."""
    recorded = json.loads((out / "audit.json").read_text())
    images = open_splits("folder", recorded["root"], "all", size=20)
    files = [load_file(out / "folds" / f"fold-{number}.safetensors") for number in range(2)]
    fold = np.empty(len(images), dtype=np.int64)
    for number, file in enumerate(files):
        fold[file["indices"]] = number
    place = {(str(s), int(i)): n for n, (s, i) in enumerate(zip(images.split_of, images.index_of, strict=True))}
    return FoldJudgements(np.stack([file["logits"] for file in files]), fold), images.labels, place


def test_what_is_printed(root, finished, capsys):
    assert audit(root, finished, "--epochs", "12", "--top", "3") == 0  # again, with another sheet
    text = capsys.readouterr().out
    assert "going on with the audit in" in text
    lines = text.splitlines()
    table = lines[lines.index(next(line for line in lines if line.startswith("class "))) :]
    assert table[0].split() == ["class", "images", "suspects", "share", "agreed", "p(label)"]
    rows = rows_of(finished)
    suspects = sum(row["probably_wrong"] == "true" for row in rows)
    assert [line.split()[:2] for line in table[1:4]] == [
        [name, str(sum(row["label"] == name for row in rows))] for name in ("cross", "ring", "square")
    ]
    assert table[5].split()[:4] == ["all", "240", str(suspects), f"{suspects / 240:.1%}"]
    assert f"   1. {rows[0]['path']}: {rows[0]['label']} (p " in text
    assert "   4. " not in text
    assert "What to do next: " in lines[-1]
    with Image.open(finished / "suspects.png") as image:
        assert image.size == sheet_size(3)
    assert audit(root, finished, "--epochs", "12", "--top", "11") == 0


def test_a_network_as_it_is(root, tmp_path, capsys):
    words = ["train", "--data", "folder", "--root", str(root), *QUICK]
    words = [word for word in words if word not in ("--folds", "2")]
    assert main([*words, "--epochs", "3", "--out", str(tmp_path / "net")]) == 0
    capsys.readouterr()
    base = ["audit", "--data", "folder", "--root", str(root), "--network", str(tmp_path / "net"), "--device", "cpu"]
    assert main([*base, "--quiet", "--out", str(tmp_path / "out")]) == 0
    text = capsys.readouterr().out
    assert (
        f"{tmp_path / 'net'} was trained on these very images: the longer, the more wrong labels it remembers" in text
    )
    assert not (tmp_path / "out" / "folds").exists()
    rows = {row["path"]: row for row in rows_of(tmp_path / "out")}
    assert list(next(iter(rows.values()))) == ONE
    images = open_splits("folder", root, "all", size=20)
    model = load_model(tmp_path / "net")
    wanted = in_sample(model, images, arguments())
    classes = model.info["classes"]
    for path, p, label in zip(images.paths, wanted, images.labels, strict=True):
        row = rows[path.relative_to(root).as_posix()]
        assert row["label"] == images.classes[label]
        assert float(row["p_label"]) == pytest.approx(p[label], rel=1e-3, abs=1e-6)
        assert row["predicted"] == classes[p.argmax()]
    assert main([*base, "--quiet", "--split", "val", "--out", str(tmp_path / "val")]) == 0
    assert (
        f"If {tmp_path / 'net'} was trained on these images, the longer, the more wrong labels it"
        in capsys.readouterr().out
    )
    assert {row["split"] for row in rows_of(tmp_path / "val")} == {"val"}


def test_a_network_of_other_classes_judges_those_that_it_knows(root, tmp_path, capsys):
    model = own_net(3, num_classes=2)
    info = {"architecture": "tests.shapes:OwnNet", "classes": ["ring", "cross"], "image_size": 20, "channels": 1}
    save_model(tmp_path / "net", model, info)
    words = ["audit", "--data", "folder", "--root", str(root), "--network", str(tmp_path / "net"), "--device", "cpu"]
    assert main([*words, "--quiet", "--out", str(tmp_path / "out")]) == 0
    assert "left out, for the network does not know their class: 80 square" in capsys.readouterr().out
    rows = rows_of(tmp_path / "out")
    assert len(rows) == 160
    assert {row["label"] for row in rows} | {row["predicted"] for row in rows} == {"ring", "cross"}
    assert all(row["path"].startswith(f"{row['label']}/") for row in rows)
    images = {path.relative_to(root).as_posix(): i for i, path in enumerate(open_splits("folder", root).paths)}
    seen = open_splits("folder", root, size=20)
    for row in rows[:5]:
        with torch.no_grad():
            logits = model.eval()(model.preprocess(to_uint8_tensor(seen[images[row["path"]]][0])[None]))
        p = logits.softmax(1)[0, ["ring", "cross"].index(row["label"])]
        assert float(row["p_label"]) == pytest.approx(float(p), rel=1e-4)


def arguments():
    import argparse

    return argparse.Namespace(device="cpu", workers=0, quiet=True)


def test_noise_is_found_and_measured(root, tmp_path, capsys):
    assert audit(root, tmp_path / "out", "--epochs", "12", "--split", "train", "--noise", "symmetric:0.2") == 0
    text = capsys.readouterr().out
    rows = rows_of(tmp_path / "out")
    assert list(rows[0]) == [*COLUMNS, "true_label"]
    wrong = np.array([row["label"] != row["true_label"] for row in rows])
    area = average_precision(wrong, -np.array([float(row["p_label_together"]) for row in rows]))
    assert f"against the truth: area under precision-recall {area:.3f} of the ranking" in text
    with (tmp_path / "out" / "noise.csv").open(newline="") as file:
        listed = list(csv.DictReader(file))
    assert sum(row["true"] != row["label"] for row in listed) == wrong.sum()


def test_how_often_the_epochs_called_it_noise(root, tmp_path, capsys):
    count = len(ExpressionFolder(root, "train"))
    counts = np.arange(count, dtype=np.int32)
    (tmp_path / "run" / "round-1").mkdir(parents=True)
    save_file({"noise_counts": counts}, tmp_path / "run" / "round-1" / "partition.safetensors")
    words = ["--split", "train", "--epochs", "1", "--partitions", tmp_path / "run"]
    assert audit(root, tmp_path / "out", *words) == 0
    rows = rows_of(tmp_path / "out")
    assert list(rows[0]) == [*COLUMNS, "noise_epochs"]
    assert all(int(row["noise_epochs"]) == int(row["index"]) for row in rows)
    save_file({"subset": counts}, tmp_path / "partition.safetensors")
    words[-1] = tmp_path / "partition.safetensors"
    capsys.readouterr()
    assert audit(root, tmp_path / "out", *words) == 0
    assert "does not tell how often" in capsys.readouterr().out
    assert list(rows_of(tmp_path / "out")[0]) == COLUMNS


def test_killed_it_goes_on_and_ends_the_same(root, finished, tmp_path):
    out = tmp_path / "out"
    words = [sys.executable, "-m", "pasm_aug", "audit", "--data", "folder", "--root", str(root), "--out", str(out)]
    words += [*QUICK, "--epochs", "12", "--top", "11", "--checkpoint-minutes", "0"]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(words, env=environment, stdout=subprocess.DEVNULL)
    until = time.monotonic() + 120
    while not (out / "folds" / "fold-1.training.safetensors").exists():  # the second fold trains
        assert process.poll() is None, "done before it could be killed"
        assert time.monotonic() < until
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not (out / "suspects.csv").exists()
    before = (out / "folds" / "fold-0.safetensors").stat().st_mtime_ns
    subprocess.run(words, env=environment, check=True, capture_output=True, timeout=120)
    assert (out / "folds" / "fold-0.safetensors").stat().st_mtime_ns == before
    assert not list((out / "folds").glob("*training*"))
    assert (out / "suspects.csv").read_bytes() == (finished / "suspects.csv").read_bytes()


def test_faces_that_are_drawn_have_no_path(tmp_path, capsys):
    words = ["audit", "--limit", "21", "--split", "test", "--folds", "2", "--epochs", "1", "--quiet", "--device", "cpu"]
    assert main([*words, "--out", str(tmp_path / "out")]) == 0
    rows = rows_of(tmp_path / "out")
    assert len(rows) == 21
    assert {row["path"] for row in rows} == {""}
    assert f"   1. test {rows[0]['index']}: " in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--root", "/nowhere"], "/nowhere"),
        (["--epochs", "3"], "holds an audit of other options or labels (epochs was 12, now 3): choose another --out"),
        (["--seed", "1"], "seed was 0, now 1"),
        (["--limit", "60"], "limit was None, now 60"),
        (["--top", "1201"], "--top must be at most 1,200 images, got 1,201"),
        (["--noise", "symmetric:0.3"], "--split must be train with it, got all"),
        (["--noise", "sym"], "--noise must be"),
        (["--warmup", "20"], "--warmup must be at most the 12 epochs"),
        (["--partitions", "{root}"], "--partitions is of training labels: --split must be train with it, got all"),
        (
            ["--split", "train", "--partitions", "/nowhere"],
            "--partitions must be a partition.safetensors or a folder with one",
        ),
        (["--out", "{root}"], "--out must be a new folder or an existing audit's"),
        (["--out", "{new}", "--model", "torch.nn:Identity"], "must give logits"),
        (["--out", "{new}", "--folds", "300"], "300 parts need as many"),
    ],
)
def test_a_mistake_is_one_line_and_exit_code_2(root, finished, tmp_path, capsys, words, message):
    kept = {file: file.read_bytes() for file in finished.rglob("*") if file.is_file()}
    words = [word.format(root=root, new=tmp_path / "new") for word in words]
    assert audit(root, finished, "--epochs", "12", "--top", "11", *words) == 2
    err = capsys.readouterr().err
    assert message in err
    assert err.count("\n") == 1
    assert kept == {file: file.read_bytes() for file in finished.rglob("*") if file.is_file()}


def test_partitions_of_other_images_or_damaged(root, tmp_path, capsys):
    count, words = len(ExpressionFolder(root, "train")), ["--split", "train", "--partitions", tmp_path]
    save_file({"noise_counts": np.zeros(7, np.int32)}, tmp_path / "partition.safetensors")
    assert audit(root, tmp_path / "out", *words) == 2
    assert f"must hold a count for each of the {count} images, got shape (7,)" in capsys.readouterr().err
    (tmp_path / "partition.safetensors").write_bytes(b"\x07")
    assert audit(root, tmp_path / "out", *words) == 2
    err = capsys.readouterr().err
    assert f"{tmp_path / 'partition.safetensors'} cannot be read" in err
    assert not (tmp_path / "out").exists()


@pytest.fixture(scope="module")
def sorted_by_asm(root, tmp_path_factory):
    """A network that ASM trained on labels of which a fifth is wrong, and its partition."""
    out = tmp_path_factory.mktemp("asm") / "net"
    words = ["train", "--data", "folder", "--root", str(root), *NET, "--batch-size", "16", "--quiet", "--device", "cpu"]
    words[words.index("tests.shapes:OwnNet")] = "pair:tests.shapes:OwnNet"
    assert main([*words, "--epochs", "2", "--method", "asm", "--noise", "symmetric:0.2", "--out", str(out)]) == 0
    return out


@pytest.mark.parametrize(
    ("words", "fits"),
    [
        (["--noise", "symmetric:0.2"], True),
        (["--noise", "symmetric:0.2", "--seed", "1"], False),
        (["--noise", "symmetric:0.1"], False),
        ([], False),
    ],
)
def test_partitions_are_of_the_same_labels(root, sorted_by_asm, tmp_path, capsys, words, fits):
    given = ["--split", "train", "--epochs", "1", *words, "--partitions", sorted_by_asm]
    assert audit(root, tmp_path / "out", *given) == (0 if fits else 2)
    error = capsys.readouterr().err
    if fits:
        record = AsmRecord.open(sorted_by_asm / "partition.safetensors")
        rows = rows_of(tmp_path / "out")
        assert all(int(row["noise_epochs"]) == record.noise_counts[int(row["index"])] for row in rows)
    else:
        assert "is of other images or labels than these" in error
        assert error.count("\n") == 1
        assert not (tmp_path / "out").exists()


def test_what_a_network_remembers_of_wrong_labels(root, sorted_by_asm, tmp_path, capsys):
    words = ["train", "--data", "folder", "--root", str(root), *NET, "--quiet", "--device", "cpu", "--epochs", "1"]
    assert main([*words, "--out", str(tmp_path / "true")]) == 0
    true, remembers = "was trained on these very images with their true labels: it finds more than", ": the longer, the"
    for number, (net, noise, said) in enumerate(
        [
            (sorted_by_asm, "symmetric:0.2", f"was trained on these very images{remembers}"),
            (sorted_by_asm, "symmetric:0.1", "If"),
            (sorted_by_asm, None, "If"),
            (tmp_path / "true", "symmetric:0.2", true),
            (tmp_path / "true", "symmetric:0.01", true),  # where a few probed labels are the same
            (tmp_path / "true", None, f"was trained on these very images{remembers}"),
        ]
    ):
        base = ["audit", "--data", "folder", "--root", str(root), "--split", "train", "--device", "cpu", "--quiet"]
        base += ["--network", str(net), "--out", str(tmp_path / str(number)), *(["--noise", noise] if noise else [])]
        capsys.readouterr()
        assert main(base) == 0
        line = next(line for line in capsys.readouterr().out.splitlines() if str(net) in line)
        assert line.startswith(f"If {net} was trained" if said == "If" else f"{net} {said}")


def test_a_network_and_folds_at_once(capsys):
    with pytest.raises(SystemExit) as stop:
        main(["audit", "--network", "x", "--folds", "3"])
    assert stop.value.code == 2
    assert "not allowed with argument" in capsys.readouterr().err


def test_labels_corrected_since_are_another_audit(root, finished, tmp_path, capsys):
    import shutil

    shutil.copytree(finished, tmp_path / "out")
    shutil.copytree(root, tmp_path / "data")
    recorded = json.loads((tmp_path / "out" / "audit.json").read_text()) | {"root": str(tmp_path / "data")}
    (tmp_path / "out" / "audit.json").write_text(json.dumps(recorded))
    assert audit(tmp_path / "data", tmp_path / "out", "--epochs", "12", "--top", "11") == 0
    file = next((tmp_path / "data" / "square").glob("ring-*.png"))
    file.rename(tmp_path / "data" / "ring" / file.name)
    capsys.readouterr()
    assert audit(tmp_path / "data", tmp_path / "out", "--epochs", "12", "--top", "11") == 2
    assert "labels was " in capsys.readouterr().err


def test_a_bar_is_shown_on_a_terminal_unless_quiet(root, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    words = [word for word in QUICK if word != "--quiet"]
    base = ["audit", "--data", "folder", "--root", str(root), "--epochs", "1"]
    assert main([*base, *words, "--out", str(tmp_path / "out"), "--epochs", "1"]) == 0
    err = capsys.readouterr().err
    assert "fold 2 of 2" in err
