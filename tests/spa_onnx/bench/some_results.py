"""Results as a bench leaves them, with the facts that a test is about."""

from typing import Any

from spa_onnx.bench.result import Analysed, Facts, Key, Outcome, Pruned, ReasonShare, Result
from spa_onnx.bench.zoo import Entry

KEY = Key("content", 0.5, "l2", True, "0.1 abc", "onnx 1")


def facts(removed: float | None = 0.7, **values: Any) -> Facts:
    """Return what a process found that removed this share of the parameters."""
    reasons = (ReasonShare("Gather: indexed | at run time", 0.4),)
    defaults: dict[str, Any] = {
        "stage": "done",
        "seconds": {"analyse": 0.25, "rewrite": 0.5, "verify": 2.0},
        "pruned": None if removed is None else Pruned(removed, removed, 1e-7, 1.0, 0),
        "analysed": Analysed(5, 1000, 0.9, 2, reasons, {}),
    }
    return Facts(**(defaults | values))


def result(
    outcome: Outcome = "proved", found: Facts | None = None, key: Key = KEY, limit: float = 60.0
) -> Result:
    """Return one line of results."""
    return Result("f/m", key, outcome, found or facts(), 4000, 1.5, limit)


def entry(name: str = "f/m", **values: Any) -> Entry:
    """Return a model of which 60 % should go."""
    defaults: dict[str, Any] = {"file": f"{name}.onnx", "least": 0.6}
    return Entry(name, name.split("/")[0], "x", "y", **(defaults | values))
