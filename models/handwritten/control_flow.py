"""If, Loop and Scan: weights of their own, captured, carried and stacked."""

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import onnx
from model_files import Exported

from handwritten.net import FLOAT, INT64, TRUE, Net, Samples, head, image_head


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


SAMPLES: Samples = {
    "if_own_weights": (if_own_weights, 0.72),
    "if_captured_weights": (if_captured_weights, 0.69),
    "if_nested": (if_nested, 0.7),
    "loop_own_weights": (partial(loop, True, False), 0.67),
    "loop_captured_weights": (partial(loop, False, False), 0.67),
    "loop_collected": (partial(loop, True, True), 0.67),
    "loop_collected_captured": (partial(loop, False, True), 0.67),
    "loop_carried_weights": (loop_carried_weights, 0.62),
    "scan_own_weights": (partial(scan, True), 0.61),
    "scan_captured_weights": (partial(scan, False), 0.61),
    "scan_both_ways": (partial(scan, False, True), 0.61),
    "scan_stacked_layers": (scan_stacked_layers, 0.68),
    "ungated_branches": (ungated_branches, 0.72),
    "scan_in_loop": (scan_in_loop, 0.58),
    "loop_with_condition": (loop_with_condition, 0.62),
}
