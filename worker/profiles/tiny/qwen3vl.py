"""Makes a tiny Qwen3-VL checkpoint with random weights, from code alone; and a LoRA adapter for it.

    python worker/profiles/tiny/qwen3vl.py OUT     (in an environment with torch and transformers)

It has the real architecture, special tokens and picture processing, and nothing to say. A bias makes it end
strings, lists and objects soon and prefer `null`, so that replies under a schema are short and well-formed.
"""

import json
import sys
from pathlib import Path

import torch
from safetensors.torch import save_file
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
from transformers import (
    Qwen2Tokenizer,
    Qwen2VLImageProcessor,
    Qwen3VLConfig,
    Qwen3VLForConditionalGeneration,
    Qwen3VLProcessor,
    Qwen3VLVideoProcessor,
)

HIDDEN, HEADS, KV_HEADS, HEAD_DIM, LAYERS = 64, 4, 2, 128, 2
# In the order of the real tokenizer.
SPECIALS = [
    "<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|object_ref_start|>", "<|object_ref_end|>", "<|box_start|>",
    "<|box_end|>", "<|quad_start|>", "<|quad_end|>", "<|vision_start|>", "<|vision_end|>", "<|vision_pad|>",
    "<|image_pad|>", "<|video_pad|>",
]  # fmt: skip
PREFERRED = {'"': 4, "]": 2, "}": 2, "<|im_end|>": 2, "Ġnull": 3, 'Ġ"': 3, "u": -2, "U": -2}
"""What ends something, and how strongly it is preferred: a quote more than what may stand in a string. Ġ is a space.

The u of "unsure" is avoided: a loop whose goals nobody can judge ends after one round.
"""
SPLIT = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
CORPUS = [
    "system user assistant You work inside an image-making loop. Look at the picture above.",
    '{"goals": [{"clauses": [1], "region": null, "must_have": true, "instruction": "ok"}], "yes": "no unsure"}',
    "The quick brown fox jumps over the lazy dog. 0 1 2 3 4 5 6 7 8 9 true false null yes no unsure A B C D",
] * 4
CHAT_TEMPLATE = """
{%- for message in messages %}
{{- '<|im_start|>' + message.role + '\n' }}
{%- if message.content is string %}{{- message.content }}
{%- else %}
{%- for item in message.content %}
{%- if item.type == 'image' or 'image_url' in item %}{{- '<|vision_start|><|image_pad|><|vision_end|>' }}
{%- elif 'text' in item %}{{- item.text }}
{%- endif %}
{%- endfor %}
{%- endif %}
{{- '<|im_end|>\n' }}
{%- endfor %}
{%- if add_generation_prompt %}{{- '<|im_start|>assistant\n' }}{%- endif %}"""


def main(out: Path) -> None:
    tokenizer = make_tokenizer()
    model = make_model(tokenizer)
    model.save_pretrained(out)
    make_processor(tokenizer).save_pretrained(out)
    save_adapter(out / "adapter")


def make_tokenizer() -> Qwen2Tokenizer:
    trained = Tokenizer(models.BPE())
    trained.normalizer = normalizers.NFC()
    trained.pre_tokenizer = pre_tokenizers.Sequence([
        pre_tokenizers.Split(Regex(SPLIT), behavior="isolated"),
        pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
    ])  # fmt: skip
    trained.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trained.train_from_iterator(
        CORPUS, trainers.BpeTrainer(vocab_size=600, show_progress=False, initial_alphabet=alphabet)
    )
    table = json.loads(trained.to_str())["model"]
    tokenizer = Qwen2Tokenizer(
        vocab=table["vocab"], merges=[tuple(pair) for pair in table["merges"]], unk_token=None,
        eos_token="<|im_end|>", pad_token="<|endoftext|>", model_max_length=262144,
    )  # fmt: skip
    tokenizer.add_tokens([AddedToken(token, special=True, normalized=False) for token in SPECIALS])
    tokenizer.add_special_tokens({"additional_special_tokens": SPECIALS})
    tokenizer.chat_template = CHAT_TEMPLATE
    return tokenizer


