"""Export small random members of the model families in transformers.

    python models/transformers_zoo.py OUT

writes OUT/NAME.onnx with the legacy exporter at fixed shapes and OUT/NAME.open.onnx with batch and
sequence left open; for some families also OUT/NAME.dynamo.onnx and OUT/NAME.dynamo.open.onnx. Where
the legacy exporter fails, the dynamo exporter's files take its place. Models come from
configurations, so nothing is downloaded. Needs torch, transformers and, for some image processors,
torchvision.
"""

import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import torch
import torchvision_operators  # noqa: F401 - before transformers, which imports torchvision
from export_jobs import Job, Subject, run_all, summarise
from stirred_weights import stir
from torch import Tensor, nn

Settings = Mapping[str, Any]
Feed = Callable[[torch.Generator], dict[str, Tensor]]

VOCABULARY = 200
BATCH = 2
LENGTH = 12
PAST = 5
IMAGE = 64
SAMPLES = 4000


def tokens(generator: torch.Generator) -> dict[str, Tensor]:
    """Return token numbers and a mask that hides the end of the second sequence."""
    ids = torch.randint(3, VOCABULARY, (BATCH, LENGTH), generator=generator)
    mask = torch.ones_like(ids)
    mask[1, -3:] = 0
    return {"input_ids": ids, "attention_mask": mask}


def full_tokens(generator: torch.Generator) -> dict[str, Tensor]:
    """Return token numbers alone."""
    return {"input_ids": tokens(generator)["input_ids"]}


def two_sequences(generator: torch.Generator) -> dict[str, Tensor]:
    """Return what an encoder and a decoder read."""
    decoder = torch.randint(3, VOCABULARY, (BATCH, LENGTH - 4), generator=generator)
    return {**tokens(generator), "decoder_input_ids": decoder}


def pixels(generator: torch.Generator) -> dict[str, Tensor]:
    """Return one image."""
    return {"pixel_values": torch.randn(1, 3, IMAGE, IMAGE, generator=generator)}


def pixels_and_tokens(generator: torch.Generator) -> dict[str, Tensor]:
    """Return an image and two captions."""
    return {**tokens(generator), **pixels(generator)}


def samples(generator: torch.Generator) -> dict[str, Tensor]:
    """Return a raw recording."""
    return {"input_values": torch.randn(1, SAMPLES, generator=generator)}


def spectrum(generator: torch.Generator) -> dict[str, Tensor]:
    """Return a spectrogram and the words so far."""
    decoder = torch.randint(3, VOCABULARY, (1, LENGTH), generator=generator)
    features = torch.randn(1, 80, 60, generator=generator)
    return {"input_features": features, "decoder_input_ids": decoder}


OPEN_AXES: dict[str, dict[int, str]] = {
    "input_ids": {0: "batch", 1: "sequence"},
    "attention_mask": {0: "batch", 1: "sequence"},
    "decoder_input_ids": {0: "batch", 1: "decoder_sequence"},
    "pixel_values": {0: "images"},
    "input_values": {0: "batch", 1: "samples"},
}

TEXT: Settings = {
    "vocab_size": VOCABULARY,
    "hidden_size": 128,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 256,
    "max_position_embeddings": 64,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
}
GROUPED: Settings = {**TEXT, "num_key_value_heads": 2}
HEADED: Settings = {**GROUPED, "head_dim": 32}
EXPERTS: Settings = {"num_experts_per_tok": 2, "moe_intermediate_size": 64}
VISION: Settings = {
    "image_size": IMAGE,
    "patch_size": 16,
    "hidden_size": 128,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 256,
}
SEQUENCES: Settings = {
    "vocab_size": VOCABULARY,
    "d_model": 128,
    "encoder_layers": 2,
    "decoder_layers": 2,
    "encoder_attention_heads": 4,
    "decoder_attention_heads": 4,
    "encoder_ffn_dim": 256,
    "decoder_ffn_dim": 256,
    "max_position_embeddings": 64,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "decoder_start_token_id": 2,
    "forced_eos_token_id": None,
}
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
TEXT_TOWER: Settings = {**TEXT, "projection_dim": 64}
VISION_TOWER: Settings = {**VISION, "projection_dim": 64}
TOWERS: Settings = {
    "text_config": dict(TEXT_TOWER),
    "vision_config": dict(VISION_TOWER),
    "projection_dim": 64,
}


WIDE_TOWERS: Settings = {**TOWERS, "projection_dim": 128}


