"""``pasm-aug report`` of runs whose files or images have changed, and where it writes."""

import warnings

import pytest

from pasm_aug.cli.entry import main
from pasm_aug.core.checksums import CHECKSUMS, damaged, resealed
from pasm_aug.core.files import read_json, write_json
from pasm_aug.core.image_content import dataset_digest
from pasm_aug.data.in_memory import InMemory
from pasm_aug.data.synthetic.dataset import SyntheticExpressions
from tests.made_runs import made_run

CONFIG = {"baselines": "none", "augment": "point"}


@pytest.fixture(scope="module")
def faces():
    """What the command opens again."""
    return InMemory(SyntheticExpressions("train", size=32, length=42), progress=False)


def made(folder, faces, **options):
    run = made_run(folder, faces, rounds=1, side=32, config=CONFIG, **options)
    with resealed(folder):
        pass
    return run


def named_as_damaged(folder):
    """The warnings of the command."""
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always")
        assert main(["report", str(folder)]) == 0
    return [str(one.message) for one in found if "is damaged" in str(one.message)]


def test_what_was_damaged_is_named_each_time_and_what_is_written_anew_is_not(tmp_path, faces):
    (tmp_path / "notes.txt").write_text("whole")
    made(tmp_path, faces)
    (tmp_path / "report.html").write_text("torn")
    assert named_as_damaged(tmp_path) == []
    (tmp_path / "notes.txt").write_text("torn")
    for _ in range(2):
        (told,) = named_as_damaged(tmp_path)
        assert told == f"{tmp_path / 'notes.txt'} is damaged: it is not what SHA256SUMS says"
    (tmp_path / "notes.txt").write_text("whole")
    assert named_as_damaged(tmp_path) == []
    assert damaged(tmp_path) == []  # whole again, and so sealed again


@pytest.mark.parametrize("what", ["one run", "several", "seeds"])
def test_the_page_is_written_where_it_is_asked_for(tmp_path, faces, what):
    page, runs = tmp_path / "a" / "b" / "page.html", [tmp_path / f"seed-{seed}" for seed in range(2)]
    for seed, folder in enumerate(runs):
        made(folder, faces, seed=seed)
    words = {"one run": runs[:1], "several": runs, "seeds": [tmp_path]}[what]
    assert main(["report", *map(str, words), "--out", str(page)]) == 0
    assert page.read_text().startswith("<!doctype html>")


def test_points_are_not_drawn_on_other_images_than_they_were_mined_in(tmp_path, faces, capsys):
    made(tmp_path, faces)
    about = tmp_path / "round-0" / "model.json"
    write_json(about, read_json(about) | {"data": {"digest": dataset_digest(faces)}})
    assert main(["report", str(tmp_path)]) == 0
    assert (tmp_path / "figures" / "gallery-1.jpg").exists()
    assert "without them" not in capsys.readouterr().out
    write_json(about, read_json(about) | {"data": {"digest": dataset_digest(faces) ^ 1}})
    (tmp_path / "figures" / "gallery-1.jpg").unlink()
    assert main(["report", str(tmp_path)]) == 0
    assert "the training images are not those of the run any more, so the report goes without them" in (
        capsys.readouterr().out
    )
    assert not (tmp_path / "figures" / "gallery-1.jpg").exists()
    assert "no galleries, no maps" in (tmp_path / "report.html").read_text()


def test_seeds_that_have_not_ended_or_are_of_other_options_are_named_and_left_out(tmp_path, faces, capsys):
    for seed in range(4):
        made(tmp_path / f"seed-{seed}", faces, seed=seed, baselines=() if seed == 3 else ("none",))
    write_json(tmp_path / "seed-1" / "config.json", read_json(tmp_path / "seed-1" / "config.json") | {"mask_size": 9})
    (tmp_path / "seed-1" / CHECKSUMS).unlink()
    result = tmp_path / "seed-2" / "round-1" / "result.json"
    write_json(result, read_json(result) | {"test": None})
    assert main(["report", str(tmp_path)]) == 0
    said = capsys.readouterr().out
    assert "seed 1 is left out, it was run with other options than seed 0: mask_size was" in said
    assert f"seed 2 is left out: {tmp_path / 'seed-2'} holds no finished run" in said
    assert "seed 3 is left out, it was run with other options than seed 0: other baselines" in said
    assert "1 seed, percent" in said
    for seed in (0, 1, 3):
        (tmp_path / f"seed-{seed}" / "round-1" / "result.json").write_text("{")
    assert main(["report", str(tmp_path)]) == 2
    assert f"{tmp_path} holds no seed whose run has ended" in capsys.readouterr().err
