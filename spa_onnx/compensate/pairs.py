"""Products of activations whose lanes were cut: what their layers should make instead.

A layer in front of such a product may make any combinations of the lanes that the dense one makes,
as long as the product stays the same. Which ones is decided by the dense network's second moments;
the layer is then refitted towards them as every other layer towards its own outputs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from spa_onnx.algebra.expression import Axes, Expr, dims_in
from spa_onnx.analyse.propagate import Propagation
from spa_onnx.calibrate.collect import FLOAT_BYTES
from spa_onnx.calibrate.joints import Joint, first_run, joints_of
from spa_onnx.compensate.pair import FloatArray, PairSamples
from spa_onnx.errors import InternalError
from spa_onnx.graph.node import Node
from spa_onnx.inputs.batches import Batches
from spa_onnx.layers.find import layers_of
from spa_onnx.layers.layer import WITHOUT_BIAS, Layer
from spa_onnx.layers.pairing import Pairing
from spa_onnx.layers.routes import RouteFinder
from spa_onnx.layers.variants import Handle, LayerEditor
from spa_onnx.load.store import WeightStore
from spa_onnx.plan.lanes import KeptLanes

Array = NDArray[Any]
Fit = Callable[[PairSamples], tuple[FloatArray, FloatArray]]


@dataclass(slots=True)
class PairedLayers:
    """The layers in front of products of activations, and what they make in the dense network.

    Attributes:
        dense: the solved dense graph.
        weights: where its weights lie.
        joints: products whose layers may make something else.
        left: nodes of which this is not so, and why.
        layers: the layers by output.
    """

    dense: Propagation
    weights: WeightStore
    joints: list[Joint] = field(default_factory=list)
    left: list[tuple[Node, str]] = field(default_factory=list)
    layers: dict[str, Layer] = field(default_factory=dict)
    _biases: dict[str, FloatArray] = field(default_factory=dict)
    _sums: dict[str, FloatArray] = field(default_factory=dict)

    def find(
        self,
        pairings: Sequence[Pairing],
        lanes: KeptLanes,
        model: onnx.ModelProto,
        batches: Batches,
        memory: int,
        session_memory: int,
        others: Iterable[Layer] = (),
    ) -> None:
        """Find the layers of products; ``model`` is the dense skeleton as it is run.

        Of ``others``, layers without a product, the outputs are at most left out.
        ``lanes`` are a plan's. The second moments of all layers' outputs may take ``memory`` bytes.
        """
        if not pairings:
            return
        graph, layers = self.dense.graph, list(layers_of(self.dense.graph))
        copy = onnx.ModelProto()
        copy.CopyFrom(graph.model)
        editor = LayerEditor(copy, self.weights)
        finder = RouteFinder(graph, frozenset(filter(None, map(editor.added_bias, layers))))
        read = first_run(model, self.weights, batches, session_memory)
        joints, left = joints_of(finder, layers, pairings, read)
        for joint in joints:
            why = self._take(joint.layers, lanes, memory)
            if why is None:
                self.joints.append(joint)
            else:
                left[joint.pairing.name] = why
        self.left += [(p.node, left[p.name]) for p in pairings if p.name in left]
        for layer in others:
            self._take([layer], lanes, memory)
        for name, handle in editor.handles(self.layers.values()).items():
            bias = editor.value(handle.bias).astype(np.float64).reshape(-1)
            self._biases[name] = bias * self.layers[name].bias_factor
            self._sums[name] = np.zeros((bias.size, bias.size))

    def _take(self, layers: Sequence[Layer], lanes: KeptLanes, memory: int) -> str | None:
        """Add layers to those whose outputs are mixed; return why not, if that cannot be."""
        both = self.layers | {layer.node.outputs[0]: layer for layer in layers}
        if why := next(filter(None, (self._refusal(la, lanes) for la in layers)), None):
            return why
        if sum(layer.width**2 for layer in both.values()) * FLOAT_BYTES > memory:
            return "second moments of its layers' outputs take more than the statistics memory"
        self.layers = both
        return None

    def _refusal(self, layer: Layer, lanes: KeptLanes) -> str | None:
        """Return why the outputs of a layer cannot be mixed, if they cannot."""
        into = (self.dense.axes_of(layer.source) or ())[layer.axis]
        if lanes.is_ragged((self.output_axis(layer),)):
            return "its layer keeps other outputs for every row of its input"
        if set(dims_in(self.output_axis(layer))) & set(dims_in(into)):
            return "its layer reads lanes of the dim that it makes"
        return None

    def output_axis(self, layer: Layer) -> Expr:
        """Return the axis of a layer's outputs."""
        return (self.dense.axes_of(layer.node.outputs[0]) or ())[layer.output_axis]

    def sliced(self, name: str, array: Array, axes: Axes, lanes: KeptLanes) -> Array:
        """Return what a plan leaves of a tensor of a layer, with all outputs of the layer."""
        own = dims_in(self.output_axis(self.layers[name]))
        kept = {d: k for d, k in lanes.kept.items() if d not in own}
        return KeptLanes(lanes.space, kept).slice(array, axes)

    def add(self, name: str, outputs: Array) -> None:
        """Add samples of what a dense layer makes, ``(samples, 1, outputs)``."""
        rows = outputs[:, 0].astype(np.float64)
        if self.layers[name].node.proto.op_type in WITHOUT_BIAS:
            rows += self._biases[name]
        good = rows[np.isfinite(rows).all(axis=1)]
        self._sums[name] += good.T @ good

    def mixes(self, lanes: KeptLanes, fit: Fit) -> dict[str, FloatArray]:
        """Return what layers make of what they made, ``(outputs, dense outputs)`` by output.

        Raises:
            InternalError: the sides of a product keep different lanes.
        """
        axes = {name: self.output_axis(layer) for name, layer in self.layers.items()}
        found = {n: np.eye(self.layers[n].width)[lanes.places(e)] for n, e in axes.items()}
        for joint in self.joints:
            names = [layer.node.outputs[0] for layer in joint.layers]
            news = [lanes.positions(axes[name]) for name in names]
            for pair, rows, places in self._groups(joint, names, news):
                made = fit(pair)
                for k in (k for k in range(2) if joint.free[k]):
                    found[names[k]][rows[k]] = 0.0
                    found[names[k]][np.ix_(rows[k], places[k])] = made[k]
        return found

    def _groups(
        self, joint: Joint, names: Sequence[str], news: Sequence[Array]
    ) -> Iterator[tuple[PairSamples, list[Array], list[Array]]]:
        """Yield the groups of a product that lost lanes: new and old places of both sides."""
        for group in zip(*joint.places, strict=True):
            stays = [new[places] >= 0 for new, places in zip(news, group, strict=True)]
            if not (stays[0] == stays[1]).all():
                raise InternalError(f"{joint.pairing.node.label}: sides keep different lanes")
            if stays[0].all() or not stays[0].any():
                continue
            left, right = (self._sums[n][np.ix_(p, p)] for n, p in zip(names, group, strict=True))
            pair = PairSamples(left, right, np.flatnonzero(stays[0]), *joint.free)
            rows = [new[places][stays[0]] for new, places in zip(news, group, strict=True)]
            yield pair, rows, list(group)

    def mixed(self, name: str, mix: FloatArray, lanes: KeptLanes) -> tuple[FloatArray, FloatArray]:
        """Return weight ``(1, outputs, features)`` and bias of a layer that makes mixtures."""
        layer = self.layers[name]
        stored = self.dense.graph.array(layer.weight.name).astype(np.float64)
        axes = self.dense.axes_of(layer.weight.name) or ()
        half = layer.matrix(self.sliced(name, stored, axes, lanes))
        return mix @ half, mix @ self._biases[name] / layer.bias_factor


def store(
    layer: Layer, handle: Handle, editor: LayerEditor, made: tuple[FloatArray, FloatArray]
) -> None:
    """Give a layer a weight and a bias."""
    weight, bias = made
    editor.set(handle.weight, layer.stored(weight))
    editor.set(handle.bias, bias)