@dataclass(frozen=True, slots=True)
class Small:
    """One family: a small configuration and the class with its head.

    Attributes:
        kind: ``model_type`` in transformers.
        head: class of the model.
        settings: of the configuration.
        feed: makes the inputs.
        outputs: which to keep; a hidden state among them would pin the model's width.
        cached: whether this is a decoder without a cache, to be told so.
        past: whether past keys and values are inputs and outputs.
    """

    kind: str
    head: str
    settings: Settings
    feed: Feed
    outputs: tuple[str, ...] = ("logits",)
    cached: bool = False
    past: bool = False


def decoder(kind: str, head: str, settings: Settings) -> Small:
    """Return a causal language model without a cache."""
    return Small(kind, head, settings, tokens, cached=True)


def seq2seq(kind: str, head: str, settings: Settings = SEQUENCES) -> Small:
    """Return an encoder and a decoder, without a cache."""
    return Small(kind, head, settings, two_sequences, cached=True)


def vision(kind: str, head: str, settings: Settings = VISION) -> Small:
    """Return a model of images."""
    return Small(kind, head, settings, pixels)


MOBILEVIT = {
    "image_size": IMAGE,
    "hidden_sizes": [64, 80, 96],
    "neck_hidden_sizes": [16, 24, 32, 48, 64, 80, 160],
}
STAGES: Settings = {"image_size": IMAGE, "depths": [1, 1, 1, 1]}
PYRAMID: Settings = {**STAGES, "hidden_sizes": [32, 64, 96, 128]}
WINDOWS: Settings = {
    **STAGES,
    "patch_size": 4,
    "embed_dim": 32,
    "depths": [2, 2],
    "num_heads": [2, 4],
    "window_size": 4,
}
FOUR_STAGES: Settings = {
    "depths": [1, 1, 1, 1],
    "num_heads": [1, 2, 4, 8],
    "out_features": ["stage1", "stage2", "stage3", "stage4"],
}
DETECTOR: Settings = {
    "d_model": 64,
    "encoder_layers": 2,
    "decoder_layers": 2,
    "encoder_attention_heads": 4,
    "decoder_attention_heads": 4,
    "encoder_ffn_dim": 128,
    "decoder_ffn_dim": 128,
    "num_queries": 20,
    "use_timm_backbone": False,
    "backbone_config": {
        "model_type": "resnet",
        "embedding_size": 32,
        "hidden_sizes": [64, 64, 128, 128],
        "depths": [1, 1, 1, 1],
        "out_features": ["stage2", "stage3", "stage4"],
    },
    "use_pretrained_backbone": False,
    "num_labels": 11,
}
REAL_TIME: Settings = {
    **{k: v for k, v in DETECTOR.items() if k != "backbone_config"},
    "encoder_hidden_dim": 64,
    "encoder_in_channels": [512, 1024, 2048],
    "decoder_in_channels": [64, 64, 64],
    "num_feature_levels": 3,
    "encoder_layers": 1,
}
BOXES = ("logits", "pred_boxes")

