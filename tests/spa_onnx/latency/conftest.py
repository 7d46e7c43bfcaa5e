import pytest

from spa_onnx.latency import machine
from spa_onnx.latency.measure import Stopwatch


@pytest.fixture(autouse=True)
def _short_measurements(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tests look at what a run makes, and not at its times: a few runs are enough."""
    monkeypatch.setattr(machine, "WATCH", Stopwatch(error=0.05, least=10, seconds=0.2))
