"""A race as a table and as JSON."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnxruntime as ort
from rich.console import Console
from rich.table import Table

from spa_onnx.latency.race import FloatArray, Racer, RaceSettings

MILLI = 1e3


@dataclass(frozen=True, slots=True)
class Quartiles:
    """Median and quartiles."""

    low: float
    median: float
    high: float

    @staticmethod
    def of(values: FloatArray, scale: float = 1.0) -> Quartiles:
        """Return those of numbers, scaled."""
        return Quartiles(*(float(scale * q) for q in np.quantile(values, (0.25, 0.5, 0.75))))


def speed_up(first: FloatArray, other: FloatArray) -> Quartiles:
    """Return how many times faster than the first a model is, round by round."""
    return Quartiles.of(first / other)


def print_race(console: Console, racers: Sequence[Racer], settings: RaceSettings) -> None:
    """Print a line for each model."""
    alone = settings.threads == 1
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    table.add_column("model", overflow="fold")
    titles = ["ms", "quartiles", "x"]
    titles += ["CPU ms", "x by CPU"] if alone else []
    for title in (*titles, "largest difference"):
        table.add_column(title, justify="right", no_wrap=True)
    first = racers[0]
    for racer in racers:
        wall, cpu = Quartiles.of(racer.wall, MILLI), Quartiles.of(racer.cpu, MILLI)
        cells = [
            f"{wall.median:.4g}",
            f"{wall.low:.4g} to {wall.high:.4g}",
            f"{speed_up(first.wall, racer.wall).median:.3f}",
        ]
        if alone:
            cells += [f"{cpu.median:.4g}", f"{speed_up(first.cpu, racer.cpu).median:.3f}"]
        table.add_row(str(racer.path), *cells, _difference(racer, first))
    console.print(table)
    console.print(_how(racers, settings))
    for racer in racers:
        for name, reason in racer.agreement.left.items():
            console.print(f"not compared: output {name!r} of {racer.path}: {reason}")


def _difference(racer: Racer, first: Racer) -> str:
    if racer is first:
        return ""
    largest, relative = racer.agreement.largest, racer.agreement.relative
    if largest is None or relative is None:
        return "not compared"
    return f"{largest:.2g} ({relative:.1g} of scale)"


def _how(racers: Sequence[Racer], settings: RaceSettings) -> str:
    threads = f"{settings.threads} thread{'s' if settings.threads > 1 else ''}"
    opened = f" in each of {settings.sessions} sessions" if settings.sessions > 1 else ""
    passed = "bound" if settings.binding else "passed with each run"
    return (
        f"ONNX Runtime {ort.__version__}, {threads}, {settings.rounds} rounds{opened} in turns, "
        f"inputs and outputs {passed}; x: median over rounds of the first model's time over this "
        "one's"
    )


def race_json(racers: Sequence[Racer], settings: RaceSettings) -> str:
    """Return everything that the table says, and the quartiles of ratios."""
    content = {
        "onnxruntime": ort.__version__,
        "threads": settings.threads,
        "rounds": settings.rounds,
        "sessions": settings.sessions,
        "warm_up": settings.warm_up,
        "io_binding": settings.binding,
        "models": [_plain(racer, racers[0]) for racer in racers],
    }
    return json.dumps(content, indent=1, allow_nan=False) + "\n"


def _plain(racer: Racer, first: Racer) -> Mapping[str, Any]:
    agreed = racer.agreement
    return {
        "model": str(racer.path),
        "load_seconds": racer.load_seconds,
        "wall_ms": _quartiles(Quartiles.of(racer.wall, MILLI)),
        "cpu_ms": _quartiles(Quartiles.of(racer.cpu, MILLI)),
        "speed_up": _quartiles(speed_up(first.wall, racer.wall)),
        "speed_up_cpu": _quartiles(speed_up(first.cpu, racer.cpu)),
        "outputs": {
            "compared": agreed.compared,
            "largest_difference": _number(agreed.largest),
            "relative_difference": _number(agreed.relative),
            "not_compared": dict(agreed.left),
        },
    }


def _quartiles(found: Quartiles) -> dict[str, float]:
    return {"low": found.low, "median": found.median, "high": found.high}


def _number(value: float | None) -> float | str | None:
    """Return what JSON can hold."""
    return value if value is None or math.isfinite(value) else str(value)
