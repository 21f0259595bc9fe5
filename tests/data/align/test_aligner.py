"""Alignment: geometry on drawn dots, detection on drawn faces and on a real photograph (that of matplotlib's wheel)."""

import io
import pickle

import matplotlib.cbook
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageOps

from pasm_aug.data.align.aligner import FaceAligner
from pasm_aug.data.align.warp import read_photograph, template, to_rgb, umeyama, warp
from pasm_aug.data.files import ImageError
from pasm_aug.data.synthetic.dataset import SyntheticExpressions

EYES = [(226, 192), (310, 187)]  # in the photograph, by eye
FACE = (172, 115, 360, 345)
ALIGNER = FaceAligner(device="cpu")


@pytest.fixture(scope="module", autouse=True)
def _one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def photograph():
    """Grace Hopper, 512×600."""
    return read_photograph(matplotlib.cbook.get_sample_data("grace_hopper.jpg", asfileobj=False))


def at(matrix, points):
    return np.asarray(points) @ matrix[:, :2].T + matrix[:, 2]


def similarity(angle, scale, shift):
    cos, sin = scale * np.cos(np.radians(angle)), scale * np.sin(np.radians(angle))
    return np.array([[cos, -sin, shift[0]], [sin, cos, shift[1]]])


angles, scales, shifts = st.floats(-180, 180), st.floats(0.05, 8), st.tuples(st.floats(-99, 99), st.floats(-99, 99))


@given(angle=angles, scale=scales, shift=shifts, count=st.integers(2, 6), seed=st.integers(0, 99))
def test_umeyama_finds_the_similarity(angle, scale, shift, count, seed):
    points = np.random.default_rng(seed).uniform(0, 100, (count, 2))
    wanted = similarity(angle, scale, shift)
    np.testing.assert_allclose(umeyama(points, at(wanted, points)), wanted, atol=1e-7)


@given(seed=st.integers(0, 999), nudge=st.floats(1e-3, 0.2))
def test_umeyama_is_the_least_of_the_squares_and_never_mirrors(seed, nudge):
    draw = np.random.default_rng(seed)
    source, target = draw.normal(size=(5, 2)), draw.normal(size=(5, 2)) * (-1, 1)
    best = umeyama(source, target)
    assert np.linalg.det(best[:, :2]) >= 0

    def error(matrix):
        return ((at(matrix, source) - target) ** 2).sum()

    a, b, x, y = best[0, 0], best[1, 0], *best[:, 2]
    for da, db, dx, dy in nudge * np.concatenate([np.eye(4), -np.eye(4)]):
        other = np.array([[a + da, -b - db, x + dx], [b + db, a + da, y + dy]])
        assert error(other) > error(best)


def test_points_in_one_place_determine_nothing():
    with pytest.raises(ValueError, match="all lie at"):
        umeyama(np.ones((5, 2)), template(112))


def test_template_is_arcfaces_and_margin_shrinks_it_around_the_middle():
    np.testing.assert_allclose(template(224)[:2], [(76.5892, 103.3926), (147.0636, 103.0028)])
    for margin in (0.1, 0.5):
        np.testing.assert_allclose(template(224, margin) - 112, (template(224) - 112) / (1 + 2 * margin))


def dot(size, centre, radius=2.0):
    """A grey image with a smooth white dot at continuous coordinates."""
    x, y = np.meshgrid(np.arange(size[0]) + 0.5, np.arange(size[1]) + 0.5)
    levels = 255 * np.exp(-((x - centre[0]) ** 2 + (y - centre[1]) ** 2) / (2 * radius**2))
    return Image.fromarray(levels.round().astype(np.uint8)).convert("RGB")


def centroid(image):
    levels = np.asarray(image.convert("L"), float)
    levels[levels < 8] = 0
    x, y = np.meshgrid(np.arange(levels.shape[1]) + 0.5, np.arange(levels.shape[0]) + 0.5)
    return np.array([(levels * x).sum(), (levels * y).sum()]) / levels.sum()


@settings(deadline=None, max_examples=60)
@given(
    angle=angles,
    scale=st.floats(0.08, 4),
    start=st.tuples(st.floats(100, 300), st.floats(100, 200)),
    end=st.tuples(st.floats(30, 82), st.floats(30, 82)),
)
def test_a_dot_lands_where_the_matrix_says(angle, scale, start, end):
    matrix = similarity(angle, scale, (0, 0))
    matrix[:, 2] = end - at(matrix, start)
    image = dot((400, 300), start, radius=max(2.0, 2 / scale))
    landed = centroid(warp(image, matrix, 112))
    assert np.abs(landed - at(matrix, centroid(image))).max() < 0.12  # Pillow's bicubic kernel alone: 0.1


