from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from spa_onnx.errors import LoweredDiffersError, OriginalRefusedError
from spa_onnx.load.model import load
from spa_onnx.lower.check import MOST
from spa_onnx.lower.cuda.check import UNIT, HalfCheck, apart
from spa_onnx.lower.cuda.errors import RangeError
from spa_onnx.lower.cuda.sessions import Sessions
from spa_onnx.lower.cuda.widen import widened
from spa_onnx.normalise.graph import normalise
from spa_onnx.runtime.library import library_path
from spa_onnx.runtime.packed_kinds import ValueType
from tests.builders import GraphBuilder
from tests.runtime_kernels.cuda_library import cuda_library, needs_emulator
from tests.runtime_kernels.kernel_library import needs_kernels

pytestmark = [needs_kernels, needs_emulator]

X = np.linspace(-2, 2, 12, dtype=np.float16).reshape(3, 4)


def written(folder: Path, name: str, *outputs: str, g: GraphBuilder) -> Path:
    path = folder / f"{name}.onnx"
    path.write_bytes(g.model(*outputs).SerializeToString())
    return path


def scaled(folder: Path, name: str, factor: float) -> Path:
    """Write a model that multiplies; it stands for a lowered one."""
    g = GraphBuilder(dtype=np.float16)
    y = g.mul(g.input("x", (3, 4)), g.constant(np.array(factor, np.float16)))
    return written(folder, name, y, g=g)


def check(original: Path, x: np.ndarray = X) -> HalfCheck:
    exact = normalise(widened(load(original)))
    sessions = Sessions.found(library_path(), cuda_library().path, threads=1)
    feeds = {"x": x.astype(np.float32)}
    return HalfCheck("it", original, exact, feeds, ValueType.FLOAT16, sessions, 1 << 30)


def test_eight_roundings_are_tolerated(tmp_path: Path) -> None:
    original = scaled(tmp_path, "original", 1.0)
    unit = UNIT[ValueType.FLOAT16]
    near, far = (scaled(tmp_path, n, 1 + k * unit) for n, k in (("near", 8), ("far", 10)))
    agreement = check(original).agreement(near)
    assert agreement.difference == pytest.approx(8 * unit)
    assert agreement.tolerance == 8 * unit
    with pytest.raises(LoweredDiffersError, match=r"by 0\.00488 of its scale, tolerance 0\.00391"):
        check(original).agreement(far)


@pytest.mark.parametrize(("own", "tolerance"), [(0.01, 0.08), (0.9, MOST), (1e-6, 8 * 2.0**-11)])
def test_eight_times_what_the_type_does_to_the_original_is_tolerated(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, own: float, tolerance: float
) -> None:
    wide = X.astype(np.float32)
    monkeypatch.setattr(HalfCheck, "_reference", lambda *_: ([wide], [own]))
    original = scaled(tmp_path, "original", 1.0)
    for name, share, is_near in (("near", 0.75, True), ("far", 1.5, False)):
        lowered = scaled(tmp_path, name, 1 + share * tolerance)
        if is_near:
            assert check(original).agreement(lowered).tolerance == pytest.approx(tolerance)
            continue
        with pytest.raises(LoweredDiffersError):
            check(original).agreement(lowered)


def test_choices_are_compared_by_how_many_differ(tmp_path: Path) -> None:
    def chosen(name: str, factor: float) -> Path:
        g = GraphBuilder(dtype=np.float16)
        weight = np.ones((4, 300), np.float16)
        weight[:, 7] = factor
        y = g.matmul(g.input("x", (3, 4)), g.constant(weight))
        return written(tmp_path, name, g.node("ArgMax", [y], axis=1), g=g)

    original = chosen("original", 0.5)
    assert check(original).agreement(original).difference == 0
    with pytest.raises(LoweredDiffersError, match=r"by 0\.667 of"):
        check(original).agreement(chosen("other", 2.0))


def test_distances_of_tensors() -> None:
    ids = np.array([1, 2, 300, 4])
    assert apart(ids, np.array([1, 2, 3, 4])) == 0.25
    assert apart(ids[:3], ids) == np.inf
    assert apart(ids[:0], ids[:0]) == 0
    assert apart(np.array([1.0, 2.0]), np.array([1.0, 4.0])) == 0.5


def test_a_shape_that_rounding_decides_is_not_compared(tmp_path: Path) -> None:
    g = GraphBuilder(dtype=np.float16)
    x = g.input("x", (3, 4))
    # 2049 is no number of float16: one equality more than in float32
    y = g.node("Equal", [g.mul(x, g.constant(np.array(2049 / 2, np.float32).astype(np.float16))),
                         g.constant(np.array(2048, np.float16))])  # fmt: skip
    model = written(tmp_path, "model", g.node("NonZero", [y]), g.relu(x), g=g)
    agreement = check(model, np.full((3, 4), 2, np.float16)).agreement(model)
    assert agreement.difference == 0


def test_an_original_that_does_not_run_is_told(tmp_path: Path) -> None:
    original = scaled(tmp_path, "original", 1.0)
    wrong = check(original, X[:2])
    with pytest.raises(Exception, match="refuses the lowered"):
        wrong.agreement(original)
    other = scaled(tmp_path, "lowered", 1.0)
    broken = check(original)
    original.write_bytes(b"")
    with pytest.raises(OriginalRefusedError, match="it: ONNX Runtime cannot run it"):
        broken.agreement(other)


def test_an_original_that_overflows_is_told(tmp_path: Path) -> None:
    original = scaled(tmp_path, "original", 6e4)
    with pytest.raises(RangeError, match=r"it: as float16 .* makes output .* infinite"):
        check(original).agreement(original)
