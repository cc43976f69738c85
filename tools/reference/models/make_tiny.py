"""Writes one tiny random model a family, by seed, with the logits that `transformers` computes for it.

For each family: a folder with config.json, safetensors, a GGUF of the same weights (written here, with llama.cpp's
names, row order and keys), and reference.safetensors, which holds a prompt and its float32 logits. All weights are
rounded to bfloat16 first, so every file holds exactly the same values whatever type it stores.

    python make_tiny.py OUTPUT_FOLDER        # needs torch, transformers, safetensors, gguf, numpy, tokenizers from PyPI

The committed fixtures were made with torch 2.15.0, transformers 5.24.0, gguf 0.19.0, tokenizers 0.23.3, numpy 2.4.6.
"""

import argparse
import json
import pathlib

import gguf
import numpy
import tokenizers
import torch
import transformers
from safetensors.torch import save_file

import vocabulary

PROMPT_TOKENS = 40

# Sizes are shared unless a family says otherwise.
COMMON = {
    "hidden_size": 64,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "vocab_size": 96,
    "max_position_embeddings": 256,
    "rms_norm_eps": 1e-5,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "pad_token_id": None,
}

# `style` old: config.json as transformers 4 wrote it (rope_theta, rope_scaling); new: as the installed version does.
# `store`: the type of the matrices in (safetensors, GGUF).
MODELS = {
    "llama2": {
        "class": "Llama",
        "style": "new",
        "store": ("F16", "F16"),
        "vocabulary": "llama",
        "config": {
            "num_key_value_heads": 2,
            "rope_theta": 10000.0,
            "tie_word_embeddings": False,
            "vocab_size": 288,
            "hidden_act": "silu",
        },
    },
    "llama3": {
        "class": "Llama",
        "style": "old",
        "store": ("BF16", "BF16"),
        "config": {
            "num_attention_heads": 4,
            "num_key_value_heads": 2,
            "head_dim": 32,
            "rope_theta": 500000.0,
            "rope_scaling": {
                "rope_type": "llama3",
                "factor": 8.0,
                "low_freq_factor": 1.0,
                "high_freq_factor": 4.0,
                "original_max_position_embeddings": 64,
            },
            "tie_word_embeddings": False,
            "hidden_act": "silu",
        },
    },
    "mistral": {
        "class": "Mistral",
        "style": "new",
        "store": ("BF16", "F32"),
        "config": {
            "head_dim": 32,
            "rope_theta": 10000.0,
            "sliding_window": 12,
            "tie_word_embeddings": False,
            "hidden_act": "silu",
        },
    },
    "smollm2": {
        "class": "Llama",
        "style": "old",
        "store": ("BF16", "BF16"),
        "shards": 2,
        "vocabulary": "smollm",
        "quantised": ["Q8_0", "Q4_0"],
        "config": {
            "rope_theta": 100000.0,
            "rope_scaling": {"type": "linear", "factor": 2.0},
            "tie_word_embeddings": True,
            "vocab_size": 288,
            "hidden_act": "silu",
        },
    },
    "qwen2": {
        "class": "Qwen2",
        "style": "new",
        "store": ("F16", "BF16"),
        # Neither the widths nor the head size of 40 are multiples of 32.
        "config": {
            "hidden_size": 80,
            "intermediate_size": 72,
            "rope_theta": 1000000.0,
            "tie_word_embeddings": True,
            "hidden_act": "silu",
        },
    },
    "qwen3": {
        "class": "Qwen3",
        "style": "old",
        "store": ("BF16", "F16"),
        "config": {
            "num_attention_heads": 3,
            "head_dim": 32,
            "rope_theta": 1000000.0,
            "rms_norm_eps": 1e-6,
            "tie_word_embeddings": False,
            "use_sliding_window": False,
            "hidden_act": "silu",
        },
    },
    "gemma3": {
        "class": "Gemma3",
        "style": "old",
        "store": ("BF16", "F16"),
        "config": {
            "num_hidden_layers": 6,
            "intermediate_size": 32,
            "head_dim": 32,
            "sliding_window": 8,
            "sliding_window_pattern": 6,
            "rope_theta": 1000000.0,
            "rope_local_base_freq": 10000.0,
            "rope_scaling": {"rope_type": "linear", "factor": 8.0},
            "query_pre_attn_scalar": 32,
            "final_logit_softcapping": 30.0,
            "attn_logit_softcapping": 20.0,
            "rms_norm_eps": 1e-6,
            "hidden_activation": "gelu_pytorch_tanh",
        },
    },
}

