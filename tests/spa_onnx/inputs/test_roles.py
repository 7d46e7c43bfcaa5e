import numpy as np
import pytest

from spa_onnx.inputs.roles import Role, role_of


@pytest.mark.parametrize(
    ("name", "dtype", "shape", "rows", "role"),
    [
        ("x", "float32", (2, 3, 32, 32), 0, "picture"),
        ("x", "float16", (2, 1, 28, 28), 0, "picture"),
        ("pixel_values", "float32", (1, 3, 224, 224), 0, "picture"),
        ("x", "uint8", (1, 480, 640, 3), 0, "picture last"),
        ("x", "float32", (3, 200, 300), 0, "picture"),
        ("x", "float32", (2, 64, 8, 8), 0, "other"),
        ("x", "float32", (2, 3, 4, 4), 0, "other"),
        ("past_key_values.0.key", "float32", (1, 4, 16, 64), 0, "other"),
        ("input_ids", "int64", (2, 16), 30522, "ids"),
        ("attention_mask", "int64", (2, 16), 0, "mask"),
        ("mask", "bool", (2, 16), 0, "mask"),
        ("position_ids", "int64", (2, 16), 512, "positions"),
        ("token_type_ids", "int64", (2, 16), 2, "segments"),
        ("edges", "int64", (2, 10), 0, "other"),
        ("waveform", "float32", (1, 16000), 0, "signal"),
        ("x", "float32", (2, 1, 3200), 0, "signal"),
        ("x", "float32", (2, 80, 3000), 0, "other"),
        ("x", "float32", (2, 24), 0, "other"),
        ("x", "float32", (), 0, "other"),
    ],
)
def test_roles(name: str, dtype: str, shape: tuple[int, ...], rows: int, role: Role) -> None:
    assert role_of(name, np.dtype(dtype), shape, rows) == role
