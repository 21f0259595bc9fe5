"""Folders of photographs: the tree, the table, odd files, running again, kills, several processes."""

import argparse
import csv
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import matplotlib.cbook
import numpy as np
import pytest
import torch
from PIL import Image

from pasm_aug.cli.align import add_align, align
from pasm_aug.cli.options.groups import HelpFormatter
from pasm_aug.data.align.aligner import FaceAligner
from pasm_aug.data.align.folder import align_folder, output_names
from pasm_aug.data.align.job import Job
from pasm_aug.data.align.records import COLUMNS
from pasm_aug.data.align.warp import read_photograph

SMALL = FaceAligner(48, device="cpu", batch_size=2)


@pytest.fixture(scope="module")
def photograph():
    return read_photograph(matplotlib.cbook.get_sample_data("grace_hopper.jpg", asfileobj=False))


@pytest.fixture
def src(tmp_path, photograph):
    """Two classes: faces of several sizes, one turned by EXIF, one grey, one landscape, one damaged, one hidden."""
    root = tmp_path / "photos"
    (root / "happy" / "deep").mkdir(parents=True)
    (root / "sad").mkdir()
    small = photograph.resize((96, 112))
    small.save(root / "happy" / "a.jpg")
    small.rotate(20).save(root / "happy" / "b.png")
    photograph.resize((128, 150)).convert("L").save(root / "happy" / "deep" / "c.bmp")
    exif = Image.Exif()
    exif[0x0112] = 6
    small.transpose(Image.Transpose.ROTATE_90).save(root / "sad" / "d.png", exif=exif)
    small.save(root / "sad" / "e.e.webp")
    Image.linear_gradient("L").resize((100, 60)).save(root / "sad" / "field.png")
    (root / "sad" / "torn.jpg").write_bytes((root / "happy" / "a.jpg").read_bytes()[:700])
    (root / "sad" / ".hidden.jpg").write_bytes(b"no")
    (root / "notes.txt").write_text("no image")
    return root


def run(src, dst, aligner=SMALL, **options):
    return align_folder(src, dst, aligner, progress=False, **options)


def rows(dst):
    with open(dst / "align.csv", newline="") as handle:
        return {row["file"]: row for row in csv.DictReader(handle)}


def content(dst):
    return {path.relative_to(dst).as_posix(): path.read_bytes() for path in sorted(dst.rglob("*")) if path.is_file()}


def times(dst):
    return {path: path.stat().st_mtime_ns for path in dst.rglob("*")}


FACES = {"happy/a", "happy/b", "happy/deep/c", "sad/d", "sad/e.e"}


def test_the_tree_is_kept_and_the_table_says_what_became_of_each(src, tmp_path):
    dst = tmp_path / "new" / "faces"
    threads = torch.get_num_threads()
    torch.set_num_threads(3)
    summary = run(src, dst)
    assert torch.get_num_threads() == 3
    torch.set_num_threads(threads)
    assert str(summary) == "5 aligned, 1 without a face (kept), 1 unreadable: sad/torn.jpg"
    assert set(content(dst)) == {f"{name}.png" for name in FACES | {"sad/field"}} | {"align.csv", "align.json"}
    table = rows(dst)
    assert list(table) == sorted(table)
    assert list(table["sad/torn.jpg"]) == list(COLUMNS)
    assert {file: row["status"] for file, row in table.items() if row["status"] != "aligned"} == {
        "sad/field.png": "kept",
        "sad/torn.jpg": "unreadable",
    }
    assert table["sad/field.png"]["faces"] == "0"
    for file, row in table.items():
        if row["status"] == "aligned":
            photograph, image = read_photograph(src / file), Image.open(dst / row["output"])
            landmarks = np.array([float(row[name]) for name in COLUMNS[8:18]]).reshape(5, 2)
            assert image.tobytes() == SMALL.align(photograph, landmarks).tobytes()
            (face,) = SMALL(photograph)
            np.testing.assert_allclose(face.landmarks, landmarks, atol=0.011)
            assert [float(row[side]) for side in ("left", "top", "right", "bottom")] == pytest.approx(
                face.box, abs=0.011
            )
            assert float(row["probability"]) == pytest.approx(face.probability, abs=2e-4)
    kept = np.asarray(Image.open(dst / "sad/field.png"))
    assert kept.shape == (48, 48, 3)
    assert kept[0].max() < 10 < 240 < kept[-1].min()


