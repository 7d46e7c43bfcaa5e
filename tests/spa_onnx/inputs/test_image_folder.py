import builtins
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from PIL import Image

from spa_onnx.errors import CalibrationError, CalibrationFileError, PreprocessError
from spa_onnx.inputs import image_folder
from spa_onnx.inputs.preprocess import Preprocess
from tests.spa_onnx.calibrate.small_models import image_model, joined, read, two_input_model

RANDOM = np.random.default_rng(0)


def write(path: Path, *shape: int) -> Any:
    pixels = RANDOM.integers(0, 256, shape or (8, 8, 3), np.uint8)
    path.parent.mkdir(exist_ok=True)
    Image.fromarray(pixels).save(path)
    return pixels


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "images"


def values(folder: Path, model: onnx.ModelProto | None = None, **steps: Any) -> Any:
    return joined(read(folder, model or image_model(), preprocess=Preprocess(**steps)).batches)


def test_pictures_are_sorted_scaled_and_turned(folder: Path) -> None:
    pixels = {n: write(folder / n) for n in ("b.png", "a.bmp", "deeper.png")}
    deep = write(folder / "a" / "z.PNG")
    (folder / "notes.txt").write_text("no image")
    (folder / ".hidden.png").write_text("no image")
    wanted = np.stack([deep, pixels["a.bmp"], pixels["b.png"], pixels["deeper.png"]])
    np.testing.assert_allclose(
        values(folder), wanted.transpose(0, 3, 1, 2) / 255, rtol=1e-6
    )  # fmt: skip


def test_mean_deviation_and_order_of_colours(folder: Path) -> None:
    pixels = write(folder / "a.png").astype(np.float64)
    mean, std = (1.0, 2.0, 3.0), (4.0, 5.0, 6.0)
    found = values(folder, mean=mean, std=std, scale=0.5, channels="BGR")
    wanted = (pixels[:, :, ::-1] * 0.5 - mean) / std
    np.testing.assert_allclose(found[0], wanted.transpose(2, 0, 1), rtol=1e-5)


def test_channels_may_be_last_and_pixels_integers(folder: Path) -> None:
    pixels = write(folder / "a.png")
    np.testing.assert_allclose(
        values(folder, image_model("n", 8, 8, 3))[0], pixels / 255, rtol=1e-6
    )


def test_grey_models_see_grey_pictures(folder: Path) -> None:
    write(folder / "a.png", 8, 8)
    assert values(folder, image_model("n", 1, 8, 8)).shape == (1, 1, 8, 8)


def test_pictures_are_cropped_stretched_or_padded_to_the_size(folder: Path) -> None:
    pixels = np.zeros((8, 16, 3), np.uint8)
    pixels[:, 4:12] = 255  # the middle is white
    pixels[4, 6] = 250
    folder.mkdir()
    Image.fromarray(pixels).save(folder / "a.png")
    assert values(folder, resize="crop").min() > 0.9
    stretched = values(folder, resize="stretch", interpolation="nearest")
    assert stretched.mean() == pytest.approx(0.5, abs=0.01)
    padded = values(folder, resize="pad", interpolation="nearest")[0, 0]
    assert padded[:2].max() == padded[6:].max() == 0
    assert padded[2:6].mean() == pytest.approx(0.5, abs=0.01)
    larger = values(folder, resize="crop", shorter=16, interpolation="nearest")
    assert larger.min() > 0.9


@pytest.mark.parametrize("resize", ["crop", "stretch", "pad"])
def test_lines_of_pixels_do_not_become_huge(folder: Path, resize: Any) -> None:
    write(folder / "a.png", 1, 30000, 3)
    write(folder / "b.png", 3000, 1, 3)
    write(folder / "c.png")
    assert values(folder, resize=resize, shorter=9).shape == (3, 3, 8, 8)


def test_a_model_of_any_size_takes_the_size_of_the_first_picture(folder: Path) -> None:
    write(folder / "a.png", 9, 7, 3)
    write(folder / "b.png", 30, 30, 3)
    model = image_model("n", 3, "height", "width")
    assert values(folder, model).shape == (2, 3, 9, 7)
    assert values(folder, model, size=(5, 4)).shape == (2, 3, 5, 4)