def make_model(tokenizer: Qwen2Tokenizer) -> Qwen3VLForConditionalGeneration:
    def number(token: str) -> int:
        return tokenizer.get_vocab()[token]

    rows = -(-len(tokenizer) // 64) * 64  # the embedding is longer than the tokenizer, as in the real ones
    config = Qwen3VLConfig(
        architectures=["Qwen3VLForConditionalGeneration"],
        text_config={
            "vocab_size": rows, "hidden_size": HIDDEN, "intermediate_size": 2 * HIDDEN, "num_hidden_layers": LAYERS,
            "num_attention_heads": HEADS, "num_key_value_heads": KV_HEADS, "head_dim": HEAD_DIM,
            "max_position_embeddings": 262144, "rms_norm_eps": 1e-6, "tie_word_embeddings": False,
            "bos_token_id": number("<|endoftext|>"), "eos_token_id": number("<|im_end|>"),
            "pad_token_id": number("<|endoftext|>"), "rope_theta": 5000000.0,
            "rope_scaling": {"rope_type": "default", "mrope_interleaved": True, "mrope_section": [24, 20, 20]},
        },
        vision_config={
            "depth": 2, "hidden_size": HIDDEN, "intermediate_size": 2 * HIDDEN, "num_heads": 2, "in_channels": 3,
            "patch_size": 16, "spatial_merge_size": 2, "temporal_patch_size": 2, "out_hidden_size": HIDDEN,
            "num_position_embeddings": 2304, "deepstack_visual_indexes": [0, 1],
        },
        image_token_id=number("<|image_pad|>"), video_token_id=number("<|video_pad|>"),
        vision_start_token_id=number("<|vision_start|>"), vision_end_token_id=number("<|vision_end|>"),
        tie_word_embeddings=False,
    )  # fmt: skip
    torch.manual_seed(0)
    model = Qwen3VLForConditionalGeneration(config).to(torch.bfloat16).eval()
    _mix(model)
    _bias(model, tokenizer)
    model.generation_config.update(
        eos_token_id=[number("<|im_end|>"), number("<|endoftext|>")], pad_token_id=number("<|endoftext|>"),
        bos_token_id=number("<|endoftext|>"), do_sample=True, temperature=0.7, top_p=0.8, top_k=20,
    )  # fmt: skip
    return model


def _mix(model: Qwen3VLForConditionalGeneration) -> None:
    """Attention that weighs: what is said depends on all of the prompt, so that a second answer may be another one."""
    with torch.no_grad():
        for layer in model.model.language_model.layers:
            attention = layer.self_attn
            attention.q_norm.weight.fill_(4.0)
            attention.v_proj.weight.normal_(0, HIDDEN**-0.5)
            attention.o_proj.weight.normal_(0, 1.5 * (HEADS * HEAD_DIM) ** -0.5)


def _bias(model: Qwen3VLForConditionalGeneration, tokenizer: Qwen2Tokenizer) -> None:
    """Channel 0 of the embedding carries a constant, which the head reads as a bias.

    Channel 1 marks the token that opens a string, which is then not closed at once, nor says null.
    """
    one, numbers = HIDDEN**0.5, tokenizer.get_vocab()
    with torch.no_grad():
        embedding, head = model.get_input_embeddings().weight, model.get_output_embeddings().weight
        embedding.normal_(0, 1.0)
        embedding[:, 0] = one
        embedding[:, 1] = 0
        embedding[numbers['Ġ"'], 1] = one
        head.normal_(0, 0.2)
        head[:, :2] = 0
        for token in ('"', 'Ġ"', "Ġnull"):
            head[numbers[token], 1] = -32 / one
        for token, strength in PREFERRED.items():
            head[numbers[token], 0] = 8 * strength / one
        head[len(tokenizer) :] = 0  # rows that no token has
        head[len(tokenizer) :, 0] = -1000 / one
        for token in SPECIALS:
            if token != "<|im_end|>":
                head[numbers[token], 0] = -1000 / one


def make_processor(tokenizer: Qwen2Tokenizer) -> Qwen3VLProcessor:
    patches = {
        "patch_size": 16,
        "temporal_patch_size": 2,
        "merge_size": 2,
        "image_mean": [0.5] * 3,
        "image_std": [0.5] * 3,
    }
    return Qwen3VLProcessor(
        image_processor=Qwen2VLImageProcessor(size={"shortest_edge": 65536, "longest_edge": 16777216}, **patches),
        tokenizer=tokenizer,
        video_processor=Qwen3VLVideoProcessor(**patches),
        chat_template=CHAT_TEMPLATE,
    )


def save_adapter(out: Path) -> None:
    """A LoRA adapter on the language model's attention, strong enough to change what is said."""
    noise = torch.Generator().manual_seed(2)
    weights: dict[str, torch.Tensor] = {}
    for layer in range(LAYERS):
        for module, width in (("q_proj", HEADS * HEAD_DIM), ("v_proj", KV_HEADS * HEAD_DIM)):
            name = f"base_model.model.model.language_model.layers.{layer}.self_attn.{module}"
            weights[f"{name}.lora_A.weight"] = torch.randn(8, HIDDEN, generator=noise) * 0.3
            weights[f"{name}.lora_B.weight"] = torch.randn(width, 8, generator=noise) * 0.3
    out.mkdir(parents=True, exist_ok=True)
    save_file(weights, out / "adapter_model.safetensors")
    config = {
        "peft_type": "LORA", "r": 8, "lora_alpha": 32, "target_modules": ["q_proj", "v_proj"], "task_type": "CAUSAL_LM",
        "base_model_name_or_path": "tiny", "bias": "none", "lora_dropout": 0.0,
    }  # fmt: skip
    (out / "adapter_config.json").write_text(json.dumps(config))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
