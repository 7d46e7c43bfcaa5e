"""Second moments of what the layers of the dense model see, collected when they are asked for."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from math import ceil
from typing import Any

import numpy as np
import onnx

from spa_onnx.calibrate.put_aside import PutAside
from spa_onnx.errors import CalibrationError
from spa_onnx.execute.runtime import open_session
from spa_onnx.inputs.batches import Batches
from spa_onnx.layers.layer import Layer
from spa_onnx.layers.moments import LEAST_BLOCK, Moments
from spa_onnx.load.store import WeightStore

MOST_SAMPLES, LEAST_PER_FEATURE, WORK = 32768, 5, 2e10
"""Samples of a layer: as many as a fixed work allows, never fewer than five for each feature."""

FLOAT_BYTES = 8

FILES = 16
"""Files of moments that had to make room, in shares of the memory."""

Key = tuple[object, ...]


def sample_count(features: int) -> int:
    """Return how many samples the second moments of so many features are taken from."""
    affordable = min(MOST_SAMPLES, round(WORK / max(1, features) ** 2))
    return max(LEAST_PER_FEATURE * features, affordable)


def thinness(features: int, samples: int) -> float:
    """Return by how much a ridge grows where samples are fewer than features, else one.

    Covariances of so few are singular, and what they tell of most directions is chance.
    """
    return max(1.0, features / max(1, samples))


def items_of(feeds: Mapping[str, Any]) -> int:
    """Return how many items a batch has: the length of its first input that has one."""
    lengths = (len(x) for x in feeds.values() if isinstance(x, np.ndarray) and x.ndim)
    return max(1, next(lengths, 1))


def samples_wanted(layer: Layer, feeds: Mapping[str, Any], batches: Batches) -> int:
    """Return how many samples of a layer one batch should give."""
    share = min(1.0, items_of(feeds) / max(1, batches.samples))
    return max(1, ceil(sample_count(layer.positions().shape[1]) * share))


def draw(layer: Layer, batch: int, seed: int) -> np.random.Generator:
    """Return the random numbers by which a layer's samples of one batch are chosen."""
    return np.random.default_rng([seed, batch, zlib.crc32(layer.node.outputs[0].encode())])


