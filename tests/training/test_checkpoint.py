import pytest
import torch
from torch.optim.lr_scheduler import CosineAnnealingLR, MultiStepLR

from pasm_aug.training.checkpoint import load_checkpoint, previous, remove_checkpoint, save_checkpoint
from tests.shapes import own_net

OPTIMISERS = {
    "sgd": lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9),
    "adamw": lambda p: torch.optim.AdamW(p, lr=0.01),
}
SCHEDULES = {
    "multistep": lambda o: MultiStepLR(o, [2, 4]),
    "cosine": lambda o: CosineAnnealingLR(o, 6),
}


def steps(model, optimizer, scheduler, numbers):
    for number in numbers:
        images = torch.randn(4, 1, 20, 20, generator=torch.Generator().manual_seed(number))
        optimizer.zero_grad()
        model(images).square().mean().backward()
        optimizer.step()
        scheduler.step()


@pytest.mark.parametrize("optimizer", OPTIMISERS)
@pytest.mark.parametrize("schedule", SCHEDULES)
def test_going_on_from_a_checkpoint_is_bit_identical(tmp_path, optimizer, schedule):
    def fresh():
        model = own_net(0)
        optim = OPTIMISERS[optimizer](model.parameters())
        return model, optim, SCHEDULES[schedule](optim)

    whole = fresh()
    steps(*whole, range(6))
    half = fresh()
    steps(*half, range(3))
    save_checkpoint(tmp_path / "c", *half, history=[{"epoch": 3}], identity={"seed": 1})
    later = fresh()
    assert load_checkpoint(tmp_path / "c", *later, {"seed": 1}).history == [{"epoch": 3}]
    with pytest.raises(ValueError, match="seed was 1, now 2"):
        load_checkpoint(tmp_path / "c", *fresh(), {"seed": 2})
    steps(*later, range(3, 6))
    assert all(torch.equal(a, b) for a, b in zip(whole[0].parameters(), later[0].parameters(), strict=True))
    assert whole[2].get_last_lr() == later[2].get_last_lr()


def test_every_flipped_byte_is_noticed(tmp_path):
    model = own_net(0, width=1)
    optim = OPTIMISERS["sgd"](model.parameters())
    scheduler = SCHEDULES["multistep"](optim)
    steps(model, optim, scheduler, range(1))
    save_checkpoint(tmp_path / "c", model, optim, scheduler, history=[{"epoch": 1}], identity={})
    good = (tmp_path / "c").read_bytes()
    for position in range(0, len(good), 37):
        flipped = bytearray(good)
        flipped[position] ^= 4
        (tmp_path / "c").write_bytes(flipped)
        try:
            load_checkpoint(tmp_path / "c", model, optim, scheduler, {})
        except ValueError as error:
            assert "c is damaged" in str(error)  # noqa: PT017
        else:
            pytest.fail(f"the flip at byte {position} passed")


def state(seed=0):
    model = own_net(seed, width=1)
    optim = OPTIMISERS["adamw"](model.parameters())
    return model, optim, SCHEDULES["cosine"](optim)


def written(path, count):
    """A training that has written ``count`` checkpoints, after as many epochs."""
    whole = state()
    for number in range(count):
        steps(*whole, [number])
        history = [{"epoch": n + 1} for n in range(number + 1)]
        save_checkpoint(
            path, *whole, history, {}, step=number, numbers={"total": [0.1]}, tensors={"ema.a": torch.ones(2)}
        )
    return whole


def test_the_checkpoint_before_the_last_is_kept_and_both_go_when_the_training_is_done(tmp_path):
    path = tmp_path / "training.safetensors"
    written(path, 3)
    assert sorted(file.name for file in tmp_path.iterdir()) == ["training.previous.safetensors", "training.safetensors"]
    found = load_checkpoint(path, *state(1), {})
    assert (len(found.history), found.step, found.numbers) == (3, 2, {"total": [0.1]})
    assert torch.equal(found.tensors["ema.a"], torch.ones(2))
    path.unlink()  # killed between the two renames
    assert len(load_checkpoint(path, *state(1), {}).history) == 2
    remove_checkpoint(path)
    assert not list(tmp_path.iterdir())
    assert load_checkpoint(path, *state(1), {}) is None


def corrupt(path):
    path.write_bytes(path.read_bytes()[:-3] + b"abc")


def test_a_damaged_checkpoint_never_takes_the_place_of_the_good_one(tmp_path):
    path = tmp_path / "c"
    written(path, 2)
    corrupt(path)
    later = state(1)
    with pytest.warns(UserWarning, match=r"c is damaged .*going on from the one beside it"):
        assert len(load_checkpoint(path, *later, {}).history) == 1
    save_checkpoint(path, *later, [{"epoch": 1}, {"epoch": 2}], {})
    path.unlink()  # killed before the new one stood there
    assert len(load_checkpoint(path, *state(1), {}).history) == 1


def test_a_damaged_older_checkpoint_is_named_and_does_no_harm(tmp_path):
    path = tmp_path / "c"
    written(path, 2)
    corrupt(previous(path))
    with pytest.warns(UserWarning, match=r"c\.previous is damaged"):
        assert len(load_checkpoint(path, *state(1), {}).history) == 2


def test_both_damaged_are_both_named(tmp_path):
    path = tmp_path / "c"
    written(path, 2)
    corrupt(path)
    corrupt(previous(path))
    with pytest.raises(ValueError, match=r"/c is damaged .*/c\.previous is damaged .*delete it to start anew"):
        load_checkpoint(path, *state(1), {})


def test_a_checkpoint_of_another_network_is_refused(tmp_path):
    written(tmp_path / "c", 1)
    model = own_net(0, width=2)
    optim = OPTIMISERS["adamw"](model.parameters())
    with pytest.raises(ValueError, match="of another network"):
        load_checkpoint(tmp_path / "c", model, optim, SCHEDULES["cosine"](optim), {})
