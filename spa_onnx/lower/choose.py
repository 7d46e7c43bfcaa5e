"""Decide which layers are lowered, and how: by times that were measured on this machine."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import prod

import numpy as np

from spa_onnx.graph.node import Node
from spa_onnx.lower.layer import Layer
from spa_onnx.lower.packings import Packing, Zeros
from spa_onnx.lower.regions import Change, Part, plain_parts
from spa_onnx.lower.rewrite import Lowering
from spa_onnx.lower.trial import Timing
from spa_onnx.lower.view import View

MARGIN = 0.97
"""Share of the dense time that a layer must not exceed to be lowered by itself; what is less
is within what times differ by from run to run."""

EITHER = frozenset(
    {
        "Add", "AveragePool", "BatchNormalization", "Concat", "GlobalAveragePool", "GlobalMaxPool",
        "HardSigmoid", "HardSwish", "Identity", "MaxPool", "Mul", "Relu", "Sigmoid", "Sum", "Tanh",
    }
)  # fmt: skip
"""Operators that the runtime computes in its blocked layout too, if what they read is in it.

Source: onnxruntime/core/optimizer/nchwc_transformer.cc, and what ONNX Runtime 1.31 was seen to do.
"""

FUSED = frozenset({"Clip", "LeakyRelu"})
"""Operators that are computed in it only as part of the convolution in front. Source: as above."""

SLOWER_PLAIN = {"MaxPool": 8e-5, "AveragePool": 8e-5}
"""Microseconds by which operators are slower on plain planes, for each byte that they read.

Seen with windows of 2 and 3, in one thread with AVX-512: 2e-5 to 1.5e-4."""

FEW_CHANNELS = 16
"""Channels below which the runtime's convolutions read plain planes.