def test_running_again_changes_nothing(src, tmp_path):
    first = run(src, tmp_path / "out")
    before = times(tmp_path / "out")
    assert run(src, tmp_path / "out") == first
    assert times(tmp_path / "out") == before


def test_only_what_is_new_changed_repaired_or_lost_is_done_again(src, tmp_path):
    dst = tmp_path / "out"
    run(src, dst)
    before = times(dst)
    (dst / "happy" / "b.png").unlink()
    Image.open(src / "happy" / "a.jpg").save(src / "sad" / "torn.jpg")
    Image.open(src / "sad" / "field.png").save(src / "sad" / "e.e.webp")
    Image.open(src / "happy" / "a.jpg").save(src / "new.png")
    (src / "sad" / "d.png").unlink()
    assert str(run(src, dst)) == "5 aligned, 2 without a face (kept)"
    touched = {path.relative_to(dst).as_posix() for path, when in times(dst).items() if before.get(path) != when}
    assert {name for name in touched if name.endswith(".png")} == {
        "happy/b.png",
        "sad/torn.png",
        "sad/e.e.png",
        "new.png",
    }
    assert not (dst / "sad" / "d.png").exists()
    assert list(rows(dst)) == sorted(
        path.relative_to(src).as_posix()
        for path in src.rglob("[a-z]*.*")
        if path.suffix in (".jpg", ".png", ".bmp", ".webp")
    )
    fresh = tmp_path / "fresh"
    run(src, fresh)
    assert content(dst) == content(fresh)


def test_a_clock_that_was_ahead_is_no_reason_to_start_over(src, tmp_path):
    os.utime(src / "happy" / "a.jpg", (4e9, 4e9))
    run(src, tmp_path / "out")
    before = times(tmp_path / "out")
    run(src, tmp_path / "out")
    assert times(tmp_path / "out") == before


def test_other_options_are_refused_by_name(src, tmp_path):
    dst = tmp_path / "out"
    run(src, dst)
    before = content(dst)
    with pytest.raises(ValueError, match="size was 48, now 64"):
        run(src, dst, FaceAligner(64, device="cpu"))
    with pytest.raises(ValueError, match=r"no_face was keep, now skip.*format was png, now jpg"):
        run(src, dst, no_face="skip", format="jpg")
    with pytest.raises(ValueError, match="source was"):
        run(src / "happy", dst)
    assert content(dst) == before
    run(src, dst, FaceAligner(48, device="cpu", batch_size=5))  # changes no result
    assert content(dst) == before


def test_without_resume_everything_is_made_anew(src, tmp_path):
    dst = tmp_path / "out"
    run(src, dst)
    run(src, dst, FaceAligner(32, device="cpu"), format="jpg", no_face="skip", resume=False)
    assert {name for name in content(dst) if name.startswith(("happy", "sad"))} == {f"{name}.jpg" for name in FACES}
    assert Image.open(dst / "happy" / "a.jpg").size == (32, 32)


def test_images_without_a_face(src, tmp_path):
    skipped = run(src, tmp_path / "skip", no_face="skip")
    assert str(skipped) == "5 aligned, 1 without a face (skipped), 1 unreadable: sad/torn.jpg"
    assert not (tmp_path / "skip" / "sad" / "field.png").exists()
    with pytest.raises(ValueError, match=r"no face in 1 of 7 images, the first is .*field\.png"):
        run(src, tmp_path / "error", no_face="error")
    assert content(tmp_path / "skip") == content(tmp_path / "error")
    assert run(src, tmp_path / "error", no_face="skip") == skipped