ARCHITECTURES = {"Llama": "llama", "Mistral": "llama", "Qwen2": "qwen2", "Qwen3": "qwen3", "Gemma3": "gemma3"}

# Hugging Face's part of a layer and GGUF's.
PARTS = {
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "self_attn.q_norm": "attn_q_norm",
    "self_attn.k_norm": "attn_k_norm",
    "input_layernorm": "attn_norm",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
    "pre_feedforward_layernorm": "ffn_norm",
    "post_feedforward_layernorm": "post_ffw_norm",
}


def build(name, spec):
    """The model in float32, its weights random by the name's seed and exact in bfloat16 and float16."""
    config_class = "Gemma3TextConfig" if spec["class"] == "Gemma3" else spec["class"] + "Config"
    settings = {**COMMON, **spec["config"]}
    config = getattr(transformers, config_class)(**settings, attn_implementation="eager")
    model = getattr(transformers, spec["class"] + "ForCausalLM")(config).float().eval()
    generator = torch.Generator().manual_seed(sum(name.encode()))
    with torch.no_grad():
        for key, parameter in sorted(model.named_parameters()):
            noise = torch.randn(parameter.shape, generator=generator)
            if key.endswith("norm.weight"):
                centre = 0.0 if spec["class"] == "Gemma3" else 1.0
                values = centre + 0.25 * noise
            elif key.endswith("bias"):
                values = 0.5 * noise
            elif "embed_tokens" in key:
                values = 0.5 * noise
            else:
                values = noise * 1.2 / parameter.shape[1] ** 0.5
            values = values.to(torch.bfloat16).float()
            values[values.abs() < 2.0**-14] = 0.0
            parameter.copy_(values)
    return model


def named_tensors(model):
    """Hugging Face names to float32 values, a tied head left out."""
    tied = model.config.tie_word_embeddings
    return {k: v.detach() for k, v in model.state_dict().items() if not (tied and k == "lm_head.weight")}


def logits(model, prompt):
    # transformers 5 reads gemma3's attention soft-cap from the configuration but does not hand it on; its eager
    # attention takes it as an argument.
    cap = getattr(model.config, "attn_logit_softcapping", None)
    extra = {} if cap is None else {"softcap": cap}
    with torch.no_grad():
        return model(torch.tensor([prompt]), use_cache=False, **extra).logits[0].float()


def save_hf(folder, spec, model, tensors):
    kinds = {"F16": torch.float16, "BF16": torch.bfloat16}
    kind = kinds[spec["store"][0]]
    stored = {k: v.to(kind).contiguous() for k, v in tensors.items()}
    for key, value in stored.items():
        assert torch.equal(value.float(), tensors[key]), f"{key} is not exact in {kind}"
    shards = spec.get("shards", 1)
    if shards == 1:
        save_file(stored, folder / "model.safetensors")
    else:
        files = {}
        for index in range(shards):
            file = f"model-{index + 1:05}-of-{shards:05}.safetensors"
            part = {k: v for n, (k, v) in enumerate(sorted(stored.items())) if n % shards == index}
            save_file(part, folder / file)
            files.update(dict.fromkeys(part, file))
        index = {"metadata": {}, "weight_map": dict(sorted(files.items()))}
        (folder / "model.safetensors.index.json").write_text(json.dumps(index, indent=1) + "\n")
    if spec["style"] == "new":
        config = json.loads(model.config.to_json_string())
        config["architectures"] = [type(model).__name__]
    else:
        config = {"architectures": [type(model).__name__], "model_type": model.config.model_type}
        config |= {**COMMON, **spec["config"], "torch_dtype": "bfloat16"}
    (folder / "config.json").write_text(json.dumps(config, indent=1) + "\n")
    (folder / "generation_config.json").write_text(json.dumps({"bos_token_id": 1, "eos_token_id": [2, 0]}) + "\n")


