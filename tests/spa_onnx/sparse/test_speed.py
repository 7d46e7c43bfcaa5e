"""Estimated times: read from the table, straight in between, and inverted exactly enough."""

import pytest

from spa_onnx.layers.find import layers_of
from spa_onnx.layers.layer import Layer
from spa_onnx.load.model import load
from spa_onnx.normalise.graph import normalise
from spa_onnx.sparse.pattern import Pattern, parse_pattern
from spa_onnx.sparse.speed import TableOfSpeed, default_table, fastest, sparsity_for
from tests.builders import GraphBuilder


def layers() -> dict[str, Layer]:
    g = GraphBuilder(opset=17)
    x = g.conv(g.relu(g.conv(g.input("x", (1, 8, 4, 4)), 16)), 16, 3)
    model = g.model(g.gemm(g.flatten(x), 64))
    names = ("pointwise", "window", "linear")
    return dict(zip(names, layers_of(normalise(load(model))), strict=True))


def table(rows: int = 1) -> TableOfSpeed:
    name = layers()["linear"].node.outputs[0]
    return TableOfSpeed({name: rows}, default_table())


@pytest.mark.parametrize(
    ("kind", "pattern", "rows", "speed"),
    [
        ("pointwise", "4x1", 1, 2.93),
        ("window", "8x1", 1, 3.06),
        ("window", "unstructured", 1, 1.93),
        ("linear", "32x1", 128, 3.71),
        ("linear", "16x1", 16, 5.0),
        ("linear", "1x16", 1, 4.5),
    ],
)
def test_entries_of_the_table_are_found(kind: str, pattern: str, rows: int, speed: float) -> None:
    time = table(rows)(layers()[kind], parse_pattern(pattern), 0.8)
    assert time == pytest.approx(1 / speed)


def test_patterns_without_a_kernel_have_no_time() -> None:
    assert table()(layers()["window"], parse_pattern("1x16"), 0.8) is None
    assert table()(layers()["linear"], parse_pattern("2:4"), 0.5) is None
    assert sparsity_for(layers()["window"], parse_pattern("1x16"), 1.0, table()) is None


def test_times_fall_with_sparsity() -> None:
    for kind, layer in layers().items():
        for pattern in map(parse_pattern, ("unstructured", "32x1" if kind == "linear" else "4x1")):
            times = [table()(layer, pattern, s / 20) for s in range(21)]
            found = [t for t in times if t is not None]
            assert found == sorted(found, reverse=True)
            assert len(found) == 21


def test_the_sparsity_for_a_time_reaches_it() -> None:
    layer, time = layers()["pointwise"], table()
    patterns = [parse_pattern(p) for p in ("unstructured", "4x1", "8x1")]
    wanted = fastest(layer, patterns, 0.7, time)
    assert wanted == pytest.approx(1 / 2.15)
    sparsity = sparsity_for(layer, patterns[0], wanted or 0.0, time)
    assert sparsity is not None
    assert 0.8 < sparsity < 0.82
    assert time(layer, patterns[0], sparsity) == pytest.approx(wanted, abs=1e-3)
    assert sparsity_for(layer, patterns[0], 0.01, time) is None


def test_patterns_that_say_their_sparsity_are_taken_at_it_or_not_at_all() -> None:
    two, layer = parse_pattern("2:4"), layers()["linear"]

    def time(_layer: Layer, pattern: Pattern, sparsity: float) -> float | None:
        return 0.55 if pattern.kept else 1 - sparsity / 2

    assert sparsity_for(layer, two, 0.6, time) == 0.5
    assert sparsity_for(layer, two, 0.5, time) is None
    assert fastest(layer, [two, parse_pattern("4x1")], 0.5, time) == 0.55
    assert fastest(layer, [two, parse_pattern("4x1")], 0.4, time) == pytest.approx(0.8)