def test_all_faces_of_a_image_are_numbered(tmp_path, photograph):
    src, dst = tmp_path / "in", tmp_path / "out"
    src.mkdir()
    face = photograph.crop((100, 40, 420, 400))
    scene = Image.new("RGB", (420, 260), "grey")
    scene.paste(face.resize((213, 240)), (0, 0))
    scene.paste(face.resize((142, 160)), (250, 50))
    scene.save(src / "two.png")
    face.resize((142, 160)).save(src / "one.png")
    Image.new("RGB", (50, 50)).save(src / "none.png")
    aligner = FaceAligner(48, select="all", device="cpu")
    assert str(run(src, dst, aligner)) == "2 aligned (3 faces), 1 without a face (kept)"
    assert {path.name for path in dst.glob("*.png")} == {"two_0.png", "two_1.png", "one_0.png", "none_0.png"}
    lines = (dst / "align.csv").read_text().splitlines()
    assert [line.split(",")[:4] for line in lines[3:]] == [
        ["two.png", "two_0.png", "aligned", "2"],
        ["two.png", "two_1.png", "aligned", "2"],
    ]
    before = content(dst)
    (dst / "two_1.png").unlink()
    (dst / "align.csv").write_text("\n".join(lines[:-1]) + "\n")  # as if its second face had never been written down
    run(src, dst, aligner)
    assert content(dst) == before


def test_jpeg(src, tmp_path):
    run(src, tmp_path / "fine", format="jpg", quality=95)
    run(src, tmp_path / "coarse", format="jpg", quality=10)
    fine, coarse = (tmp_path / name / "happy" / "a.jpg" for name in ("fine", "coarse"))
    assert Image.open(fine).format == "JPEG"
    assert fine.stat().st_size > 2 * coarse.stat().st_size


def test_files_that_differ_in_their_ending_keep_it(tmp_path):
    files = [Path(name) for name in ("x/a.jpg", "x/A.png", "x/b.png", "y/a.jpg")]
    assert output_names(files) == ["x/a.jpg", "x/A.png", "x/b", "y/a"]
    with pytest.raises(ValueError, match=r"a\.jpg\.bmp would both become"):
        output_names([Path("a.jpg"), Path("a.png"), Path("a.jpg.bmp")])


def test_names_of_any_kind_survive_the_table(tmp_path, photograph):
    src, dst = tmp_path / "in", tmp_path / "out"
    src.mkdir()
    for name in ('a,"b"\nc.png', "ü é.png", os.fsdecode(b"latin-\xe9.png")):
        photograph.resize((64, 75)).save(src / name, "PNG")
    run(src, dst)
    before = times(dst)
    assert run(src, dst).aligned == 3
    assert times(dst) == before


