"""Everything of a run on a GPU as JSON."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

import numpy as np

from spa_onnx.bench.kernels.cuda.driver import driver_version
from spa_onnx.bench.kernels.cuda.roofline import CudaRoofline
from spa_onnx.bench.kernels.cuda.timing import GIGA, TERA, CudaRow
from spa_onnx.bench.kernels.means import means
from spa_onnx.bench.kernels.page import MICRO
from spa_onnx.doctor.processor import processor
from spa_onnx.report.report import library_versions
from spa_onnx.runtime.cuda import CudaDevice


def machine(device: CudaDevice) -> dict[str, Any]:
    """Return what is known of the machine."""
    return {
        "device": device.name,
        "compute_capability": f"{device.major}.{device.minor}",
        "emulated": device.emulated,
        "driver": driver_version(),
        "cuda_driver": cuda_version(device.driver_version),
        "cuda_runtime": cuda_version(device.runtime_version),
        "multiprocessors": device.multiprocessors,
        "memory_bytes": device.memory,
        "second_level_cache_bytes": device.cache,
        "shared_memory_bytes": device.shared_memory,
        "processor": processor(),
    }


def cuda_version(number: int) -> str:
    """Return a version of CUDA as text, 12.4 for 12040."""
    return f"{number // 1000}.{number % 1000 // 10}"


def today() -> str:
    """Return the date and time, in UTC."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def roofline_json(roofline: CudaRoofline) -> dict[str, Any]:
    """Return the device's limits."""
    return {
        "peak_tflops": {values: peak / TERA for values, peak in roofline.peaks.items()},
        "read_gb_per_second": roofline.bandwidth / GIGA,
    }


def rows_json(rows: Sequence[CudaRow]) -> dict[str, Any]:
    """Return every layer and the means."""
    return {
        "layers": [_layer(row) for row in rows],
        "means": [mean.as_json() for mean in means(rows)],
    }


def kernels_json(
    rows: Sequence[CudaRow], device: CudaDevice, roofline: CudaRoofline, rounds: int, command: str
) -> str:
    """Return settings, the device and its limits, every layer and the means."""
    content = {
        "command": command,
        "date": today(),
        "versions": library_versions(),
        "machine": machine(device),
        "settings": {"rounds": rounds, "clock": "events of the device"},
        "roofline": roofline_json(roofline),
        **rows_json(rows),
    }
    return json.dumps(content, indent=1, allow_nan=False) + "\n"


def _layer(row: CudaRow) -> dict[str, Any]:
    low, middle, high = (float(q) for q in np.quantile(row.ratios, (0.25, 0.5, 0.75)))
    return {
        "group": row.case.group.name,
        "layer": str(row.case.layer),
        "shape": asdict(row.case.layer),
        "values": row.case.values,
        "pattern": row.pattern,
        "sparsity": row.sparsity,
        "kernel": row.kernel,
        "us": MICRO * row.sparse,
        "dense_us": MICRO * row.dense,
        "ratio": {"low": low, "median": middle, "high": high},
        "stored_tflops": row.stored_rate,
        "dense_equivalent_tflops": row.dense_equivalent_rate,
        "gb_per_second": row.bytes_rate,
        "roofline_share": row.roofline_share,
        "stored_weights": row.stored,
        "packed_bytes": row.packed_bytes,
        "copies": row.copies[0],
        "dense_copies": row.copies[1],
        "kernels_us": {name: MICRO * seconds for name, seconds in row.tried.items()},
    }
