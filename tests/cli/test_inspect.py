"""``pasm-aug inspect``: what a file of mined points holds, by command."""

import json

import pytest

from pasm_aug.cli.entry import main
from tests.made_runs import made_points


@pytest.fixture
def cache(tmp_path):
    made_points(tmp_path / "positions.safetensors", [0, 1, 2] * 4)
    return tmp_path / "positions.safetensors"


def test_words_and_figures(cache, tmp_path, capsys):
    assert main(["inspect", str(cache)]) == 0
    text = capsys.readouterr().out
    assert text.startswith(f"{cache}: 12 samples, 12 rows of 1 point(s), 1 channel(s)")
    assert "drop of p(label)" in text
    assert [path.name for path in tmp_path.iterdir()] == [cache.name]
    out = tmp_path / "new" / "figures"
    assert main(["inspect", str(cache), "--out", str(out)]) == 0
    names = ["drop.png", "probabilities.png", "positions.png", "colours.png"]
    assert capsys.readouterr().out == f"{text}\n→ {out}: {', '.join(names)}\n"
    assert {path.name for path in out.iterdir()} == set(names)


def test_json_alone_stands_on_standard_output(cache, tmp_path, capsys):
    assert main(["inspect", str(cache), "--json", "--out", str(tmp_path / "out")]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["samples"], found["file"]) == (12, str(cache))
    assert len(found["classes"]) == 3
    assert (tmp_path / "out" / "drop.png").exists()


def test_a_damaged_file_is_refused_by_name(cache, tmp_path, capsys):
    good = cache.read_bytes()
    for bad in (good[:-1], good[:100], b"", good.replace(b"queries", b"Queries"), b"no cache at all"):
        cache.write_bytes(bad)
        assert main(["inspect", str(cache), "--json"]) == 2
        out, err = capsys.readouterr()
        assert str(cache) in err
        assert (err.count("\n"), out) == (1, "")
    for path in (tmp_path / "missing", tmp_path):
        assert main(["inspect", str(path)]) == 2
        assert f"{path} cannot be read" in capsys.readouterr().err
