"""Inputs for the proof, made from the model's own signature: seeded, and legal to run."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from math import prod
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper

from spa_onnx.algebra.expression import size_of, sizes_of
from spa_onnx.algebra.size import Polynomial, Size, terms_of
from spa_onnx.algebra.size import evaluate as number
from spa_onnx.analyse.propagate import Propagation
from spa_onnx.errors import GraphError
from spa_onnx.execute.session import Feed
from spa_onnx.graph.shapes import declared_shape, tensor_type

LENGTHS = (
    (2, 16),
    (3, 24),
    (1, 224),
    (1, 32),
    (2, 64),
    (1, 128),
    (1, 256),
    (1, 512),
    (1, 7),
    (1, 1),
)
"""Batch size, and length of every other dynamic axis: tried in this order."""

SUGGESTED = 8
"""Lengths of the graph's own static axes that are tried behind them, the most frequent first."""
LONGEST = max(length for _, length in LENGTHS)

PASS_THROUGH = {
    "Cast",
    "Reshape",
    "Unsqueeze",
    "Squeeze",
    "Identity",
    "Flatten",
    "Transpose",
    "Expand",
}


def symbol_choices(
    state: Propagation, input_shapes: Mapping[str, tuple[int, ...]]
) -> Iterator[dict[str, int]]:
    """Yield numbers for the symbols of the inputs' dynamic axes, likeliest first.

    The first axis of an input counts as its batch. Shapes that the user gave were numbers already
    in the analysis; symbols that their inputs share with others follow them.
    """
    given = {
        name: n
        for entry in state.graph.inputs
        if entry.name in input_shapes
        for n, size in zip(input_shapes[entry.name], declared_shape(entry), strict=False)
        for monomial, _ in terms_of(size)
        for name in monomial
    }
    batches, others = input_symbols(state)
    if not batches and not others:
        yield given
        return
    for batch, length in (*LENGTHS, *_suggested(state)):
        chosen = dict.fromkeys(batches, batch) | dict.fromkeys(others, length)
        chosen |= {name: batch for name in batches if "batch" in name.lower()}
        yield chosen | _sums(chosen) | given


def input_symbols(state: Propagation) -> tuple[dict[str, None], dict[str, None]]:
    """Return the symbols of the inputs' first axes, which count as the batch, and of the others."""
    batches, others = dict[str, None](), dict[str, None]()
    for entry in state.graph.inputs:
        for k, e in enumerate(state.axes.get(entry.name) or ()):
            for monomial, _ in terms_of(size_of(e)):
                (batches if k == 0 else others).update(dict.fromkeys(monomial))
    return batches, others


def _suggested(state: Propagation) -> list[tuple[int, int]]:
    """Return lengths that the graph itself holds.

    An exporter that unrolls a loop over a traced length writes this length into the graph, which
    then runs at no other, whatever its inputs say.
    """
    found = Counter(
        n
        for name in state.axes
        for n in sizes_of(state.axes_of(name) or ())
        if isinstance(n, int) and 1 < n <= LONGEST
    )
    tried = {length for _, length in LENGTHS}
    frequent = [n for n, _ in found.most_common() if n not in tried][:SUGGESTED]
    return [(batch, n) for n in frequent for batch in (2, 1)]


def _sums(chosen: Mapping[str, int]) -> dict[str, int]:
    """Return lengths whose names say that they are sums: ``past + sequence``, or a ``total``."""
    found = {}
    past = [n for name, n in chosen.items() if "past" in name.lower()]
    for name, length in chosen.items():
        parts = [part.strip() for part in name.split("+")]
        if len(parts) > 1 and all(part in chosen or part.isdigit() for part in parts):
            found[name] = sum(chosen.get(p, 0) or int(p) for p in parts)
        elif "total" in name.lower() and past and "past" not in name.lower():
            found[name] = past[0] + length
    return found


