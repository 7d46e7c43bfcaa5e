"""Speech, music and time series."""

import torch

from tiny_transformers.feeds import VOCABULARY, full_tokens, samples, spectrum
from tiny_transformers.small import SEQUENCES, VISION, Settings, Small

AUDIO: Settings = {
    "vocab_size": 32,
    "hidden_size": 128,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 256,
    "conv_dim": (64, 64, 64),
    "conv_stride": (5, 4, 4),
    "conv_kernel": (10, 8, 8),
    "num_conv_pos_embeddings": 16,
    "num_conv_pos_embedding_groups": 4,
}


MODELS: dict[str, Small] = {
    "whisper": Small(
        "whisper",
        "WhisperForConditionalGeneration",
        {
            **{k: v for k, v in SEQUENCES.items() if k != "max_position_embeddings"},
            "max_source_positions": 30,
            "max_target_positions": 32,
            "num_mel_bins": 80,
            "suppress_tokens": None,
            "begin_suppress_tokens": None,
        },
        spectrum,
        cached=True,
    ),
    "wav2vec2": Small("wav2vec2", "Wav2Vec2ForCTC", AUDIO, samples),
    "wav2vec2_stable": Small(
        "wav2vec2",
        "Wav2Vec2ForCTC",
        {**AUDIO, "feat_extract_norm": "layer", "do_stable_layer_norm": True},
        samples,
    ),
    "hubert": Small("hubert", "HubertForCTC", AUDIO, samples),
    "wavlm": Small("wavlm", "WavLMForCTC", AUDIO, samples),
    "sew": Small("sew", "SEWForCTC", {**AUDIO, "squeeze_factor": 2}, samples),
    "ast": Small(
        "audio-spectrogram-transformer",
        "ASTForAudioClassification",
        {**{k: v for k, v in VISION.items() if k != "image_size"}, "max_length": 64},
        lambda generator: {"input_values": torch.randn(1, 64, 128, generator=generator)},
    ),
    "time_series_patchtst": Small(
        "patchtst",
        "PatchTSTForPrediction",
        {
            "num_input_channels": 3,
            "context_length": 32,
            "patch_length": 8,
            "patch_stride": 8,
            "d_model": 64,
            "ffn_dim": 128,
            "num_hidden_layers": 2,
            "num_attention_heads": 4,
            "prediction_length": 4,
        },
        lambda generator: {"past_values": torch.randn(2, 32, 3, generator=generator)},
        ("prediction_outputs",),
    ),
    "vits": Small(
        "vits",
        "VitsModel",
        {"vocab_size": VOCABULARY, "hidden_size": 64, "num_hidden_layers": 2},
        full_tokens,
        ("waveform",),
    ),
    "encodec": Small(
        "encodec",
        "EncodecModel",
        {"num_filters": 8, "hidden_size": 32, "codebook_size": 32},
        lambda generator: {"input_values": torch.randn(1, 1, 3200, generator=generator)},
        ("audio_values",),
    ),
    "univnet": Small(
        "univnet",
        "UnivNetModel",
        {"model_hidden_channels": 16},
        lambda generator: {
            "input_features": torch.randn(1, 20, 100, generator=generator),
            "noise_sequence": torch.randn(1, 20, 64, generator=generator),
        },
        ("waveforms",),
    ),
}