def test_warp_reproduces_the_image_where_nothing_moves_and_fills_the_rest():
    image = Image.fromarray(np.random.default_rng(0).integers(0, 256, (40, 40, 3), dtype=np.uint8))
    moved = np.asarray(warp(image, np.array([[1, 0, 3], [0, 1, 5]]), 48, (9, 8, 7)))
    np.testing.assert_array_equal(moved[5:45, 3:43], np.asarray(image))
    moved = moved.copy()
    moved[5:45, 3:43] = (9, 8, 7)
    assert (moved == (9, 8, 7)).all()
    outside = warp(image, np.array([[0.5, 0, 500], [0, 0.5, 500]]), 48, 33)
    assert np.unique(outside).tolist() == [33]


def test_shrinking_does_not_alias():
    stripes = Image.fromarray(np.tile(np.uint8([0, 255]), (600, 300)))
    small = np.asarray(warp(stripes.convert("RGB"), similarity(7, 1 / 6, (10, 5)), 80))[30:50, 30:50]
    assert np.abs(small.astype(int) - 127).max() < 12


def test_eyes_mode_brings_the_eyes_level_and_onto_the_template(photograph):
    aligner = FaceAligner(200, margin=0.2, mode="eyes")
    points = np.array([(50, 80), (90, 60), (75, 85), (60, 110), (95, 95)], float)
    left, right = at(aligner.matrix(points), points[:2])
    assert left[1] == pytest.approx(right[1])
    np.testing.assert_allclose([left, right], template(200, 0.2)[:2], atol=0.4)


def test_crop_mode_cuts_the_squared_box_with_its_margin():
    x, y = np.meshgrid(np.arange(100), np.arange(80))
    image = Image.fromarray(np.stack([x, y, 0 * x], -1).astype(np.uint8))
    aligner = FaceAligner(40, margin=0.5, mode="crop")
    cut = np.asarray(aligner.align(image, None, (30, 20, 50, 36)))  # 20 wide: 40 with its margins, around (40, 28)
    np.testing.assert_array_equal(cut, np.asarray(image)[8:48, 20:60])
    with pytest.raises(ValueError, match="needs the box"):
        aligner.align(image, None)


@pytest.mark.parametrize("angle", [-40, -25, -10, 10, 25, 40])
@pytest.mark.parametrize("mode", ["similarity", "eyes"])
def test_eyes_of_a_turned_photograph_land_where_those_of_the_upright_one_do(photograph, mode, angle):
    """Within 2 px of 224. In "eyes" mode that is the template; a similarity leaves what the face differs from it."""
    aligner = FaceAligner(mode=mode, device="cpu")
    turned = photograph.rotate(angle, expand=True, resample=Image.Resampling.BICUBIC)
    (upright,), (face,) = aligner(photograph), aligner(turned)
    assert face.image.size == (224, 224)
    assert face.image.mode == "RGB"
    moved = np.array(turned.size) / 2 + at(similarity(-angle, 1, (0, 0)), upright.landmarks - (256, 300))
    target = at(aligner.matrix(upright.landmarks), upright.landmarks)[:2]
    assert np.abs(target - template(224, 0.15)[:2]).max() < (6 if mode == "similarity" else 0.5)
    assert np.abs(at(aligner.matrix(face.landmarks), moved)[:2] - target).max() < 2


@pytest.mark.parametrize("angle", [-40, 40])
def test_drawn_faces_land_alike_however_turned(angle):
    drawn = SyntheticExpressions("train", size=224, length=4)
    for i in range(4):
        image = drawn[i][0].resize((448, 448))
        (upright,), (face,) = ALIGNER(image), ALIGNER(image.rotate(angle, resample=Image.Resampling.BICUBIC))
        moved = 224 + at(similarity(-angle, 1, (0, 0)), upright.landmarks - 224)
        error = at(ALIGNER.matrix(face.landmarks), moved) - at(ALIGNER.matrix(upright.landmarks), upright.landmarks)
        assert np.abs(error[:2]).max() < 2


def test_landmarks_lie_on_the_eyes(photograph):
    (face,) = ALIGNER(photograph)
    assert np.abs(face.landmarks[:2] - EYES).max() < 5  # they are 84 px apart


