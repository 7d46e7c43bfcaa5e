"""Causal language models."""

from tiny_transformers.feeds import VOCABULARY
from tiny_transformers.small import GROUPED, HEADED, TEXT, Small, decoder

MODELS: dict[str, Small] = {
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
}