def make_feeds(
    state: Propagation, symbols: Mapping[str, int], seed: int, fill: int = 1
) -> dict[str, Feed]:
    """Return one array for every input, or a list of them for a sequence.

    Floats are normal; integers that index a table cover its rows, other integers are ``fill``: one,
    which masks, lengths and flags accept, or zero, which positions accept. Booleans are true.

    Raises:
        GraphError: an input has a type that cannot be made up.
    """
    rng = np.random.default_rng(seed)
    rows = table_rows(state)
    feeds: dict[str, Feed] = {}
    for entry in state.graph.inputs:
        axes = state.axes.get(entry.name)
        element = tensor_type(entry.type).elem_type
        if axes is None or element == 0:
            remedy = "Use --no-verify for this model"
            raise GraphError(
                f"input {entry.name!r}", "has a type or rank that cannot be made up", remedy
            )
        shape = [number(n, symbols) for n in sizes_of(axes)]
        if min(shape, default=0) < 0 or prod(shape) >= LARGEST:
            problem = f"has shape {shape}, which cannot be made up"
            raise GraphError(f"input {entry.name!r}", problem, "Use --no-verify for this model")
        limit = rows.get(entry.name, 0)
        count = ELEMENTS if is_sequence(entry.type) else 1
        made = [_array(rng, element, shape, limit, fill) for _ in range(count)]
        feeds[entry.name] = made if is_sequence(entry.type) else made[0]
    return feeds


LARGEST = 1 << 28
"""Elements below which an input is made up."""

ELEMENTS = 4
"""Tensors in a sequence that is fed."""


def is_sequence(kind: onnx.TypeProto) -> bool:
    """Say whether a type is a sequence, or an optional one."""
    if kind.HasField("optional_type"):
        return is_sequence(kind.optional_type.elem_type)
    return bool(kind.HasField("sequence_type"))


def _array(
    rng: np.random.Generator, element: int, shape: list[int], limit: int, fill: int
) -> NDArray[Any]:
    if element == onnx.TensorProto.STRING:
        return np.full(shape, "a", object)
    dtype = np.dtype(helper.tensor_dtype_to_np_dtype(element))
    if dtype.kind in "iu":
        chosen = rng.integers(0, limit, shape) if limit else np.full(shape, fill)
        return chosen.astype(dtype)
    if dtype.kind == "b":
        return np.ones(shape, dtype)
    return rng.standard_normal(shape).astype(dtype)


def table_rows(state: Propagation) -> dict[str, int]:
    """Return how many rows the smallest table has that an integer input indexes."""
    origin = {entry.name: entry.name for entry in state.graph.inputs}
    rows: dict[str, int] = {}
    for node in state.graph.nodes:
        if node.op in PASS_THROUGH and node.inputs and node.inputs[0] in origin:
            origin[node.outputs[0]] = origin[node.inputs[0]]
        if node.op != "Gather" or len(node.inputs) < 2 or node.inputs[1] not in origin:
            continue
        table = state.axes_of(node.inputs[0])
        if table is None:
            continue
        length: Size = size_of(table[node.integer("axis", 0) % len(table)]) if table else 0
        if not isinstance(length, Polynomial) and length > 0:
            name = origin[node.inputs[1]]
            rows[name] = min(rows.get(name, length), length)
    return rows


def symbols_in(state: Propagation, feeds: Mapping[str, Any]) -> dict[str, int]:
    """Return numbers for the symbols of inputs' axes, from the inputs of a run."""
    found: dict[str, int] = {}
    for name, array in feeds.items():
        axes = state.axes.get(name)
        if axes is None or not hasattr(array, "shape"):
            continue
        for size, length in zip(sizes_of(axes), array.shape, strict=False):
            if isinstance(size, Polynomial) and len(terms_of(size)) == 1:
                ((monomial, factor),) = terms_of(size)
                if len(monomial) == 1 and factor == 1:
                    found[monomial[0]] = int(length)
    return found