def test_chin_and_forehead_are_in_the_frame(photograph):
    (face,) = ALIGNER(photograph)
    chin, brim = at(ALIGNER.matrix(face.landmarks), [(272, 333), (262, 135)])
    assert 0 < brim[1] < chin[1] < 224 - 10


def test_drawn_faces_are_found():
    drawn = SyntheticExpressions("train", size=224, length=7)
    found = ALIGNER.detect([drawn[i][0] for i in range(7)])
    assert [len(faces) for faces in found] == [1] * 7


@pytest.fixture(scope="module")
def group(photograph):
    """Three people: the middle one small and in the centre, the left one largest."""
    face = photograph.crop((100, 40, 420, 400))
    scene = Image.new("RGB", (760, 400), "grey")
    scene.paste(face, (0, 0))
    scene.paste(face.resize((120, 135)), (330, 130))
    scene.paste(face.resize((256, 288)), (490, 40))
    return scene


@pytest.mark.parametrize(("select", "middles"), [("largest", [166]), ("center", [392]), ("all", [166, 622, 392])])
def test_of_several_faces(group, select, middles):
    faces = FaceAligner(64, select=select, device="cpu")(group)
    assert [(face.box[0] + face.box[2]) / 2 for face in faces] == pytest.approx(middles, abs=12)
    assert all(0.7 < face.probability <= 1 for face in faces)


def test_small_faces_map_back(photograph):
    scene = Image.new("RGB", (300, 200), "grey")
    scene.paste(photograph.crop((100, 40, 420, 400)).resize((64, 72)), (200, 100))
    (face,) = ALIGNER(scene)
    there = (np.array(EYES) - (100, 40)) / 5 + (200, 100)
    assert np.abs(face.landmarks[:2] - there).max() < 2


