"""Taggers with recurrent layers, temporal convolutions, a Conformer and a Tacotron-like decoder."""

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from own.inputs import BATCH, Networks

WORDS = 60


def words() -> dict[str, Tensor]:
    """Return token numbers."""
    return {"tokens": torch.randint(WORDS, (BATCH, 9))}


class LstmTagger(nn.Module):
    """Two bidirectional LSTM layers and a tag per word."""

    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Embedding(WORDS, 32)
        self.lstm = nn.LSTM(32, 40, num_layers=2, bidirectional=True, batch_first=True)
        self.head = nn.Sequential(nn.Linear(80, 48), nn.ReLU(), nn.Linear(48, 9))

    def forward(self, tokens: Tensor) -> Tensor:
        """Return tag scores ``(B, words, 9)``."""
        return self.head(self.lstm(self.table(tokens))[0])


class ProjectedTagger(nn.Module):
    """LSTMs whose state is projected, after each other with a residual and a norm."""

    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Embedding(WORDS, 32)
        self.layers = nn.ModuleList(nn.LSTM(32, 56, batch_first=True) for _ in range(2))
        self.narrow = nn.ModuleList(nn.Linear(56, 32) for _ in range(2))
        self.norm = nn.LayerNorm(32)
        self.head = nn.Linear(32, 9)

    def forward(self, tokens: Tensor) -> Tensor:
        """Return tag scores."""
        x = self.table(tokens)
        for layer, narrow in zip(self.layers, self.narrow, strict=True):
            x = x + narrow(layer(x)[0])
        return self.head(self.norm(x))


class GruClassifier(nn.Module):
    """Stacked GRUs in both directions; the last states of the top layer are joined."""

    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Embedding(WORDS, 32)
        self.gru = nn.GRU(32, 36, num_layers=2, bidirectional=True)
        self.head = nn.Linear(72, 5)

    def forward(self, tokens: Tensor) -> Tensor:
        """Return class scores."""
        _, last = self.gru(self.table(tokens).transpose(0, 1))
        return self.head(torch.cat([last[-2], last[-1]], 1))


class PackedTagger(nn.Module):
    """An LSTM over packed sequences of given lengths, and its last state beside every word."""

    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Embedding(WORDS, 24)
        self.lstm = nn.LSTM(24, 40, batch_first=True)
        self.state = nn.Linear(40, 24)
        self.head = nn.Linear(64, 9)

    def forward(self, tokens: Tensor, lengths: Tensor) -> Tensor:
        """Return tag scores; the longest sequence comes first."""
        packed = pack_padded_sequence(self.table(tokens), lengths, batch_first=True)
        states, (last, _) = self.lstm(packed)
        x, _ = pad_packed_sequence(states, batch_first=True, total_length=tokens.shape[1])
        y = self.state(last[0])[:, None].expand(-1, x.shape[1], -1)
        return self.head(torch.cat([x, y], 2))


