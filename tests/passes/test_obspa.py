"""Group OBS against brute force: refit after every removal, and read the loss off."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from spa_onnx.errors import UsageError
from spa_onnx.passes.obspa import GroupObs
from spa_onnx.score.consumers import Consumer, Pair
from tests.graph_writer import AnyArray
from tests.passes.given_dim import RNG, Given, consumer


def scores(given: Given, **options: Any) -> AnyArray:
    made: AnyArray = GroupObs(**options).score(given, np.random.default_rng(0))  # type: ignore[arg-type]
    return made.reshape(given.rows, given.lanes)


def losses(given: Given, gone: AnyArray, damping: float) -> float:
    """Return what the consumers lose without units: exact least squares on damped covariances."""
    total = 0.0
    for c in given.found:
        for weight, covariance, units in zip(c.weight, c.covariance, c.units, strict=True):
            h = covariance + damping * np.diagonal(covariance).mean() * np.eye(len(covariance))
            out = (units >= 0) & gone[np.maximum(units, 0)]
            left = ~out
            rest = h[np.ix_(out, out)]
            if left.any():
                cross = h[np.ix_(out, left)]
                rest = rest - cross @ np.linalg.solve(h[np.ix_(left, left)], cross.T)
            total += np.trace(weight[:, out] @ rest @ weight[:, out].T) / 2 / c.energy
    return float(total)


def brute(given: Given, damping: float) -> AnyArray:
    """Return costs of greedy removal, one lane of every row at a time."""
    costs = np.zeros((given.rows, given.lanes))
    gone = np.zeros((given.rows, given.lanes), bool)
    for _ in range(given.lanes):
        base = losses(given, gone.reshape(-1), damping)
        chosen = []
        for row in range(given.rows):
            options = {}
            for lane in np.flatnonzero(~gone[row]):
                more = gone.copy()
                more[row, lane] = True
                options[lane] = losses(given, more.reshape(-1), damping) - base
            lane = min(options, key=lambda k: options[k])
            chosen.append((row, lane, options[lane]))
        for row, lane, cost in chosen:
            costs[row, lane] = cost
            gone[row, lane] = True
    return costs


PROBLEMS = {
    "one consumer": lambda: Given(6, [consumer(np.arange(6)[None])]),
    "two consumers": lambda: Given(
        5, [consumer(np.arange(5)[None]), consumer(np.arange(5)[None, ::-1], 2)]
    ),
    "many outputs": lambda: Given(5, [consumer(np.arange(5)[None], 40)]),
    "several features a lane": lambda: Given(4, [consumer(np.repeat(np.arange(4), 3)[None])]),
    "features of nobody": lambda: Given(4, [consumer(np.array([[-1, 0, 1, -1, 2, 3]]))]),
    "lanes with unequal shares": lambda: Given(3, [consumer(np.array([[0, 1, 1, 2, 2, 2]]))]),
    "groups": lambda: Given(6, [consumer(np.arange(6).reshape(2, 3))]),
}


@pytest.mark.parametrize("name", PROBLEMS)
def test_costs_are_those_of_brute_force(name: str) -> None:
    given = PROBLEMS[name]()
    ours, theirs = scores(given, rounds=1000)[0], brute(given, 0.01)[0]
    order = np.argsort(ours, kind="stable")
    # later lanes never cost less: the running maximum of the single costs
    assert np.allclose(ours[order], np.maximum.accumulate(theirs[order]), rtol=1e-6)


def test_rows_lose_a_lane_each() -> None:
    units = np.arange(8).reshape(2, 4)
    given = Given(4, [consumer(units)], rows=2)
    ours, theirs = scores(given, rounds=1000), brute(given, 0.01)
    for row in range(2):
        order = np.argsort(ours[row], kind="stable")
        assert np.allclose(ours[row][order], np.maximum.accumulate(theirs[row][order]), rtol=1e-6)


def test_the_last_lane_costs_what_is_left_and_all_together_all_of_it() -> None:
    given = Given(6, [consumer(np.arange(6)[None])])
    theirs = brute(given, 1e-9)[0]
    assert np.isclose(theirs.sum(), 0.5, rtol=1e-6)  # half of the variance, in shares of it
    assert scores(given, rounds=1000, damping=1e-9)[0].max() <= 0.5


def test_dead_lanes_cost_nothing_and_a_combination_of_others_nearly_nothing() -> None:
    x = RNG.standard_normal((300, 5))
    x[:, 1] = 3.0
    x[:, 4] = x[:, 0] - 2 * x[:, 2]
    weight, mean = RNG.standard_normal((1, 3, 5)), x.mean(axis=0)[None]
    c = Consumer(weight, np.cov(x.T, bias=True)[None], np.arange(5)[None], mean)
    ours = scores(Given(5, [c]), rounds=1000, damping=1e-6)[0]
    assert ours[1] == ours.min() < 1e-12
    assert np.sort(ours)[1] < 1e-4  # one of 0, 2 and 4 is redundant
    assert np.sort(ours)[2] > 1e-3


@pytest.mark.parametrize("samples", [1, 2, 4])
def test_fewer_samples_than_features_are_no_obstacle(samples: int) -> None:
    given = Given(8, [consumer(np.arange(8)[None], samples=samples + 1)])
    ours = scores(given)
    assert np.isfinite(ours).all()
    assert (ours >= 0).all()
    assert len(set(ours[0].tolist())) == 8  # no ties, so every width has its lanes


def test_constant_outputs_are_worth_nothing_but_weights_decide_then() -> None:
    c = Consumer(np.ones((1, 2, 4)), np.zeros((1, 4, 4)), np.arange(4)[None], np.ones((1, 4)))
    energy = np.array([1.0, 2.0, 3.0, 4.0])
    assert np.allclose(scores(Given(4, [c], energy=energy))[0], energy / 10)


def test_variances_alone_give_the_cost_of_single_lanes() -> None:
    units = np.array([[0, 0, 1, 2, -1]])
    full = consumer(units)
    alone = Consumer(full.weight, full.variance, units, full.mean)
    ours = scores(Given(3, [alone]))[0]
    loss = (np.square(full.weight[0]) * alone.covariance[0]).sum(axis=0)
    wanted = np.array([loss[0] + loss[1], loss[2], loss[3]]) / loss.sum() / 2
    assert np.allclose(ours, wanted)


def test_several_lanes_a_round_are_nearly_as_good() -> None:
    cut = np.zeros(2)
    for _ in range(8):
        given = Given(24, [consumer(np.arange(24)[None], 8)])
        for k, rounds in enumerate((24, 6)):
            ranks = scores(given, rounds=rounds)[0].argsort().argsort()
            cut[k] += sum(losses(given, ranks < 24 - kept, 0.01) for kept in (6, 12, 18))
    assert cut[1] < 1.25 * cut[0]


def test_lanes_of_a_product_of_activations_cost_what_it_loses() -> None:
    grams = [x.T @ x / 50 for x in RNG.standard_normal((2, 50, 6)) * [1, 2, 0.01, 3, 0.1, 1.5]]
    given = Given(6, [], products=(Pair(grams[0][None], grams[1][None], np.arange(6)[None]),))
    ours = scores(given, rounds=1000)[0]
    assert list(np.argsort(ours)[:2]) == [2, 4]
    assert list(np.argsort(ours)[-2:]) == [1, 3]
    assert 0.25 < ours.max() <= 0.5  # what is left of half the energy


@pytest.mark.parametrize("options", [{"damping": 0.0}, {"damping": -1.0}, {"rounds": 0}])
def test_senseless_options_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(UsageError):
        GroupObs(**options)


def test_fallbacks_are_told() -> None:
    bare = Given(4, [], energy=np.ones(4))
    scores(bare)
    full = consumer(np.array([[0, 0, 1, 2, -1]]))
    coarse = Given(3, [Consumer(full.weight, full.variance, full.units, full.mean)])
    scores(coarse)
    whole = Given(3, [full])
    scores(whole)
    assert [len(g.notes) for g in (bare, coarse, whole)] == [1, 1, 0]
    assert "no stored weight sums over" in bare.notes[0]
    assert "variances alone" in coarse.notes[0]


def test_few_samples_are_damped_more() -> None:
    whole = consumer(np.arange(6)[None])
    few = replace(whole, samples=2)
    assert whole.thinness == replace(whole, samples=600).thinness == 1
    assert few.thinness == 3
    ours, theirs = scores(Given(6, [few]), damping=0.01), scores(Given(6, [whole]), damping=0.03)
    assert np.allclose(ours, theirs)
