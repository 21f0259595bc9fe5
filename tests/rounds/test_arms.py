import pytest
import torch
from torchvision.transforms import v2

from pasm_aug.models import build_model
from pasm_aug.rounds.arms import AUGMENTS, GEOMETRIES, make_erase, make_geometry
from pasm_aug.transforms.erase import PointAdversarialErase
from pasm_aug.transforms.paired_view import PairedView


def test_every_arm_has_a_transform_and_only_erases():
    image = torch.randint(1, 255, (3, 48, 48), dtype=torch.uint8)
    for arm in AUGMENTS:
        erase = make_erase(arm, None, p=1.0, size=7, value=0)
        if arm in ("none", "asm", "plain"):
            assert erase is None
            continue
        torch.manual_seed(1)
        if arm == "online":
            erase.model = build_model("small", 3)
            outs = [erase(image[None], torch.tensor([0]))[0] for _ in range(8)]
        else:
            outs = [erase(image) for _ in range(8)]
        assert any(not torch.equal(out, image) for out in outs)
        assert all(((out == image) | (out == 0)).all() for out in outs)


def test_random_is_torchvisions_as_published():
    assert repr(make_erase("random", None)) == repr(v2.RandomErasing())


def test_random_erases_half_of_the_images_as_published():
    """RandomErasing draws an area of 2 to 33 % with p = 0.5."""
    torch.manual_seed(0)
    erase, image = make_erase("random", None), torch.full((3, 48, 48), 9, dtype=torch.uint8)
    shares = [float((erase(image) == 0).all(0).float().mean()) for _ in range(400)]
    erased = [share for share in shares if share]
    assert 0.4 < len(erased) / 400 < 0.6
    assert 0.01 < min(erased) < max(erased) < 0.4


def test_random_matched_has_the_area_of_the_point_arm():
    erase = make_erase("random-matched", None, p=1.0, size=7, value=0)
    assert isinstance(erase, PointAdversarialErase)
    image = torch.full((1, 48, 48), 9, dtype=torch.uint8)
    assert {int((erase(image) == 0).sum()) for _ in range(20)} == {49}


def test_an_unknown_arm_is_named():
    with pytest.raises(ValueError, match="cutout"):
        make_erase("cutout", None)


def test_geometries_are_told_by_name_and_move_only_what_they_say():
    image = torch.zeros(1, 48, 48, dtype=torch.uint8)
    image[:, 20:28, 4:12] = 255  # left of the middle
    torch.manual_seed(0)
    assert make_geometry("none") is None
    flips = {bytes(make_geometry("flip")(image).numpy()) for _ in range(20)}
    assert flips == {bytes(image.numpy()), bytes(image.flip(-1).numpy())}
    moved = [make_geometry("affine")(image) for _ in range(20)]
    assert len({bytes(each.numpy()) for each in moved}) == 20
    assert all(float((each == 255).float().mean()) > 0.5 * float((image == 255).float().mean()) for each in moved)
    assert set(GEOMETRIES) == {"none", "flip", "affine"}


def test_geometry_goes_through_erased_and_clean_image_alike():
    image = torch.randint(1, 255, (1, 48, 48), dtype=torch.uint8)
    erased, clean, _ = PairedView(None, make_geometry("affine"))(image, 0)
    assert torch.equal(erased, clean)
    assert not torch.equal(clean, image)
