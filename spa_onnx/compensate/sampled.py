"""What layers of the dense network make of the inputs, at a few places of each."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from spa_onnx.calibrate.collect import draw, moment_bytes, samples_wanted
from spa_onnx.compensate.streams import Stream
from spa_onnx.compensate.walk import Walk
from spa_onnx.errors import InternalError
from spa_onnx.execute.runtime import open_session
from spa_onnx.execute.shelf import Shelf
from spa_onnx.inputs.batches import Batches
from spa_onnx.layers.find import Layer, Places
from spa_onnx.layers.moments import Moments
from spa_onnx.load.store import WeightStore

Array = NDArray[Any]

HELD_OUT = 5
"""The last fifth of each batch's samples is held out, to choose a ridge by."""


@dataclass(slots=True)
class SampledTargets:
    """Keeps dense outputs of layers, and pairs them with what the layers see in another network.

    Attributes:
        model: the dense skeleton to run, perhaps with batch statistics in place of stored.
        weights: where its weights lie.
        batches: the inputs.
        seed: for the choice of samples.
        memory: bytes that the second moments of one layer may take; of a layer above it only
            variances are added up.
        session_memory: bytes that weights may take in one session.
        shelf: holds the outputs.
        coarse: labels of layers above the memory, as they come up.
        streams: of layers that are fitted to the sum that their output goes into, by output.
    """

    model: onnx.ModelProto
    weights: WeightStore
    batches: Batches
    seed: int
    memory: int
    session_memory: int
    shelf: Shelf
    coarse: list[str]
    streams: Mapping[str, Stream] = field(default_factory=dict)
    _shapes: dict[tuple[str, int], tuple[int, ...]] = field(default_factory=dict)
    _grids: dict[tuple[str, int], tuple[int, ...]] = field(default_factory=dict)

    def store(
        self,
        layers: Mapping[str, Layer],
        sliced: Callable[[str, Array], Array] = lambda _name, y: y,
        seen: Callable[[str, Array], bool] = lambda _name, _outputs: True,
    ) -> None:
        """Run the dense network once and keep the layers' outputs at the samples of each.

        ``sliced`` takes what stays of an output; ``seen`` hears of every layer's samples, and says
        whether they are kept.
        """
        names = list(layers)
        if not names:
            return
        fetched = [self.streams[n].total if n in self.streams else n for n in names]
        session = open_session(
            self.model, self.weights, dict.fromkeys(fetched), memory=self.session_memory, short=True
        )
        for number, feeds in enumerate(self.batches):
            made = session.run(fetched, feeds)
            for name, y in zip(names, made, strict=True):
                layer, y = layers[name], sliced(name, y)
                grid = layer.grid_of_output(y.shape)
                outputs = layer.outputs(y, self._places(layer, grid, number, feeds))
                if seen(name, outputs):
                    self._grids[name, number] = grid
                    self._shapes[name, number] = y.shape
                    self.shelf.put((name, number, "target"), outputs)

    def moments(
        self, layer: Layer, walk: Walk, mix: Array | None = None, bias: Array | float = 0.0
    ) -> tuple[Moments, Moments]:
        """Return what a layer sees and should make of it, of most inputs and of some held out.

        ``mix`` turns dense outputs into those that are wanted. ``bias`` is what is added between a
        layer and its stream. The outputs are forgotten.
        """
        name = layer.node.outputs[0]
        coarse = 2 * moment_bytes(layer) > self.memory
        if coarse:
            self.coarse.append(layer.node.label)
        seen, held_out = Moments(coarse), Moments(coarse)
        for number, feeds in enumerate(self.batches):
            x = walk.value(layer.source, number, feeds)
            grid = layer.grid(x.shape)
            if self._grids.get((name, number)) != grid:
                text = f"{layer.node.label}: samples lie on {grid} in the changed network, not on "
                raise InternalError(f"{text}{self._grids.get((name, number))} as in the original")
            places = self._places(layer, grid, number, feeds)
            features = layer.features(x, places)
            targets = self.shelf.get((name, number, "target"))
            self.shelf.drop((name, number, "target"))
            if name in self.streams:
                other = walk.value(self.streams[name].other, number, feeds)
                other = np.broadcast_to(other, self._shapes[name, number])
                targets = targets - layer.outputs(other, places) - bias
            targets = targets if mix is None else targets @ mix.T
            border = len(features) - len(features) // HELD_OUT
            seen.add(features[:border], targets[:border])
            held_out.add(features[border:], targets[border:])
        return seen, held_out

    def samples(self, name: str) -> int:
        """Return at how many places an item of the inputs gives a layer samples."""
        found = [np.prod(grid) for (of, _), grid in self._grids.items() if of == name]
        return round(float(sum(found)) / max(1, self.batches.samples))

    def _places(
        self, layer: Layer, grid: tuple[int, ...], number: int, feeds: Mapping[str, Any]
    ) -> Places:
        wanted = samples_wanted(layer, feeds, self.batches)
        return layer.places(grid, wanted, draw(layer, number, self.seed))