class TemporalBlock(nn.Module):
    """Two dilated convolutions that see only the past, with weight norm and a residual."""

    def __init__(self, inputs: int, outputs: int, dilation: int) -> None:
        super().__init__()
        self.pad = 2 * dilation
        self.first = nn.utils.parametrizations.weight_norm(
            nn.Conv1d(inputs, outputs, 3, padding=self.pad, dilation=dilation)
        )
        self.second = nn.utils.parametrizations.weight_norm(
            nn.Conv1d(outputs, outputs, 3, padding=self.pad, dilation=dilation)
        )
        self.skip = nn.Conv1d(inputs, outputs, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Return ``(B, outputs, T)``."""
        y = self.first(x)[..., : -self.pad].relu()
        y = self.second(y)[..., : -self.pad].relu()
        return (self.skip(x) + y).relu()


class TemporalNet(nn.Module):
    """TCN. Source: Bai et al., arXiv 1803.01271."""

    def __init__(self) -> None:
        super().__init__()
        self.blocks = nn.Sequential(
            TemporalBlock(4, 24, 1), TemporalBlock(24, 32, 2), TemporalBlock(32, 32, 4)
        )
        self.head = nn.Linear(32, 6)

    def forward(self, series: Tensor) -> Tensor:
        """Return class scores from the last step; ``series`` is ``(B, 4, T)``."""
        return self.head(self.blocks(series)[..., -1])


class ConformerBlock(nn.Module):
    """Half a layer, attention, a gated depthwise convolution, half a layer.

    Source: Gulati et al., "Conformer", Interspeech 2020.
    """

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList(
            nn.Sequential(
                nn.LayerNorm(width), nn.Linear(width, 2 * width), nn.SiLU(),
                nn.Linear(2 * width, width),
            )
            for _ in range(2)
        )  # fmt: skip
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(3))
        self.attention = nn.MultiheadAttention(width, heads, batch_first=True)
        self.enter = nn.Conv1d(width, 2 * width, 1)
        self.depth = nn.Conv1d(width, width, 7, padding=3, groups=width)
        self.batch_norm = nn.BatchNorm1d(width)
        self.leave = nn.Conv1d(width, width, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Return ``(B, T, width)``."""
        x = x + 0.5 * self.layers[0](x)
        y = self.norms[0](x)
        x = x + self.attention(y, y, y, need_weights=False)[0]
        y = functional.glu(self.enter(self.norms[1](x).transpose(1, 2)), dim=1)
        y = self.leave(functional.silu(self.batch_norm(self.depth(y))))
        x = x + y.transpose(1, 2)
        return self.norms[2](x + 0.5 * self.layers[1](x))


class Conformer(nn.Module):
    """A strided stem over a spectrogram, two blocks, letters."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(1, 16, 3, 2, 1), nn.ReLU(), nn.Conv2d(16, 16, 3, 2, 1))
        self.enter = nn.Linear(16 * 5, 48)
        self.blocks = nn.Sequential(ConformerBlock(48, 4), ConformerBlock(48, 4))
        self.head = nn.Linear(48, 30)

    def forward(self, spectrum: Tensor) -> Tensor:
        """Return log-probabilities; ``spectrum`` is ``(B, T, 20)``."""
        x = self.stem(spectrum[:, None]).permute(0, 2, 1, 3).flatten(2)
        return self.head(self.blocks(self.enter(x))).log_softmax(-1)


class Tacotron(nn.Module):
    """Letters to frames: CBHG-like encoder, three steps of attending LSTM cells, a post-net.

    Source: Shen et al., "Natural TTS Synthesis ...", ICASSP 2018.
    """

    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Embedding(WORDS, 32)
        self.bank = nn.ModuleList(nn.Conv1d(32, 16, k, padding=k // 2) for k in (1, 3, 5))
        self.encoder = nn.GRU(48, 24, batch_first=True, bidirectional=True)
        self.pre = nn.Sequential(nn.Linear(10, 24), nn.ReLU())
        self.attend = nn.LSTMCell(24 + 48, 40)
        self.decode = nn.LSTMCell(40 + 48, 40)
        self.keys, self.query = nn.Linear(48, 20), nn.Linear(40, 20)
        self.places, self.energy = nn.Conv1d(1, 20, 5, padding=2), nn.Linear(20, 1)
        self.frame = nn.Linear(40 + 48, 10)
        self.post = nn.Sequential(
            nn.Conv1d(10, 32, 5, padding=2), nn.BatchNorm1d(32), nn.Tanh(),
            nn.Conv1d(32, 10, 5, padding=2),
        )  # fmt: skip

    def forward(self, tokens: Tensor) -> Tensor:
        """Return three frames, ``(B, 10, 3)``."""
        x = self.table(tokens).transpose(1, 2)
        memory, _ = self.encoder(torch.cat([c(x).relu() for c in self.bank], 1).transpose(1, 2))
        keys = self.keys(memory)
        b, n, c = memory.shape
        context, frame = memory.new_zeros(b, c), memory.new_zeros(b, 10)
        states = [(memory.new_zeros(b, 40), memory.new_zeros(b, 40)) for _ in range(2)]
        seen, frames = memory.new_zeros(b, n), []
        for _ in range(3):
            states[0] = self.attend(torch.cat([self.pre(frame), context], 1), states[0])
            place = self.places(seen[:, None]).transpose(1, 2)
            energy = self.energy(torch.tanh(keys + place + self.query(states[0][0])[:, None]))
            weights = energy[..., 0].softmax(1)
            seen = seen + weights
            context = (weights[:, None] @ memory)[:, 0]
            states[1] = self.decode(torch.cat([states[0][0], context], 1), states[1])
            frame = self.frame(torch.cat([states[1][0], context], 1))
            frames.append(frame)
        drawn = torch.stack(frames, 2)
        return drawn + self.post(drawn)


NETWORKS: Networks = {
    "lstm_tagger": (LstmTagger, words),
    "projected_tagger": (ProjectedTagger, words),
    "gru_classifier": (GruClassifier, words),
    "packed_tagger": (PackedTagger, lambda: {**words(), "lengths": torch.tensor([9, 6])}),
    "tcn": (TemporalNet, lambda: {"series": torch.randn(BATCH, 4, 30)}),
    "conformer": (Conformer, lambda: {"spectrum": torch.randn(BATCH, 24, 20)}),
    "tacotron": (Tacotron, words),
}
