"""Encoders with decoders."""

from tiny_transformers.feeds import VOCABULARY
from tiny_transformers.small import Small, seq2seq

MODELS: dict[str, Small] = {
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
}