@pytest.mark.parametrize("side", [32, 64])
@pytest.mark.parametrize("cut", [(172, 115, 360, 345), (175, 150, 350, 300)])  # the second: found with a border only
def test_tight_and_tiny_images_are_found_and_mapped_back(photograph, side, cut):
    width, height = cut[2] - cut[0], cut[3] - cut[1]
    small = photograph.crop(cut).resize((side, side * height // width), Image.Resampling.LANCZOS)
    (face,) = ALIGNER(small)
    there = (np.array(EYES) - cut[:2]) * side / width
    assert np.abs(face.landmarks[:2] - there).max() < 0.04 * side
    (whole,) = ALIGNER(photograph)
    assert np.abs(np.array(face.box) - (np.array(whole.box) - cut[:2] * 2) * side / width).max() < 0.3 * side


@pytest.mark.parametrize("size", [(16, 16), (1, 1), (1, 400), (400, 3), (19, 200), (3, 5000), (48, 12)])
def test_no_image_is_too_small(size):
    noise = np.random.default_rng(0).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    assert ALIGNER(Image.fromarray(noise)) == []
    assert FaceAligner(min_face_size=100, device="cpu")(Image.fromarray(noise)) == []


def test_no_face_in_noise_or_a_landscape():
    noise = np.random.default_rng(0).integers(0, 256, (120, 160, 3), dtype=np.uint8)
    sky = np.tile(np.linspace(0, 255, 120, dtype=np.uint8)[:, None, None], (1, 160, 3))
    assert ALIGNER.detect([Image.fromarray(noise), Image.fromarray(sky)]) == [[], []]


def test_batches_of_mixed_sizes_find_what_each_alone_does(photograph):
    small, turned = photograph.resize((128, 150)), photograph.rotate(15).resize((128, 150))
    blank = Image.new("RGB", (128, 150))
    images = [small, blank, photograph.crop(FACE).resize((90, 110)), turned, small.convert("L")]
    for batch_size in (1, 4):
        found = FaceAligner(device="cpu", batch_size=batch_size).detect(images)
        assert [len(faces) for faces in found] == [1, 0, 1, 1, 1]
        for image, faces in zip(images, found, strict=True):
            for face, alone in zip(faces, ALIGNER.detect([image])[0], strict=True):
                np.testing.assert_allclose(face.landmarks, alone.landmarks, atol=0.011)
    assert ALIGNER.detect([]) == []


def test_aligning_does_not_touch_the_random_state_or_the_image(photograph):
    before, pixels = torch.get_rng_state(), photograph.tobytes()
    ALIGNER(photograph)
    assert torch.equal(before, torch.get_rng_state())
    assert photograph.tobytes() == pixels


def test_an_aligner_pickles_small_also_after_use(photograph):
    ALIGNER(photograph.resize((64, 75)))
    data = pickle.dumps(ALIGNER)
    assert len(data) < 1000
    assert pickle.loads(data) == ALIGNER


def saved(image, kind, **options):
    """The image as a file would give it."""
    data = io.BytesIO()
    image.save(data, kind, **options)
    return Image.open(io.BytesIO(data.getvalue()))


def test_every_mode_becomes_what_one_sees():
    levels = np.arange(0, 256, 4, dtype=np.uint8).reshape(8, 8)
    grey = Image.fromarray(levels)
    three = np.repeat(levels[..., None], 3, -1)
    deep = Image.fromarray(levels.astype(np.uint16) * 257)
    for image in (grey, grey.convert("RGB"), grey.convert("P"), grey.convert("CMYK"), grey.convert("LA"), deep):
        np.testing.assert_allclose(np.asarray(to_rgb(image)), three, atol=1)
    np.testing.assert_array_equal(np.asarray(to_rgb(saved(deep, "PNG"))), three)
    np.testing.assert_array_equal(np.asarray(to_rgb(saved(deep, "TIFF"))), three)
    np.testing.assert_allclose(np.asarray(to_rgb(saved(grey.convert("CMYK"), "TIFF"))), three, atol=1)
    half = grey.convert("RGBA")
    half.putalpha(Image.fromarray(np.uint8([[255] * 4 + [0] * 4] * 8)))
    seen = three.copy()
    seen[:, 4:] = 255
    np.testing.assert_array_equal(np.asarray(to_rgb(half)), seen)
    palette = Image.fromarray(np.uint8([[0, 1], [1, 0]]), "P")
    palette.putpalette([10, 20, 30, 200, 0, 0])
    seen = np.asarray(to_rgb(saved(palette, "PNG", transparency=1)))
    assert seen[0].tolist() == [[10, 20, 30], [255, 255, 255]]
    frames = [Image.new("RGB", (4, 4), colour) for colour in ("red", "blue")]
    animated = saved(frames[0], "GIF", save_all=True, append_images=frames[1:])
    assert np.asarray(to_rgb(animated))[0, 0].tolist() == [255, 0, 0]
    with pytest.raises(ValueError, match="floating-point"):
        to_rgb(Image.new("F", (4, 4)))
    with pytest.raises(TypeError, match="PIL image, got ndarray"):
        to_rgb(levels)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_applied(orientation, photograph):
    turn = {
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_90,
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_270,
    }
    small = photograph.resize((64, 75))
    stored = small.transpose(turn[orientation]) if orientation > 1 else small
    exif = Image.Exif()
    exif[0x0112] = orientation
    read = saved(stored, "PNG", exif=exif)
    assert to_rgb(read).tobytes() == small.tobytes()
    assert to_rgb(to_rgb(read)).tobytes() == small.tobytes()


def test_grey_photographs_stay_grey(photograph):
    (face,) = ALIGNER(ImageOps.grayscale(photograph))
    levels = np.asarray(face.image)
    assert (levels == levels[..., :1]).all()


def test_a_file_that_is_no_image_is_named(tmp_path):
    (tmp_path / "a.jpg").write_bytes(b"\xff\xd8\xff no")
    for name in ("a.jpg", "missing.png"):
        with pytest.raises(ImageError, match=name):
            read_photograph(tmp_path / name)


@pytest.mark.parametrize(
    "options",
    [
        {"size": 0},
        {"size": 50.5},
        {"margin": -0.1},
        {"margin": float("nan")},
        {"mode": "affine"},
        {"select": "both"},
        {"fill": 256},
        {"fill": (1, 2)},
        {"min_face_size": 5},
        {"thresholds": (0.5, 2, 0.5)},
        {"batch_size": 0},
    ],
)
def test_options_off_their_range_are_named(options):
    (name,) = options
    with pytest.raises(ValueError, match=f"^{name} must be"):
        FaceAligner(**options)


def test_landmarks_are_checked(photograph):
    for wrong in (np.zeros((4, 2)), np.full((5, 2), np.nan)):
        with pytest.raises(ValueError, match="landmarks must be five finite points"):
            ALIGNER.align(photograph, wrong)


@pytest.mark.gpu
def test_the_gpu_finds_the_same_face(photograph):
    (here,), (there,) = ALIGNER(photograph), FaceAligner(device="cuda")(photograph)
    np.testing.assert_allclose(here.landmarks, there.landmarks, atol=0.5)
