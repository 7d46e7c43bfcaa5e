"""The nodes of a graph that multiply activations with stored weights, as linear layers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from math import prod

import onnx

from spa_onnx.graph.node import Node
from spa_onnx.graph.tensors import FLOATS
from spa_onnx.layers.convolution import Convolution
from spa_onnx.layers.layer import Layer, Places, Stored
from spa_onnx.layers.product import Product
from spa_onnx.layers.transposed import TransposedConvolution
from spa_onnx.normalise.graph import Graph
from spa_onnx.ops.rule import RefusalError

__all__ = ["Convolution", "Layer", "Places", "Product", "Stored", "layers_of"]

COMPUTED = FLOATS - {onnx.TensorProto.BFLOAT16}
"""Types that ONNX Runtime computes layers in on a CPU, and that numpy knows."""


def layers_of(graph: Graph, *, shared: bool = False) -> Iterator[Layer]:
    """Yield the linear layers of the main graph, in the order in which they run.

    Left out are weights that another node reads too, for what suits one use spoils another, unless
    they are asked for as ``shared``.
    """
    finder = _Finder(graph, shared=shared)
    for node in graph.nodes:
        try:
            layer = None if node.scope else finder.layer(node)
        except (RefusalError, *DAMAGED):
            continue  # the analysis says what is wrong with the node
        if layer is not None and _has_plain_bias(layer, graph):
            yield layer


DAMAGED = (IndexError, ValueError, TypeError, ArithmeticError)
"""What attributes of another type than the operator's raise."""


OPERATORS = frozenset(
    {
        "Conv",
        "ConvTranspose",
        "MatMul",
        "Gemm",
        "com.microsoft::FusedConv",
        "com.microsoft::FusedGemm",
        "com.microsoft::FusedMatMul",
    }
)


def _is_linear(node: Node) -> bool:
    """Say whether nothing is fused behind a layer; else its output is no sum of features."""
    return not node.text("activation", "") and not (len(node.inputs) > 3 and node.inputs[3])


class _Finder:
    """Recognises layers, and follows their weights back to where they are stored."""

    def __init__(self, graph: Graph, *, shared: bool = False) -> None:
        self._graph, self._shared = graph, shared
        self._uses = Counter(name for node in graph.nodes for name in node.inputs)
        self._makers = {name: node for node in graph.nodes for name in node.outputs}

    def layer(self, node: Node) -> Layer | None:
        """Return a node as a layer; None if it is none."""
        if node.op not in OPERATORS or len(node.inputs) < 2:
            return None
        left = False
        weight = self._stored(node.inputs[1])
        if weight is None and node.op == "MatMul":
            left, weight = True, self._stored(node.inputs[0])
        if weight is None or node.inputs[1 if left else 0] in self._graph.tensors:
            return None
        dims = self._graph.tensors[weight.name].dims
        shape = tuple(dims[k] for k in weight.order)
        if 0 in shape:
            return None
        match node.op:
            case "Conv" if len(shape) > 2:
                return Convolution.of(node, weight, shape)
            case "ConvTranspose" if len(shape) > 2:
                made = TransposedConvolution.of(node, weight, shape)
                return made if made.is_regular else None
            case "com.microsoft::FusedConv" if len(shape) > 2 and _is_linear(node):
                return Convolution.of(node, weight, shape)
            case "com.microsoft::FusedGemm" if _is_linear(node):
                return _gemm(node, weight, shape)
            case "com.microsoft::FusedMatMul" if len(shape) == 2 and not left:
                return _fused_matmul(node, weight, shape)
            case "MatMul" if len(shape) == 2:
                return Product(node, weight, shape, transposed=left, left=left)
            case "Gemm":
                return _gemm(node, weight, shape)
            case _:
                return None

    def _stored(self, name: str) -> Stored | None:
        """Return the tensor behind a chain of Transpose, Cast and Identity that nobody shares."""
        order: tuple[int, ...] | None = None
        element = 0
        while name not in self._graph.tensors:
            node = self._makers.get(name)
            if node is None or not self._is_own(name) or node.scope:
                return None
            match node.op:
                case "Identity":
                    pass
                case "Cast":
                    element = element or node.integer("to", 0)
                    if node.integer("to", 0) not in FLOATS:
                        return None
                case "Transpose" if node.ints("perm"):
                    perm = node.ints("perm")
                    order = tuple(perm[k] for k in (order or range(len(perm))))
                case _:
                    return None
            name = node.inputs[0]
        tensor = self._graph.tensors[name]
        if not self._is_own(name) or tensor.data_type not in FLOATS:
            return None
        element = element or tensor.data_type
        if element not in COMPUTED:
            return None
        return Stored(name, order or tuple(range(len(tensor.dims))), element)

    def _is_own(self, name: str) -> bool:
        """Say whether one node alone reads a tensor, where that matters."""
        if self._shared:
            return True
        hidden = name in self._graph.captured or name in self._graph.outputs
        return self._uses[name] == 1 and not hidden


def _gemm(node: Node, weight: Stored, shape: tuple[int, ...]) -> Product | None:
    alpha, beta = (float(node.attributes.get(name, 1.0)) for name in ("alpha", "beta"))
    if alpha == 0 or beta == 0 or len(shape) != 2:
        return None
    transposed, turned = bool(node.integer("transB", 0)), bool(node.integer("transA", 0))
    return Product(node, weight, shape, transposed, False, turned, alpha, beta)


def _fused_matmul(node: Node, weight: Stored, shape: tuple[int, ...]) -> Product | None:
    alpha = float(node.attributes.get("alpha", 1.0))
    if alpha == 0 or node.integer("transBatchA", 0) or node.integer("transBatchB", 0):
        return None
    transposed, turned = bool(node.integer("transB", 0)), bool(node.integer("transA", 0))
    return Product(node, weight, shape, transposed, False, turned, alpha)


def _has_plain_bias(layer: Layer, graph: Graph) -> bool:
    """Say whether a layer's bias is absent, or stored as one number for each output or for all."""
    name = layer.node.inputs[2] if len(layer.node.inputs) > 2 else ""
    if not name:
        return True
    tensor = graph.tensors.get(name)
    if tensor is None:
        return False
    dims = list(tensor.dims)
    return prod(dims) == 1 or bool(prod(dims) == layer.width == dims[-1])
