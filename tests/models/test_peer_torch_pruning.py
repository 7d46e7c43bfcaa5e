"""Torch-Pruning is given what its README asks for, and its results are run again."""

import importlib
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")
nn = torch.nn
Tensor = torch.Tensor

MODELS = Path(__file__).parents[2] / "models"
pytestmark = pytest.mark.filterwarnings("ignore")  # of torch and what it loads


@pytest.fixture
def peer(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(str(MODELS))
    return importlib.import_module("peer_torch_pruning")


class Two(nn.Module):
    """A trunk with a norm, two heads, a tied table and what passes channels on behind them."""

    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Embedding(7, 8)
        self.trunk = nn.Sequential(nn.Linear(8, 8), nn.LayerNorm(8), nn.ReLU())
        self.scores = nn.Linear(8, 7, bias=False)
        self.scores.weight = self.table.weight
        self.boxes = nn.Sequential(nn.Linear(8, 4), nn.BatchNorm1d(4))
        self.scale = nn.Parameter(torch.ones(4))

    def forward(self, tokens: Tensor) -> tuple[Tensor, Tensor]:
        x = self.trunk(self.table(tokens))
        return self.scores(x).log_softmax(-1), (self.boxes(x) * self.scale).sigmoid()


def test_output_layers_are_those_whose_channels_come_out(peer: Any) -> None:
    model = Two().eval()
    found = peer.output_layers(model, [torch.tensor([1, 2])])
    assert set(found) == {model.scores, model.boxes[0], model.boxes[1]}


def test_a_product_of_activations_ends_the_search(peer: Any) -> None:
    class Similarity(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.left, self.right = nn.Linear(4, 6), nn.Linear(4, 6)

        def forward(self, x: Tensor) -> tuple[Tensor, ...]:
            return (self.left(x) @ self.right(x).T,)

    assert peer.output_layers(Similarity(), [torch.ones(2, 4)]) == []


def tiny(peer: Any) -> Any:
    """Return what a zoo script builds for a small perceptron."""
    model = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 3))
    subject = importlib.import_module("export_jobs").Subject(
        model, {"x": torch.ones(2, 4)}, positional=True
    )
    return lambda job: subject


