"""Products of activations whose both sides are outputs of layers, moved and scaled by a factor."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from spa_onnx.algebra.expression import IntArray
from spa_onnx.execute.runtime import open_session
from spa_onnx.inputs.batches import Batches
from spa_onnx.layers.layer import Layer
from spa_onnx.layers.pairing import Pairing
from spa_onnx.layers.routes import Route, RouteFinder
from spa_onnx.load.store import WeightStore

Array = NDArray[Any]


@dataclass(frozen=True, slots=True)
class Joint:
    """A product of activations with its layers.

    Attributes:
        pairing: the product.
        layers: of the left and of the right side.
        places: for each side the layer's output that every lane is, ``(groups, lanes)``. Entries of
            the product's batch with the same outputs on both sides are one group.
        free: for each side whether its layer may make any combination of the lanes of a group: its
            outputs are nobody else's, and those of one group none of another group's.
    """

    pairing: Pairing
    layers: tuple[Layer, Layer]
    places: tuple[IntArray, IntArray]
    free: tuple[bool, bool]


def joints_of(
    finder: RouteFinder,
    layers: Sequence[Layer],
    pairings: Sequence[Pairing],
    read: Callable[[Sequence[str]], Mapping[str, Array]],
) -> tuple[list[Joint], dict[str, str]]:
    """Return the products with layers, and why others have none, by the name of their result."""
    routes = finder.routes(layers, pairings, read)
    found: list[Joint] = []
    left: dict[str, str] = {}
    for pairing in pairings:
        both = [routes.get((pairing.name, side.input)) for side in pairing.sides]
        if both[0] is None or both[1] is None:
            left[pairing.name] = "more than moves and one factor lies between it and its layers"
            continue
        joint = _joint(pairing, both[0], both[1])
        if any(joint.free):
            found.append(joint)
        else:
            left[pairing.name] = "others read the same outputs of its layers"
    return found, left


def _joint(pairing: Pairing, left: Route, right: Route) -> Joint:
    batch = np.broadcast_shapes(left.places.shape[:-1], right.places.shape[:-1])
    lanes = left.places.shape[-1]
    wide = [np.broadcast_to(r.places, (*batch, lanes)).reshape(-1, lanes) for r in (left, right)]
    groups = np.unique(np.hstack(wide), axis=0)
    places = groups[:, :lanes], groups[:, lanes:]
    free = []
    for route, own in zip((left, right), places, strict=True):
        apart = own.size == len(np.unique(own))
        free.append(apart and not route.shared and route.layer.positions().shape[0] == 1)
    return Joint(pairing, (left.layer, right.layer), places, (free[0], free[1]))


def first_run(
    model: onnx.ModelProto, weights: WeightStore, batches: Batches, memory: int
) -> Callable[[Sequence[str]], Mapping[str, Array]]:
    """Return what reads tensors of a model that is run on the first batch."""

    def read(names: Sequence[str]) -> Mapping[str, Array]:
        feeds = next(iter(batches))
        made = [name for name in names if name not in feeds]
        values = {name: np.asarray(feeds[name]) for name in names if name in feeds}
        if made:
            session = open_session(model, weights, made, memory=memory, short=True)
            values |= dict(zip(made, session.run(made, feeds), strict=True))
        return values

    return read