def test_many_pictures_are_chosen_evenly(folder: Path) -> None:
    pixels = [write(folder / f"{k:02}.png") for k in range(20)]
    found = read(folder, image_model(), samples=4)
    wanted = np.stack([pixels[k] for k in (0, 5, 10, 15)]).transpose(0, 3, 1, 2) / 255
    np.testing.assert_allclose(joined(found.batches), wanted, rtol=1e-6)


def test_pictures_that_fill_no_batch_are_told_of(folder: Path) -> None:
    for k in range(7):
        write(folder / f"{k}.png")
    heard: list[tuple[int, int]] = []
    model = image_model(2, 3, 8, 8)
    found = read(folder, model, preprocess="symmetric", tell=lambda *parts: heard.append(parts))
    assert found.batches.samples == 6
    assert found.notes[0].startswith("1 calibration items were left out")
    assert heard == [(2, 7), (4, 7), (6, 7)]


def test_a_missing_description_is_noted(folder: Path) -> None:
    write(folder / "a.png")
    assert "pixels from 0 to 1 and nothing else" in read(folder, image_model()).notes[0]


BROKEN = {
    "a.png": b"no image",
    "b.jpg": b"",
    "c.webp": b"RIFF\x10\0\0\0WEBPVP8 ",
    "d.png": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n",
    "e.bmp": b"BM" + b"\xff" * 60,
}


@pytest.mark.parametrize("name", BROKEN)
def test_broken_pictures_are_named(folder: Path, name: str) -> None:
    folder.mkdir()
    (folder / name).write_bytes(BROKEN[name])
    with pytest.raises(CalibrationFileError, match=f"{name}: is no image that can be read"):
        values(folder)


@pytest.mark.parametrize("ending", ["png", "jpg", "bmp", "webp"])
def test_damaged_pictures_never_end_in_a_foreign_exception(folder: Path, ending: str) -> None:
    path = folder / f"a.{ending}"
    write(path, 12, 12, 3)
    data = bytearray(path.read_bytes())
    refused = 0
    for place in range(0, len(data), max(1, len(data) // 60)):
        damaged = data.copy()
        damaged[place] ^= 0xFF
        for content in (damaged, data[:place]):
            path.write_bytes(content)
            try:
                values(folder)
            except CalibrationError:
                refused += 1
    assert refused > 5


def test_pictures_that_claim_too_many_pixels_are_refused(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(folder / "a.png")
    monkeypatch.setattr(image_folder, "MOST_PIXELS", 63)
    with pytest.raises(CalibrationFileError, match=r"a\.png: claims 8 x 8 pixels"):
        values(folder)


def test_an_empty_folder_says_what_images_are(folder: Path) -> None:
    folder.mkdir()
    with pytest.raises(CalibrationFileError, match=r"holds no images\. Images end with \.bmp, "):
        values(folder)


@pytest.mark.parametrize(
    ("model", "steps", "text"),
    [
        (two_input_model(), {}, "a model with one input of four axes; the inputs are 'a'"),
        (image_model("n", 5, 8, 8), {}, "no axis of 1 or 3 channels"),
        (image_model(), {"layout": "NHWC"}, "no axis of 1 or 3 channels"),
        (image_model(), {"size": (9, 9)}, "is not that of input 'image'"),
        (image_model(), {"mean": (1.0, 2.0)}, "mean has 2 numbers, input 'image' 3 channels"),
    ],
)
def test_models_that_see_no_such_pictures(
    folder: Path, model: onnx.ModelProto, steps: dict[str, Any], text: str
) -> None:
    write(folder / "a.png")
    with pytest.raises((CalibrationError, PreprocessError), match=text):
        values(folder, model, **steps)


def test_a_missing_decoder_is_named_with_its_extra(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(folder / "a.png")
    real = builtins.__import__

    def without(name: str, *rest: Any) -> Any:
        if name.startswith("PIL"):
            raise ImportError(name)
        return real(name, *rest)

    for name in [n for n in sys.modules if n.startswith("PIL")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(CalibrationError, match=r"pip install 'spa-onnx\[images\]'"):
        values(folder)
