import argparse
import json

import pytest

from pasm_aug.cli.changed import changed_options
from pasm_aug.cli.job import check_run
from pasm_aug.cli.recorded import config_of
from pasm_aug.cli.run import add_run


def config(*words):
    """What ``config.json`` of such a run holds."""
    parser = argparse.ArgumentParser()
    add_run(parser)
    args = parser.parse_args(list(words))
    check_run(args)
    return json.loads(json.dumps(config_of(args)))


@pytest.mark.parametrize(
    ("words", "changed"),
    [
        ([], {}),
        (["--augment", "point"], {"augment": ("point", "online")}),
        (["--method", "asm"], {"method": ("asm", "pasm")}),
        (["--method", "pasm+asm", "--limit", "30"], {"limit": (30, None), "method": ("pasm+asm", "pasm")}),
        (["--model", "resnet18", "--image-size", "224"], {"model": ("resnet18", "small")}),
        (["--mask-size", "9", "--no-compile"], {"mask_size": (9, 13 / 48)}),
        (["--baselines", ""], {"baselines": ("", "none,random,random-matched")}),
    ],
)
def test_what_follows_from_another_option_is_no_change(words, changed):
    assert changed_options(config(*words), add_run) == changed


def test_a_command_of_the_changes_alone_is_the_same_run():
    first = config("--data", "synthetic", "--augment", "point", "--limit", "30", "--channels-last", "--rounds", "3")
    words = []
    for name, (value, _) in changed_options(first, add_run).items():
        words += [f"--{name.replace('_', '-')}", *([] if value is True else [str(value)])]
    assert config(*words) == first
