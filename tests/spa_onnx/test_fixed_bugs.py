"""The smallest graphs that once showed a defect of the library."""

import gc
import json
import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

import spa_onnx
from spa_onnx.algebra.space import Space
from spa_onnx.algebra.unify import equate
from spa_onnx.allocate.problem import make_problem
from spa_onnx.cost.polynomial import costs
from spa_onnx.load.model import load
from spa_onnx.passes.uniform import Uniform
from tests.builders import GraphBuilder
from tests.spa_onnx.pruned_models import layers, prune_at_random


# rewrite/apply.py: an attribute that the node lacks counts as unchanged and is not added.
def test_a_default_split_of_old_opsets_gets_sizes_when_parts_become_unequal() -> None:
    g = GraphBuilder(opset=11)
    a, b = g.node("Split", [g.linear(g.input("x", (2, 4)), 8)], 2, axis=1)
    prune_at_random(g.model(a, g.gemm(b, 3)))


def test_a_squeeze_of_old_opsets_gets_axes_when_another_axis_becomes_one() -> None:
    g = GraphBuilder(opset=11)
    x = g.global_average_pool(g.conv(g.input("x", (2, 3, 6, 6)), 4, 3))
    prune_at_random(g.model(g.gemm(g.node("Squeeze", [x]), 3)), 0.75)