MODELS: dict[str, Small] = {
    "bert": Small("bert", "BertForSequenceClassification", TEXT, tokens),
    "bert_mlm": Small("bert", "BertForMaskedLM", TEXT, tokens),
    "bert_qa": Small(
        "bert", "BertForQuestionAnswering", TEXT, tokens, ("start_logits", "end_logits")
    ),
    "roberta": Small("roberta", "RobertaForTokenClassification", TEXT, tokens),
    "xlm_roberta": Small("xlm-roberta", "XLMRobertaForSequenceClassification", TEXT, tokens),
    "distilbert": Small(
        "distilbert",
        "DistilBertForSequenceClassification",
        {"vocab_size": VOCABULARY, "dim": 128, "n_layers": 2, "n_heads": 4, "hidden_dim": 256},
        tokens,
    ),
    "deberta": Small(
        "deberta",
        "DebertaForSequenceClassification",
        {**TEXT, "relative_attention": True, "pos_att_type": "c2p|p2c", "type_vocab_size": 0},
        tokens,
    ),
    "deberta_v2": Small(
        "deberta-v2",
        "DebertaV2ForSequenceClassification",
        {
            **TEXT,
            "relative_attention": True,
            "position_buckets": 16,
            "pos_att_type": "p2c|c2p",
            "share_att_key": True,
            "norm_rel_ebd": "layer_norm",
            "type_vocab_size": 0,
        },
        tokens,
    ),
    "albert": Small(
        "albert", "AlbertForSequenceClassification", {**TEXT, "embedding_size": 64}, tokens
    ),
    "electra": Small(
        "electra", "ElectraForSequenceClassification", {**TEXT, "embedding_size": 64}, tokens
    ),
    "mpnet": Small("mpnet", "MPNetForSequenceClassification", TEXT, tokens),
    "camembert": Small("camembert", "CamembertForMaskedLM", TEXT, tokens),
    "convbert": Small(
        "convbert", "ConvBertForSequenceClassification", {**TEXT, "embedding_size": 64}, tokens
    ),
    "squeezebert": Small(
        "squeezebert",
        "SqueezeBertForSequenceClassification",
        {**TEXT, "embedding_size": 128},
        tokens,
    ),
    "mobilebert": Small(
        "mobilebert",
        "MobileBertForSequenceClassification",
        {**TEXT, "embedding_size": 32, "intra_bottleneck_size": 64, "true_hidden_size": 64},
        tokens,
    ),
    "funnel": Small(
        "funnel",
        "FunnelForSequenceClassification",
        {
            "vocab_size": VOCABULARY,
            "block_sizes": [1, 1],
            "d_model": 128,
            "n_head": 4,
            "d_head": 32,
            "d_inner": 256,
        },
        tokens,
    ),
    "modernbert": Small(
        "modernbert",
        "ModernBertForSequenceClassification",
        {**TEXT, "cls_token_id": 1, "sep_token_id": 2},
        tokens,
    ),
    "fnet": Small("fnet", "FNetForSequenceClassification", TEXT, full_tokens),
    "roformer": Small("roformer", "RoFormerForSequenceClassification", TEXT, tokens),
    "longformer": Small(
        "longformer",
        "LongformerForSequenceClassification",
        {**TEXT, "attention_window": 8, "sep_token_id": 2},
        tokens,
    ),
    "big_bird": Small(
        "big_bird",
        "BigBirdForSequenceClassification",
        {**TEXT, "attention_type": "original_full", "sep_token_id": 2},
        tokens,
    ),
    "gpt2": decoder(
        "gpt2",
        "GPT2LMHeadModel",
        {"vocab_size": VOCABULARY, "n_embd": 128, "n_layer": 2, "n_head": 4, "n_positions": 64},
    ),
    "gpt_neo": decoder(
        "gpt_neo",
        "GPTNeoForCausalLM",
        {
            "vocab_size": VOCABULARY,
            "hidden_size": 128,
            "num_layers": 2,
            "num_heads": 4,
            "attention_types": [[["global", "local"], 1]],
            "max_position_embeddings": 64,
        },
    ),
    "gptj": decoder(
        "gptj",
        "GPTJForCausalLM",
        {
            "vocab_size": VOCABULARY,
            "n_embd": 128,
            "n_layer": 2,
            "n_head": 4,
            "n_positions": 64,
            "rotary_dim": 16,
        },
    ),
    "gpt_neox": decoder("gpt_neox", "GPTNeoXForCausalLM", TEXT),
    "opt": decoder(
        "opt",
        "OPTForCausalLM",
        {**TEXT, "ffn_dim": 256, "word_embed_proj_dim": 128},
    ),
    "bloom": decoder(
        "bloom",
        "BloomForCausalLM",
        {"vocab_size": VOCABULARY, "hidden_size": 128, "n_layer": 2, "n_head": 4},
    ),
    "mpt": decoder(
        "mpt",
        "MptForCausalLM",
        {"vocab_size": VOCABULARY, "d_model": 128, "n_layers": 2, "n_heads": 4, "max_seq_len": 64},
    ),
    "codegen": decoder(
        "codegen",
        "CodeGenForCausalLM",
        {
            "vocab_size": VOCABULARY,
            "n_embd": 128,
            "n_layer": 2,
            "n_head": 4,
            "n_positions": 64,
            "n_ctx": 64,
            "rotary_dim": 16,
        },
    ),
    "llama": decoder("llama", "LlamaForCausalLM", GROUPED),
    "mistral": decoder("mistral", "MistralForCausalLM", {**GROUPED, "sliding_window": 8}),
    "qwen2": decoder("qwen2", "Qwen2ForCausalLM", GROUPED),
    "qwen3": decoder("qwen3", "Qwen3ForCausalLM", HEADED),
    "gemma": decoder("gemma", "GemmaForCausalLM", HEADED),
    "gemma2": decoder("gemma2", "Gemma2ForCausalLM", {**HEADED, "sliding_window": 8}),
    "gemma3": decoder("gemma3_text", "Gemma3ForCausalLM", {**HEADED, "sliding_window": 8}),
    "phi": decoder("phi", "PhiForCausalLM", TEXT),
    "phi3": decoder("phi3", "Phi3ForCausalLM", GROUPED),
    "falcon": decoder("falcon", "FalconForCausalLM", TEXT),
    "falcon_new": decoder(
        "falcon",
        "FalconForCausalLM",
        {**TEXT, "new_decoder_architecture": True, "num_kv_heads": 2},
    ),
    "stablelm": decoder("stablelm", "StableLmForCausalLM", GROUPED),
    "starcoder2": decoder("starcoder2", "Starcoder2ForCausalLM", GROUPED),
    "gpt_bigcode": decoder(
        "gpt_bigcode",
        "GPTBigCodeForCausalLM",
        {"vocab_size": VOCABULARY, "n_embd": 128, "n_layer": 2, "n_head": 4, "n_positions": 64},
    ),
    "cohere": decoder("cohere", "CohereForCausalLM", GROUPED),
    "olmo": decoder("olmo", "OlmoForCausalLM", GROUPED),
    "olmo2": decoder("olmo2", "Olmo2ForCausalLM", GROUPED),
    "granite": decoder("granite", "GraniteForCausalLM", GROUPED),
    "glm": decoder("glm", "GlmForCausalLM", HEADED),
    "smollm3": decoder("smollm3", "SmolLM3ForCausalLM", GROUPED),
    "nemotron": decoder("nemotron", "NemotronForCausalLM", HEADED),
    "mamba": Small(
        "mamba",
        "MambaForCausalLM",
        {"vocab_size": VOCABULARY, "hidden_size": 64, "num_hidden_layers": 2, "state_size": 8},
        full_tokens,
        cached=True,
    ),
    "mamba2": Small(
        "mamba2",
        "Mamba2ForCausalLM",
        {
            "vocab_size": VOCABULARY,
            "hidden_size": 64,
            "num_hidden_layers": 2,
            "state_size": 16,
            "num_heads": 8,
            "head_dim": 16,
            "n_groups": 2,
            "chunk_size": 8,
        },
        full_tokens,
        cached=True,
    ),
    "rwkv": Small(
        "rwkv",
        "RwkvForCausalLM",
        {
            "vocab_size": VOCABULARY,
            "hidden_size": 64,
            "attention_hidden_size": 64,
            "num_hidden_layers": 2,
            "context_length": 32,
        },
        full_tokens,
        cached=True,
    ),
    "mixtral": decoder("mixtral", "MixtralForCausalLM", {**GROUPED, "num_local_experts": 4}),
    "qwen2_moe": decoder(
        "qwen2_moe",
        "Qwen2MoeForCausalLM",
        {**GROUPED, **EXPERTS, "num_experts": 4, "shared_expert_intermediate_size": 128},
    ),
    "qwen3_moe": decoder(
        "qwen3_moe", "Qwen3MoeForCausalLM", {**HEADED, **EXPERTS, "num_experts": 4}
    ),
    "olmoe": decoder("olmoe", "OlmoeForCausalLM", {**GROUPED, **EXPERTS, "num_experts": 4}),
    "deepseek_v3": decoder(
        "deepseek_v3",
        "DeepseekV3ForCausalLM",
        {
            **TEXT,
            **EXPERTS,
            "num_key_value_heads": 4,
            "n_routed_experts": 4,
            "n_group": 2,
            "topk_group": 1,
            "first_k_dense_replace": 1,
            "q_lora_rank": 32,
            "kv_lora_rank": 32,
            "qk_rope_head_dim": 16,
            "qk_nope_head_dim": 32,
            "v_head_dim": 32,
        },
    ),
    "gpt_oss": decoder(
        "gpt_oss",
        "GptOssForCausalLM",
        {**HEADED, "num_local_experts": 4, "num_experts_per_tok": 2, "sliding_window": 8},
    ),
    "t5": seq2seq(
        "t5",
        "T5ForConditionalGeneration",
        {
            "vocab_size": VOCABULARY,
            "d_model": 128,
            "d_kv": 32,
            "d_ff": 256,
            "num_layers": 2,
            "num_heads": 4,
            "decoder_start_token_id": 0,
        },
    ),
    "flan_t5": seq2seq(
        "t5",
        "T5ForConditionalGeneration",
        {
            "vocab_size": VOCABULARY,
            "d_model": 128,
            "d_kv": 32,
            "d_ff": 256,
            "num_layers": 2,
            "num_heads": 4,
            "decoder_start_token_id": 0,
            "feed_forward_proj": "gated-gelu",
            "tie_word_embeddings": False,
        },
    ),
    "bart": seq2seq("bart", "BartForConditionalGeneration"),
    "mbart": seq2seq("mbart", "MBartForConditionalGeneration"),
    "pegasus": seq2seq("pegasus", "PegasusForConditionalGeneration"),
    "marian": seq2seq("marian", "MarianMTModel"),
    "m2m_100": seq2seq("m2m_100", "M2M100ForConditionalGeneration"),
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
    "vit": vision("vit", "ViTForImageClassification"),
    "deit": vision("deit", "DeiTForImageClassification"),
    "beit": vision(
        "beit",
        "BeitForImageClassification",
        {**VISION, "use_relative_position_bias": True, "layer_scale_init_value": 0.1},
    ),
    "data2vec_vision": vision("data2vec-vision", "Data2VecVisionForImageClassification"),
    "vit_msn": vision("vit_msn", "ViTMSNForImageClassification"),
    "dinov2": vision("dinov2", "Dinov2ForImageClassification", {**VISION, "mlp_ratio": 2}),
    "dinov2_swiglu": vision(
        "dinov2",
        "Dinov2ForImageClassification",
        {**VISION, "mlp_ratio": 2, "use_swiglu_ffn": True},
    ),
    "dinov2_registers": vision(
        "dinov2_with_registers",
        "Dinov2WithRegistersForImageClassification",
        {**VISION, "mlp_ratio": 2},
    ),
    "ijepa": vision("ijepa", "IJepaForImageClassification"),
    "swin": vision("swin", "SwinForImageClassification", WINDOWS),
    "swinv2": vision("swinv2", "Swinv2ForImageClassification", WINDOWS),
    "swin2sr": Small(
        "swin2sr",
        "Swin2SRForImageSuperResolution",
        {**WINDOWS, "patch_size": 1, "depths": [1, 1], "image_size": 16, "upscale": 2},
        lambda generator: {"pixel_values": torch.randn(1, 3, 16, 16, generator=generator)},
        ("reconstruction",),
    ),
    "convnext": vision("convnext", "ConvNextForImageClassification", PYRAMID),
    "convnextv2": vision("convnextv2", "ConvNextV2ForImageClassification", PYRAMID),
    "poolformer": vision(
        "poolformer",
        "PoolFormerForImageClassification",
        {"hidden_sizes": [32, 64, 96, 128], "depths": [1, 1, 1, 1]},
    ),
    "resnet": vision(
        "resnet",
        "ResNetForImageClassification",
        {"embedding_size": 32, "hidden_sizes": [64, 128, 128, 256], "depths": [1, 1, 1, 1]},
    ),
    "regnet": vision(
        "regnet",
        "RegNetForImageClassification",
        {
            "embedding_size": 32,
            "hidden_sizes": [64, 128, 128, 256],
            "depths": [1, 1, 1, 1],
            "groups_width": 16,
        },
    ),
    "mobilenet_v2": vision(
        "mobilenet_v2", "MobileNetV2ForImageClassification", {"depth_multiplier": 0.35}
    ),
    "efficientnet": vision(
        "efficientnet",
        "EfficientNetForImageClassification",
        {
            "image_size": IMAGE,
            "width_coefficient": 0.5,
            "depth_coefficient": 0.5,
            "hidden_dim": 640,
        },
    ),
    "levit": vision(
        "levit",
        "LevitForImageClassification",
        {
            "image_size": IMAGE,
            "hidden_sizes": [64, 96, 128],
            "num_attention_heads": [2, 3, 4],
            "depths": [1, 1, 1],
            "key_dim": [16, 16, 16],
        },
    ),
    "cvt": vision(
        "cvt",
        "CvtForImageClassification",
        {"embed_dim": [32, 64, 96], "num_heads": [1, 2, 3], "depth": [1, 1, 2]},
    ),
    "pvt": vision(
        "pvt",
        "PvtForImageClassification",
        {**STAGES, "hidden_sizes": [32, 64, 96, 128], "num_attention_heads": [1, 2, 3, 4]},
    ),
    "pvt_v2": vision(
        "pvt_v2",
        "PvtV2ForImageClassification",
        {**STAGES, "hidden_sizes": [32, 64, 96, 128], "num_attention_heads": [1, 2, 3, 4]},
    ),
    "focalnet": vision(
        "focalnet",
        "FocalNetForImageClassification",
        {"image_size": IMAGE, "embed_dim": 32, "depths": [1, 1, 1], "hidden_sizes": [32, 64, 128]},
    ),
    "mobilevit": vision(
        "mobilevit",
        "MobileViTForImageClassification",
        MOBILEVIT,
    ),
    "mobilevitv2": vision(
        "mobilevitv2",
        "MobileViTV2ForImageClassification",
        {"image_size": IMAGE, "width_multiplier": 0.5},
    ),
    "hiera": vision(
        "hiera",
        "HieraForImageClassification",
        {
            "image_size": [64, 64],
            "embed_dim": 32,
            "depths": [1, 1, 2, 1],
            "num_heads": [1, 2, 4, 8],
        },
    ),
    "swiftformer": vision(
        "swiftformer",
        "SwiftFormerForImageClassification",
        {"image_size": IMAGE, "depths": [1, 1, 1, 1], "embed_dims": [32, 48, 64, 96]},
    ),
    "vit_mae": Small(
        "vit_mae",
        "ViTMAEForPreTraining",
        {
            **VISION,
            "decoder_hidden_size": 64,
            "decoder_num_attention_heads": 4,
            "decoder_num_hidden_layers": 1,
            "decoder_intermediate_size": 128,
        },
        lambda generator: {
            **pixels(generator),
            "noise": torch.rand(1, (IMAGE // 16) ** 2, generator=generator),
        },
    ),
    "segformer": vision(
        "segformer",
        "SegformerForSemanticSegmentation",
        {"depths": [1, 1, 1, 1], "hidden_sizes": [32, 64, 80, 128], "decoder_hidden_size": 64},
    ),
    "mobilevit_seg": vision(
        "mobilevit",
        "MobileViTForSemanticSegmentation",
        MOBILEVIT,
    ),
    "dpt": Small(
        "dpt",
        "DPTForDepthEstimation",
        {
            **VISION,
            "num_hidden_layers": 4,
            "backbone_out_indices": [0, 1, 2, 3],
            "neck_hidden_sizes": [32, 48, 64, 64],
            "fusion_hidden_size": 64,
        },
        pixels,
        ("predicted_depth",),
    ),
    "glpn": Small(
        "glpn",
        "GLPNForDepthEstimation",
        {"depths": [1, 1, 1, 1], "hidden_sizes": [32, 64, 80, 128], "decoder_hidden_size": 64},
        pixels,
        ("predicted_depth",),
    ),
    "yolos": Small(
        "yolos",
        "YolosForObjectDetection",
        {**VISION, "image_size": [IMAGE, IMAGE], "num_detection_tokens": 20},
        pixels,
        BOXES,
    ),
    "detr": Small("detr", "DetrForObjectDetection", DETECTOR, pixels, BOXES),
    "conditional_detr": Small(
        "conditional_detr", "ConditionalDetrForObjectDetection", DETECTOR, pixels, BOXES
    ),
    "table_transformer": Small(
        "table-transformer", "TableTransformerForObjectDetection", DETECTOR, pixels, BOXES
    ),
    "deformable_detr": Small(
        "deformable_detr", "DeformableDetrForObjectDetection", DETECTOR, pixels, BOXES
    ),
    "rt_detr": Small(
        "rt_detr",
        "RTDetrForObjectDetection",
        {
            **REAL_TIME,
        },
        pixels,
        BOXES,
    ),
    "d_fine": Small(
        "d_fine",
        "DFineForObjectDetection",
        {
            **REAL_TIME,
        },
        pixels,
        BOXES,
    ),
    "maskformer": Small(
        "maskformer",
        "MaskFormerForInstanceSegmentation",
        {
            "fpn_feature_size": 64,
            "mask_feature_size": 64,
            "backbone_config": {"model_type": "swin", **WINDOWS, **FOUR_STAGES},
            "decoder_config": {"model_type": "detr", **DETECTOR},
        },
        pixels,
        ("class_queries_logits", "masks_queries_logits"),
    ),
    "mask2former": Small(
        "mask2former",
        "Mask2FormerForUniversalSegmentation",
        {
            "feature_size": 64,
            "mask_feature_size": 64,
            "hidden_dim": 64,
            "encoder_layers": 1,
            "decoder_layers": 2,
            "num_attention_heads": 4,
            "dim_feedforward": 128,
            "num_queries": 10,
            "backbone_config": {"model_type": "swin", **WINDOWS, **FOUR_STAGES},
        },
        pixels,
        ("class_queries_logits", "masks_queries_logits"),
    ),
    "clip": Small(
        "clip", "CLIPModel", TOWERS, pixels_and_tokens, ("logits_per_image", "logits_per_text")
    ),
    "siglip": Small(
        "siglip",
        "SiglipModel",
        TOWERS,
        lambda generator: {**full_tokens(generator), **pixels(generator)},
        ("logits_per_image",),
    ),
    "chinese_clip": Small(
        "chinese_clip", "ChineseCLIPModel", TOWERS, pixels_and_tokens, ("logits_per_image",)
    ),
    "clipseg": Small(
        "clipseg",
        "CLIPSegForImageSegmentation",
        {**TOWERS, "extract_layers": [0, 1], "reduce_dim": 32, "decoder_num_attention_heads": 4},
        lambda generator: {
            "input_ids": full_tokens(generator)["input_ids"][:1],
            **pixels(generator),
        },
    ),
    "owlvit": Small(
        "owlvit",
        "OwlViTForObjectDetection",
        WIDE_TOWERS,
        pixels_and_tokens,
        ("logits", "pred_boxes"),
    ),
    "blip": Small(
        "blip",
        "BlipForImageTextRetrieval",
        {
            "text_config": {**TEXT, "encoder_hidden_size": 128},
            "vision_config": dict(VISION),
            "projection_dim": 64,
            "image_text_hidden_size": 64,
        },
        lambda generator: {
            **{k: v[:1] for k, v in tokens(generator).items()},
            **pixels(generator),
        },
        ("itm_score",),
    ),
    "vilt": Small(
        "vilt",
        "ViltForQuestionAnswering",
        {**TEXT, **VISION},
        lambda g: {
            **{k: v[:1] for k, v in tokens(g).items()},
            **pixels(g),
        },
    ),
    "sam_vision": Small(
        "sam_vision_model",
        "SamVisionModel",
        {
            **VISION,
            "output_channels": 32,
            "mlp_dim": 256,
            "window_size": 2,
            "global_attn_indexes": [1],
        },
        pixels,
        ("last_hidden_state",),
    ),
    "sam": Small(
        "sam",
        "SamModel",
        {
            "vision_config": {
                **VISION,
                "output_channels": 32,
                "mlp_dim": 256,
                "window_size": 2,
                "global_attn_indexes": [1],
                "num_pos_feats": 16,
            },
            "prompt_encoder_config": {
                "hidden_size": 32,
                "image_size": IMAGE,
                "patch_size": 16,
                "mask_input_channels": 16,
            },
            "mask_decoder_config": {
                "hidden_size": 32,
                "mlp_dim": 64,
                "num_attention_heads": 4,
                "iou_head_hidden_dim": 32,
            },
        },
        lambda generator: {
            **pixels(generator),
            "input_points": IMAGE * torch.rand(1, 1, 2, 2, generator=generator),
            "input_labels": torch.ones(1, 1, 2, dtype=torch.int64),
        },
        ("iou_scores", "pred_masks"),
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
PAST_MODELS: dict[str, Small] = {
    f"{name}_past": Small(
        MODELS[name].kind, MODELS[name].head, MODELS[name].settings, tokens, past=True
    )
    for name in ("gpt2", "llama", "qwen2", "qwen3", "gpt_neox", "phi3", "opt")
}
ALL_MODELS = {**MODELS, **PAST_MODELS}
OPEN = (
    *("bert", "roberta", "distilbert", "deberta_v2", "electra", "mpnet", "modernbert"),
    *("gpt2", "gpt_neox", "opt", "bloom", "llama", "mistral", "qwen3", "gemma2", "phi3", "falcon"),
    *("t5", "bart", "wav2vec2", "vit", "swin", "convnext", "clip", "mamba", "mixtral"),
    *PAST_MODELS,
)
"""Families that are also exported with open batch and sequence axes."""
DYNAMO = (
    *("bert", "deberta_v2", "gpt2", "llama", "qwen3", "gemma2", "phi", "falcon", "t5", "bart"),
    *("whisper", "wav2vec2", "vit", "swin", "clip", "detr", "segformer", "mamba", "mixtral"),
    *("convnextv2", "hiera", "gpt_oss", "mobilevit", "vits", "qwen2_moe", "olmoe", "encodec"),
    *("deepseek_v3", "qwen3_moe", "mamba2", "rwkv", "modernbert", "bloom", "sam"),
)
"""Families that are also exported with the dynamo exporter."""


class PastAndLogits(nn.Module):
    """A decoder whose keys and values go in and come out as plain tensors."""

    def __init__(self, model: nn.Module) -> None:
        """Keep the model."""
        super().__init__()
        self.model = model

    def forward(self, input_ids: Tensor, attention_mask: Tensor, *past: Tensor) -> list[Tensor]:
        """Return the logits and, layer by layer, keys and values ``(B, heads, past + n, d)``."""
        from transformers import DynamicCache

        cache = DynamicCache(list(zip(past[::2], past[1::2], strict=True)))
        answer = self.model(
            input_ids=input_ids,
            attention_mask=attention_mask,
            past_key_values=cache,
            use_cache=True,
        )
        layers = answer.past_key_values.layers
        return [answer.logits, *(t for layer in layers for t in (layer.keys, layer.values))]


def past_of(model: Any, generator: torch.Generator) -> dict[str, Tensor]:
    """Return keys and values of ``PAST`` tokens for every layer, shape ``(B, heads, PAST, d)``."""
    config = model.config
    heads = getattr(config, "num_key_value_heads", None) or config.num_attention_heads
    width = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    return {
        f"past_{kind}_{layer}": torch.randn(BATCH, heads, PAST, width, generator=generator)
        for layer in range(config.num_hidden_layers)
        for kind in ("key", "value")
    }


def model_of(small: Small) -> Any:
    """Return the model, with attention written out, which every exporter can follow."""
    import transformers

    config = transformers.AutoConfig.for_model(small.kind, **small.settings)
    head = getattr(transformers, small.head)
    try:
        return head._from_config(config, attn_implementation="eager")
    except ValueError:
        return head(config)


def build(job: Job) -> Subject:
    """Return a model with stirred weights and its inputs."""
    small = ALL_MODELS[job.name]
    generator = torch.Generator().manual_seed(job.seed)
    model = model_of(small)
    stir(model, generator)
    inputs = small.feed(generator)
    if not small.past:
        return Subject(
            model,
            inputs,
            OPEN_AXES,
            small.outputs,
            {"use_cache": False} if small.cached else {},
        )
    past = past_of(model, generator)
    kept = torch.ones(BATCH, PAST, dtype=torch.int64)
    mask = torch.cat([kept, inputs["attention_mask"]], dim=1)
    return Subject(
        PastAndLogits(model),
        {"input_ids": inputs["input_ids"], "attention_mask": mask, **past},
        {
            "input_ids": {0: "batch", 1: "sequence"},
            "attention_mask": {0: "batch", 1: "total"},
            **{name: {0: "batch", 2: "past"} for name in past},
        },
        positional=True,
    )


def jobs(names: tuple[str, ...], out: Path, seed: int) -> Iterator[Job]:
    """Yield every family's plain export first, then the variants of some."""
    for name in names:
        yield Job(name, "legacy", False, out / f"{name}.onnx", seed)
    for name in names:
        if name in OPEN:
            yield Job(name, "legacy", True, out / f"{name}.open.onnx", seed)
    for name in names:
        if name in DYNAMO:
            yield Job(name, "dynamo", False, out / f"{name}.dynamo.onnx", seed)
    for name in names:
        if name in DYNAMO and name in OPEN:
            yield Job(name, "dynamo", True, out / f"{name}.dynamo.open.onnx", seed)


@click.command()
@click.argument("out", type=click.Path(file_okay=False, path_type=Path))
@click.option(
    "--model", "names", multiple=True, type=click.Choice([*ALL_MODELS]), help="Without it, all."
)
@click.option("--timeout", default=120.0, show_default=True, help="Seconds for one model.")
@click.option("--again", is_flag=True, help="Try what failed in an earlier run once more.")
@click.option("--seed", default=0, show_default=True)
def main(out: Path, names: tuple[str, ...], timeout: float, again: bool, seed: int) -> None:
    """Export small transformers models into OUT."""
    warnings.simplefilter("ignore")
    chosen = names or tuple(ALL_MODELS)
    outcomes = run_all(jobs(chosen, out, seed), build, timeout, again)
    failed = {Path(outcome.path).stem for outcome in outcomes if outcome.failure}
    instead = [
        Job(name, "dynamo", False, out / f"{name}.dynamo.onnx", seed)
        for name in chosen
        if name in failed and name not in DYNAMO
    ]
    summarise([*outcomes, *run_all(instead, build, timeout, again)])


if __name__ == "__main__":
    main()
