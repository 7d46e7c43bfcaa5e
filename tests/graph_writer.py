"""Writes ONNX graphs node by node: names, random weights, shapes and values that are known.

Shapes are tracked with ONNX's own inference, one node at a time, on concrete sizes: a symbolic
axis has the size given to the writer, so that the numbers of a test graph are always at hand.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Literal, overload

import numpy as np
import numpy.typing as npt
import onnx
from onnx import helper, numpy_helper
from onnx.reference import ReferenceEvaluator
from onnx.shape_inference import infer_node_outputs

AnyArray = npt.NDArray[Any]

# Longest tensor whose values shape inference is told (shapes, axes, scales).
SMALL = 64


class GraphWriter:
    """A graph under construction.

    Attributes:
        opset: version of the default domain that the model imports.
        ir_version: by default the oldest one that allows the opset.
        random: source of every weight.
    """

    def __init__(
        self,
        opset: int = 17,
        seed: int = 0,
        *,
        ir_version: int | None = None,
        dtype: npt.DTypeLike = np.float32,
        sizes: Mapping[str, int] | None = None,
        initializers_as_inputs: bool | None = None,
    ) -> None:
        """Start an empty graph.

        ``sizes`` gives the tracked size of each symbolic axis, 2 where it is silent.
        ``initializers_as_inputs`` lists weights as graph inputs too, as IR version 3 demands.
        """
        self.opset = opset
        self._opsets = {"": opset}
        self.ir_version = ir_version or helper.find_min_ir_version_for(self._imports())
        self.random = np.random.default_rng(seed)
        self._dtype = np.dtype(dtype)
        self._sizes = dict(sizes or {})
        self._weights_are_inputs = (
            self.ir_version < 4 if initializers_as_inputs is None else initializers_as_inputs
        )
        self._nodes: list[onnx.NodeProto] = []
        self._inputs: list[onnx.ValueInfoProto] = []
        self._initializers: dict[str, onnx.TensorProto] = {}
        self._types: dict[str, onnx.TypeProto] = {}
        self._values: dict[str, AnyArray] = {}
        self._names = 0

    def shape(self, tensor: str) -> tuple[int, ...]:
        """Return the tracked shape of a tensor, symbolic axes at their given size."""
        return tuple(dim.dim_value for dim in self._types[tensor].tensor_type.shape.dim)

    def is_symbolic(self, tensor: str) -> bool:
        """Say whether a graph input has an axis without static length."""
        declared = next(info for info in self._inputs if info.name == tensor)
        return any(dim.dim_param for dim in declared.type.tensor_type.shape.dim)

    def input(
        self, name: str, shape: Sequence[int | str], dtype: npt.DTypeLike | None = None
    ) -> str:
        """Add a graph input; a string in ``shape`` names a symbolic axis."""
        element = _element(dtype or self._dtype)
        sizes = [self._sizes.get(dim, 2) if isinstance(dim, str) else dim for dim in shape]
        self._inputs.append(helper.make_tensor_value_info(name, element, shape))
        self._types[name] = helper.make_tensor_type_proto(element, sizes)
        return name

    def constant(self, array: npt.ArrayLike, name: str | None = None) -> str:
        """Add an initializer holding ``array``; Python floats become the graph's own type."""
        values = np.asarray(array)
        if values.dtype == np.float64:
            values = values.astype(self._dtype)
        name = name or self._fresh("const" if values.size <= SMALL else "weight")
        self._initializers[name] = numpy_helper.from_array(values, name)
        self._remember(name, values)
        return name

    def weight(self, *shape: int, fan_in: int | None = None, name: str | None = None) -> str:
        """Add a random weight as an initializer, see ``weight_values``."""
        return self.constant(self.weight_values(*shape, fan_in=fan_in), name)

    def weight_values(self, *shape: int, fan_in: int | None = None) -> AnyArray:
        """Draw values of which none is near zero; sums over ``fan_in`` keep their scale.

        ``fan_in`` is the product of all axes but the first unless given.
        """
        fan_in = int(np.prod(shape[1:])) if fan_in is None else fan_in
        values = self._away_from_zero(shape, 0.4, 1.8) / np.sqrt(fan_in)
        return np.asarray(values, self._dtype)

    def bias(self, length: int) -> str:
        """Add a random vector without zeros, magnitudes 0.1 to 0.5."""
        values = self._away_from_zero((length,), 0.1, 0.5)
        return self.constant(values.astype(self._dtype), self._fresh("bias"))

    def scale(self, length: int) -> str:
        """Add a random positive vector, 0.6 to 1.4."""
        values = self.random.uniform(0.6, 1.4, length)
        return self.constant(values.astype(self._dtype), self._fresh("scale"))

    @overload
    def node(
        self,
        op: str,
        inputs: Sequence[str],
        n_outputs: Literal[1] = 1,
        *,
        domain: str = "",
        **attributes: Any,
    ) -> str: ...
    @overload
    def node(
        self,
        op: str,
        inputs: Sequence[str],
        n_outputs: int,
        *,
        domain: str = "",
        **attributes: Any,
    ) -> tuple[str, ...]: ...
    def node(
        self,
        op: str,
        inputs: Sequence[str],
        n_outputs: int = 1,
        *,
        domain: str = "",
        **attributes: Any,
    ) -> str | tuple[str, ...]:
        """Add any operator; attributes that are ``None`` are left out.

        Returns the output's name, or a tuple of names if ``n_outputs`` is not 1.
        """
        name = self._fresh(op)
        outputs = [
            name.lower() if n_outputs == 1 else f"{name.lower()}_{k}" for k in range(n_outputs)
        ]
        node = helper.make_node(op, inputs, outputs, name, domain=domain, **attributes)
        self._nodes.append(node)
        self._opsets.setdefault(domain, 1)
        self._track(node)
        return outputs[0] if n_outputs == 1 else tuple(outputs)

    def model(self, *outputs: str, check: bool = True, **metadata: str) -> onnx.ModelProto:
        """Return the model with these graph outputs; ``metadata`` becomes metadata_props.

        Raises:
            onnx.checker.ValidationError: if the graph is invalid and ``check`` is on.
        """
        infos = [onnx.ValueInfoProto(name=name, type=self._types.get(name)) for name in outputs]
        inputs = list(self._inputs)
        if self._weights_are_inputs:
            inputs += [
                onnx.ValueInfoProto(name=name, type=self._types[name])
                for name in self._initializers
            ]
        weights = list(self._initializers.values())
        graph = helper.make_graph(self._nodes, "test_graph", inputs, infos, weights)
        model = helper.make_model(
            graph, opset_imports=self._imports(), ir_version=self.ir_version, producer_name="tests"
        )
        helper.set_model_props(model, metadata)
        if any(self.is_symbolic(info.name) for info in self._inputs):
            _infer_output_shapes(model)
        if check:
            onnx.checker.check_model(model, full_check=True)
        return model

    def _imports(self) -> list[onnx.OperatorSetIdProto]:
        return [helper.make_opsetid(domain, version) for domain, version in self._opsets.items()]

    def _fresh(self, stem: str) -> str:
        self._names += 1
        return f"{stem}_{self._names}"

    def _away_from_zero(self, shape: Sequence[int], low: float, high: float) -> AnyArray:
        signs = self.random.choice([-1.0, 1.0], shape)
        return np.asarray(signs * self.random.uniform(low, high, shape))

    def _remember(self, name: str, values: AnyArray) -> None:
        self._values[name] = values
        self._types[name] = helper.make_tensor_type_proto(_element(values.dtype), values.shape)

    def _track(self, node: onnx.NodeProto) -> None:
        """Record types of the outputs, and values where only shapes and constants go in."""
        if not onnx.defs.has(node.op_type, self.opset, node.domain):
            return
        schema = onnx.defs.get_schema(node.op_type, self.opset, node.domain)
        types = {name: self._types[name] for name in node.input if name}
        known = {name: self._values[name] for name in types if name in self._values}
        small = {
            name: numpy_helper.from_array(value, name)
            for name, value in known.items()
            if value.size <= SMALL
        }
        self._types |= infer_node_outputs(
            schema, node, types, small, opset_imports=self._imports(), ir_version=self.ir_version
        )
        if node.op_type == "Shape":
            (output,) = node.output
            self._values[output] = np.array(self.shape(node.input[0]), np.int64)
        elif types.keys() == small.keys() and _is_shape_arithmetic(node, small):
            # A bare node would be evaluated with the newest opset.
            inputs, outputs = (
                [onnx.ValueInfoProto(name=name, type=self._types[name]) for name in names]
                for names in (small, node.output)
            )
            graph = helper.make_graph([node], "one_node", inputs, outputs)
            evaluator = ReferenceEvaluator(helper.make_model(graph, opset_imports=self._imports()))
            results = evaluator.run(None, known)
            assert isinstance(results, list)  # a dictionary only where all values are asked for
            self._values.update(zip(node.output, results, strict=True))


def _element(dtype: npt.DTypeLike) -> int:
    return helper.np_dtype_to_tensor_dtype(np.dtype(dtype))


def _is_shape_arithmetic(node: onnx.NodeProto, inputs: Mapping[str, onnx.TensorProto]) -> bool:
    integers = all(value.data_type == onnx.TensorProto.INT64 for value in inputs.values())
    return node.op_type == "Constant" or (bool(inputs) and integers)


def _infer_output_shapes(model: onnx.ModelProto) -> None:
    """Give each graph output the shape that follows from symbolic inputs, not tracked sizes."""
    for info in model.graph.output:
        for dim in info.type.tensor_type.shape.dim:
            dim.Clear()
    inferred = onnx.shape_inference.infer_shapes(model, data_prop=True)
    for info, found in zip(model.graph.output, inferred.graph.output, strict=True):
        info.CopyFrom(found)