def permute(values, heads):
    """llama.cpp's row order of q and k: the two halves of each head interleaved."""
    return values.reshape(heads, 2, -1, *values.shape[1:]).swapaxes(1, 2).reshape(values.shape)


def gguf_tensors(spec, model, tensors):
    """GGUF names to float32 arrays."""
    config = model.config
    out = {}
    for key, value in tensors.items():
        value = value.numpy()
        if spec["class"] == "Gemma3" and key.endswith("norm.weight"):
            value = value + numpy.float32(1)
        if ARCHITECTURES[spec["class"]] == "llama" and ".q_proj." in key:
            value = permute(value, config.num_attention_heads)
        if ARCHITECTURES[spec["class"]] == "llama" and ".k_proj." in key:
            value = permute(value, config.num_key_value_heads)
        out[gguf_name(spec, key)] = value
    return out


def gguf_name(spec, key):
    fixed = {
        "model.embed_tokens.weight": "token_embd.weight",
        "model.norm.weight": "output_norm.weight",
        "lm_head.weight": "output.weight",
    }
    if key in fixed:
        return fixed[key]
    _, _, layer, rest = key.split(".", 3)
    part, kind = rest.rsplit(".", 1)
    if part == "post_attention_layernorm":
        part = "post_attention_norm" if spec["class"] == "Gemma3" else "ffn_norm"
    else:
        part = PARTS[part]
    return f"blk.{layer}.{part}.{kind}"


def llama3_factors(config):
    """What llama.cpp's converter stores for Llama 3.1's rope scaling: a divisor for each frequency."""
    scaling = config["rope_scaling"]
    low, high = scaling["low_freq_factor"], scaling["high_freq_factor"]
    original, factor = scaling["original_max_position_embeddings"], scaling["factor"]
    frequencies = config["rope_theta"] ** -(numpy.arange(0, config["head_dim"], 2) / config["head_dim"])
    factors = []
    for wave in 2 * numpy.pi / frequencies:
        if wave < original / high:
            factors.append(1.0)
        elif wave > original / low:
            factors.append(factor)
        else:
            smooth = (original / wave - low) / (high - low)
            factors.append(1 / ((1 - smooth) / factor + smooth))
    assert len(set(factors)) > 2, "the scaling must have all three ranges"
    return numpy.array(factors, dtype=numpy.float32)


def save_gguf(path, name, spec, model, arrays, kind):
    """Writes the arrays; matrices as `kind`, vectors as F32. Gives the values as stored."""
    settings = {**COMMON, **spec["config"]}
    writer = gguf.GGUFWriter(path, ARCHITECTURES[spec["class"]])
    writer.add_name(f"tiny {name}")
    writer.add_block_count(settings["num_hidden_layers"])
    writer.add_context_length(settings["max_position_embeddings"])
    writer.add_embedding_length(settings["hidden_size"])
    writer.add_feed_forward_length(settings["intermediate_size"])
    writer.add_head_count(settings["num_attention_heads"])
    writer.add_head_count_kv(settings["num_key_value_heads"])
    writer.add_rope_freq_base(settings["rope_theta"])
    writer.add_layer_norm_rms_eps(settings["rms_norm_eps"])
    head_size = settings["hidden_size"] // settings["num_attention_heads"]
    if "head_dim" in settings:
        head_size = settings["head_dim"]
        writer.add_key_length(head_size)
        writer.add_value_length(head_size)
    if ARCHITECTURES[spec["class"]] == "llama":
        writer.add_vocab_size(settings["vocab_size"])
        writer.add_rope_dimension_count(head_size)
    scaling = settings.get("rope_scaling", {})
    if "linear" in (scaling.get("rope_type"), scaling.get("type")):
        writer.add_rope_scaling_type(gguf.RopeScalingType.LINEAR)
        writer.add_rope_scaling_factor(scaling["factor"])
    if scaling.get("rope_type") == "llama3":
        arrays = {**arrays, "rope_freqs.weight": llama3_factors(settings)}
    if "sliding_window" in settings:
        writer.add_sliding_window(settings["sliding_window"])
    if "final_logit_softcapping" in settings:
        writer.add_final_logit_softcapping(settings["final_logit_softcapping"])
        writer.add_attn_logit_softcapping(settings["attn_logit_softcapping"])
    vocabulary.add_to_gguf(writer, spec.get("vocabulary", "bytes"), settings["vocab_size"])
    stored = {}
    for key, value in arrays.items():
        value = numpy.ascontiguousarray(value, dtype=numpy.float32)
        kind_here = kind if value.ndim == 2 else "F32"
        number = getattr(gguf.GGMLQuantizationType, kind_here)
        data = gguf.quants.quantize(value, number)
        stored[key] = gguf.quants.dequantize(data, number).astype(numpy.float32).reshape(value.shape)
        writer.add_tensor(key, data, raw_dtype=number)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return stored


