"""Write small ONNX models by hand: what no training framework exports, or not often.

    python models/handwritten_zoo.py OUT --model loop_own_weights

writes OUT/loop_own_weights.onnx. Needs only onnx, onnxruntime, numpy and click; the other
``*_zoo.py`` scripts take ``Sample``, ``Exported`` and ``write_all`` from here.
"""

import multiprocessing
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import click
import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime as ort
from onnx import helper

Array = npt.NDArray[Any]

TOLERANCE = 1e-3
"""Allowed relative difference of ONNX Runtime and the framework: float32 over some layers."""
FREE_AXIS = 2
"""Length given to an axis without a number when a model is run."""


class ExportDiffersError(ValueError):
    """ONNX Runtime disagrees with the framework about an exported model."""

    def __str__(self) -> str:
        """Return what was found; the argument alone crosses processes."""
        return f"ONNX Runtime differs by {self.args[0]:.1e} > {TOLERANCE:.0e}"


@dataclass(frozen=True, slots=True)
class Exported:
    """One model and what it should compute.

    Attributes:
        model: not yet saved.
        feeds: inputs by name; where absent, random ones are drawn.
        expected: outputs of the framework in order; empty where there is nothing to compare.
    """

    model: onnx.ModelProto
    feeds: Mapping[str, Array] | None = None
    expected: Sequence[Array] = ()


@dataclass(frozen=True, slots=True)
class Written:
    """One file written and run.

    Attributes:
        kilobytes: size on disk.
        nodes: nodes of the main graph.
        opset: version of the default domain.
        difference: largest difference to the framework, relative to its largest value; none
            where there was nothing to compare.
        seconds: wall time of building, exporting and running.
    """

    kilobytes: float
    nodes: int
    opset: int
    difference: float | None
    seconds: float


def write(path: Path, build: Callable[[], Exported]) -> Written:
    """Build, save and run one model; runs in a process of its own.

    Raises:
        ExportDiffersError: if ONNX Runtime and the framework disagree.
    """
    start = time.perf_counter()
    exported = build()
    onnx.checker.check_model(exported.model)
    temporary = path.with_suffix(".unchecked")
    onnx.save(exported.model, temporary)
    difference = largest_difference(exported, run_model(temporary, exported.feeds))
    temporary.replace(path)
    return Written(
        kilobytes=path.stat().st_size / 1e3,
        nodes=len(exported.model.graph.node),
        opset=next(entry.version for entry in exported.model.opset_import if not entry.domain),
        difference=difference,
        seconds=time.perf_counter() - start,
    )


def run_model(path: Path, feeds: Mapping[str, Array] | None) -> list[Any]:
    """Return the outputs of a model in ONNX Runtime."""
    options = ort.SessionOptions()
    options.log_severity_level = 3
    session: Any = ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    outputs: list[Any] = session.run(None, feeds or random_feeds(session))
    return outputs


def random_feeds(session: Any, seed: int = 1) -> dict[str, Array]:
    """Return one input per name: normal numbers, small indices, words."""
    rng = np.random.default_rng(seed)
    feeds: dict[str, Array] = {}
    for entry in session.get_inputs():
        shape = [axis if isinstance(axis, int) else FREE_AXIS for axis in entry.shape]
        match entry.type:
            case "tensor(float)" | "tensor(double)" | "tensor(float16)":
                kind = {"tensor(float)": "f4", "tensor(double)": "f8"}.get(entry.type, "f2")
                feeds[entry.name] = rng.standard_normal(shape).astype(kind)
            case "tensor(bool)":
                feeds[entry.name] = rng.integers(0, 2, shape).astype(bool)
            case "tensor(string)":
                feeds[entry.name] = np.full(shape, "cat", dtype=object)
            case other:
                kind = other.removeprefix("tensor(").removesuffix(")")
                feeds[entry.name] = rng.integers(1, 4, shape).astype(kind)
    return feeds


def largest_difference(exported: Exported, got: Sequence[Any]) -> float | None:
    """Return ``max |onnxruntime - framework| / max |framework|`` over all outputs.

    Raises:
        ExportDiffersError: if it exceeds ``TOLERANCE``, or an output is not finite.
    """
    floats = [y for y in got if isinstance(y, np.ndarray) and y.dtype.kind == "f"]
    if not all(np.isfinite(y).all() for y in floats):
        raise ExportDiffersError(np.inf)
    if not exported.expected:
        return None
    worst = 0.0
    for one, other in zip(got, exported.expected, strict=True):
        scale = max(float(np.abs(other).max()), 1e-6)
        worst = max(worst, float(np.abs(np.reshape(one, other.shape) - other).max()) / scale)
    if not worst <= TOLERANCE:
        raise ExportDiffersError(worst)
    return worst


HEADER = """\
| model | kB | nodes | opset | difference | seconds |
|---|---:|---:|---:|---:|---:|"""


def row(name: str, outcome: Written | BaseException | None) -> str:
    """Return one line of the summary table; no outcome means that the file was there."""
    if outcome is None:
        return f"| {name} | was there |"
    if isinstance(outcome, BaseException):
        reason = " ".join(str(outcome).split())[:300]
        return f"| {name} | FAILED {type(outcome).__name__}: {reason} |"
    difference = "" if outcome.difference is None else f"{outcome.difference:.1e}"
    return (
        f"| {name} | {outcome.kilobytes:.0f} | {outcome.nodes} | {outcome.opset} "
        f"| {difference} | {outcome.seconds:.1f} |"
    )


def write_all(
    out: Path,
    builders: Mapping[str, Callable[[], Exported]],
    names: Sequence[str],
) -> None:
    """Write the named models that are not there yet and print a table; exit 1 if one failed.

    Every model gets a process of its own, so that a crash costs one row.
    """
    out.mkdir(parents=True, exist_ok=True)
    context = multiprocessing.get_context("spawn")
    rows: list[str] = []
    for name in names or builders:
        path = out / f"{name}.onnx"
        outcome: Written | BaseException | None = None
        if not path.exists():
            with ProcessPoolExecutor(max_workers=1, mp_context=context) as pool:
                future = pool.submit(write, path, builders[name])
                outcome = future.exception() or future.result()
        rows.append(row(name, outcome))
        click.echo(rows[-1], err=True)
    click.echo("\n".join([HEADER, *rows]))
    if any("| FAILED" in line for line in rows):
        sys.exit(1)


def zoo_command(builders: Mapping[str, Callable[[], Exported]], doc: str) -> click.Command:
    """Return the command line of a zoo: a folder and, optionally, names of models."""

    @click.command(help=doc.splitlines()[0])
    @click.argument("out", type=click.Path(file_okay=False, path_type=Path))
    @click.option("--model", "names", multiple=True, type=click.Choice(list(builders)))
    def main(out: Path, names: tuple[str, ...]) -> None:
        write_all(out, builders, names)

    return main


# The models. Every function below writes one; SAMPLES at the end says what pruning makes of it.

TRUE, FLOAT, INT64 = True, onnx.TensorProto.FLOAT, onnx.TensorProto.INT64
MICROSOFT = "com.microsoft"


