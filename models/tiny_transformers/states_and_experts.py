"""Language models with recurrent states, and mixtures of experts."""

from tiny_transformers.feeds import VOCABULARY, full_tokens
from tiny_transformers.small import GROUPED, HEADED, TEXT, Settings, Small, decoder

EXPERTS: Settings = {"num_experts_per_tok": 2, "moe_intermediate_size": 64}


MODELS: dict[str, Small] = {
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
}
