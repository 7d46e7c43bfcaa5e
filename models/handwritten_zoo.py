"""Write small ONNX models by hand: what no training framework exports, or not often.

    python models/handwritten_zoo.py OUT --model loop_own_weights

writes OUT/loop_own_weights.onnx. Needs only onnx, onnxruntime, numpy and click. The models are in
``handwritten/``, by theme.
"""

from collections.abc import Callable

from handwritten import (
    control_flow,
    couplings,
    fused,
    layers,
    quantised,
    values,
    weights,
)
from handwritten.net import Samples
from model_files import Exported, zoo_command

SAMPLES: Samples = {
    **control_flow.SAMPLES,
    **weights.SAMPLES,
    **quantised.SAMPLES,
    **fused.SAMPLES,
    **values.SAMPLES,
    **layers.SAMPLES,
    **couplings.SAMPLES,
}
"""By name how a model is made and what pruning makes of it."""

BUILDERS: dict[str, Callable[[], Exported]] = {name: make for name, (make, _) in SAMPLES.items()}

if __name__ == "__main__":
    zoo_command(BUILDERS, __doc__ or "")()