def test_a_perceptron_is_halved(peer: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("torch_pruning")
    monkeypatch.setattr(peer, "builder", lambda folder: tiny(peer))
    threads = torch.get_num_threads()
    names: list[str] = []
    stages = importlib.import_module("isolated").Stages(names.append)
    figures = peer.prune_model("own", "tiny", 0.5, stages)
    torch.set_num_threads(threads)
    assert figures == {"before": 8 * 4 + 8 + 3 * 8 + 3, "after": 4 * 4 + 4 + 3 * 4 + 3}
    assert names == ["original", "graph", "prune", "check"]


def test_outputs_of_other_shapes_are_not_valid(peer: Any) -> None:
    jobs = importlib.import_module("export_jobs")
    model = jobs.Positional(tiny(peer)(None))
    expected = model(torch.ones(2, 4))
    peer.check(model, [torch.ones(2, 4)], expected)
    with pytest.raises(peer.InvalidResultError, match=r"output 0 has shape \(1, 3\) and had"):
        peer.check(model, [torch.ones(1, 4)], expected)
    with pytest.raises(peer.InvalidResultError, match="not finite"):
        peer.check(model, [torch.full((2, 4), torch.inf)], expected)


def test_both_tools_are_timed_on_one_model(
    peer: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    pytest.importorskip("torch_pruning")
    pytest.importorskip("onnxscript")
    jobs = importlib.import_module("export_jobs")
    timing = importlib.import_module("peer_timing")
    monkeypatch.setattr(peer, "builder", lambda folder: tiny(peer))
    job = jobs.Job("tiny", "legacy", False, tmp_path / "tiny.onnx")
    jobs.export(job, tiny(peer))
    threads = torch.get_num_threads()
    stages = importlib.import_module("isolated").Stages(lambda stage: None)
    figures = timing.time_beside("own", "tiny", job.path, 0.5, 1, stages)
    torch.set_num_threads(threads)
    assert figures["torch-pruning"] > 0
    assert figures["spa-onnx"] > 0
    assert set(figures["stages"]["torch-pruning"]) == {"graph", "prune"}
    assert {"load", "analyse", "rewrite"} <= set(figures["stages"]["spa-onnx"])


def test_every_folder_has_a_script_that_builds(peer: Any) -> None:
    for folder in peer.SCRIPTS:
        assert callable(peer.builder(folder))


class SelfAttention(nn.Module):
    """Attention over five tokens whose code holds its widths; four heads of three lanes."""

    def __init__(self) -> None:
        super().__init__()
        self.num_heads, self.head_dim, self.attn_dim = 4, 3, 12
        self.qkv, self.proj = nn.Linear(12, 36), nn.Linear(12, 12)

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = self.qkv(x).reshape(2, 5, 3, self.num_heads, -1).permute(2, 0, 3, 1, 4).unbind()
        y = (q @ k.transpose(2, 3)).softmax(-1) @ v
        return self.proj(y.transpose(1, 2).reshape(2, 5, self.attn_dim))


def test_hints_name_heads_and_set_the_widths_that_the_code_holds(peer: Any) -> None:
    hints = importlib.import_module("peer_hints")
    model = nn.Sequential(SelfAttention(), nn.MultiheadAttention(8, 2))
    found = hints.hints_of(model)
    assert found.num_heads == {model[0].qkv: 4}
    assert found.groups == {model[1]: 2}
    assert found.options(0.5) == {"num_heads": found.num_heads}
    model[0].qkv = nn.Linear(12, 24)  # two lanes of every head
    found = hints.hints_of(model)
    hints.adjust(model, found)
    assert (model[0].num_heads, model[0].head_dim, model[0].attn_dim) == (4, 2, 8)


def test_hints_tell_query_heads_from_those_of_keys(peer: Any) -> None:
    hints = importlib.import_module("peer_hints")
    module = nn.Module()
    module.q_proj, module.k_proj, module.v_proj = (nn.Linear(8, n) for n in (8, 4, 4))
    module.num_heads, module.num_key_value_heads, module.head_dim = 4, 2, 2
    module.num_key_value_groups = 2
    found = hints.hints_of(module)
    assert [found.num_heads[x] for x in (module.q_proj, module.k_proj, module.v_proj)] == [4, 2, 2]
    module.q_proj = nn.Linear(8, 4)  # two of four heads, and every head of keys
    cut = {module.q_proj: 2, module.k_proj: 2, module.v_proj: 2}
    hints.adjust(module, hints.Hints(list(hints.find_attentions(module)), cut))
    assert (module.num_heads, module.head_dim, module.num_key_value_groups) == (2, 2, 1)


def test_parts_of_detectors_stay_whole(peer: Any) -> None:
    hints = importlib.import_module("peer_hints")

    class SSD(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.head = nn.Linear(2, 2)

    model = nn.Sequential(SSD())
    assert hints.hints_of(model).ignored == [model[0].head]
    assert not hints.hints_of(nn.Linear(2, 2)).ignored


@pytest.mark.parametrize("hinted", [False, True])
def test_a_small_transformer_is_cut_with_hints(
    peer: Any, monkeypatch: pytest.MonkeyPatch, hinted: bool
) -> None:
    pytest.importorskip("torch_pruning")
    jobs, isolated = map(importlib.import_module, ("export_jobs", "isolated"))
    model = nn.Sequential(nn.Linear(6, 12), SelfAttention(), nn.Linear(12, 3))
    subject = jobs.Subject(model, {"x": torch.ones(2, 5, 6)}, positional=True)
    monkeypatch.setattr(peer, "builder", lambda folder: lambda job: subject)
    threads = torch.get_num_threads()
    stages = isolated.Stages(lambda stage: None)
    try:
        if not hinted:
            with pytest.raises(RuntimeError, match="invalid for input"):
                peer.prune_model("own", "tiny", 0.5, stages)
            return
        figures = peer.prune_model("own", "tiny", 0.5, stages, hinted=True)
    finally:
        torch.set_num_threads(threads)
    assert figures["after"] < 0.6 * figures["before"]
