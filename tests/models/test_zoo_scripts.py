"""The zoo scripts list models that their libraries know, and a failed export is only a row."""

import importlib
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("onnxscript")

MODELS = Path(__file__).parents[2] / "models"
pytestmark = pytest.mark.filterwarnings("ignore")  # of torch and what it loads


def script(monkeypatch: pytest.MonkeyPatch, name: str) -> Any:
    """Import a script as it is imported when it runs: its folder on the path."""
    monkeypatch.syspath_prepend(str(MODELS))
    return importlib.import_module(name)


@pytest.fixture
def jobs(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    module: ModuleType = script(monkeypatch, "export_jobs")
    return module


def tiny(jobs: Any, job: Any) -> Any:
    """Return a model of one layer, or fail as the job's name says."""
    if job.name == "broken":
        raise ValueError("a | b")
    model = torch.nn.Sequential(torch.nn.Linear(4, 3), torch.nn.ReLU())
    return jobs.Subject(model, {"x": torch.ones(2, 4)}, {"x": {0: "batch"}}, positional=True)


def test_a_tiny_model_is_exported_with_its_open_axis_and_checked(jobs: Any, tmp_path: Path) -> None:
    import onnx

    job = jobs.Job("tiny", "legacy", True, tmp_path / "tiny.onnx")
    outcome = jobs.export(job, lambda job: tiny(jobs, job))
    assert not outcome.failure
    assert outcome.difference < 1e-5
    (entry,) = onnx.load(job.path).graph.input
    assert entry.type.tensor_type.shape.dim[0].dim_param == "batch"


def test_a_failed_export_is_a_row_and_is_tried_again_only_when_asked(
    jobs: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried: list[str] = []

    def run(job: Any, build: Any, limit: float) -> Any:
        tried.append(job.name)
        return jobs.Export(job.path.name, failure="ValueError: no")

    monkeypatch.setattr(jobs, "run", run)
    job = jobs.Job("broken", "legacy", False, tmp_path / "broken.onnx")
    for again in (False, False, True):
        (outcome,) = jobs.run_all([job], tiny, 60, again)
        assert "FAILED ValueError: no" in outcome.row()
    assert tried == ["broken", "broken"]


def test_the_child_reports_what_was_raised_and_leaves_no_file(jobs: Any, tmp_path: Path) -> None:
    job = jobs.Job("broken", "legacy", False, tmp_path / "broken.onnx")
    sent: list[Any] = []

    class Answer:
        send = staticmethod(sent.append)

        def close(self) -> None:
            pass

    threads = torch.get_num_threads()
    jobs.work(job, lambda job: tiny(jobs, job), Answer())
    torch.set_num_threads(threads)
    assert [outcome.failure for outcome in sent] == ["ValueError: a / b"]
    assert not job.path.exists()


def test_stirred_weights_hold_no_constant(monkeypatch: pytest.MonkeyPatch) -> None:
    stirred = script(monkeypatch, "stirred_weights")
    model = torch.nn.Sequential(
        torch.nn.Conv2d(3, 8, 3), torch.nn.BatchNorm2d(8), torch.nn.Conv2d(8, 8, 1)
    )
    torch.nn.init.zeros_(model[2].weight)
    model.register_parameter("scale", torch.nn.Parameter(torch.full((8,), 1e-6)))
    stirred.stir(model, torch.Generator().manual_seed(0))
    assert all(float(p.std()) > 0.01 for p in model.parameters())
    assert float(model[1].running_mean.std()) > 0.01
    assert not model.training


def test_calming_halves_the_weights_of_projections_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    stirred = script(monkeypatch, "stirred_weights")
    model = torch.nn.ModuleDict({"q": torch.nn.Linear(3, 4), "norm": torch.nn.LayerNorm(4)})
    before = {name: value.clone() for name, value in model.state_dict().items()}
    stirred.calm(model)
    after = model.state_dict()
    assert torch.equal(after["q.weight"], before["q.weight"] / 2)
    assert all(torch.equal(after[name], before[name]) for name in before if name != "q.weight")


@pytest.mark.parametrize(("size", "step"), [(3, 1), (4, 2), (5, 5)])
@pytest.mark.parametrize("dimension", [0, 2, -1, -2])
def test_indexed_windows_are_those_of_unfold(
    monkeypatch: pytest.MonkeyPatch, dimension: int, size: int, step: int
) -> None:
    windows = script(monkeypatch, "plain_unfold")
    x = torch.randn(7, 6, 8, generator=torch.Generator().manual_seed(0))
    expected = x.unfold(dimension, size, step)
    assert torch.equal(windows.windows(x, dimension, size, step), expected)
    with windows.plain_unfold():
        assert torch.equal(x.unfold(dimension, size, step), expected)
    assert torch.Tensor.unfold is not windows.windows


def test_every_own_network_takes_its_inputs(jobs: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    zoo = script(monkeypatch, "own_zoo")
    for name, (make_model, make_inputs) in zoo.NETWORKS.items():
        with torch.no_grad():
            answer = make_model().eval()(*make_inputs().values())
        assert all(tensor.isfinite().all() for tensor in jobs.tensors_of(answer)), name


def test_every_own_network_is_exported_somehow(monkeypatch: pytest.MonkeyPatch) -> None:
    zoo = script(monkeypatch, "own_zoo")
    assert {*zoo.NO_LEGACY, *zoo.NO_BATCH, *zoo.NO_DYNAMO} <= set(zoo.NETWORKS)
    listed = list(zoo.jobs(tuple(zoo.NETWORKS), Path(), 0))
    assert {job.name for job in listed} == set(zoo.NETWORKS)
    assert not [job for job in listed if job.dynamic and job.name in zoo.NO_BATCH]


def test_every_family_of_timm_gets_a_plain_export_first(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    zoo = script(monkeypatch, "timm_zoo")
    monkeypatch.setattr(zoo, "parameters", lambda name: len(name))
    names = {f"family{k}": f"model{k}" for k in range(7)}
    listed = list(zoo.jobs(names, tmp_path, 0))
    assert [job.name for job in listed[:7]] == [*names.values()]
    assert {job.path.name for job in listed[7:]} == {
        f"model{k}.{kind}.onnx" for k in (0, 3, 6) for kind in ("dynamo", "batch")
    }


def test_transformers_knows_every_kind_and_head_in_the_list(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    zoo = script(monkeypatch, "transformers_zoo")
    transformers = pytest.importorskip("transformers")
    public = set(dir(transformers))  # asking for each would import it
    for name, small in zoo.ALL_MODELS.items():
        assert small.kind in transformers.CONFIG_MAPPING, name
        assert small.head in public, name
    assert {*zoo.OPEN, *zoo.DYNAMO, *zoo.NO_LEGACY} <= set(zoo.ALL_MODELS)
    assert not set(zoo.NO_LEGACY) & set(zoo.OPEN)
    listed = list(zoo.jobs(tuple(zoo.ALL_MODELS), Path(), 0))
    assert {job.name for job in listed} == set(zoo.ALL_MODELS)
    assert not [job for job in listed if job.exporter == "legacy" and job.name in zoo.NO_LEGACY]


def test_torchvision_knows_every_model_in_the_list(monkeypatch: pytest.MonkeyPatch) -> None:
    zoo = script(monkeypatch, "torchvision_zoo")
    models = pytest.importorskip(
        "torchvision.models"
    )  # after the script, which declares its operators
    known = set(models.list_models())
    assert set(zoo.MODELS) | set(zoo.MORE) <= known
    assert not set(zoo.MODELS) & set(zoo.MORE)
