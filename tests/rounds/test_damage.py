"""A disk that corrupts a run folder: whatever file it was, the same command names it, and refuses or mends it."""

import shutil
import warnings

import pytest

from pasm_aug.cli.entry import main
from pasm_aug.core.checksums import CHECKSUMS, damaged

WORDS = ["run", "--limit", "42", "--batch-size", "16", "--quiet", "--device", "cpu", "--teacher-epochs", "2"]
WORDS += ["--epochs", "1", "--rounds", "1", "--baselines", "random-matched"]
MENDED = {"figures", "report.html", "rounds.csv", "run.yaml", "stop.json"}  # what every call writes anew


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    out = tmp_path_factory.mktemp("run") / "out"
    assert main([*WORDS, "--out", str(out)]) == 0
    return out


def corrupt(file, position):
    data = bytearray(file.read_bytes())
    data[int(position * (len(data) - 1))] ^= 4
    file.write_bytes(data)


def test_every_corrupt_file_of_a_run_is_named_and_refused_or_mended(run, tmp_path, capsys):
    files = sorted(file.relative_to(run) for file in run.rglob("*") if file.is_file())
    mended = [file for file in files if MENDED & set(file.parts)]
    lasting = [file for file in files if file not in mended and file.name != CHECKSUMS]
    assert len(mended) > 8
    assert len(lasting) > 20
    for number, file in enumerate(lasting):
        folder = tmp_path / str(number)
        shutil.copytree(run, folder)
        corrupt(folder / file, number / len(lasting))
        assert main([*WORDS, "--out", str(folder)]) == 2, file
        error = capsys.readouterr().err
        assert str(folder / file) in error, error
        assert error.count("\n") == 1
        shutil.rmtree(folder)
    folder = tmp_path / "mended"
    shutil.copytree(run, folder)
    for number, file in enumerate(mended):
        corrupt(folder / file, number / len(mended))
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        assert main([*WORDS, "--out", str(folder)]) == 0
    named = "\n".join(str(warning.message) for warning in told)
    assert all(str(folder / file) in named for file in mended)
    for file in folder.rglob(CHECKSUMS):
        assert damaged(file.parent) == []
    assert (folder / "stop.json").read_bytes() == (run / "stop.json").read_bytes()
    assert (folder / "run.yaml").read_text() == (run / "run.yaml").read_text().replace(str(run), str(folder))


def test_a_corrupt_list_is_named(run, tmp_path, capsys):
    folder = tmp_path / "run"
    shutil.copytree(run, folder)
    for file in sorted(folder.rglob(CHECKSUMS)):
        good = file.read_bytes()
        corrupt(file, 0.5)
        with warnings.catch_warnings(record=True) as told:
            warnings.simplefilter("always")
            code = main([*WORDS, "--out", str(folder)])
        words = capsys.readouterr().err + "\n".join(str(warning.message) for warning in told)
        assert CHECKSUMS in words, file
        if code:
            file.write_bytes(good)
