"""Options as fields: flat keywords reach them at any depth, and what is recorded is what results depend on."""

import functools
import inspect
import json
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pasm_aug.core.options import identity, leaves, option, part, plain, replaced, takes


@dataclass(frozen=True)
class Inner:
    rate: float = option(0.1, keyword="inner_rate")
    workers: int = option(0, identity=None)
    hook: object = option(None)

    def __post_init__(self):
        if self.rate <= 0:
            raise ValueError(f"rate must be positive, got {self.rate}")


@dataclass(frozen=True)
class Outer:
    seed: int = option(0, group="machine")
    inner: Inner = part(Inner, rate=0.5)
    aside: Inner = part(Inner, recorded=False)


def test_leaves_are_all_options_in_order_with_the_defaults_of_their_place():
    found = [(leaf.keyword, leaf.path, leaf.default) for leaf in leaves(Outer)]
    assert found[:4] == [
        ("seed", ("seed",), 0),
        ("inner_rate", ("inner", "rate"), 0.5),
        ("workers", ("inner", "workers"), 0),
        ("hook", ("inner", "hook"), None),
    ]
    assert found[4] == ("inner_rate", ("aside", "rate"), 0.1)
    assert [leaf.dest for leaf in leaves(Outer)][:2] == ["seed", ""]


@given(st.integers(), st.floats(1e-3, 10))
def test_flat_keywords_reach_their_fields_and_no_other(seed, rate):
    before = Outer()
    found = replaced(before, seed=seed, workers=3)
    assert (found.seed, found.inner.rate, before.seed) == (seed, 0.5, 0)
    assert replaced(Inner(), rate=rate) == Inner(rate)


def test_a_wrong_keyword_is_named_and_a_wrong_value_refused():
    with pytest.raises(TypeError, match=r"train\(\) got an unexpected keyword argument 'sead'"):
        replaced(Outer(), "train", sead=1)
    with pytest.raises(ValueError, match="rate must be positive"):
        replaced(Inner(), rate=-1)


def test_identity_holds_what_results_depend_on():
    found = identity(replaced(Outer(), workers=7, hook=test_identity_holds_what_results_depend_on))
    assert json.loads(json.dumps(found)) == found == {"seed": 0, "inner": found["inner"]}
    aside = {"rate": 0.5, "hook": None}
    assert found["inner"].keys() == aside.keys()


def test_plain_values_survive_json_and_objects_leave_their_name():
    assert plain({1: (2, [None, True])}) == {"1": [2, [None, True]]}
    assert plain(max) == "max"
    assert plain(Outer) == "Outer"
    assert plain(functools.partial(max)) == "partial"


def test_a_signature_shows_the_options():
    @takes(Inner)
    def learn(model, *, epochs=1, **keywords):
        return keywords

    parameters = inspect.signature(learn).parameters
    assert [*parameters] == ["model", "epochs", "rate", "workers", "hook"]
    assert parameters["rate"].default == 0.1
    assert parameters["rate"].kind is inspect.Parameter.KEYWORD_ONLY
