"""The reference of the proof: the original graph, masked before every operator that mixes lanes.

    x ─ MatMul ─ y      becomes      x ─ Mul(mask) ─ MatMul ─ y

Zeroing weights is not enough: a normalisation must leave removed lanes out of its statistics, a
maximum must not see them. Weights stay shared with the original file.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import onnx
import onnx_graphsurgeon as gs
from onnx import helper

from spa_onnx.analyse.dims import Analysis
from spa_onnx.graph.node import Scope
from spa_onnx.graph.shapes import infer
from spa_onnx.normalise.graph import Graph
from spa_onnx.plan.lanes import KeptLanes
from spa_onnx.prove.masks import Writer
from spa_onnx.prove.surgery import from_surgeon, to_surgeon


def masked_reference(
    analysis: Analysis, lanes: KeptLanes, jitter: np.random.Generator | None = None
) -> onnx.ModelProto:
    """Return the original with a mask before each operator that mixes an axis with cut lanes.

    With ``jitter`` the lanes that stay are multiplied by one plus or minus a few units in the last
    place, which shows how far rounding alone can move every tensor.
    """
    state = analysis.propagation
    graph = to_surgeon(state.graph.model)
    places = dict(_places(graph, ()))
    version = state.graph.standard_version
    writers = {scope: Writer(g, version, jitter) for scope, (g, _) in places.items()}
    types = infer(state.graph.model).types
    for node, coupling in zip(state.graph.nodes, state.couplings, strict=True):
        for mixed in coupling.mixed if coupling else ():
            axes = state.axes_of(node.inputs[mixed.input])
            if axes is None or not any(lanes.is_cut(axes[k]) for k in mixed.axes):
                continue
            mask = lanes.tensor_mask(axes, mixed.axes)
            typed = mixed.input if mixed.zero_point is None else mixed.zero_point
            dtype = _dtype(_element(state.graph, types, node.inputs[typed]))
            target = places[node.scope][1][node.index]
            writers[node.scope].mask(node, target, mixed, mask, dtype)
    for scope, (inner, _) in places.items():
        inner.nodes = [n for n in inner.nodes if id(n) not in writers[scope].replaced]
    graph.toposort(recurse_subgraphs=True)
    return from_surgeon(graph, state.graph.model)


def _places(graph: Any, scope: Scope) -> Iterator[tuple[Scope, tuple[Any, list[Any]]]]:
    """Yield each graph with its nodes in file order, by the path that leads to it."""
    nodes = list(graph.nodes)
    yield scope, (graph, nodes)
    for index, node in enumerate(nodes):
        for name, value in node.attrs.items():
            if isinstance(value, gs.Graph):
                yield from _places(value, (*scope, (index, name)))


def _element(graph: Graph, types: Mapping[str, int], name: str) -> int:
    """Return a tensor's element type, float where nothing tells."""
    if name in graph.tensors:
        return graph.tensors[name].data_type
    return types.get(name) or int(onnx.TensorProto.FLOAT)


def _dtype(element: int) -> np.dtype[Any]:
    return np.dtype(helper.tensor_dtype_to_np_dtype(element))
