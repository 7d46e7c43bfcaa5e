"""Everything of a run as JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from spa_onnx.bench.kernels.cases import Row
from spa_onnx.bench.kernels.means import means
from spa_onnx.bench.kernels.measure import Bench
from spa_onnx.bench.kernels.roofline import Roofline, second_level_cache
from spa_onnx.bench.kernels.timing import GIGA
from spa_onnx.doctor.processor import instruction_sets, processor, threads
from spa_onnx.report.report import library_versions
from spa_onnx.runtime.kernels import list_kernels
from spa_onnx.runtime.library import library_path

MICRO = 1e6


def machine() -> dict[str, Any]:
    """Return what is known of the machine and of our kernels on it."""
    return {
        "processor": processor(),
        "instruction_sets": instruction_sets(),
        "threads": threads(),
        "second_level_cache_bytes": second_level_cache(),
        "kernels": [kernel.name for kernel in list_kernels(library_path()) if kernel.chosen],
    }


def kernels_json(rows: Sequence[Row], bench: Bench, roofline: Roofline, command: str) -> str:
    """Return settings, limits of the machine, every layer and the means."""
    content = {
        "command": command,
        "versions": library_versions(),
        "machine": machine(),
        "settings": {
            **asdict(bench),
            "clock": "CPU time of the thread" if bench.threads == 1 else "wall",
        },
        "roofline": {
            "peak_gflops": roofline.peak / GIGA,
            "read_gb_per_second_by_mib": {
                str(size): rate / GIGA for size, rate in sorted(roofline.bandwidths.items())
            },
        },
        "layers": [_layer(row) for row in rows],
        "means": [mean.as_json() for mean in means(rows)],
    }
    return json.dumps(content, indent=1, allow_nan=False) + "\n"


def _layer(row: Row) -> Mapping[str, Any]:
    found = row.timing
    low, middle, high = (float(q) for q in np.quantile(found.ratios, (0.25, 0.5, 0.75)))
    return {
        "group": row.case.group.name,
        "layer": str(found.layer),
        "shape": asdict(found.layer),
        "pattern": found.pattern,
        "sparsity": found.sparsity,
        "form": asdict(found.form),
        "us": MICRO * found.sparse,
        "dense_us": {way: MICRO * seconds for way, seconds in found.dense.items()},
        "dense_layout": found.way,
        "ratio": {"low": low, "median": middle, "high": high},
        "stored_gflops": found.stored_rate,
        "dense_equivalent_gflops": found.dense_equivalent_rate,
        "roofline_share": row.roofline,
        "stored_weights": found.stored,
        "packed_bytes": found.packed_bytes,
        "copies": found.copies,
        "tuning_us": {str(form): MICRO * seconds for form, seconds in found.tried.items()},
    }