@dataclass(slots=True)
class LayerMoments:
    """Second moments by layer, as many at a time as the memory allows.

    Layers that see the same features share them. What does not fit is collected in another run
    over the batches when its turn comes. What makes room for it waits in temporary files of up to
    :data:`FILES` times the memory; beyond that it is collected again. Of a layer whose covariances
    alone are above the memory only variances are collected, see :attr:`coarse`.

    Attributes:
        model: skeleton of the dense model.
        weights: where its weights lie.
        layers: the layers in the order in which they run.
        batches: the inputs.
        memory: bytes that second moments may take at once.
        seed: for the choice of samples.
        session_memory: bytes that weights may take in one session.
        observer: told how many batches of a run are done, of how many.
    """

    model: onnx.ModelProto
    weights: WeightStore
    layers: Sequence[Layer]
    batches: Batches
    memory: int
    seed: int
    session_memory: int
    observer: Callable[[int, int], None] | None = None
    _found: dict[Key, Moments] = field(default_factory=dict)
    _aside: PutAside | None = None
    _thin: dict[str, float] = field(default_factory=dict)

    def of(self, wanted: Iterable[Layer]) -> list[Moments]:
        """Return the moments of layers; those of others may be forgotten.

        Raises:
            CalibrationError: a layer sees no numbers that are finite.
        """
        layers = list(wanted)
        found = self.seen(layers)
        for layer, moments in zip(layers, found, strict=True):
            if not moments.count:
                problem = "reads nothing finite when the model runs on the calibration inputs"
                raise CalibrationError(f"{layer.node.label} {problem}; check inputs and weights")
        return found

    def seen(self, layers: Sequence[Layer]) -> list[Moments]:
        """Return the same, perhaps of no samples where a layer sees nothing finite."""
        keys = {layer.key for layer in layers}
        if not keys <= set(self._found):
            self._make_room(keys)
            self._found |= {
                k: self._files.get(k) for k in keys - set(self._found) if k in self._files
            }
        if not keys <= set(self._found):
            self._collect(keys)
        return [self._found[layer.key] for layer in layers]

    @property
    def notes(self) -> tuple[str, ...]:
        """Say of how many layers the inputs gave fewer samples than features, and how many do."""
        if not self._thin:
            return ()
        worst = max(self._thin, key=lambda label: self._thin[label])
        needed = ceil(self.batches.samples * self._thin[worst])
        return (
            f"{len(self._thin)} of {len(self.layers)} layers see fewer samples than they have "
            f"features, most of all {worst}: their statistics are damped more. "
            f"{needed} inputs would be enough",
        )

    @property
    def coarse(self) -> list[str]:
        """Name the layers of which only variances are known."""
        return [layer.node.label for layer in self.layers if not self._fits(layer)]

    def _fits(self, layer: Layer) -> bool:
        return moment_bytes(layer) <= self.memory

    def _bytes(self, layer: Layer) -> int:
        return moment_bytes(layer) if self._fits(layer) else 0

    @property
    def _files(self) -> PutAside:
        if self._aside is None:
            self._aside = PutAside(FILES * self.memory)
        return self._aside

    def _make_room(self, keys: set[Key]) -> None:
        """Put the moments of all other layers into files."""
        for key in [key for key in self._found if key not in keys]:
            self._files.put(key, self._found.pop(key))

    def _collect(self, keys: set[Key]) -> None:
        """Run over all batches for these layers and for as many behind them as fit."""
        first = min(k for k, layer in enumerate(self.layers) if layer.key in keys)
        chosen = {layer.key: layer for layer in self.layers if layer.key in keys - set(self._found)}
        room = self.memory - sum(map(self._bytes, chosen.values()))
        held = {layer.key: layer for layer in self.layers if layer.key in self._found}
        room -= sum(map(self._bytes, held.values()))
        for layer in self.layers[first:]:
            if layer.key in chosen or layer.key in self._found or layer.key in self._files:
                continue
            if layer.passes_through:
                continue
            room -= self._bytes(layer)
            if room < 0:
                break
            chosen[layer.key] = layer
        self._found |= {
            key: Moments(diagonal=not self._fits(layer)) for key, layer in chosen.items()
        }
        names = sorted({layer.source for layer in chosen.values()})
        self._run(list(chosen.values()), names)

    def _run(self, layers: Sequence[Layer], names: Sequence[str]) -> None:
        fed = {entry.name for entry in self.model.graph.input}
        made = [name for name in names if name not in fed]
        session = open_session(
            self.model, self.weights, made, memory=self.session_memory, short=bool(made)
        )
        total = self.batches.samples
        done = 0
        for number, feeds in enumerate(self.batches):
            values = dict(zip(made, session.run(made, feeds) if made else [], strict=True))
            values |= {name: np.asarray(feeds[name]) for name in names if name in fed}
            for layer in layers:
                x = values[layer.source]
                wanted = samples_wanted(layer, feeds, self.batches)
                places = layer.places(layer.grid(x.shape), wanted, draw(layer, number, self.seed))
                self._found[layer.key].add(layer.features(x, places))
            done += items_of(feeds)
            if self.observer is not None:
                self.observer(done, total)
        for layer in layers:
            thin = thinness(layer.positions().shape[1], self._found[layer.key].count)
            if thin > 1 and self._fits(layer) and self._found[layer.key].count:
                self._thin[layer.node.label] = thin


def moment_bytes(layer: Layer) -> int:
    """Return the memory that covariances of a layer's features take, with what waits for them."""
    groups, features = map(int, layer.positions().shape)
    waiting = max(LEAST_BLOCK, features // 2) * groups * features * FLOAT_BYTES // 2
    return groups * features * features * FLOAT_BYTES + waiting