def load_gguf_values(spec, model, tensors, stored):
    """Puts values as a quantised GGUF stores them back into the model (llama's row order undone)."""
    assert ARCHITECTURES[spec["class"]] == "llama"
    heads = {"q_proj": model.config.num_attention_heads, "k_proj": model.config.num_key_value_heads}
    with torch.no_grad():
        for key, parameter in model.named_parameters():
            value = stored[gguf_name(spec, key)]
            for part, count in heads.items():
                if f".{part}." in key:
                    value = value.reshape(count, -1, 2, *value.shape[1:]).swapaxes(1, 2).reshape(value.shape)
            parameter.copy_(torch.from_numpy(numpy.ascontiguousarray(value)))


def make(folder, name, spec):
    folder = folder / name
    folder.mkdir(parents=True, exist_ok=True)
    model = build(name, spec)
    tensors = {k: v.clone() for k, v in named_tensors(model).items()}
    vocab = model.config.vocab_size
    generator = numpy.random.Generator(numpy.random.PCG64(7))
    prompt = [int(token) for token in generator.integers(0, vocab, PROMPT_TOKENS)]
    reference = {"tokens": torch.tensor(prompt).float(), "logits": logits(model, prompt)}
    save_hf(folder, spec, model, tensors)
    arrays = gguf_tensors(spec, model, tensors)
    stored = save_gguf(folder / "model.gguf", name, spec, model, arrays, spec["store"][1])
    for key, value in arrays.items():
        assert numpy.array_equal(stored[key], value), f"{key} is not exact in {spec['store'][1]}"
    for kind in spec.get("quantised", []):
        stored = save_gguf(folder / f"model-{kind.lower()}.gguf", name, spec, model, arrays, kind)
        load_gguf_values(spec, model, tensors, stored)
        reference[f"logits_{kind.lower()}"] = logits(model, prompt)
    save_file({k: v.contiguous() for k, v in reference.items()}, folder / "reference.safetensors")
    if spec.get("vocabulary") == "smollm":
        vocabulary.tokenizer_json().save(str(folder / "tokenizer.json"))
        (folder / "tokenizer_config.json").write_text(json.dumps(vocabulary.TOKENIZER_CONFIG, indent=1) + "\n")
    spread = reference["logits"].std().item()
    print(f"{name}: {sum(v.numel() for v in tensors.values())} weights, logits' standard deviation {spread:.3f}")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("output", type=pathlib.Path)
    parser.add_argument("--only", choices=sorted(MODELS), action="append")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    print(f"torch {torch.__version__}, transformers {transformers.__version__}, tokenizers {tokenizers.__version__}")
    for name, spec in MODELS.items():
        if arguments.only is None or name in arguments.only:
            make(arguments.output, name, spec)


if __name__ == "__main__":
    main()
