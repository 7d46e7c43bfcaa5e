"""The passes of a run whose user named none."""

from __future__ import annotations

from dataclasses import fields, replace

from spa_onnx.allocate.budget import MaxLatency
from spa_onnx.config import PruneConfig

PLAIN = "l2"
"""Importance where a user named other passes but no importance."""

CHOSEN = {"importance", "allocation", "compensation", "recipe"}
"""What a recipe decides."""

WITHOUT_RUNS = "magnitude"
"""Recipe for models that do not run."""


def names_passes(config: PruneConfig) -> bool:
    """Say whether a configuration chooses passes, one at least or by a recipe."""
    passes = (config.importance, config.allocation, config.compensation)
    return bool(config.recipe) or any(choice is not None for choice in passes)


def with_passes(config: PruneConfig) -> PruneConfig:
    """Return a configuration that names its importance pass.

    Where it chooses nothing it gets the passes of a recipe: ``latency`` for a budget in latency,
    else ``calibrated`` if it has calibration inputs, else ``data-free``.
    """
    if not names_passes(config):
        if isinstance(config.budget, MaxLatency):
            return _of(config, "latency")
        return _of(config, "data-free" if config.calibration is None else "calibrated")
    return config if config.importance is not None else replace(config, importance=PLAIN)


def without_runs(config: PruneConfig) -> PruneConfig:
    """Return a configuration with passes that read weights alone."""
    return _of(config, WITHOUT_RUNS)


def _of(config: PruneConfig, name: str) -> PruneConfig:
    given = {f.name: getattr(config, f.name) for f in fields(config) if f.name not in CHOSEN}
    if config.align is None:
        del given["align"]
    return PruneConfig.of_recipe(name, **given)