def test_folders_that_will_not_do(src, tmp_path):
    for dst in (src, src / "happy" / "faces"):
        with pytest.raises(ValueError, match="lies in"):
            run(src, dst)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "a.png").write_bytes(b"precious")
    for dst in (tmp_path / "mine", tmp_path):
        with pytest.raises(ValueError, match="not ours"):
            run(src, dst)
    with pytest.raises(FileNotFoundError, match="no folder"):
        run(tmp_path / "absent", tmp_path / "out")
    (tmp_path / "empty").mkdir()
    with pytest.raises(FileNotFoundError, match="holds no image"):
        run(tmp_path / "empty", tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("options", [{"no_face": "drop"}, {"format": "gif"}, {"quality": 0}, {"processes": 0}])
def test_options_off_their_range_are_named(src, tmp_path, options):
    (name,) = options
    with pytest.raises(ValueError, match=f"^{name} must be"):
        run(src, tmp_path / "out", **options)


SCRIPT = """
import sys
from pasm_aug.data.align.aligner import FaceAligner
from pasm_aug.data.align.folder import align_folder
if __name__ == "__main__":
    aligner = FaceAligner(48, device="cpu", batch_size=2)
    align_folder(sys.argv[1], sys.argv[2], aligner, processes=int(sys.argv[3]), progress=False)
"""


@pytest.mark.parametrize("processes", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_kill_9_in_the_middle_then_again_ends_with_the_same_bytes(processes, src, tmp_path):
    for i in range(16):
        Image.open(src / "happy" / "a.jpg").rotate(i).save(src / "sad" / f"{i}.png")
    whole, killed, script = tmp_path / "whole", tmp_path / "killed", tmp_path / "script.py"
    run(src, whole)
    script.write_text(SCRIPT)
    process = subprocess.Popen(
        [sys.executable, str(script), str(src), str(killed), str(processes)], env={**os.environ, "OMP_NUM_THREADS": "1"}
    )
    journal, deadline = killed / ".align.journal", time.monotonic() + 60
    while not (journal.exists() and journal.stat().st_size > 500) and time.monotonic() < deadline:
        assert process.poll() is None
        time.sleep(0.002)
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
    workers = [Path("/proc", number) for number in children.read_text().split()] if children.exists() else []
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not (killed / "align.csv").exists()  # it was in the middle
    while any(worker.exists() for worker in workers):  # they end with it
        assert time.monotonic() < deadline
        time.sleep(0.02)
    (killed / "sad" / ".x.png.1.tmp").write_bytes(b"half")
    whole_line = journal.read_bytes().rpartition(b"\n")[0].rpartition(b"\n")[2]
    with open(journal, "ab") as handle:
        handle.write(b"" if journal.read_bytes()[-1:] != b"\n" else whole_line[:-2])  # cut in its last number
    done = {path: path.stat().st_mtime_ns for path in killed.rglob("*.png") if not path.name.startswith(".")}
    assert 0 < len(done) < 22
    run(src, killed)
    assert content(killed) == content(whole)
    assert sum(path.stat().st_mtime_ns == when for path, when in done.items()) >= len(done) - 2 * processes * 2


@pytest.mark.slow
def test_two_processes_write_the_bytes_of_one(src, tmp_path):
    assert run(src, tmp_path / "two", processes=2) == run(src, tmp_path / "one")
    assert content(tmp_path / "two") == content(tmp_path / "one")


def test_two_at_a_time_are_refused(src, tmp_path, monkeypatch):
    def interfere(self, unit):
        with pytest.raises(ValueError, match="is being filled"):
            run(src, tmp_path / "out")
        return original(self, unit)

    original = Job.run
    monkeypatch.setattr(Job, "run", interfere)
    assert run(src, tmp_path / "out").aligned == 5


def test_the_command(src, tmp_path, capsys):
    parser = argparse.ArgumentParser(prog="pasm-aug align", formatter_class=HelpFormatter)
    add_align(parser)
    assert "--no-face" in parser.format_help()
    words = [str(src), str(tmp_path / "out"), "--size", "40", "--device", "cpu", "--format", "jpg", "--quiet"]
    args = parser.parse_args(words)
    align(args)
    assert capsys.readouterr().out == "5 aligned, 1 without a face (kept), 1 unreadable: sad/torn.jpg\n"
    assert Image.open(tmp_path / "out" / "sad" / "d.jpg").size == (40, 40)
    assert json.loads((tmp_path / "out" / "align.json").read_text())["margin"] == 0.15


def test_what_one_image_makes_the_detector_raise_harms_no_other(tmp_path, monkeypatch):
    (tmp_path / "src").mkdir()
    for number in range(4):
        Image.new("RGB", (60, 60)).save(tmp_path / "src" / f"{number}.png")

    def detect(self, images):
        if any(image.width == 99 for image in images):
            raise RuntimeError("no scales")
        return [[] for _ in images]

    monkeypatch.setattr("pasm_aug.data.align.detector.Detector.detect", detect)
    Image.new("RGB", (99, 120)).save(tmp_path / "src" / "1b.png")
    with pytest.warns(UserWarning, match=r"1b\.png: no scales"):
        summary = run(tmp_path / "src", tmp_path / "dst")
    assert (summary.kept, summary.failed) == (4, ["1b.png"])
    assert "1 on which the detector failed: 1b.png" in str(summary)
    Image.new("RGB", (98, 120)).save(tmp_path / "src" / "1b.png")
    assert run(tmp_path / "src", tmp_path / "dst").kept == 5


@pytest.mark.parametrize("side", [94, 147, 173])
def test_a_side_that_just_equals_the_smallest_face_is_no_error(tmp_path, side):
    (tmp_path / "src").mkdir()
    Image.new("RGB", (side, side), "grey").save(tmp_path / "src" / "a.png")
    Image.new("RGB", (side + 40, side + 40), "grey").save(tmp_path / "src" / "b.png")
    summary = run(tmp_path / "src", tmp_path / "dst", FaceAligner(48, device="cpu", min_face_size=side))
    assert (summary.kept, summary.failed) == (2, [])
