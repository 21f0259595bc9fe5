import pytest
import torch
from torch.optim.lr_scheduler import CosineAnnealingLR, MultiStepLR

from pasm_aug.checkpoint import load_checkpoint, save_checkpoint
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
