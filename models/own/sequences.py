"""Sound, text lines and words: dilated convolutions and recurrent networks."""

import torch
from torch import Tensor, nn
from torch.nn import functional

from own.inputs import BATCH, Networks


class WaveNet(nn.Module):
    """Dilated gated convolutions with skips. Source: van den Oord et al., arXiv 1609.03499."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv1d(1, 32, 1)
        self.gated = nn.ModuleList(nn.Conv1d(32, 64, 2, dilation=2**k) for k in range(5))
        self.residual = nn.ModuleList(nn.Conv1d(32, 32, 1) for _ in range(5))
        self.skip = nn.ModuleList(nn.Conv1d(32, 48, 1) for _ in range(5))
        self.head = nn.Sequential(nn.ReLU(), nn.Conv1d(48, 64, 1), nn.ReLU(), nn.Conv1d(64, 20, 1))

    def forward(self, wave: Tensor) -> Tensor:
        """Return scores of the next sample's level."""
        x, total = self.stem(wave), 0
        for k, (gated, residual, skip) in enumerate(
            zip(self.gated, self.residual, self.skip, strict=True)
        ):
            a, b = gated(functional.pad(x, (2**k, 0))).chunk(2, dim=1)
            y = a.tanh() * b.sigmoid()
            total = total + skip(y)
            x = x + residual(y)
        return self.head(total)


class Seq2SeqAttention(nn.Module):
    """A GRU encoder, and a decoder of one step that attends additively. Source: Bahdanau, 2015."""

    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Embedding(50, 32)
        self.encoder = nn.GRU(32, 24, batch_first=True, bidirectional=True)
        self.keys, self.query, self.energy = nn.Linear(48, 32), nn.Linear(48, 32), nn.Linear(32, 1)
        self.step = nn.GRUCell(32 + 48, 48)
        self.head = nn.Linear(96, 50)

    def forward(self, tokens: Tensor, last: Tensor) -> Tensor:
        """Return scores of the next word."""
        states, final = self.encoder(self.table(tokens))
        hidden = torch.cat([final[0], final[1]], 1)
        energy = self.energy(torch.tanh(self.keys(states) + self.query(hidden)[:, None]))
        context = (energy.softmax(1) * states).sum(1)
        hidden = self.step(torch.cat([self.table(last), context], 1), hidden)
        return self.head(torch.cat([hidden, context], 1))


class CtcRecogniser(nn.Module):
    """A CRNN: convolutions, columns as time, two LSTM layers."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(
            *(nn.Conv2d(1, 16, 3, padding=1), nn.BatchNorm2d(16), nn.ReLU(), nn.MaxPool2d(2)),
            *(nn.Conv2d(16, 32, 3, padding=1), nn.BatchNorm2d(32), nn.ReLU(), nn.MaxPool2d(2)),
        )
        self.lstm = nn.LSTM(32 * 4, 32, num_layers=2, bidirectional=True, batch_first=True)
        self.head = nn.Linear(64, 20)

    def forward(self, line: Tensor) -> Tensor:
        """Return log-probabilities ``(B, columns, 20)``; lines are 16 pixels high."""
        x = self.body(line).permute(0, 3, 1, 2).flatten(2)
        return self.head(self.lstm(x)[0]).log_softmax(-1)


NETWORKS: Networks = {
    "wavenet": (WaveNet, lambda: {"wave": torch.randn(BATCH, 1, 64)}),
    "seq2seq": (
        Seq2SeqAttention,
        lambda: {"tokens": torch.randint(50, (BATCH, 7)), "last": torch.randint(50, (BATCH,))},
    ),
    "crnn": (CtcRecogniser, lambda: {"line": torch.randn(BATCH, 1, 16, 48)}),
}
