"""Products of activations as rows times rows: what ONNX Runtime computes."""

from collections.abc import Callable

import numpy as np
import pytest

import spa_onnx
from spa_onnx.layers.pairing import pairings_of
from tests.builders import GraphBuilder
from tests.onnx_runs import random_feeds, run
from tests.spa_onnx.untracked import shaped


def _matmul(g: GraphBuilder) -> str:
    return g.matmul(g.input("a", (2, 3, 4, 5)), g.input("b", (2, 1, 5, 6)))


def _gemm(g: GraphBuilder) -> str:
    a, b = g.input("a", (5, 4)), g.input("b", (6, 5))
    return g.node("Gemm", [a, b], transA=1, transB=1)


def _einsum(g: GraphBuilder) -> str:
    a, b = g.input("a", (2, 4, 3, 5)), g.input("b", (3, 2, 5, 6))
    return g.einsum("nqhd,hndk->nhqk", a, b)


def _multi_query_einsum(g: GraphBuilder) -> str:
    return g.einsum("nqhd,nkd->nhqk", g.input("a", (2, 4, 3, 5)), g.input("b", (2, 6, 5)))


def _fused(g: GraphBuilder) -> str:
    a, b = g.input("a", (2, 5, 4)), g.input("b", (2, 6, 5))
    y = g.node("FusedMatMul", [a, b], domain="com.microsoft", transA=1, transB=1)
    return shaped(g, y, (2, 4, 6))


@pytest.mark.parametrize("build", [_matmul, _gemm, _einsum, _multi_query_einsum, _fused])
def test_rows_of_both_sides_meet(build: Callable[[GraphBuilder], str]) -> None:
    g = GraphBuilder(opset=17)
    model = g.model(build(g))
    (pairing,) = pairings_of(spa_onnx.analyze(model).propagation)
    feeds = random_feeds(model, 0)
    (y,) = run(model, feeds)
    a, b = (side.seen(feeds[pairing.source(side)]) for side in pairing.sides)
    made = a @ b.swapaxes(-1, -2)
    assert made.size == y.size
    assert np.allclose(np.sort(made, axis=None), np.sort(y, axis=None), atol=1e-5)


def _weight(g: GraphBuilder) -> str:
    return g.matmul(g.input("a", (2, 5)), g.weight(5, 3))


def _two_sums(g: GraphBuilder) -> str:
    return g.einsum("nij,nij->n", g.input("a", (2, 3, 4)), g.input("b", (2, 3, 4)))


def _diagonal(g: GraphBuilder) -> str:
    return g.einsum("nii,ni->n", g.input("a", (2, 3, 3)), g.input("b", (2, 3)))


def _vector(g: GraphBuilder) -> str:
    return g.matmul(g.input("a", (2, 5)), g.input("b", (5,)))


@pytest.mark.parametrize("build", [_weight, _two_sums, _diagonal, _vector])
def test_other_products_are_none(build: Callable[[GraphBuilder], str]) -> None:
    g = GraphBuilder(opset=17)
    assert not list(pairings_of(spa_onnx.analyze(g.model(build(g))).propagation))
