"""Commands as real processes, in surroundings that users have: pipes, encodings, odd names, notebooks, homes."""

import os
import subprocess
import sys

import pytest

from pasm_aug.cli.entry import main
from pasm_aug.data.synthetic.dataset import CLASSES, SyntheticExpressions
from pasm_aug.models import build_model, save_model

LONG = "f" * 246 + ".png"  # a name of 250 bytes
FOREIGN = os.fsdecode(b"caf\xe9.png")  # latin-1: no UTF-8
QUICK = ["--limit", "21", "--teacher-epochs", "1", "--epochs", "1", "--rounds", "1", "--baselines", "", "--quiet"]


def command(*words, **more):
    more["env"] = os.environ | {"OMP_NUM_THREADS": "1"} | more.get("env", {})
    return subprocess.run([sys.executable, "-m", "pasm_aug", *map(str, words)], capture_output=True, **more)


@pytest.fixture(scope="module")
def network(tmp_path_factory):
    folder = tmp_path_factory.mktemp("network")
    save_model(folder, build_model("small", 7), {"architecture": "small", "classes": list(CLASSES), "image_size": 24})
    return folder


@pytest.fixture
def faces(tmp_path):
    """Class folders of drawn faces; one has a long name, one a name that is no UTF-8."""
    drawn = SyntheticExpressions("train", size=24, length=42)
    for index, (image, label) in enumerate(drawn):
        file = tmp_path / "faces" / drawn.classes[label] / {0: LONG, 1: FOREIGN}.get(index, f"{index}.png")
        file.parent.mkdir(parents=True, exist_ok=True)
        image.save(file)
    return tmp_path / "faces"


@pytest.mark.parametrize("names", [[LONG], [FOREIGN], [LONG, FOREIGN]])
def test_predict_keeps_its_table_whatever_a_file_is_called(network, faces, tmp_path, names, capfd):
    source = tmp_path / "some"
    source.mkdir()
    for name in names:
        (source / name).write_bytes(next(faces.rglob(name)).read_bytes())
    out = tmp_path / "out"
    assert main(["predict", str(source), "--checkpoint", str(network), "--no-align", "--out", str(out)]) == 0
    rows = (out / "predictions.csv").read_text(errors="surrogateescape").splitlines()[1:]
    assert sorted(row.split(",")[0] for row in rows) == sorted(names)
    marked = [path.name for path in out.glob("*.marked.png")]
    assert len(marked) == len(names)
    assert all(name[:200] in "".join(marked) for name in names)


def test_a_run_on_files_of_any_name_in_any_encoding_as_a_notebook_starts_it(faces, tmp_path):
    out = tmp_path / "out"
    words = ("run", "--data", "folder", "--root", faces, "--image-size", 24, *QUICK, "--out", out)
    strange = {"PYTHONIOENCODING": "cp1252", "MPLBACKEND": "module://matplotlib_inline.backend_inline"}
    done = command(*words, env=strange)
    assert done.returncode == 0, done.stderr
    assert b"first teacher" in done.stdout
    assert b"\xb1" in done.stdout  # ±, which cp1252 has
    assert b"---" in done.stdout  # for the line that it has not
    assert (out / "report.html").exists()


@pytest.mark.parametrize("encoding", ["ascii", "latin-1"])
def test_every_encoding_will_do(network, tmp_path, encoding):
    done = command("predict", tmp_path / "none", "--checkpoint", network, env={"PYTHONIOENCODING": encoding})
    assert done.returncode == 2
    assert b"no image" in done.stderr
    assert b"Traceback" not in done.stderr


def test_align_takes_the_longest_names(faces, tmp_path):
    assert main(["align", str(faces), str(tmp_path / "aligned"), "--no-face", "keep", "--quiet"]) == 0
    assert next(tmp_path.glob(f"aligned/*/{LONG}")).exists()


@pytest.mark.parametrize("words", [["--out=~/marked"], ["--out", "~/marked"]])
def test_a_tilde_is_the_home_folder(network, faces, tmp_path, monkeypatch, words):
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    assert main(["predict", str(faces), "--checkpoint", str(network), "--no-align", "--quiet", *words]) == 0
    assert (tmp_path / "home" / "marked" / "predictions.csv").exists()
    assert not (tmp_path / "~").exists()


def test_a_tilde_in_a_file_of_options_is_the_home_folder_too(faces, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "my.yaml").write_text("data: folder\nroot: ~/faces\nout: ~/trained\nimage-size: 24\nepochs: 1\n")
    assert main(["train", "--options", "~/my.yaml", "--quiet", "--workers", "0"]) == 0
    assert (tmp_path / "trained" / "model.safetensors").exists()


def test_a_reader_that_goes_away_loses_no_file(network, faces, tmp_path):
    words = ["predict", faces, "--checkpoint", network, "--no-align", "--out", tmp_path / "out"]
    line = [sys.executable, "-m", "pasm_aug", *map(str, words)]
    with subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        process.stdout.readline()
        process.stdout.close()
        errors = process.stderr.read()
    assert process.returncode == 0
    assert b"rror" not in errors
    assert len((tmp_path / "out" / "predictions.csv").read_text(errors="replace").splitlines()) == 43


def test_the_same_folder_in_other_words_is_the_same_and_a_report_has_its_galleries_from_anywhere(
    faces, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "link").symlink_to(faces)
    words = ["--data", "folder", "--image-size", "24", *QUICK, "--device", "cpu", "--out"]
    assert main(["run", "--root", "faces", *words, "out"]) == 0
    page = (tmp_path / "out" / "report.html").read_text()
    for root in (faces, "link", "faces/../faces"):
        assert main(["run", "--root", str(root), *words, "out"]) == 0, capsys.readouterr().err
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert main(["run", "--root", str(faces.parent / "others"), *words, str(tmp_path / "out")]) == 2
    assert "root was" in capsys.readouterr().err
    assert main(["report", "../out"]) == 0
    assert "cannot be opened" not in capsys.readouterr().out
    again = (tmp_path / "out" / "report.html").read_text()
    assert again.count("<img") == page.count("<img")