# rewrite/writer.py: payloads are keyed by location and offset, so the later of two tensors at one
# offset decides the length of both.
def test_external_tensors_may_overlap(tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    onnx.save_model(
        layers((1, 1, 6, 6), (1, 1, 6, 1)),
        str(path),
        save_as_external_data=True,
        size_threshold=0,
        location="weights",
    )
    model = onnx.load(str(path), load_external_data=False)
    offset = {
        tuple(t.dims): entry
        for t in model.graph.initializer
        for entry in t.external_data
        if entry.key == "offset"
    }
    offset[1, 1, 6, 1].value = offset[1, 1, 6, 6].value
    path.write_bytes(model.SerializeToString())
    prune_at_random(path, output=tmp_path / "out.onnx")


# load/source.py: files stay open until the garbage collector finds them, which Python warns about.
def test_files_are_closed(tmp_path: Path) -> None:
    (tmp_path / "model.onnx").write_bytes(layers().SerializeToString())
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        prune_at_random(tmp_path / "model.onnx", output=tmp_path / "out.onnx")
        gc.collect()
    assert [str(w.message) for w in caught if w.category is ResourceWarning] == []


# ops/gathering.py: the new indices come from a mask that counts uneven lanes as staying.
def test_gather_may_reorder_lanes_that_differ_between_heads() -> None:
    g = GraphBuilder(opset=13)
    x, heads = g.input("x", (2, 5, 16)), []
    for _ in range(3):
        split = g.reshape(g.linear(x, 32), (0, 0, 4, 8))
        heads.append(g.transpose(split, 0, 2, 1, 3))
    q, k = (g.gather(t, [4, 5, 6, 7, 0, 1, 2, 3], axis=3) for t in heads[:2])
    mixed = g.matmul(g.softmax(g.matmul(q, g.transpose(k, 0, 1, 3, 2))), heads[2])
    joined = g.reshape(g.transpose(mixed, 0, 2, 1, 3), (0, 0, 32))
    prune_at_random(g.model(g.linear(joined, 7)))


# verify/reference.py: np.ascontiguousarray makes the factor of a scalar mean one-dimensional.
def test_a_mean_over_everything_is_a_scalar() -> None:
    g = GraphBuilder(opset=13)
    x = g.gemm(g.input("x", (2, 4)), 8)
    mean = g.node("ReduceMean", [x], keepdims=0)
    prune_at_random(g.model(g.gemm(g.mul(x, mean), 3)))


# verify/reference.py: the masked normalisation has one output only.
def test_a_normalisation_may_return_its_statistics() -> None:
    g = GraphBuilder(opset=17)
    x = g.linear(g.input("x", (2, 5, 4)), 8)
    y, mean, _ = g.node("LayerNormalization", [x, g.scale(8), g.bias(8)], 3, axis=-1)
    prune_at_random(g.model(g.linear(y, 3), mean))


# verify/reference.py: the stand-in for infinity does not fit an integer.
def test_a_maximum_may_be_one_of_integers() -> None:
    g = GraphBuilder(opset=13)
    x = g.linear(g.input("x", (2, 5, 4)), 8)
    whole = g.node("Cast", [g.mul(x, g.constant(10.0))], to=onnx.TensorProto.INT32)
    largest = g.node("Cast", [g.reduce("ReduceMax", whole, 2)], to=onnx.TensorProto.FLOAT)
    prune_at_random(g.model(g.linear(x, 3), largest))


# verify/reference.py: ONNX Runtime accepts this name in the original, but not in the reference.
def test_the_standard_domain_has_two_names() -> None:
    g = GraphBuilder(opset=13)
    model = g.model(g.conv(g.relu(g.conv(g.input("x", (1, 3, 6, 6)), 8, 3)), 3))
    model.graph.node[1].domain = "ai.onnx"
    assert len(prune_at_random(model).model.graph.node) == 3


# allocate/problem.py: one orbit above the width keeps every lane, and nobody notices.
def test_a_budget_is_met_or_refused_where_lanes_are_coupled() -> None:
    g = GraphBuilder(opset=13)
    x = g.conv(g.input("x", (1, 3, 6, 6)), 12, 3)
    cycle = np.random.default_rng(1).permutation(12)
    order = np.empty(12, int)
    order[cycle] = np.roll(cycle, 1)
    y = g.add(x, g.gather(x, order))
    model = g.model(g.conv(g.relu(g.conv(y, 6)), 3))
    try:
        report = spa_onnx.prune(model, spa_onnx.PruneConfig(spa_onnx.KeepFlops(0.5), "l2")).report
    except spa_onnx.BudgetError:
        return
    assert report.after.operations <= 0.5 * report.before.operations


# plan/plan.py: AttributeError and OverflowError leave Plan.from_json.
@pytest.mark.parametrize("damage", [{"keep": [5]}, {"size": float("inf")}])
def test_a_damaged_plan_is_a_plan_error(damage: dict[str, Any], tmp_path: Path) -> None:
    model = layers()
    content = json.loads(prune_at_random(model).plan.to_json())
    content["cuts"][0] |= damage
    path = tmp_path / "plan.json"
    path.write_text(json.dumps(content))
    with pytest.raises(spa_onnx.PlanError, match="is no plan of spa-onnx"):
        spa_onnx.apply(model, path)


# normalise/graph.py: uses that were split count apart, before and after.
def test_a_shared_tensor_counts_once() -> None:
    g = GraphBuilder(opset=13)
    x, bias = g.input("x", (1, 3, 6, 6)), g.constant(np.zeros(12), "shared")
    outputs = [g.conv(g.conv(x, 12, 3, bias=bias), 3, bias=False) for _ in range(2)]
    model = g.model(*outputs)
    stored = sum(numpy_helper.to_array(t).size for t in model.graph.initializer)
    assert prune_at_random(model, 0.0).report.before.parameters == stored


# analyse/propagate.py: a length that is selected out of a shape fixes every axis of the shape.
def test_a_selected_length_used_as_data_fixes_no_other_axis() -> None:
    g = GraphBuilder(opset=13)
    x = g.linear(g.input("x", ("N", "T", 4)), 8)
    length = g.node("Cast", [g.gather(g.node("Shape", [x]), [1], 0)], to=onnx.TensorProto.FLOAT)
    prune_at_random(g.model(g.linear(g.div(x, length), 3)))


# plan/lanes.py: parts of one axis whose rows lie on two other axes are not sliced in turn.
def test_two_parts_of_an_axis_may_have_rows_on_different_axes() -> None:
    g = GraphBuilder(opset=13)
    x = g.input("x", (2, 6))
    a, b = (g.reshape(g.gemm(x, 6 * n), (2, 3, 2, n)) for n in (8, 6))
    sums = [g.reduce("ReduceSum", t, k, keepdims=False) for t, k in ((a, 2), (b, 1))]
    largest = g.reduce("ReduceMax", g.relu(g.concat(a, b, axis=3)), 0)
    outputs = [g.gemm(g.flatten(t), 5) for t in (*sums, largest)]
    prune_at_random(g.model(*outputs))


# analyse/propagate.py: only IndexError and ValueError of a rule become a refusal.
@pytest.mark.parametrize("attribute", ["group", "strides"])
def test_a_zero_in_an_attribute_is_no_crash(attribute: str) -> None:
    model = layers()
    (found,) = (a for a in model.graph.node[0].attribute if a.name == attribute)
    found.i = 0
    del found.ints[:]
    if attribute == "strides":
        found.ints.extend([0, 0])
    spa_onnx.analyze(model)


# ops/expanding.py: bounds of a float Range are rounded towards zero first.
def test_a_range_of_floats_has_the_length_that_onnx_runtime_gives() -> None:
    g = GraphBuilder(opset=13)
    bounds = [g.constant(np.float32(n)) for n in (0.5, 4.7, 1.0)]
    x = g.linear(g.input("x", (2, 5, 4)), 8)
    counted = g.node("Range", bounds)
    rows = g.mul(g.transpose(x, 0, 2, 1), counted)
    model = g.model(g.linear(g.transpose(rows, 0, 2, 1), 3))
    axes = spa_onnx.analyze(model).propagation.axes_of(counted)
    assert axes is not None
    assert repr(axes[0][0][0]) == str(g.shape(counted)[0])


# ops/gathering.py and slicing.py: numbers that still hold are written anew.
@pytest.mark.parametrize("operator", ["Gather", "Slice"])
def test_an_index_from_the_end_stays_as_written_if_nothing_is_cut(operator: str) -> None:
    g = GraphBuilder(opset=13)
    x = g.conv(g.input("x", (1, 3, 6, 6)), 8, 3)
    y = g.gather(x, [-2, -1]) if operator == "Gather" else g.slice(x, -7, None, step=2)
    model = g.model(g.conv(y, 3))
    assert prune_at_random(model, 0.0).model == model


# ops/elementwise.py: a vector of one element is a scale of the whole tensor, for ONNX Runtime too.
def test_a_scale_of_one_element_is_no_scale_of_every_lane() -> None:
    g = GraphBuilder(opset=13)
    x = g.conv(g.input("x", (1, 3, 6, 6)), 8, 3)
    inputs = [g.constant(np.array([0.1], np.float32)), g.constant(np.array([0], np.int8))]
    quantised = g.node("QuantizeLinear", [x, *inputs])
    prune_at_random(g.model(g.conv(g.node("DequantizeLinear", [quantised, *inputs]), 3)))


# algebra/space.py: a binding may put a permutation inside a permutation; they are not composed.
def test_a_permutation_that_a_binding_undoes_vanishes() -> None:
    space, order = Space(), np.array([2, 0, 3, 1])
    product = space.product([space.dim(2, "a"), space.dim(2, "b")])
    permuted = space.permuted(space.dim(4, "x"), order)
    equate(space, product, permuted, "first meeting")
    assert space.normal(permuted) == space.normal(product)
    equate(space, product, permuted, "second meeting, which fixes both")
    assert space.failures == []


# passes/uniform.py: rounding up to the alignment passes the dim's own size.
def test_no_dim_is_told_to_keep_more_lanes_than_it_has() -> None:
    g = GraphBuilder(opset=13)
    model = g.model(g.conv(g.conv(g.input("x", (1, 3, 6, 6)), 29, 3), 3))
    analysis = spa_onnx.analyze(model)
    dims = [d.dim for d in analysis.dims]
    ones = {d: np.ones((1, d.size)) for d in dims}
    cost = costs(analysis.propagation, dims, {})
    problem = make_problem(analysis, ones, cost, spa_onnx.Ratio(0.0), 8)
    assert Uniform().allocate(problem).tolist() == [29]


# ops/joining.py: before opset 18 parts are equal or named; here 2 + 1 counts as the default.
@pytest.mark.parametrize("opset", [11, 13])
def test_a_default_split_has_equal_parts_in_old_opsets(opset: int) -> None:
    g = GraphBuilder(opset=opset)
    parts = g.node("Split", [g.linear(g.input("x", (2, 4)), 4)], 2, axis=1)
    model = g.model(*(g.gemm(part, 3) for part in parts))
    plan = prune_at_random(model).plan
    spa_onnx.apply(model, replace(plan, cuts=plan.cuts[1:]))


# ops/resampling.py: an axis may be interpolated although its length stays, floor(3 * 1.2) = 3.
@pytest.mark.parametrize("seed", range(4))
def test_an_interpolated_axis_of_equal_length_is_not_passed_on(seed: int) -> None:
    g = GraphBuilder(opset=13)
    x = g.conv(g.input("x", (1, 3, 6, 6)), 3, 3)
    scales = g.constant(np.array([1, 1.2, 1, 1], np.float32))
    model = g.model(g.conv(g.node("Resize", [x, "", scales], mode="linear"), 3))
    config = spa_onnx.PruneConfig(importance="random", seed=seed)
    with pytest.raises(spa_onnx.NothingToPruneError):
        spa_onnx.prune(model, config)


# normalise/graph.py: ONNX Runtime takes two initializers of one name, and we cut one of them.
def test_an_initializer_that_exists_twice_is_refused() -> None:
    model = layers()
    model.graph.initializer.append(model.graph.initializer[0])
    with pytest.raises(spa_onnx.GraphError, match="exists"):
        prune_at_random(model)


# load/store.py: four values in a byte, or four in three bytes.
@pytest.mark.parametrize("element", ["INT2", "UINT2", "FLOAT6E2M3", "FLOAT6E3M2"])
def test_elements_below_four_bits_and_of_six_bits_are_read(element: str) -> None:
    kind = getattr(onnx.TensorProto, element)
    tensor = onnx.helper.make_tensor("t", kind, [9000], np.ones(9000).tolist())
    packed = numpy_helper.from_array(numpy_helper.to_array(tensor), "t")
    load(onnx.helper.make_model(onnx.helper.make_graph([], "g", [], [], [packed])))
