"""Time models against each other in ONNX Runtime: one process, runs interleaved, medians.

    python models/latency.py --threads 1 dense.onnx pruned.onnx...

The first model is the baseline of the ratios. The CPU's caches are shared, so each model's weights
are evicted by the others between two of its runs.
"""

from __future__ import annotations

import time
from pathlib import Path
from statistics import median

import click
import numpy as np
import onnxruntime as ort


def open_session(path: Path, threads: int) -> ort.InferenceSession:
    """Return a session with the runtime's default optimisations."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    return ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def feeds(session: ort.InferenceSession, length: int) -> dict[str, np.ndarray]:
    """Return normal floats and integer ones; dynamic axes get ``length``, the first one 1."""
    rng = np.random.default_rng(0)
    made = {}
    for entry in session.get_inputs():
        shape = [
            n if isinstance(n, int) else (1 if k == 0 else length)
            for k, n in enumerate(entry.shape)
        ]
        is_float = entry.type == "tensor(float)"
        made[entry.name] = (
            rng.standard_normal(shape).astype(np.float32) if is_float else np.ones(shape, np.int64)
        )
    return made


@click.command()
@click.argument(
    "models", nargs=-1, required=True, type=click.Path(exists=True, dir_okay=False, path_type=Path)
)
@click.option("--threads", default=1, show_default=True)
@click.option("--rounds", default=40, show_default=True)
@click.option("--length", default=64, show_default=True, help="Length of dynamic axes.")
def main(models: tuple[Path, ...], threads: int, rounds: int, length: int) -> None:
    """Print the median latency of MODELS and the ratio to the first."""
    sessions = [open_session(path, threads) for path in models]
    inputs = [feeds(session, length) for session in sessions]
    times: list[list[float]] = [[] for _ in models]
    for _ in range(rounds + 3):
        for session, given, taken in zip(sessions, inputs, times, strict=True):
            start = time.perf_counter()
            session.run(None, given)
            taken.append(1e3 * (time.perf_counter() - start))
    baseline = median(times[0][3:])
    for path, taken in zip(models, times, strict=True):
        middle = median(taken[3:])
        click.echo(f"{middle:9.2f} ms  {baseline / middle:5.2f} x  {path}")


if __name__ == "__main__":
    main()
