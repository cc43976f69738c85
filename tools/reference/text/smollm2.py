"""Writes the SmolLM2 vocabulary and the ids that Hugging Face's tokenizers give for varied strings.

Usage: smollm2.py MODEL.gguf FIXTURES_FOLDER   (needs gguf, tokenizers and transformers from PyPI)
"""
import gzip
import json
import random
import sys

from gguf import GGUFReader
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

PIECES = [
    "hello", " world", "the", "Ünïcödé", "don't", "WE'LL", "'s", "fn main() {", "}\n", "\tif x == 0:", "日本語", "中文字符",
    "한국어", "العربية", "עברית", "हिन्दी", "ไทย", "👩‍👩‍👧‍👦", "🏳️‍🌈", "🇩🇪", "e\u0301", "a\u0300\u0323", "\x00", "\x07\x1b[0m", "\x7f", "\u0085",
    "\u00a0", "\u200b", "\ufeff", "\ufffd", "\u2028", "\r\n", "\n\n", "\n", " ", "  ", "     ", "\t\t", "3", "1234567890", "3.14159",
    "½", "Ⅷ", "١٢٣", "²", "<|im_start|>", "<|im_end|>", "<|endoftext|>", "<|im_", "https://a.b/c?d=e&f", "_", "...", "!!!", "—", "“”",
    "#include <stdio.h>", "a+=b;", "\\n", "\"", "𝕬𝖇", "\U0010ffff", "ǅ", "ß", "İ", "zzzzqqqq", "The quick brown fox",
]


def main():
    reader = GGUFReader(sys.argv[1])
    field = lambda name: reader.fields["tokenizer.ggml." + name].contents()
    tokens, merges, types = field("tokens"), field("merges"), field("token_type")
    pairs = [tuple(merge.split(" ")) for merge in merges]
    fast = Tokenizer(models.BPE({text: id for id, text in enumerate(tokens)}, pairs))
    byte_level = pre_tokenizers.ByteLevel(add_prefix_space=False)
    fast.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.Digits(individual_digits=True), byte_level])
    fast.decoder = decoders.ByteLevel()
    fast.add_special_tokens([AddedToken(t, normalized=False, special=True) for t, k in zip(tokens, types) if k == 3])
    reference = PreTrainedTokenizerFast(tokenizer_object=fast)
    rng = random.Random(7)
    texts = ["", *PIECES, "x" * 10000, "ab" * 5000, " " * 3000, "\n" * 1000, "é" * 3000, "7" * 500]
    while len(texts) < 1700:
        texts.append("".join(rng.choice(PIECES) for _ in range(rng.randint(1, 12))))
    while len(texts) < 2200:
        draw = lambda: rng.choice([rng.randint(0, 127), rng.randint(0, 0x7FF), rng.randint(0, 0xD7FF), rng.randint(0xE000, 0x10FFFF)])
        texts.append("".join(chr(draw()) for _ in range(rng.randint(1, 20))))
    cases = [[text, reference(text, add_special_tokens=False)["input_ids"]] for text in texts]
    vocab = {"tokens": tokens, "merges": merges, "types": [int(k) for k in types]}
    for name, content in [("smollm2_vocab", vocab), ("smollm2_cases", cases)]:
        data = json.dumps(content, ensure_ascii=False, separators=(",", ":")).encode()
        with open(f"{sys.argv[2]}/{name}.json.gz", "wb") as out:
            out.write(gzip.compress(data, 9, mtime=0))
    fast.save(f"{sys.argv[2]}/smollm2_tokenizer.json") if len(sys.argv) > 3 else None


main()
