"""Tiny random models of every decoder family that chains are known to run on."""

import copy
from collections.abc import Sequence
from typing import Any

import torch
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedModel

from cola_search.model.caches import cache_name
from cola_search.model.surgery import find_layers, per_layer_values

SIZES: dict[str, Any] = {
    "vocab_size": 99,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 4,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 8,
    "max_position_embeddings": 64,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "initializer_range": 0.2,
}
_EXPERTS = {"num_experts": 4, "num_local_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 24}
_SHARED_EXPERT = {**_EXPERTS, "shared_expert_intermediate_size": 24}
_LINEAR = {"linear_num_value_heads": 4, "linear_num_key_heads": 2, "linear_key_head_dim": 8, "linear_value_head_dim": 8}
_LATENT = {
    "n_routed_experts": 4,
    "num_experts_per_tok": 2,
    "moe_intermediate_size": 24,
    "n_group": 2,
    "topk_group": 1,
    "first_k_dense_replace": 0,
    "q_lora_rank": 16,
    "kv_lora_rank": 16,
    "qk_rope_head_dim": 8,
    "qk_nope_head_dim": 8,
    "v_head_dim": 8,
    "num_key_value_heads": 4,
}
_MAMBA = {"mamba_d_ssm": 32, "mamba_n_heads": 4, "mamba_d_head": 8, "mamba_n_groups": 1, "mamba_d_state": 8}
_WINDOW = {"sliding_window": 4}

FAMILIES: dict[str, dict[str, Any]] = {
    "apertus": {},
    "arcee": {},
    "bitnet": {},
    "bloom": {},
    "cohere": {},
    "cohere2": _WINDOW,
    "deepseek_v2": _LATENT,
    "deepseek_v3": _LATENT,
    "ernie4_5": {},
    "exaone4": _WINDOW,
    "falcon_h1": {**_MAMBA, "mamba_chunk_size": 4},
    "gemma": {},
    "gemma2": _WINDOW,
    "gemma3_text": _WINDOW,
    "glm": {},
    "glm4": {},
    "gpt2": {},
    "gpt_neo": {"attention_types": [[["global", "local"], 2]], "window_size": 4},
    "gpt_neox": {},
    "gpt_oss": {**_EXPERTS, **_WINDOW},
    "gptj": {"rotary_dim": 4},
    "granite": {},
    "granitemoe": _EXPERTS,
    "hunyuan_v1_dense": {},
    "lfm2": {},
    "llama": {},
    "llama4_text": {**_EXPERTS, "intermediate_size_mlp": 48, "attention_chunk_size": 4},
    "ministral": {},
    "mistral": _WINDOW,
    "mixtral": _EXPERTS,
    "mpt": {},
    "nemotron": {},
    "olmo": {},
    "olmo2": {},
    "olmo3": _WINDOW,
    "olmoe": {"num_experts": 4, "num_experts_per_tok": 2},
    "opt": {"ffn_dim": 48, "word_embed_proj_dim": 32},
    "phi": {},
    "phi3": {},
    "qwen2": {},
    "qwen2_moe": _SHARED_EXPERT,
    "qwen3": {},
    "qwen3_5_text": _LINEAR,
    "qwen3_moe": _EXPERTS,
    "qwen3_next": {**_SHARED_EXPERT, **_LINEAR},
    "smollm3": {},
    "stablelm": {},
    "starcoder2": {},
}


def tiny(family: str, **overrides: Any) -> PreTrainedModel:
    """A random float32 model of the family, in eval mode, with biases and norms off their initial zeros and ones."""
    torch.manual_seed(0)
    sizes = {**SIZES, **FAMILIES.get(family, {}), **overrides}
    model = AutoModelForCausalLM.from_config(AutoConfig.for_model(family, **sizes), dtype=torch.float32).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() < 2:
                parameter.add_(torch.randn_like(parameter) * 0.05)
    return model


def tiny_with_images() -> PreTrainedModel:
    """A random Gemma 3 that sees: the configuration of its layers lies within one that says nothing of them."""
    torch.manual_seed(0)
    seen = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4}
    images = {"mm_tokens_per_image": 4, "vision_config": {**seen, "image_size": 28, "patch_size": 14}}
    config = AutoConfig.for_model("gemma3", text_config={**SIZES, "sliding_window": 4}, **images)
    return AutoModelForCausalLM.from_config(config, dtype=torch.float32).eval()


def unrolled(model: PreTrainedModel, chain: Sequence[int]) -> PreTrainedModel:
    """A separate model with a layer of its own for every position, built from its config like any checkpoint."""
    path, layers = find_layers(model)
    config = copy.deepcopy(model.config)
    for name, value in per_layer_values(config, chain, len(layers)).items():
        setattr(config, name, value)
    other = AutoModelForCausalLM.from_config(type(config).from_dict(config.to_dict()), dtype=torch.float32).eval()
    tensors = {name: tensor for name, tensor in model.state_dict().items() if not name.startswith(path)}
    for position, layer in enumerate(chain):
        for name, tensor in layers[layer].state_dict().items():
            tensors[f"{path}.{position}.{name}"] = tensor
    other.load_state_dict(tensors)
    return other


def cached_logits(model: PreTrainedModel, tokens: torch.Tensor, prefix: int = 3) -> torch.Tensor:
    """Logits [B, T, V] by decoding one token at a time after a prefix, with the model's own cache."""
    name = cache_name(model) or ""
    out = model(tokens[:, :prefix], use_cache=True)
    steps = [out.logits]
    for position in range(prefix, tokens.shape[1]):
        out = model(tokens[:, position : position + 1], use_cache=True, **{name: getattr(out, name)})
        steps.append(out.logits)
    return torch.cat(steps, dim=1)
