from pathlib import Path

import pytest

from spa_onnx.errors import PreprocessError
from spa_onnx.inputs.preprocess import PRESETS, Preprocess, read_preprocess

TOML = """
size = [20, 30]
resize = "stretch"
shorter = 40
interpolation = "bicubic"
scale = 1
mean = [1, 2, 3.5]
std = 2
channels = "BGR"
layout = "NHWC"
pad_id = 7
length = 99
"""


def test_a_description_may_say_everything(tmp_path: Path) -> None:
    path = tmp_path / "steps.toml"
    path.write_text(TOML)
    assert read_preprocess(path) == Preprocess(
        (20, 30), "stretch", 40, "bicubic", 1.0, (1.0, 2.0, 3.5), (2.0,), "BGR", "NHWC", 7, 99
    )


def test_a_description_may_be_json_or_a_preset_or_nothing(tmp_path: Path) -> None:
    path = tmp_path / "steps.json"
    path.write_text('{"size": 20}')
    assert read_preprocess(str(path)) == Preprocess(size=(20, 20))
    assert read_preprocess("imagenet") == PRESETS["imagenet"]
    assert read_preprocess(PRESETS["imagenet"]) is PRESETS["imagenet"]
    assert read_preprocess(None) is None


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("mean = ", "is no TOML or JSON"),
        ("sizes = 3", "'sizes' is not one of channels, "),
        ("size = 'a'", "size is no number that fits"),
        ("size = [1, 2, 3]", "one length or two"),
        ("size = []", "size is no number"),
        ("size = 0", "size must be from 1 to 16384"),
        ("size = 1.5", "size is no number that fits"),
        ("shorter = 99999", "shorter must be"),
        ("length = [3]", "length is one number"),
        ("pad_id = true", "pad_id is no number"),
        ("mean = ['a']", "mean is no number"),
        ("mean = nan", "must be finite"),
        ("std = [1, 0, 1]", "std not zero"),
        ("scale = inf", "must be finite"),
        ("resize = 3", "resize is no word"),
        ("resize = 'squash'", "resize 'squash' is not one of crop, stretch, pad"),
        ("layout = 'CHW'", "layout 'CHW' is not one of NCHW, NHWC"),
        ("[mean]\na = 1", "mean is no number"),
        ("mean = 1" + "0" * 400, "too large"),
        ("#" * (1 << 20) + "#", "too long"),
    ],
)
def test_a_broken_description_says_what_is_wrong(tmp_path: Path, text: str, problem: str) -> None:
    path = tmp_path / "steps.toml"
    path.write_text(text)
    with pytest.raises(PreprocessError) as caught:
        read_preprocess(path)
    assert str(caught.value).startswith(f"preprocessing {path}: ")
    assert problem in str(caught.value)


@pytest.mark.parametrize("data", [b"[1]", b"3", b"\xff\xfe", b"[" * 100_000, b""])
def test_json_that_is_no_description(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "steps.json"
    path.write_bytes(data)
    with pytest.raises(PreprocessError, match=r"steps\.json: is no"):
        read_preprocess(path)


def test_a_description_that_is_missing(tmp_path: Path) -> None:
    with pytest.raises(PreprocessError, match=r"no: cannot be read.*imagenet or symmetric"):
        read_preprocess(tmp_path / "no")