class Net:
    """Collects nodes and weights of one graph; weights are normal numbers of a fixed seed."""

    def __init__(self, opset: int = 21, seed: int = 0, dtype: Any = np.float32) -> None:
        """Take the version of the default domain and the type of weights."""
        self.opset, self.dtype = opset, np.dtype(dtype)
        self.rng = np.random.default_rng(seed)
        self.nodes: list[onnx.NodeProto] = []
        self.weights: list[onnx.TensorProto] = []
        self.inputs: list[onnx.ValueInfoProto] = []
        self.outputs: list[onnx.ValueInfoProto] = []
        self.functions: list[onnx.FunctionProto] = []
        self.domains: dict[str, int] = {"": opset}
        self.prefix = ""

    def inner(self, prefix: str) -> "Net":
        """Return a net for the body of a control-flow node; its names carry the prefix."""
        net = Net(self.opset, 0, self.dtype)
        net.rng, net.prefix, net.domains = self.rng, prefix, self.domains
        return net

    def name(self, stem: str) -> str:
        """Return a fresh name."""
        return f"{self.prefix}{stem}_{len(self.nodes) + len(self.weights)}"

    def input(self, name: str, shape: Sequence[int | str], kind: int = FLOAT) -> str:
        """Declare an input."""
        self.inputs.append(helper.make_tensor_value_info(name, kind, shape))
        return name

    def output(self, name: str, shape: Sequence[int | str | None], kind: int = FLOAT) -> str:
        """Declare an output."""
        self.outputs.append(helper.make_tensor_value_info(name, kind, shape))
        return name

    def constant(self, value: Any, name: str | None = None) -> str:
        """Store an array; Python floats take the net's type."""
        array = np.asarray(value)
        if array.dtype == np.float64:
            array = array.astype(self.dtype)
        name = name or self.name("c")
        self.weights.append(onnx.numpy_helper.from_array(array, name))
        return name

    def weight(self, *shape: int, fan: int | None = None) -> str:
        """Store normal numbers of variance ``1 / fan``; without it the first axis counts."""
        value = self.rng.standard_normal(shape) / np.sqrt(fan or shape[0])
        return self.constant(value.astype(self.dtype), self.name("w"))

    def vector(self, length: int, low: float = 0.1, high: float = 0.6) -> str:
        """Store positive numbers: biases, scales, variances."""
        return self.constant(self.rng.uniform(low, high, length).astype(self.dtype))

    def op(self, kind: str, *inputs: str, domain: str = "", **attributes: Any) -> str:
        """Add a node with one output and return it."""
        return self.ops(kind, 1, *inputs, domain=domain, **attributes)[0]

    def ops(self, kind: str, count: int, *inputs: str, domain: str = "", **attributes: Any) -> Any:
        """Add a node with several outputs and return them."""
        if domain:
            self.domains.setdefault(domain, 1)
        names = [self.name(f"{kind.lower()}{k}") for k in range(count)]
        self.nodes.append(
            helper.make_node(kind, inputs, names, names[0], domain=domain, **attributes)
        )
        return names

    def dense(self, x: str, inputs: int, outputs: int, act: str | None = "Relu") -> str:
        """MatMul, Add and an activation."""
        y = self.op("Add", self.op("MatMul", x, self.weight(inputs, outputs)), self.vector(outputs))
        return self.op(act, y) if act else y

    def conv(
        self, x: str, inputs: int, outputs: int, size: int = 3, act: str | None = "Relu",
        groups: int = 1, stride: int = 1,
    ) -> str:  # fmt: skip
        """Conv with bias and an activation; odd kernels keep the size."""
        fan = inputs // groups * size * size
        weight = self.weight(outputs, inputs // groups, size, size, fan=fan)
        y = self.op(
            "Conv", x, weight, self.vector(outputs), group=groups, pads=[size // 2] * 4,
            strides=[stride] * 2,
        )  # fmt: skip
        return self.op(act, y) if act else y

    def norm(self, x: str, width: int) -> str:
        """LayerNormalization over the last axis."""
        return self.op(
            "LayerNormalization", x, self.vector(width, 0.5, 1.5), self.vector(width), axis=-1
        )

    def ints(self, *values: int) -> str:
        """Store a list of int64."""
        return self.constant(np.array(values, dtype=np.int64))

    def graph(self, name: str = "net") -> onnx.GraphProto:
        """Return the graph."""
        return helper.make_graph(self.nodes, name, self.inputs, self.outputs, self.weights)

    def exported(self) -> Exported:
        """Return the model with shapes inferred."""
        opsets = [helper.make_opsetid(domain, version) for domain, version in self.domains.items()]
        model = helper.make_model(
            self.graph(), opset_imports=opsets, functions=self.functions, ir_version=10
        )
        return Exported(onnx.shape_inference.infer_shapes(model))


def head(net: Net, x: str, width: int, classes: int = 5) -> Exported:
    """Finish ``(N, width)`` with a projection and return the model."""
    net.output(net.dense(x, width, classes, None), ["N", classes])
    return net.exported()


def image_head(net: Net, x: str, width: int) -> Exported:
    """Finish an image with global pooling and a projection and return the model."""
    pooled = net.op("Flatten", net.op("GlobalAveragePool", x))
    return head(net, pooled, width)


# Control flow.


def branches(net: Net, x: str, make: Callable[[Net, str, int], str], shape: Any) -> str:
    """Return the output of an If over both bodies that ``make`` writes."""
    flag = net.input("flag", [], onnx.TensorProto.BOOL)
    bodies = []
    for k, side in enumerate(("yes", "no")):
        body = net.inner(f"{side}_")
        body.output(make(body, x, k), shape)
        bodies.append(body.graph(side))
    return net.op("If", flag, then_branch=bodies[0], else_branch=bodies[1])


def if_own_weights() -> Exported:
    """Both branches have convolutions of their own, of unequal depth."""
    net = Net()
    x = net.conv(net.input("x", ["N", 3, 16, 16]), 3, 24)

    def make(body: Net, x: str, k: int) -> str:
        y = body.conv(x, 24, 40) if k else body.conv(body.conv(x, 24, 32), 32, 40)
        return body.op("Sigmoid", y)

    return image_head(net, branches(net, x, make, ["N", 40, 16, 16]), 40)


def if_captured_weights() -> Exported:
    """Branches use weights of the outer graph; one weight is used in both and outside."""
    net = Net()
    x = net.dense(net.input("x", ["N", 32]), 32, 48)
    shared, other = net.weight(48, 48), net.weight(48, 48)
    x = net.op("Tanh", net.op("MatMul", x, shared))

    def make(body: Net, x: str, k: int) -> str:
        y = body.op("MatMul", x, shared)
        return body.op("Relu", y) if k else body.op("MatMul", y, other)

    return head(net, branches(net, x, make, ["N", 48]), 48)


def if_nested() -> Exported:
    """An If in an If, the inner one over a captured flag."""
    net = Net()
    x = net.dense(net.input("x", ["N", 32]), 32, 48)
    second = net.input("second", [], onnx.TensorProto.BOOL)

    def make(body: Net, x: str, k: int) -> str:
        if k:
            return body.dense(x, 48, 40)
        inner = []
        for side in ("a", "b"):
            part = body.inner(f"yes_{side}_")
            hidden = part.dense(x, 48, 64, "Tanh" if side == "a" else "Relu")
            part.output(part.dense(hidden, 64, 40), ["N", 40])
            inner.append(part.graph(side))
        return body.op("If", second, then_branch=inner[0], else_branch=inner[1])

    return head(net, branches(net, x, make, ["N", 40]), 40)


def loop_body(net: Net, width: int) -> tuple[Net, str]:
    """Return the net of a Loop body with one state ``(N, width)``, and that state."""
    body = net.inner("body_")
    body.input("step", [], INT64)
    body.input("go", [], onnx.TensorProto.BOOL)
    state = body.input("state", ["N", width])
    body.output(body.op("Identity", "go"), [], onnx.TensorProto.BOOL)
    return body, state


def loop(own: bool, collect: bool) -> Exported:
    """Repeat a residual MLP three times; optionally collect the states."""
    net = Net()
    x = net.dense(net.input("x", ["N", 32]), 32, 48)
    body, state = loop_body(net, 48)
    home = body if own else net
    up, bias, down = home.weight(48, 64), home.vector(64), home.weight(64, 48)
    hidden = body.op("Tanh", body.op("Add", body.op("MatMul", state, up), bias))
    new = body.op("Add", state, body.op("MatMul", hidden, down))
    body.output(new, ["N", 48])
    if collect:
        body.output(body.op("Relu", new), ["N", 48])
    trips, go = net.constant(np.array(3)), net.constant(np.array(TRUE))
    outputs = net.ops("Loop", 1 + collect, trips, go, x, body=body.graph("body"))
    y = net.op("ReduceMean", outputs[1], net.ints(0), keepdims=0) if collect else outputs[0]
    return head(net, y, 48)


def loop_carried_weights() -> Exported:
    """Weights enter the Loop as states that the body hands back, as TensorFlow writes them."""
    net = Net()
    x = net.dense(net.input("x", ["N", 32]), 32, 48)
    matrix, bias = net.weight(48, 48), net.vector(48)
    body, state = loop_body(net, 48)
    inner, addend = body.input("matrix", [48, 48]), body.input("addend", [48])
    y = body.op("Tanh", body.op("Add", body.op("MatMul", state, inner), addend))
    body.output(y, ["N", 48])
    body.output(body.op("Identity", inner), [48, 48])
    body.output(body.op("Identity", addend), [48])
    trips, go = net.constant(np.array(3)), net.constant(np.array(TRUE))
    outputs = net.ops("Loop", 3, trips, go, x, matrix, bias, body=body.graph("body"))
    return head(net, outputs[0], 48)


def scan(own: bool, both: bool = False) -> Exported:
    """A recurrent layer over ``(T, N, C)`` as a Scan; optionally a second one backwards."""
    net = Net()
    x = net.input("x", [6, 2, 32])
    ends = []
    for way in range(1 + both):
        body = net.inner(f"body{way}_")
        hidden, item = body.input(f"h{way}", [2, 40]), body.input(f"x{way}", [2, 32])
        home = body if own else net
        into, over, bias = home.weight(32, 40), home.weight(40, 40), home.vector(40)
        total = body.op("Add", body.op("MatMul", item, into), body.op("MatMul", hidden, over))
        new = body.op("Tanh", body.op("Add", total, bias))
        body.output(new, [2, 40])
        body.output(body.op("Identity", new), [2, 40])
        start = net.constant(np.zeros((2, 40)))
        _, all_steps = net.ops(
            "Scan", 2, start, x, body=body.graph(f"body{way}"), num_scan_inputs=1,
            scan_input_directions=[way], scan_output_directions=[way],
        )  # fmt: skip
        ends.append(net.op("ReduceMean", all_steps, net.ints(0), keepdims=0))
    y = net.op("Concat", *ends, axis=-1) if both else ends[0]
    return head(net, y, 40 * (1 + both))


def scan_stacked_layers() -> Exported:
    """One layer per step: weights of all layers are stacked and scanned, as JAX writes them."""
    net = Net()
    x = net.dense(net.input("x", ["N", 32]), 32, 48)
    body = net.inner("body_")
    state = body.input("state", ["N", 48])
    up, down = body.input("up", [48, 64]), body.input("down", [64, 48])
    hidden = body.op("Tanh", body.op("MatMul", state, up))
    body.output(body.op("Add", state, body.op("MatMul", hidden, down)), ["N", 48])
    ups, downs = net.weight(3, 48, 64, fan=48), net.weight(3, 64, 48, fan=64)
    y = net.op("Scan", x, ups, downs, body=body.graph("body"), num_scan_inputs=2)
    return head(net, y, 48)


# Functions, shared and computed weights, several inputs and outputs.


def function_net() -> tuple[Net, str]:
    """Return a net with two local functions, one inside the other."""
    net = Net()
    net.domains["local"] = 1
    opsets = [helper.make_opsetid("", net.opset), helper.make_opsetid("local", 1)]
    linear = [
        helper.make_node("MatMul", ["x", "w"], ["m"]),
        helper.make_node("Add", ["m", "b"], ["s"]),
        helper.make_node("LeakyRelu", ["s"], ["y"]),
    ]
    alpha = onnx.AttributeProto(name="alpha", ref_attr_name="slope", type=onnx.AttributeProto.FLOAT)
    linear[-1].attribute.append(alpha)
    block = [
        helper.make_node("Linear", ["x", "w", "b"], ["h"], domain="local", slope=0.1),
        helper.make_node("Linear", ["h", "v", "c"], ["z"], domain="local", slope=0.3),
        helper.make_node("Add", ["x", "z"], ["y"]),
    ]
    net.functions += [
        helper.make_function(
            "local", "Linear", ["x", "w", "b"], ["y"], linear, opsets, attributes=["slope"]
        ),
        helper.make_function("local", "Block", ["x", "w", "b", "v", "c"], ["y"], block, opsets),
    ]
    return net, net.dense(net.input("x", ["N", 32]), 32, 48)


def local_functions() -> Exported:
    """A residual block as a function that calls another; weights are its arguments."""
    net, x = function_net()
    for _ in range(2):
        weights = [net.weight(48, 64), net.vector(64), net.weight(64, 48), net.vector(48)]
        x = net.op("Block", x, *weights, domain="local")
    return head(net, x, 48)


def functions_in_branches() -> Exported:
    """A local function called in both branches of an If."""
    net, x = function_net()
    weights = [net.weight(48, 64), net.vector(64), net.weight(64, 48), net.vector(48)]

    def make(body: Net, x: str, k: int) -> str:
        y = body.op("Block", x, *weights, domain="local")
        return body.op("Relu", y) if k else body.op("Tanh", y)

    return head(net, branches(net, x, make, ["N", 48]), 48)


def tied_embedding(gemm: bool) -> Exported:
    """A language model whose output projection is its embedding table."""
    net = Net()
    words = net.input("words", ["N", 8], INT64)
    table = net.weight(60, 32, fan=4)
    x = net.op("Gather", table, words)
    hidden = net.dense(net.norm(x, 32), 32, 96)
    x = net.norm(net.op("Add", x, net.dense(hidden, 96, 32, None)), 32)
    if gemm:
        flat = net.op("Reshape", x, net.ints(-1, 32))
        y = net.op("Reshape", net.op("Gemm", flat, table, transB=1), net.ints(-1, 8, 60))
    else:
        y = net.op("MatMul", x, net.op("Transpose", table, perm=[1, 0]))
    net.output(y, ["N", 8, 60])
    return net.exported()


def inputs_and_outputs() -> Exported:
    """An image, features and words; logits, an embedding, a mask and a passed input come out."""
    net = Net()
    image, features = net.input("image", ["N", 3, 16, 16]), net.input("features", ["N", 20])
    words = net.input("words", ["N", 6], INT64)
    x = net.conv(image, 3, 24)
    mask = net.conv(x, 24, 1, 1, "Sigmoid")
    x = net.op("Mul", x, mask)
    pooled = net.op("Flatten", net.op("GlobalMaxPool", net.conv(x, 24, 40, stride=2)))
    y = net.dense(features, 20, 40)
    text = net.op("ReduceMean", net.op("Gather", net.weight(50, 40, fan=2), words), net.ints(1),
                  keepdims=0)  # fmt: skip
    both = net.op("Concat", net.op("Add", net.op("Mul", pooled, y), text), y, axis=1)
    embedding = net.dense(both, 80, 32, "Tanh")
    net.output(mask, ["N", 1, 16, 16])
    net.output(embedding, ["N", 32])
    net.output(net.op("Identity", features), ["N", 20])
    return head(net, net.dense(embedding, 32, 48), 48)


def computed_weights() -> Exported:
    """Weights that the graph computes from constants, in the ways exporters leave behind."""
    net = Net()
    x = net.input("x", ["N", 32])
    weight = net.op("Mul", net.weight(32, 48), net.op("Sigmoid", net.weight(32, 48)))
    x = net.op("Relu", net.op("MatMul", x, weight))
    direction, gain = net.weight(48, 64), net.vector(64, 0.5, 1.5)  # weight normalisation
    length = net.op("Sqrt", net.op("ReduceSumSquare", direction, net.ints(0), keepdims=1))
    weight = net.op("Mul", net.op("Div", direction, length), gain)
    x = net.op("Relu", net.op("MatMul", x, weight))
    weight = net.op("Concat", net.weight(64, 16), net.weight(64, 24), axis=1)
    x = net.op("Relu", net.op("MatMul", x, weight))
    weight = net.op("Transpose", net.op("Reshape", net.weight(56 * 40), net.ints(56, 40)),
                    perm=[1, 0])  # fmt: skip
    x = net.op("Relu", net.op("MatMul", x, weight))
    weight = net.op("Slice", net.weight(56, 72), net.ints(10), net.ints(58), net.ints(1))
    x = net.op("Relu", net.op("MatMul", x, weight))
    low = net.op("MatMul", net.weight(48, 8), net.weight(8, 40))  # low-rank update
    weight = net.op("Add", net.weight(48, 40), low)
    return head(net, net.op("Relu", net.op("MatMul", x, weight)), 40)


def constant_nodes() -> Exported:
    """Weights in Constant nodes, and one filled by ConstantOfShape."""
    net = Net()
    x = net.input("x", ["N", 32])
    for inputs, outputs in ((32, 48), (48, 64)):
        value = net.rng.standard_normal((inputs, outputs)).astype(np.float32) / 6
        weight = net.op("Constant", value=onnx.numpy_helper.from_array(value))
        half = onnx.numpy_helper.from_array(np.array([0.5], np.float32))
        bias = net.op("ConstantOfShape", net.ints(outputs), value=half)
        x = net.op("Relu", net.op("Add", net.op("MatMul", x, weight), bias))
    return head(net, x, 64)


# Types.


def half_cnn() -> Exported:
    """A residual CNN in float16."""
    net = Net(dtype=np.float16)
    x = net.conv(net.input("x", ["N", 3, 16, 16], onnx.TensorProto.FLOAT16), 3, 24)
    x = net.op("Relu", net.op("Add", x, net.conv(net.conv(x, 24, 32), 32, 24, act=None)))
    pooled = net.op("Flatten", net.op("GlobalAveragePool", x))
    net.output(net.dense(pooled, 24, 5, None), ["N", 5], onnx.TensorProto.FLOAT16)
    return net.exported()


def bfloat_mlp() -> Exported:
    """Weights in bfloat16, cast to float32 in front of each product."""
    net = Net()
    x = net.input("x", ["N", 32])
    for inputs, outputs in ((32, 48), (48, 64), (64, 5)):
        value = net.rng.standard_normal((inputs, outputs)).astype(np.float32) / 6
        tensor = helper.make_tensor(
            net.name("b"), onnx.TensorProto.BFLOAT16, value.shape, value.ravel()
        )
        net.weights.append(tensor)
        x = net.op("MatMul", x, net.op("Cast", tensor.name, to=FLOAT))
        x = net.op("Tanh", x) if outputs != 5 else x
    net.output(x, ["N", 5])
    return net.exported()


def double_mlp() -> Exported:
    """An MLP in float64."""
    net = Net(dtype=np.float64)
    x = net.input("x", ["N", 32], onnx.TensorProto.DOUBLE)
    for inputs, outputs in ((32, 48), (48, 64)):
        value = net.rng.standard_normal((inputs, outputs)) / 6
        x = net.op("Tanh", net.op("MatMul", x, net.constant(value)))
    value = net.rng.standard_normal((64, 5)) / 8
    net.output(net.op("MatMul", x, net.constant(value)), ["N", 5], onnx.TensorProto.DOUBLE)
    return net.exported()


# Quantised networks, made by onnxruntime's own tools.


def small_cnn() -> onnx.ModelProto:
    """A residual CNN with a depthwise convolution, to be quantised or optimised."""
    net = Net(opset=17)
    x = net.conv(net.input("x", ["N", 3, 16, 16]), 3, 24)
    x = net.op("Relu", net.op("Add", x, net.conv(net.conv(x, 24, 32), 32, 24, act=None)))
    x = net.op("MaxPool", x, kernel_shape=[2, 2], strides=[2, 2])
    x = net.conv(net.conv(x, 24, 24, groups=24), 24, 40, 1)
    return image_head(net, net.op("Concat", x, net.conv(x, 40, 24, 1), axis=1), 64).model


def attention(net: Net, x: str, width: int, heads: int, steps: int) -> str:
    """Multi-head attention over ``(N, T, C)`` as most exporters write it."""
    size = width // heads

    def split(perm: Sequence[int]) -> str:
        y = net.op("Reshape", net.dense(x, width, width, None), net.ints(0, steps, heads, size))
        return net.op("Transpose", y, perm=perm)

    q, k, v = split([0, 2, 1, 3]), split([0, 2, 3, 1]), split([0, 2, 1, 3])
    scores = net.op("Div", net.op("MatMul", q, k), net.constant(np.sqrt(size)))
    mixed = net.op("MatMul", net.op("Softmax", scores, axis=-1), v)
    mixed = net.op(
        "Reshape", net.op("Transpose", mixed, perm=[0, 2, 1, 3]), net.ints(0, steps, width)
    )
    return net.dense(mixed, width, width, None)


def erf_gelu(net: Net, x: str) -> str:
    """GELU in five nodes."""
    e = net.op("Erf", net.op("Div", x, net.constant(np.sqrt(2.0))))
    return net.op("Mul", net.op("Mul", x, net.op("Add", e, net.constant(1.0))), net.constant(0.5))


def small_transformer(words: bool = True) -> onnx.ModelProto:
    """Two blocks with LayerNorm behind the layers, as in BERT; words or features come in."""
    net = Net(opset=17)
    width, steps = 32, 8
    if words:
        x = net.op("Gather", net.weight(60, width, fan=2), net.input("ids", ["N", steps], INT64))
        x = net.norm(net.op("Add", x, net.weight(steps, width, fan=2)), width)
    else:
        x = net.input("x", ["N", steps, width])
    for _ in range(2):
        x = net.norm(net.op("Add", x, attention(net, x, width, 4, steps)), width)
        hidden = net.op("Add", net.op("MatMul", x, net.weight(width, 96)), net.vector(96))
        y = net.dense(erf_gelu(net, hidden), 96, width, None)
        x = net.norm(net.op("Add", x, y), width)
    pooled = net.op("ReduceMean", x, axes=[1], keepdims=0)
    return head(net, pooled, width).model


def plain_mlp() -> onnx.ModelProto:
    """Three layers, to be quantised to four bits: widths are multiples of its blocks."""
    net = Net()
    x = net.dense(net.dense(net.input("x", ["N", 32]), 32, 64), 64, 96)
    return head(net, x, 96).model


def with_files(model: onnx.ModelProto, change: Callable[[Path, Path], object]) -> Exported:
    """Return what a tool makes of a model that reads one file and writes another."""
    with tempfile.TemporaryDirectory() as folder:
        before, after = Path(folder) / "before.onnx", Path(folder) / "after.onnx"
        onnx.save(model, before)
        change(before, after)
        return Exported(onnx.load(after))


class Calibration:
    """A few random batches, in the form onnxruntime asks for."""

    def __init__(self, path: Path) -> None:
        """Draw inputs for the model at ``path``."""
        session: Any = ort.InferenceSession(path, providers=["CPUExecutionProvider"])
        self.feeds = iter([random_feeds(session, seed) for seed in range(4)])

    def get_next(self) -> dict[str, Array] | None:
        """Return one batch, then nothing."""
        return next(self.feeds, None)


def quantised(make: Callable[[], onnx.ModelProto], form: str, per_channel: bool) -> Exported:
    """Quantise statically to int8, as QDQ pairs or as QLinear operators."""
    from onnxruntime.quantization import QuantFormat, QuantType, quantize_static

    def change(before: Path, after: Path) -> None:
        quantize_static(
            before, after, Calibration(before), quant_format=QuantFormat[form],
            per_channel=per_channel, weight_type=QuantType.QInt8, activation_type=QuantType.QUInt8,
        )  # fmt: skip

    return with_files(make(), change)


def dynamically_quantised(make: Callable[[], onnx.ModelProto]) -> Exported:
    """Quantise weights to int8 and activations at run time."""
    from onnxruntime.quantization import QuantType, quantize_dynamic

    return with_files(make(), lambda a, b: quantize_dynamic(a, b, weight_type=QuantType.QUInt8))


def four_bits(form: str) -> Exported:
    """Quantise weights to blocks of four bits: MatMulNBits, or DequantizeLinear with blocks."""
    from onnxruntime.quantization import QuantFormat
    from onnxruntime.quantization.matmul_nbits_quantizer import (
        DefaultWeightOnlyQuantConfig,
        MatMulNBitsQuantizer,
    )

    config = DefaultWeightOnlyQuantConfig(
        block_size=32, is_symmetric=True, quant_format=QuantFormat[form]
    )
    quantizer = MatMulNBitsQuantizer(plain_mlp(), algo_config=config)
    quantizer.process()
    return Exported(quantizer.model.model)


def quantised_attention() -> Exported:
    """Fused Attention, then dynamic quantisation: QAttention."""
    from onnxruntime.quantization import QuantType, quantize_dynamic

    fused = transformer_optimised().model
    return with_files(fused, lambda a, b: quantize_dynamic(a, b, weight_type=QuantType.QUInt8))


def qdq_cnn() -> onnx.ModelProto:
    """The CNN with quantised weights per channel."""
    return quantised(small_cnn, "QDQ", True).model


# Networks optimised by onnxruntime.


def runtime_optimised(make: Callable[[], onnx.ModelProto], level: str = "EXTENDED") -> Exported:
    """Save what onnxruntime's own graph optimiser makes of a model.

    Level ALL would write layouts of the machine at hand.
    """

    def change(before: Path, after: Path) -> None:
        options = ort.SessionOptions()
        options.graph_optimization_level = getattr(
            ort.GraphOptimizationLevel, f"ORT_ENABLE_{level}"
        )
        options.optimized_model_filepath = str(after)
        options.log_severity_level = 3
        ort.InferenceSession(before, options, providers=["CPUExecutionProvider"])

    return with_files(make(), change)


def transformer_optimised(words: bool = True) -> Exported:
    """Run onnxruntime.transformers' optimizer: Attention, SkipLayerNormalization, BiasGelu."""
    from onnxruntime.transformers.optimizer import optimize_model

    return with_files(
        small_transformer(words),
        lambda a, b: optimize_model(
            str(a), "bert", num_heads=4, hidden_size=32, opt_level=0
        ).save_model_to_file(str(b)),
    )


# Contrib operators written directly.


def fused_attention(kind: str) -> Exported:
    """MultiHeadAttention or GroupQueryAttention of com.microsoft between projections."""
    net = Net()
    width, heads, kept, size, steps = 32, 4, 2, 8, 6
    x = net.input("x", [1, steps, width])
    q = net.dense(x, width, heads * size, None)
    if kind == "MultiHeadAttention":
        k, v = (net.dense(x, width, heads * size, None) for _ in range(2))
        y = net.op(kind, q, k, v, domain=MICROSOFT, num_heads=heads)
    else:
        k, v = (net.dense(x, width, kept * size, None) for _ in range(2))
        past = [net.input(f"past_{s}", [1, kept, 4, size]) for s in ("key", "value")]
        total = net.constant(np.array(steps + 4, np.int32))
        lengths = net.constant(np.full(1, steps + 3, np.int32))
        y, key, value = net.ops(
            kind, 3, q, k, v, *past, lengths, total, domain=MICROSOFT, num_heads=heads,
            kv_num_heads=kept,
        )  # fmt: skip
        for present in (key, value):
            net.output(present, [1, kept, None, size])
    x = net.op("Add", x, net.dense(y, heads * size, width, None))
    hidden = net.dense(net.norm(x, width), width, 96)
    x = net.op("Add", x, net.dense(hidden, 96, width, None))
    return head(net, net.op("ReduceMean", x, net.ints(1), keepdims=0), width)


def skip_norms() -> Exported:
    """SkipLayerNormalization and its simplified form, FastGelu, BiasGelu, QuickGelu."""
    net = Net()
    x = net.input("x", ["N", 6, 32])
    skip = net.dense(x, 32, 32, None)
    for kind in ("SkipLayerNormalization", "SkipSimplifiedLayerNormalization"):
        scale = net.vector(32, 0.5, 1.5)
        more = [net.vector(32)] if kind == "SkipLayerNormalization" else []
        x = net.op(kind, x, skip, scale, *more, domain=MICROSOFT)
        y = net.op("MatMul", x, net.weight(32, 80))
        y = net.op("BiasGelu", y, net.vector(80), domain=MICROSOFT)
        y = net.op("FastGelu", net.op("MatMul", y, net.weight(80, 64)), net.vector(64),
                   domain=MICROSOFT)  # fmt: skip
        skip = net.op("QuickGelu", net.dense(y, 64, 32, None), domain=MICROSOFT)
    return head(net, net.op("ReduceMean", net.op("Add", x, skip), net.ints(1), keepdims=0), 32)


def fused_products() -> Exported:
    """FusedMatMul, FusedGemm and FusedConv of com.microsoft."""
    net = Net()
    x = net.input("x", ["N", 3, 12, 12])
    weight = net.weight(24, 3, 3, 3, fan=27)
    x = net.op("FusedConv", x, weight, net.vector(24), domain=MICROSOFT, activation="Relu",
               pads=[1] * 4)  # fmt: skip
    weight = net.weight(24, 24, 3, 3, fan=216)
    x = net.op("FusedConv", x, weight, net.vector(24), x, domain=MICROSOFT, activation="Relu",
               pads=[1] * 4)  # fmt: skip
    x = net.op("Flatten", net.op("GlobalAveragePool", x))
    x = net.op("FusedGemm", x, net.weight(40, 24, fan=24), net.vector(40), domain=MICROSOFT,
               activation="LeakyRelu", activation_alpha=0.1, transB=1)  # fmt: skip
    x = net.op("FusedMatMul", x, net.weight(48, 40, fan=40), domain=MICROSOFT, transB=1, alpha=0.5)
    return head(net, x, 48)


# The newest standard operators.


def standard_attention(opset: int, grouped: bool, four_axes: bool) -> Exported:
    """Attention with RotaryEmbedding and RMSNormalization, gated feed-forward."""
    net = Net(opset=opset)
    width, heads, size, steps = 32, 4, 8, 6
    kept = 2 if grouped else heads
    x = net.input("x", ["N", steps, width])
    y = net.op("RMSNormalization", x, net.vector(width, 0.5, 1.5), axis=-1)
    parts = [net.dense(y, width, count * size, None) for count in (heads, kept, kept)]
    angles = np.outer(np.arange(steps), 1.0 / 10.0 ** np.arange(size // 2))
    tables = [net.constant(np.cos(angles)[None]), net.constant(np.sin(angles)[None])]
    if four_axes:
        counts = (heads, kept, kept)
        parts = [
            net.op(
                "Transpose",
                net.op("Reshape", part, net.ints(0, steps, count, size)), perm=[0, 2, 1, 3],
            )
            for part, count in zip(parts, counts, strict=True)
        ]  # fmt: skip
        y = net.op("Attention", *parts, is_causal=1)
        y = net.op("Reshape", net.op("Transpose", y, perm=[0, 2, 1, 3]), net.ints(0, steps, width))
    else:
        tables = [net.op("Expand", t, net.op("Concat", net.op("Shape", x, end=1), net.ints(1, 1),
                  axis=0)) for t in tables]  # fmt: skip
        for k, count in enumerate((heads, kept)):
            parts[k] = net.op("RotaryEmbedding", parts[k], *tables, num_heads=count)
        y = net.op("Attention", *parts, q_num_heads=heads, kv_num_heads=kept)
    x = net.op("Add", x, net.dense(y, width, width, None))
    y = net.op("RMSNormalization", x, net.vector(width, 0.5, 1.5), axis=-1)
    gate = net.dense(y, width, 80, "Swish" if opset >= 24 else "Sigmoid")
    y = net.op("Mul", gate, net.dense(y, width, 80, None))
    x = net.op("Add", x, net.dense(y, 80, width, None))
    return head(net, net.op("ReduceMean", x, net.ints(1), keepdims=0), width)


def attention_with_cache() -> Exported:
    """Attention of opset 23 with past and present keys and values."""
    net = Net(opset=23)
    width, heads, size, steps = 32, 4, 8, 3
    x = net.input("x", ["N", steps, width])
    past = [net.input(f"past_{side}", ["N", heads, 5, size]) for side in ("key", "value")]
    parts = [net.dense(x, width, width, None) for _ in range(3)]
    y, key, value = net.ops(
        "Attention", 3, *parts, "", *past, q_num_heads=heads, kv_num_heads=heads
    )
    net.output(key, ["N", heads, 8, size])
    net.output(value, ["N", heads, 8, size])
    x = net.op("Add", x, net.dense(y, width, width, None))
    hidden = net.dense(x, width, 96)
    x = net.op("Add", x, net.dense(hidden, 96, width, None))
    return head(net, net.op("ReduceMean", x, net.ints(1), keepdims=0), width)


# Sequences, optional values, strings, and tensors of size zero.


def sequences() -> Exported:
    """Branches joined through a sequence, split into one, and one that leaves the model."""
    net = Net()
    x = net.dense(net.input("x", ["N", 32]), 32, 48)
    parts = [net.dense(x, 48, 24), net.dense(x, 48, 24, "Tanh")]
    row = net.op("SequenceConstruct", *parts)
    joined = net.op("ConcatFromSequence", row, axis=1)
    pieces = net.op("SplitToSequence", joined, net.constant(np.array(16)), axis=1)
    one = net.op("SequenceAt", pieces, net.constant(np.array(1)))
    y = net.op("Add", net.dense(one, 16, 40), net.dense(joined, 48, 40))
    sequence = net.op("SequenceConstruct", net.dense(y, 40, 6), net.dense(y, 40, 6))
    kind = helper.make_tensor_sequence_value_info(sequence, FLOAT, ["N", 6])
    net.outputs.append(kind)
    return head(net, y, 40)


def optional_value() -> Exported:
    """A tensor wrapped as optional and unwrapped behind an If."""
    net = Net()
    x = net.dense(net.input("x", ["N", 32]), 32, 48)
    wrapped = net.op("Optional", x)
    has = net.op("OptionalHasElement", wrapped)
    bodies = []
    for side in ("yes", "no"):
        body = net.inner(f"{side}_")
        y = body.op("OptionalGetElement", wrapped) if side == "yes" else body.op("Neg", x)
        body.output(body.dense(y, 48, 40), ["N", 40])
        bodies.append(body.graph(side))
    return head(net, net.op("If", has, then_branch=bodies[0], else_branch=bodies[1]), 40)


def strings() -> Exported:
    """Strings pass through, become word numbers, and label the best class."""
    net = Net()
    text = net.input("text", ["N", 4], onnx.TensorProto.STRING)
    words = net.op("LabelEncoder", text, domain="ai.onnx.ml", keys_strings=["cat", "dog", "emu"],
                   values_int64s=[1, 2, 3], default_int64=0)  # fmt: skip
    net.domains["ai.onnx.ml"] = 3
    x = net.op("Gather", net.weight(4, 48, fan=2), words)
    x = net.dense(net.op("ReduceMean", x, net.ints(1), keepdims=0), 48, 64)
    logits = net.dense(net.dense(x, 64, 40), 40, 3, None)
    best = net.op("ArgMax", logits, axis=1, keepdims=0)
    names = helper.make_tensor(
        net.name("s"), onnx.TensorProto.STRING, [3], [b"cat", b"dog", b"emu"]
    )
    net.weights.append(names)
    net.output(net.op("Gather", names.name, best), ["N"], onnx.TensorProto.STRING)
    net.output(net.op("Identity", text), ["N", 4], onnx.TensorProto.STRING)
    net.output(logits, ["N", 3])
    return net.exported()


def zero_sizes() -> Exported:
    """Empty tensors: a joined part of no channels, empty axes, a split of length zero."""
    net = Net()
    x = net.conv(net.input("x", ["N", 3, 12, 12]), 3, 24)
    nothing = net.op("Slice", x, net.ints(24), net.ints(24), net.ints(1))
    x = net.op("Concat", x, nothing, net.conv(x, 24, 16, 1), axis=1)
    left, empty, right = net.ops("Split", 3, x, net.ints(24, 0, 16), axis=1)
    y = net.op("Concat", net.op("Relu", empty), net.conv(left, 24, 16, 1), axis=1)
    y = net.op("Add", y, right)
    empty_sizes = net.constant(np.zeros(0, np.float32))
    scales = net.constant(np.array([1, 1, 2, 2], np.float32))
    y = net.op("Resize", y, empty_sizes, scales, mode="nearest")
    pooled = net.op("Flatten", net.op("GlobalAveragePool", net.conv(y, 16, 40)))
    net.output(net.op("ReduceSum", nothing, net.ints(1), keepdims=0), ["N", 12, 12])
    return head(net, pooled, 40)


# What vision and sequence networks use beside the usual.


def recurrent_with_extras() -> Exported:
    """LSTM with peepholes, lengths and a first state; GRU with its reset in front; a plain RNN."""
    net = Net()
    x = net.input("x", [6, 2, 32])
    lengths = net.input("lengths", [2], onnx.TensorProto.INT32)
    start = net.op("Unsqueeze", net.dense(net.input("s", [2, 10]), 10, 24, "Tanh"), net.ints(0))
    x = net.ops(
        "LSTM", 2, x, net.weight(1, 96, 32, fan=32), net.weight(1, 96, 24, fan=24),
        net.weight(1, 192, fan=20), lengths, start, start, net.weight(1, 72, fan=9),
        hidden_size=24, input_forget=0,
    )[0]  # fmt: skip
    x = net.op("Squeeze", x, net.ints(1))
    x = net.ops(
        "GRU", 2, x, net.weight(2, 60, 24, fan=24), net.weight(2, 60, 20, fan=20),
        net.weight(2, 120, fan=20), hidden_size=20, direction="bidirectional",
    )[0]  # fmt: skip
    x = net.op("Reshape", net.op("Transpose", x, perm=[0, 2, 1, 3]), net.ints(6, 2, 40))
    x = net.ops(
        "RNN", 2, x, net.weight(1, 32, 40, fan=40), net.weight(1, 32, 32, fan=32),
        net.weight(1, 64, fan=30), hidden_size=32, direction="reverse", activations=["Relu"],
    )[1]  # fmt: skip
    return head(net, net.op("Squeeze", x, net.ints(0)), 32)


def rearranging() -> Exported:
    """SpaceToDepth, channel shuffle, DepthToSpace, tiled and padded channels, mirrored halves."""
    net = Net()
    x = net.conv(net.op("SpaceToDepth", net.input("x", ["N", 3, 16, 16]), blocksize=2), 12, 32)
    x = net.op("Reshape", x, net.ints(0, 4, 8, 8, 8))
    x = net.op("Reshape", net.op("Transpose", x, perm=[0, 2, 1, 3, 4]), net.ints(0, 32, 8, 8))
    x = net.conv(x, 32, 32, groups=4)
    doubled = net.op("Concat", x, net.op("Neg", x), axis=1)  # CReLU
    x = net.conv(net.op("Relu", doubled), 64, 48)
    x = net.op("DepthToSpace", x, blocksize=2, mode="CRD")
    x = net.op("Pad", net.conv(x, 12, 20), net.ints(0, 0, 0, 0, 0, 4, 0, 0))
    x = net.op("Add", x, net.conv(x, 24, 24))
    a, b = net.ops("Split", 2, net.conv(x, 24, 48), axis=1, num_outputs=2)
    gated = net.op("Mul", a, net.op("Sigmoid", b))
    tiled = net.op("Tile", net.conv(gated, 24, 8, 1), net.ints(1, 3, 1, 1))
    return image_head(net, net.op("Add", gated, tiled), 24)


def einsum_attention() -> Exported:
    """Attention by Einsum with weights split by head."""
    net = Net()
    x = net.input("x", ["N", 6, 32])
    q, k, v = (
        net.op("Einsum", x, net.weight(32, 4, 10), equation="btc,chd->bthd") for _ in range(3)
    )
    scores = net.op("Softmax", net.op("Einsum", q, k, equation="bqhd,bkhd->bhqk"), axis=-1)
    mixed = net.op("Einsum", scores, v, equation="bhqk,bkhd->bqhd")
    y = net.op("Einsum", mixed, net.weight(4, 10, 32, fan=40), equation="bthd,hdc->btc")
    x = net.norm(net.op("Add", x, y), 32)
    hidden = net.op("Gelu", net.dense(x, 32, 80, None))
    x = net.op("Add", x, net.dense(hidden, 80, 32, None))
    return head(net, net.op("ReduceMean", x, net.ints(1), keepdims=0), 32)


def mixture_of_experts() -> Exported:
    """Every expert runs on all rows; a soft gate mixes them; experts are stacked weights."""
    net = Net()
    x = net.dense(net.input("x", ["N", 32]), 32, 48)
    gate = net.op("Softmax", net.dense(x, 48, 4, None), axis=-1)
    rows = net.op("Unsqueeze", x, net.ints(0))
    hidden = net.op("Relu", net.op("MatMul", rows, net.weight(4, 48, 64, fan=48)))
    y = net.op("MatMul", hidden, net.weight(4, 64, 48, fan=64))
    mixed = net.op("Einsum", gate, y, equation="ne,enc->nc")
    return head(net, net.op("Add", x, mixed), 48)


def detection() -> Exported:
    """Boxes and scores with TopK and GatherElements, and NonMaxSuppression behind."""
    net = Net()
    x = net.conv(net.conv(net.input("x", [1, 3, 16, 16]), 3, 24, stride=2), 24, 32)
    boxes = net.op("Reshape", net.conv(x, 32, 4, act="Sigmoid"), net.ints(1, 4, 64))
    boxes = net.op("Transpose", boxes, perm=[0, 2, 1])
    scores = net.op("Reshape", net.conv(x, 32, 3, act="Sigmoid"), net.ints(1, 3, 64))
    limit = net.constant(np.array([5]))
    _, best = net.ops("TopK", 2, net.op("ReduceMax", scores, net.ints(1), keepdims=0), limit)
    rows = net.op("Expand", net.op("Unsqueeze", best, net.ints(-1)), net.ints(1, 5, 4))
    net.output(net.op("GatherElements", boxes, rows, axis=1), [1, 5, 4])
    net.output(net.op("NonMaxSuppression", boxes, scores, limit), [None, 3], INT64)
    net.output(scores, [1, 3, 64])
    return net.exported()


def sampling() -> Exported:
    """GridSample with a learned flow, and a spatial transformer's AffineGrid."""
    net = Net()
    x = net.conv(net.input("x", [1, 3, 12, 12]), 3, 24)
    theta = net.dense(net.op("Flatten", net.op("GlobalAveragePool", x)), 24, 6, "Tanh")
    theta = net.op("Reshape", theta, net.ints(1, 2, 3))
    grid = net.op("AffineGrid", theta, net.ints(1, 24, 12, 12))
    x = net.op("GridSample", x, grid)
    flow = net.op("Transpose", net.conv(x, 24, 2, act="Tanh"), perm=[0, 2, 3, 1])
    return image_head(net, net.conv(net.op("GridSample", net.conv(x, 24, 32), flow), 32, 40), 40)


def normalisations() -> Exported:
    """Group, instance, layer, Lp, mean-variance and local response normalisation."""
    net = Net()
    x = net.conv(net.input("x", ["N", 3, 12, 12]), 3, 24, act=None)
    x = net.op("Relu", net.op("GroupNormalization", x, net.vector(24, 0.5, 1.5), net.vector(24),
               num_groups=4))  # fmt: skip
    x = net.conv(x, 24, 32, act=None)
    x = net.op("InstanceNormalization", x, net.vector(32, 0.5, 1.5), net.vector(32))
    x = net.conv(net.op("PRelu", x, net.constant(np.full((32, 1, 1), 0.2))), 32, 40, act=None)
    x = net.op("MeanVarianceNormalization", x, axes=[0, 2, 3])
    x = net.conv(net.op("Mish", x), 40, 40, act="HardSwish")
    x = net.conv(net.op("LRN", x, size=3), 40, 32)
    x = net.op("Flatten", net.op("GlobalLpPool", x))
    return head(net, net.dense(net.op("LpNormalization", x, axis=-1), 32, 48), 48)


# Couplings that are easy to get wrong.


def ungated_branches() -> Exported:
    """An If one of whose branches hands an outer tensor through; the other computes it anew."""
    net = Net()
    x = net.conv(net.input("x", ["N", 3, 12, 12]), 3, 24)

    def make(body: Net, x: str, k: int) -> str:
        return body.op("Identity", x) if k else body.conv(body.conv(x, 24, 40), 40, 24)

    return image_head(net, branches(net, x, make, ["N", 24, 12, 12]), 24)


def scan_in_loop() -> Exported:
    """A Scan inside a Loop; weights of the inner body come from the outermost graph."""
    net = Net()
    x = net.op("Tanh", net.dense(net.input("x", [5, 2, 32]), 32, 40))
    over, into = net.weight(40, 40), net.weight(40, 40)
    body = net.inner("body_")
    body.input("step", [], INT64)
    body.input("go", [], onnx.TensorProto.BOOL)
    rows = body.input("rows", [5, 2, 40])
    inner = body.inner("inner_")
    hidden, item = inner.input("hidden", [2, 40]), inner.input("item", [2, 40])
    total = inner.op("Add", inner.op("MatMul", item, into), inner.op("MatMul", hidden, over))
    new = inner.op("Tanh", total)
    inner.output(new, [2, 40])
    inner.output(inner.op("Identity", new), [2, 40])
    start = body.constant(np.zeros((2, 40)))
    _, made = body.ops("Scan", 2, start, rows, body=inner.graph("inner"), num_scan_inputs=1)
    body.output(body.op("Identity", "go"), [], onnx.TensorProto.BOOL)
    body.output(made, [5, 2, 40])
    trips, go = net.constant(np.array(2)), net.constant(np.array(TRUE))
    y = net.op("Loop", trips, go, x, body=body.graph("body"))
    return head(net, net.op("ReduceMean", y, net.ints(0), keepdims=0), 40)


def loop_with_condition() -> Exported:
    """A while loop: the state's norm decides, and a second state counts."""
    net = Net()
    x = net.dense(net.input("x", ["N", 32]), 32, 48)
    body = net.inner("body_")
    body.input("step", [], INT64)
    body.input("go", [], onnx.TensorProto.BOOL)
    state, count = body.input("state", ["N", 48]), body.input("count", [], FLOAT)
    new = body.op("Tanh", body.op("MatMul", state, net.weight(48, 48)))
    more = body.op("Add", count, body.constant(np.array(1.0)))
    body.output(body.op("Less", more, body.constant(np.array(3.0))), [], onnx.TensorProto.BOOL)
    body.output(new, ["N", 48])
    body.output(more, [], FLOAT)
    go, zero = net.constant(np.array(TRUE)), net.constant(np.array(0.0))
    y, _ = net.ops("Loop", 2, "", go, x, zero, body=body.graph("body"))
    return head(net, y, 48)


def gram_matrix() -> Exported:
    """Bilinear pooling: the product of features with themselves, flattened into a projection."""
    net = Net()
    x = net.conv(net.conv(net.input("x", ["N", 3, 12, 12]), 3, 24), 24, 16, act="Tanh")
    rows = net.op("Reshape", x, net.ints(0, 16, 144))
    gram = net.op("MatMul", rows, net.op("Transpose", rows, perm=[0, 2, 1]))
    flat = net.op("Flatten", net.op("Mul", gram, net.constant(np.array(1 / 144))))
    return head(net, net.dense(flat, 256, 40), 40)


def convolution_over_channels() -> Exported:
    """ECA and CBAM: a convolution along the channels, and one over their mean and maximum."""
    net = Net()
    x = net.conv(net.conv(net.input("x", ["N", 3, 12, 12]), 3, 24), 24, 32)
    pooled = net.op("Squeeze", net.op("GlobalAveragePool", x), net.ints(3))
    row = net.op("Conv", net.op("Transpose", pooled, perm=[0, 2, 1]), net.weight(1, 1, 3, fan=3),
                 pads=[1, 1])  # fmt: skip
    gate = net.op("Sigmoid", net.op("Unsqueeze", net.op("Transpose", row, perm=[0, 2, 1]),
                  net.ints(3)))  # fmt: skip
    x = net.op("Mul", x, gate)
    x = net.conv(x, 32, 40)
    seen = [net.op(kind, x, net.ints(1), keepdims=1) for kind in ("ReduceMean", "ReduceMax")]
    mask = net.conv(net.op("Concat", *seen, axis=1), 2, 1, 7, "Sigmoid")
    return image_head(net, net.op("Mul", x, mask), 40)


def primitive_norms() -> Exported:
    """Layer, group and RMS normalisation in single steps, weight standardisation, L2 features."""
    net = Net()
    raw = net.weight(32, 3, 3, 3, fan=27)
    centred = net.op("Sub", raw, net.op("ReduceMean", raw, net.ints(1, 2, 3), keepdims=1))
    spread = net.op("ReduceL2", centred, net.ints(1, 2, 3), keepdims=1)
    x = net.op("Conv", net.input("x", ["N", 3, 12, 12]), net.op("Div", centred, spread),
               pads=[1] * 4)  # fmt: skip
    grouped = net.op("Reshape", x, net.ints(0, 4, -1))
    normed = net.op("InstanceNormalization", grouped, net.constant(np.ones(4)),
                    net.constant(np.zeros(4)))  # fmt: skip
    x = net.op("Reshape", normed, net.op("Shape", x))
    x = net.op("Mul", x, net.constant(net.rng.uniform(0.5, 1.5, (32, 1, 1))))
    x = net.op("Flatten", net.op("GlobalMaxPool", net.conv(net.op("Relu", x), 32, 48)))
    x = net.dense(x, 48, 64, None)
    away = net.op("Sub", x, net.op("ReduceMean", x, net.ints(-1)))
    square = net.op("ReduceMean", net.op("Pow", away, net.constant(np.array(2.0))), net.ints(-1))
    x = net.op("Div", away, net.op("Sqrt", net.op("Add", square, net.constant(np.array(1e-5)))))
    x = net.dense(net.op("Mul", x, net.vector(64, 0.5, 1.5)), 64, 56, None)
    square = net.op("ReduceMean", net.op("Mul", x, x), net.ints(-1))
    x = net.op("Mul", x, net.op("Reciprocal", net.op("Sqrt", square)))
    x = net.dense(x, 56, 40)
    length = net.op("Clip", net.op("ReduceL2", x, net.ints(-1)), net.constant(np.array(1e-6)))
    return head(net, net.op("Div", x, length), 40)


def reordered_channels() -> Exported:
    """Channels gathered by a constant order, sliced by step two, mirrored, doubled by Concat."""
    net = Net()
    x = net.conv(net.input("x", ["N", 3, 12, 12]), 3, 32)
    order = net.ints(*np.random.default_rng(5).permutation(32).tolist())
    x = net.conv(net.op("Gather", x, order, axis=1), 32, 32, groups=2)
    even = net.op("Slice", x, net.ints(0), net.ints(32), net.ints(1), net.ints(2))
    odd = net.op("Slice", x, net.ints(1), net.ints(32), net.ints(1), net.ints(2))
    x = net.conv(net.op("Mul", even, net.op("Sigmoid", odd)), 16, 24)
    mirrored = net.op("Slice", x, net.ints(-1), net.ints(-1000), net.ints(1), net.ints(-1))
    x = net.conv(net.op("Add", x, mirrored), 24, 24)
    return image_head(net, net.op("Concat", x, x, net.op("Neg", x), axis=1), 72)


def maxout_and_pairs() -> Exported:
    """Maxout over reshaped channels, gated halves, a sum over groups of channels."""
    net = Net()
    x = net.dense(net.input("x", ["N", 32]), 32, 96, None)
    x = net.op("ReduceMax", net.op("Reshape", x, net.ints(0, 48, 2)), net.ints(2), keepdims=0)
    x = net.dense(x, 48, 80, None)
    a, b = net.ops("Split", 2, x, axis=-1, num_outputs=2)
    x = net.op("Mul", a, net.op("Sigmoid", b))
    x = net.dense(x, 40, 72, None)
    x = net.op("ReduceSum", net.op("Reshape", x, net.ints(0, 3, 24)), net.ints(1), keepdims=0)
    return head(net, net.op("Tanh", x), 24)


def shared_weights() -> Exported:
    """A siamese network: both inputs go through the same weights; their difference is scored."""
    net = Net()
    kernel, bias = net.weight(24, 3, 3, 3, fan=27), net.vector(24)
    matrix = net.weight(24, 40)
    sides = []
    for name in ("left", "right"):
        x = net.input(name, ["N", 3, 12, 12])
        x = net.op("Relu", net.op("Conv", x, kernel, bias, pads=[1] * 4))
        x = net.op("Flatten", net.op("GlobalAveragePool", x))
        sides.append(net.op("Tanh", net.op("MatMul", x, matrix)))
    distance = net.op("Abs", net.op("Sub", *sides))
    similar = net.op("Mul", *sides)
    return head(net, net.op("Concat", distance, similar, axis=1), 80)


def weights_from_input() -> Exported:
    """A hyper network: a projection of one input is the weight of another's product."""
    net = Net()
    x, condition = net.dense(net.input("x", [4, 32]), 32, 48), net.input("condition", [1, 12])
    made = net.dense(net.dense(condition, 12, 40), 40, 48 * 16, "Tanh")
    matrix = net.op("Reshape", made, net.ints(48, 16))
    return head(net, net.op("MatMul", x, matrix), 16)


def folded_batch() -> Exported:
    """Channels folded into the batch for a shared filter, and frames of a video likewise."""
    net = Net()
    x = net.conv(net.input("x", [2, 3, 12, 12]), 3, 24)
    single = net.op("Reshape", x, net.ints(48, 1, 12, 12))
    blurred = net.op("Conv", single, net.weight(1, 1, 3, 3, fan=3), pads=[1] * 4)
    x = net.conv(net.op("Reshape", blurred, net.ints(2, 24, 12, 12)), 24, 32)
    video = net.op("Reshape", x, net.ints(2, 32, 12, 12))
    wide = net.op("Reshape", net.op("Transpose", video, perm=[0, 2, 1, 3]), net.ints(24, 32, 12))
    y = net.op("Conv", wide, net.weight(40, 32, 3, fan=96), pads=[1, 1])
    y = net.op("ReduceMean", net.op("Reshape", net.op("Relu", y), net.ints(2, 12, 40, 12)),
               net.ints(1, 3), keepdims=0)  # fmt: skip
    return head(net, y, 40)


def passed_outputs() -> Exported:
    """Inner features are outputs too, one of them twice, and one output is a stored tensor."""
    net = Net()
    x = net.dense(net.input("x", ["N", 32]), 32, 48)
    y = net.dense(x, 48, 64)
    net.output(x, ["N", 48])
    net.output(net.op("Identity", y), ["N", 64])
    stored = net.vector(7)
    net.output(stored, [7])
    z = net.dense(net.dense(y, 64, 56), 56, 40)
    net.output(net.op("Shape", z), [2], INT64)
    return head(net, z, 40)


def old_opset() -> Exported:
    """Opset 8: Upsample by attribute, Dropout, BatchNormalization, Gemm with a full matrix as C."""
    net = Net(opset=8)
    x = net.conv(net.input("x", [2, 3, 8, 8]), 3, 24, act=None)
    statistics = [net.vector(24, 0.5, 1.5), net.vector(24), net.vector(24), net.vector(24)]
    x = net.op("Relu", net.op("BatchNormalization", x, *statistics))
    x = net.op("Upsample", x, scales=[1.0, 1.0, 1.0, 1.0], mode="nearest")
    x = net.op("Dropout", net.conv(x, 24, 32, stride=2))
    x = net.op("Reshape", x, net.ints(2, 512))
    x = net.op("Gemm", x, net.weight(512, 48), net.weight(2, 48), alpha=0.5, beta=2.0)
    x = net.op("Relu", x)
    x = net.op("Gemm", x, net.weight(40, 48, fan=48), net.vector(1), transB=1)
    net.output(net.op("Gemm", net.op("Tanh", x), net.weight(40, 5), net.vector(5)), [2, 5])
    return net.exported()


def relative_attention() -> Exported:
    """Swin: windows, a gathered table of relative positions, a mask by Where, a rolled image."""
    net = Net()
    x = net.input("x", [1, 3, 16, 16])
    x = net.op("Conv", x, net.weight(32, 3, 2, 2, fan=12), strides=[2, 2])
    x = net.op("Transpose", x, perm=[0, 2, 3, 1])
    top = net.op("Slice", x, net.ints(2), net.ints(8), net.ints(1))
    bottom = net.op("Slice", x, net.ints(0), net.ints(2), net.ints(1))
    y = net.norm(net.op("Concat", top, bottom, axis=1), 32)
    y = net.op("Reshape", y, net.ints(1, 2, 4, 2, 4, 32))
    y = net.op("Reshape", net.op("Transpose", y, perm=[0, 1, 3, 2, 4, 5]), net.ints(4, 16, 32))
    qkv = net.op("Reshape", net.dense(y, 32, 96, None), net.ints(4, 16, 3, 4, 8))
    qkv = net.op("Transpose", qkv, perm=[2, 0, 3, 1, 4])
    q, k, v = (net.op("Gather", qkv, net.constant(np.array(s)), axis=0) for s in range(3))
    scores = net.op("MatMul", q, net.op("Transpose", k, perm=[0, 1, 3, 2]))
    index = net.constant(np.random.default_rng(3).integers(0, 49, 256))
    bias = net.op("Gather", net.weight(49, 4, fan=2), index, axis=0)
    bias = net.op("Transpose", net.op("Reshape", bias, net.ints(16, 16, 4)), perm=[2, 0, 1])
    scores = net.op("Add", scores, net.op("Unsqueeze", bias, net.ints(0)))
    allowed = net.constant(np.tril(np.ones((16, 16), bool)))
    scores = net.op("Where", allowed, scores, net.constant(np.array(-1e9)))
    y = net.op("MatMul", net.op("Softmax", scores, axis=-1), v)
    y = net.op("Reshape", net.op("Transpose", y, perm=[0, 2, 1, 3]), net.ints(1, 2, 2, 4, 4, 32))
    y = net.op("Reshape", net.op("Transpose", y, perm=[0, 1, 3, 2, 4, 5]), net.ints(1, 8, 8, 32))
    x = net.op("Add", x, net.dense(y, 32, 32, None))
    x = net.op("Add", x, net.dense(net.op("Gelu", net.dense(x, 32, 96, None)), 96, 32, None))
    return head(net, net.op("ReduceMean", x, net.ints(1, 2), keepdims=0), 32)


def low_rank_and_outer() -> Exported:
    """Factorised weights, an outer product of two features, a sum along one of its axes."""
    net = Net()
    x = net.input("x", ["N", 32])
    x = net.dense(net.op("MatMul", x, net.weight(32, 16)), 16, 48)
    a, b = net.dense(x, 48, 12, "Tanh"), net.dense(x, 48, 20)
    outer = net.op(
        "MatMul", net.op("Unsqueeze", a, net.ints(2)), net.op("Unsqueeze", b, net.ints(1))
    )
    y = net.dense(net.op("Reshape", outer, net.ints(-1, 240)), 240, 40)
    along = net.op("ReduceSum", outer, net.ints(1), keepdims=0)
    return head(net, net.op("Concat", y, along, axis=1), 60)


def scattered_cache() -> Exported:
    """New keys written into a cache by ScatterND and ScatterElements, then attended to."""
    net = Net()
    x = net.dense(net.input("x", [2, 3, 32]), 32, 40, "Tanh")
    q, k, v = (net.dense(x, 40, 24, None) for _ in range(3))
    empty = net.constant(np.zeros((2, 6, 24)))
    places = net.constant(np.stack(np.meshgrid([0, 1], [1, 2, 3], indexing="ij"), axis=-1))
    keys = net.op("ScatterND", empty, places, k)
    rows = net.op("Expand", net.constant(np.array([[[1], [2], [3]]])), net.op("Shape", v))
    values = net.op("ScatterElements", empty, rows, v, axis=1)
    scores = net.op("MatMul", q, net.op("Transpose", keys, perm=[0, 2, 1]))
    y = net.op("MatMul", net.op("Softmax", scores, axis=-1), values)
    return head(net, net.op("ReduceMean", net.dense(y, 24, 48), net.ints(1), keepdims=0), 48)


def deformable() -> Exported:
    """DeformConv with predicted offsets and masks, RoiAlign on its features."""
    net = Net()
    x = net.conv(net.input("x", [1, 3, 12, 12]), 3, 24)
    offset, mask = net.conv(x, 24, 18, act="Tanh"), net.conv(x, 24, 9, act="Sigmoid")
    x = net.op("DeformConv", x, net.weight(32, 24, 3, 3, fan=216), offset, net.vector(32), mask,
               pads=[1] * 4, kernel_shape=[3, 3])  # fmt: skip
    boxes = net.constant(np.array([[0, 0, 8, 8], [2, 2, 11, 11]], np.float32))
    x = net.op(
        "RoiAlign", net.op("Relu", x), boxes, net.ints(0, 0), output_height=3, output_width=3
    )
    return head(net, net.dense(net.op("Flatten", x), 288, 40), 40)


def unfolded() -> Exported:
    """Col2Im after a product over patches, MaxUnpool with the indices of MaxPool."""
    net = Net()
    x = net.conv(net.input("x", [1, 3, 8, 8]), 3, 24)
    y, index = net.ops("MaxPool", 2, x, kernel_shape=[2, 2], strides=[2, 2])
    y = net.op("MaxUnpool", y, index, kernel_shape=[2, 2], strides=[2, 2])
    x = net.conv(net.op("Add", x, y), 24, 32)
    rows = net.op("Transpose", net.op("Reshape", x, net.ints(1, 32, 64)), perm=[0, 2, 1])
    patches = net.op("Transpose", net.dense(rows, 32, 4 * 16, "Tanh"), perm=[0, 2, 1])
    x = net.op("Col2Im", patches, net.ints(16, 16), net.ints(2, 2), strides=[2, 2])
    return image_head(net, net.conv(x, 16, 24), 24)


Expect = float | str
"""Least share of operations removed at ratio 0.5, or text of the refusal."""

SAMPLES: dict[str, tuple[Callable[[], Exported], Expect]] = {
    "if_own_weights": (if_own_weights, 0.72),
    "if_captured_weights": (if_captured_weights, 0.69),
    "if_nested": (if_nested, 0.70),
    "loop_own_weights": (partial(loop, True, False), 0.67),
    "loop_captured_weights": (partial(loop, False, False), 0.67),
    "loop_collected": (partial(loop, True, True), 0.67),
    "loop_collected_captured": (partial(loop, False, True), 0.67),
    "loop_carried_weights": (loop_carried_weights, 0.62),
    "scan_own_weights": (partial(scan, True), 0.61),
    "scan_captured_weights": (partial(scan, False), 0.61),
    "scan_both_ways": (partial(scan, False, True), 0.61),
    "scan_stacked_layers": (scan_stacked_layers, 0.48),
    "local_functions": (local_functions, 0.69),
    "functions_in_branches": (functions_in_branches, 0.69),
    "tied_embedding": (partial(tied_embedding, False), 0.67),
    "tied_embedding_gemm": (partial(tied_embedding, True), 0.67),
    "inputs_and_outputs": (inputs_and_outputs, 0.66),
    "computed_weights": (computed_weights, 0.67),
    "constant_nodes": (constant_nodes, 0.63),
    "half_cnn": (half_cnn, 0.71),
    "bfloat_mlp": (bfloat_mlp, 0.63),
    "double_mlp": (double_mlp, 0.63),
    "qdq_cnn": (partial(quantised, small_cnn, "QDQ", False), 0.71),
    "qdq_cnn_per_channel": (partial(quantised, small_cnn, "QDQ", True), 0.71),
    "qdq_transformer": (partial(quantised, small_transformer, "QDQ", False), 0.71),
    "qdq_transformer_per_channel": (partial(quantised, small_transformer, "QDQ", True), 0.71),
    "qlinear_cnn": (partial(quantised, small_cnn, "QOperator", False), 0.71),
    "qlinear_cnn_per_channel": (partial(quantised, small_cnn, "QOperator", True), 0.71),
    "qlinear_transformer": (partial(quantised, small_transformer, "QOperator", False), 0.71),
    "dynamic_cnn": (partial(dynamically_quantised, small_cnn), 0.71),
    "dynamic_transformer": (partial(dynamically_quantised, small_transformer), 0.71),
    "matmul_four_bits": (partial(four_bits, "QOperator"), 0.72),
    "matmul_four_bits_qdq": (partial(four_bits, "QDQ"), 0.72),
    "quantised_attention": (quantised_attention, 0.73),
    "optimised_cnn": (partial(runtime_optimised, small_cnn), 0.71),
    "optimised_transformer": (partial(runtime_optimised, small_transformer), 0.71),
    "optimised_qdq_cnn": (
        partial(runtime_optimised, qdq_cnn),
        0.71,
    ),
    "fused_bert": (transformer_optimised, 0.73),
    "fused_encoder": (partial(transformer_optimised, False), 0.48),
    "multi_head_attention": (partial(fused_attention, "MultiHeadAttention"), 0.47),
    "group_query_attention": (partial(fused_attention, "GroupQueryAttention"), 0.31),
    "skip_norms": (skip_norms, 0.57),
    "fused_products": (fused_products, 0.70),
    "attention_23": (partial(standard_attention, 23, False, False), 0.47),
    "attention_23_grouped": (partial(standard_attention, 23, True, False), 0.47),
    "attention_23_four_axes": (partial(standard_attention, 23, True, True), 0.47),
    "attention_24": (partial(standard_attention, 24, True, False), 0.47),
    "attention_with_cache": (attention_with_cache, 0.27),
    "sequences": (sequences, 0.48),
    "optional_value": (optional_value, "branches give tensors of different or unknown rank"),
    "strings": (strings, 0.72),
    "zero_sizes": (zero_sizes, 0.72),
    "recurrent_with_extras": (recurrent_with_extras, 0.67),
    "rearranging": (rearranging, 0.72),
    "einsum_attention": (einsum_attention, 0.49),
    "mixture_of_experts": (mixture_of_experts, 0.73),
    "detection": (detection, 0.66),
    "sampling": (sampling, 0.71),
    "normalisations": (normalisations, 0.58),
    "ungated_branches": (ungated_branches, 0.72),
    "scan_in_loop": (scan_in_loop, 0.58),
    "loop_with_condition": (loop_with_condition, 0.62),
    "gram_matrix": (gram_matrix, 0.69),
    "convolution_over_channels": (convolution_over_channels, 0.47),
    "primitive_norms": (primitive_norms, 0.71),
    "reordered_channels": (reordered_channels, 0.60),
    "maxout_and_pairs": (maxout_and_pairs, 0.64),
    "shared_weights": (shared_weights, 0.48),
    "weights_from_input": (weights_from_input, 0.66),
    "folded_batch": (folded_batch, 0.71),
    "passed_outputs": (passed_outputs, 0.25),
    "old_opset": (old_opset, 0.67),
    "relative_attention": (relative_attention, 0.70),
    "low_rank_and_outer": (low_rank_and_outer, 0.69),
    "scattered_cache": (scattered_cache, 0.55),
    "deformable": (deformable, 0.0),
    "unfolded": (unfolded, 0.46),
}
"""By name how it is made and what pruning makes of it."""

BUILDERS: dict[str, Callable[[], Exported]] = {name: make for name, (make, _) in SAMPLES.items()}

if __name__ == "__main__":
    zoo_command(BUILDERS, __doc__ or "")()