Source: as above; the block of AVX-512.
"""


@dataclass(frozen=True, slots=True)
class Timed:
    """A layer with what is known of it.

    Attributes:
        layer: the layer.
        zeros: of its matrix.
        timing: of it, dense and packed; None where nothing is measured.
        ways: packings by their names, the likeliest first; none for a depthwise layer.
        shapes: of its input and its result.
        is_wanted: it has zeros enough, so that it may be lowered for itself.
    """

    layer: Layer
    zeros: Zeros
    timing: Timing | None
    ways: Mapping[str, Packing]
    shapes: tuple[tuple[int, ...], tuple[int, ...]]
    is_wanted: bool

    @property
    def packing(self) -> Packing | None:
        """Return the fastest packing, or the likeliest."""
        if self.timing is None:
            return next(iter(self.ways.values()), None)
        return self.ways.get(self.timing.best[0])

    @property
    def times(self) -> Timing:
        """Return the times of a layer that was measured."""
        if self.timing is None:
            raise AssertionError(f"{self.layer.label} was not measured")
        return self.timing

    @property
    def is_blocked(self) -> bool:
        """Say whether the runtime computes it in a layout of its own."""
        return self.times.into + self.times.back > 0

    @property
    def lowering(self) -> Lowering:
        """Return how it is lowered."""
        return Lowering(self.layer, self.packing)


def choose(
    view: View,
    timed: Sequence[Timed],
    shape_of: Callable[[str], tuple[int, ...] | None],
    *,
    force: bool,
) -> list[Timed]:
    """Return the layers to lower.

    Args:
        view: of the graph.
        timed: layers that can be.
        shape_of: shapes of tensors in the run that times are for.
        force: lower all that are wanted.
    """
    planes = [t for t in timed if t.layer.kind != "linear"]
    flat = [t for t in timed if t.layer.kind == "linear"]
    chosen = {t.layer for t in flat if t.is_wanted and (force or pays(t))}
    if any(t.is_wanted for t in planes):
        chosen |= _regions(view, planes, shape_of, force=force)
    return [t for t in timed if t.layer in chosen]


def choose_each(timed: Sequence[Timed], *, force: bool) -> list[Timed]:
    """Return the layers to lower where each is chosen for itself: on GPUs layouts do not change."""
    return [t for t in timed if t.is_wanted and (force or pays(t))]


def pays(timed: Timed) -> bool:
    """Say whether a layer is faster packed than dense, by more than times differ."""
    return timed.times.best[1] < MARGIN * timed.times.dense


def _regions(
    view: View,
    planes: Sequence[Timed],
    shape_of: Callable[[str], tuple[int, ...] | None],
    *,
    force: bool,
) -> set[Layer]:
    """Return the convolutions of the regions that are lowered."""
    by_name = {str(t.layer.nodes[0]): t for t in planes}
    parts = [_layer_part(view, name, t, force=force) for name, t in by_name.items()]
    members = {k for t in planes for k in t.layer.nodes}
    parts += [
        _other_part(view, node, shape_of)
        for k, node in view.nodes.items()
        if k not in members and node.outputs
    ]
    rates = _rates(planes)
    tensors = {name for part in parts for name in (*part.reads, *part.makes)}
    changes = {}
    for name in tensors:
        shape = shape_of(name)
        if shape is not None and len(shape) == 4:
            size = 4 * prod(shape)
            changes[name] = Change(rates.into * size, rates.back * size)
    plain = plain_parts(parts, changes, view.kept_names)
    found = [t for name, t in by_name.items() if name in plain]
    # what the runtime itself computes on plain planes needs no region
    found = [t for t in found if t.is_blocked or pays(t) or (force and t.is_wanted)]
    if not any(t.is_wanted for t in found):
        return set()
    return {t.layer for t in found}


def _layer_part(view: View, name: str, timed: Timed, *, force: bool) -> Part:
    layer, best = timed.layer, timed.times.best[1]
    reads = tuple(filter(None, (layer.x, layer.residual)))
    dense: float | None = timed.times.dense
    if not timed.is_blocked:
        return Part(name, reads, (layer.y,), None, 0.0)
    depthwise = layer.kind == "depthwise"
    plain = best if timed.is_wanted or depthwise else None
    if force and timed.is_wanted:
        dense = None
    few = timed.shapes[0][1] < FEW_CHANNELS and not depthwise
    free = frozenset({layer.x} if few and layer.x not in view.makers else ())
    return Part(name, reads, (layer.y,), dense, plain, free)


def _other_part(view: View, node: Node, shape_of: Callable[[str], tuple[int, ...] | None]) -> Part:
    """Return a node that is not lowered."""
    reads = tuple(n for n in node.inputs if n and not view.state.is_weight(n))
    makes = tuple(filter(None, node.outputs))
    name = f"node {node.index}"
    if node.op == "Conv":
        shape = shape_of(node.inputs[0])
        few = shape is not None and len(shape) > 1 and shape[1] < FEW_CHANNELS
        return Part(name, reads, makes, 0.0, None, frozenset(reads if few else ()))
    if not _goes_either_way(view, node) or not _is_planar(node, reads, shape_of):
        return Part(name, reads, makes, None, 0.0)
    shape = shape_of(reads[0])
    slower = SLOWER_PLAIN.get(node.op, 0.0) * 4 * prod(shape or ())
    return Part(name, reads, makes, 0.0, slower)


def _goes_either_way(view: View, node: Node) -> bool:
    if node.op not in FUSED:
        return node.op in EITHER
    maker = view.nodes.get(view.makers.get(node.inputs[0], -1))
    return maker is not None and maker.op == "Conv" and view.only_reader(node.inputs[0]) is node


def _is_planar(
    node: Node, reads: Sequence[str], shape_of: Callable[[str], tuple[int, ...] | None]
) -> bool:
    """Say whether a node reads planes only, and for arithmetic ones of one shape."""
    shapes = [shape_of(name) for name in reads]
    if not shapes or any(shape is None or len(shape) != 4 for shape in shapes):
        return False
    if node.op == "Concat":
        return node.integer("axis", 0) % 4 == 1
    if node.op in ("Add", "Sum", "Mul"):
        return len(reads) == len(node.inputs) and len(set(shapes)) == 1
    return True


def _rates(planes: Sequence[Timed]) -> Change:
    """Return microseconds of a change for each byte, medians over layers that have one."""
    into, back = list[float](), list[float]()
    for t in planes:
        read, made = (4 * prod(shape) for shape in t.shapes)
        if t.times.into > 0:
            into.append(t.times.into / (read + (made if t.layer.residual else 0)))
        if t.times.back > 0:
            back.append(t.times.back / made)
    return Change(*(float(np.median(found)) if found else 0.0 for found in (into, back)))
