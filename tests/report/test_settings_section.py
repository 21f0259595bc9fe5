import shlex

import pytest

from pasm_aug.report.settings_section import settings

CHANGED = {"root": ("/a b/c", None), "lr": (0.1, 0.01), "compile": (True, False), "early_stop": (3, None)}


def test_the_command_is_what_the_shell_reads_back():
    table, line, versions = settings({}, CHANGED, {"torch": "2.0", "python": "3"}, "--seeds 0,1")
    words = shlex.split(line.removeprefix("<pre><code>").removesuffix("</code></pre>").replace("&#x27;", "'"))
    wanted = ["--root", "/a b/c", "--lr", "0.1", "--compile", "--early-stop", "3", "--seeds", "0,1"]
    assert words == ["pasm-aug", "run", *wanted]
    assert "<td>--early-stop</td><td>3</td><td>–</td>" in table
    assert "torch 2.0, python 3" in versions


@pytest.mark.parametrize(("config", "shown"), [({"lr": 1 / 3}, "0.3333"), ({"lr": None}, "–")])
def test_of_a_run_whose_defaults_are_not_known_all_is_shown(config, shown):
    (table,) = settings(config, None, {})
    assert f"<td>lr</td><td>{shown}</td>" in table


def test_a_switch_that_is_off_is_switched_off():
    _, line = settings({}, {"compile": (False, True)}, {})
    assert "pasm-aug run --no-compile" in line
