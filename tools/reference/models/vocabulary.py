"""Small vocabularies for the tiny models: enough that every text has tokens, so that whole-path tests can use them."""

import gguf
import tokenizers
from tokenizers import AddedToken, decoders, models, pre_tokenizers

NORMAL, UNKNOWN, CONTROL, BYTE = 1, 2, 3, 6

CHAT_TEMPLATE = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)

TOKENIZER_CONFIG = {
    "bos_token": "<|im_start|>",
    "eos_token": "<|im_end|>",
    "unk_token": "<|endoftext|>",
    "chat_template": CHAT_TEMPLATE,
    "tokenizer_class": "GPT2Tokenizer",
}

SPECIALS = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]

# 29 merges on top of 3 special tokens and 256 bytes: 288 tokens.
MERGES = (
    "t h|Ġ t|Ġ a|i n|h e|r e|o n|Ġt he|e r|Ġ s|a t|Ġ w|Ġ o|e n|Ġ c|i t|i s|a n|o r|e s|Ġ b|e d|Ġ f|in g|Ġ p|o u|Ġa n|a l|a r"
).split("|")

PIECES = (
    "▁ e t a o i n s r h d l u c m w y f g p b v k ▁t he ▁a in ▁the er".split()
)


def byte_characters():
    """GPT-2's printable stand-in for each byte, in the order of the bytes."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    rest = iter(range(256, 512))
    return [chr(byte) if byte in printable else chr(next(rest)) for byte in range(256)]


def smollm_tokens():
    return SPECIALS + byte_characters() + [merge.replace(" ", "") for merge in MERGES]


def tokenizer_json():
    """The `smollm` vocabulary as Hugging Face's tokenizer.json: single digits, then byte-level BPE."""
    tokens = smollm_tokens()
    merges = [tuple(merge.split(" ")) for merge in MERGES]
    tokenizer = tokenizers.Tokenizer(models.BPE(vocab={t: i for i, t in enumerate(tokens)}, merges=merges))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens([AddedToken(token, special=True, normalized=False) for token in SPECIALS])
    return tokenizer


def add_to_gguf(writer: gguf.GGUFWriter, kind, size):
    if kind == "llama":
        tokens = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256)), *PIECES]
        types = [UNKNOWN, CONTROL, CONTROL, *[BYTE] * 256, *[NORMAL] * len(PIECES)]
        scores = [0.0] * 259 + [-float(rank) for rank in range(len(PIECES))]
        writer.add_tokenizer_model("llama")
        writer.add_token_scores(scores)
        writer.add_add_bos_token(True)
        writer.add_unk_token_id(0)
    else:
        # `bytes` stands for the vocabularies too small for all bytes: the models' logits are tested, not their text.
        tokens = smollm_tokens() if kind == "smollm" else SPECIALS + byte_characters()[33 : 33 + size - 3]
        types = [CONTROL] * 3 + [NORMAL] * (len(tokens) - 3)
        writer.add_tokenizer_model("gpt2")
        writer.add_tokenizer_pre("smollm")
        writer.add_token_merges(MERGES if kind == "smollm" else ["a b"])
        writer.add_add_bos_token(False)
        writer.add_chat_template(CHAT_TEMPLATE)
    assert len(tokens) == size, f"{len(tokens)} tokens, expected {size}"
    writer.add_token_list(tokens)
    writer.add_token_types(types)
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
