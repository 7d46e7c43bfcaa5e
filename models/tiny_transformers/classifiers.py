"""Classifiers of images."""

import torch

from tiny_transformers.feeds import IMAGE, pixels
from tiny_transformers.small import VISION, Settings, Small, vision

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


MODELS: dict[str, Small] = {
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
        {"embed_dim": [32, 64, 96], "num_heads": [1, 2, 3], "depth": [1, 2, 3]},
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
}
