"""The last word on a mining: to standard error beside a bar, or to whoever asks for it."""

import re

from pasm_aug.cache.position_cache import PositionCache
from pasm_aug.search.mine import mine_positions
from pasm_aug.search.point_search import PointSearch
from tests.shapes import Shapes, own_net

OPTIONS = {"search": PointSearch(candidates=4), "device": "cpu"}


def test_it_tells_what_was_found_and_what_it_cost(tmp_path, capsys):
    told = []
    cache = mine_positions(own_net(), Shapes(40), tmp_path / "c", progress=False, tell=told.append, **OPTIONS)
    (text,) = told
    teacher, found = text.splitlines()
    assert re.fullmatch(r"the teacher has \d+\.\d% of the 40 images right", teacher)
    queries = cache.metadata["queries"]
    assert re.match(rf"mined 40 images with {queries} queries in \d+\.\d s: mean p\(label\) 0\.\d+ → 0\.\d+, ", found)
    assert found.endswith(cache.findings().sentence())
    assert capsys.readouterr() == ("", "")


def test_of_a_mining_that_goes_on_it_counts_what_this_call_did(tmp_path):
    told = []
    first = mine_positions(own_net(), Shapes(30), tmp_path / "c", progress=False, **OPTIONS).metadata["queries"]
    mine_positions(own_net(), Shapes(30), tmp_path / "c", progress=False, tell=told.append, **OPTIONS)
    assert told[0].startswith("nothing was left to search: mean p(label) ")

    class More(Shapes):
        def __init__(self):
            super().__init__(30)
            other = Shapes(12, seed=9)
            self.images, self.labels = ([*getattr(self, name), *getattr(other, name)] for name in ("images", "labels"))

    mine_positions(own_net(), More(), tmp_path / "c", progress=False, tell=told.append, **OPTIONS)
    paid = PositionCache.open(tmp_path / "c").metadata["queries"] - first
    assert f"mined 12 images with {paid} queries in " in told[1]


def test_progress_alone_says_it_on_standard_error(tmp_path, capsys):
    mine_positions(own_net(), Shapes(6), tmp_path / "c", progress=True, **OPTIONS)
    out, err = capsys.readouterr()
    assert out == ""
    assert "mined 6 images with " in err
    mine_positions(own_net(), Shapes(6), tmp_path / "d", progress=False, **OPTIONS)
    assert capsys.readouterr().err == ""
