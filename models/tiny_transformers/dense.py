"""Boxes, masks and depths in images."""

import torch

from tiny_transformers.classifiers import MOBILEVIT, WINDOWS
from tiny_transformers.feeds import IMAGE, pixels
from tiny_transformers.small import BOXES, VISION, Settings, Small, vision

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


MODELS: dict[str, Small] = {
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
}
