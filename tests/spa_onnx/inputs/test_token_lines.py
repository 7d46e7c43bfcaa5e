import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from spa_onnx.errors import CalibrationError, CalibrationFileError
from spa_onnx.inputs.preprocess import Preprocess
from tests.spa_onnx.calibrate.small_models import image_model, read, token_model


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "texts.jsonl"


def feeds(path: Path, *lines: Any, model: onnx.ModelProto | None = None, **steps: Any) -> Any:
    path.write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    found = read(path, model or token_model(), preprocess=Preprocess(**steps))
    return [{n: a.tolist() for n, a in batch.items()} for batch in found.batches]


def test_lines_are_padded_on_the_right_and_masked(path: Path) -> None:
    assert feeds(path, [5, 6, 7], [8], pad_id=9) == [
        {"input_ids": [[5, 6, 7], [8, 9, 9]], "attention_mask": [[1, 1, 1], [1, 0, 0]]}
    ]


def test_a_line_may_say_more_than_ids(path: Path) -> None:
    line = {"input_ids": [5, 6], "attention_mask": [1, 0]}
    assert feeds(path, line, {"input_ids": [7, 8, 9]}) == [
        {"input_ids": [[5, 6, 0], [7, 8, 9]], "attention_mask": [[1, 0, 0], [1, 1, 1]]}
    ]


def test_types_are_zeros_and_positions_count(path: Path) -> None:
    model = token_model("ids", "token_type_ids", "position_ids")
    (batch,) = feeds(path, [5, 6], [7], model=model)
    assert batch["token_type_ids"] == [[0, 0], [0, 0]]
    assert batch["position_ids"] == [[0, 1], [0, 1]]


def test_fixed_lengths_pad_and_cut(path: Path) -> None:
    model = token_model(batch=2, length=3)
    (batch,) = feeds(path, [1, 2, 3, 4], [5], [6], model=model)
    assert batch["input_ids"] == [[1, 2, 3], [5, 0, 0]]
    found = read(path, model)
    assert found.notes[0] == "texts of more than 3 tokens were cut there"
    assert "1 calibration items were left out" in found.notes[1]


def test_long_texts_are_cut_where_the_description_says(path: Path) -> None:
    (batch,) = feeds(path, [1, 2, 3, 4], [5], length=2)
    assert batch["input_ids"] == [[1, 2], [5, 0]]


def test_texts_are_padded_no_further_than_their_batch(path: Path) -> None:
    found = feeds(path, *([[1, 2]] * 32), *([[3, 4, 5]] * 32))
    assert [np.shape(f["input_ids"]) for f in found] == [(32, 2), (32, 3)]


@pytest.mark.parametrize(
    ("line", "text"),
    [
        ("[1, 2", "is no JSON"),
        ("[" * 100_000, "is no JSON"),
        ("9" * 5000, "is no JSON"),
        ("3", "is neither a list nor an object"),
        ('{"ids": [1]}', "names 'ids'; the model's inputs are input_ids, attention_mask"),
        ('{"attention_mask": [1]}', "lacks 'input_ids'"),
        ("[]", "'input_ids' that is no list of integers"),
        ("[1.5]", "no list of integers"),
        ("[true]", "no list of integers"),
        ('["a"]', "no list of integers"),
        ("[[1]]", "no list of integers"),
        (f"[{2**70}]", "no list of integers"),
        ('{"input_ids": 3}', "no list of integers"),
        ('{"input_ids": [1, 2], "attention_mask": [1]}', "lists of different lengths"),
    ],
)
def test_a_bad_line_is_told_by_its_number(path: Path, line: str, text: str) -> None:
    path.write_text(f"[1, 2]\n\n{line}\n")
    with pytest.raises(CalibrationFileError, match=rf"texts\.jsonl: line 3 .*{text}"):
        read(path, token_model())


def test_a_line_that_is_no_text(path: Path) -> None:
    path.write_bytes(b"[1]\n\xff\xfe\n")
    with pytest.raises(CalibrationFileError, match="line 2 is no JSON"):
        read(path, token_model())


def test_a_line_without_an_end(path: Path) -> None:
    with path.open("wb") as file:
        file.truncate(1 << 25)
    with pytest.raises(CalibrationFileError, match="line 1 is longer than"):
        read(path, token_model())


def test_ids_beyond_the_table_are_refused(path: Path) -> None:
    with pytest.raises(CalibrationError, match=r"'input_ids' holds the id 50, but .* 50 rows"):
        feeds(path, [49, 50])


def test_a_file_without_lines_is_refused(path: Path) -> None:
    with pytest.raises(CalibrationError, match="no items"):
        feeds(path)


def test_models_that_read_no_tokens_are_refused(path: Path) -> None:
    with pytest.raises(CalibrationError, match=r"feed inputs of integers .*'image' float32"):
        feeds(path, [1, 2], model=image_model())
