"""Encoders of text."""

from tiny_transformers.feeds import VOCABULARY, full_tokens, tokens
from tiny_transformers.small import TEXT, Small

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
}
