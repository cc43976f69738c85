"""Writes crates/text/tests/fixtures: vocabularies, strings, and the ids that `transformers` gives them.

    python tools/reference/text/make_fixtures.py SmolLM2-135M-Instruct.gguf crates/text/tests/fixtures

Needs transformers, tokenizers, sentencepiece, protobuf and gguf from PyPI. Written with the versions it prints.
Each NAME.json.gz holds `tokenizer_json` (Hugging Face), `vocab` (what a GGUF converter writes for it), `ids` (special
tokens parsed), `ids_plain` (index -> ids, where unparsed special tokens make a difference), `ids_special` (of the first
100 strings, with what the tokenizer puts around a text), `decoded` (the text of the ids of the first 300 strings).
"""

import gzip
import io
import json
import pathlib
import sys
import tempfile

import gguf
import sentencepiece
import tokenizers
import transformers
from strings import strings
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import PreTrainedTokenizerFast
from transformers.tokenization_utils_base import generate_merges

NORMAL, UNKNOWN, CONTROL, USER_DEFINED, BYTE = 1, 2, 3, 4, 6
LLAMA3 = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
QWEN2 = LLAMA3.replace(r"\p{N}{1,3}", r"\p{N}")
TEKKEN = (
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+"
    r"|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*"
    r"|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
COUNT = 2_200
TRAINING = strings(1_500, seed=11)[30:]
STRINGS = strings(COUNT, seed=5)


def write(path, value):
    """Compact JSON, gzip without a date: the same bytes each time."""
    buffer = io.BytesIO()
    with gzip.GzipFile(fileobj=buffer, mode="wb", compresslevel=9, mtime=0) as file:
        file.write(json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode())
    path.write_bytes(buffer.getvalue())
    print(f"{path.name}: {len(buffer.getvalue())} bytes")


def expected(tokenizer, bos=None, eos=None):
    """What transformers makes of the strings."""
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token=bos, eos_token=eos, clean_up_tokenization_spaces=False)
    ids = fast(STRINGS, add_special_tokens=False)["input_ids"]
    plain = fast(STRINGS, add_special_tokens=False, split_special_tokens=True)["input_ids"]
    special = fast(STRINGS[:100], add_special_tokens=True)["input_ids"]
    return {
        "ids": ids,
        "ids_plain": {str(at): plain[at] for at in range(COUNT) if plain[at] != ids[at]},
        "ids_special": special,
        "decoded": [fast.decode(row, skip_special_tokens=True) for row in ids[:300]],
    }


def byte_level(name, pre, pattern, special, user, normalizer=None, ignore_merges=False, bos=None):
    """A small byte-level BPE with the pre-tokeniser that GGUF calls `name`."""
    tokenizer = Tokenizer(models.BPE(ignore_merges=ignore_merges))
    if normalizer:
        tokenizer.normalizer = normalizer
    tokenizer.pre_tokenizer = pattern
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=1_200, show_progress=False, initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()), special_tokens=special
    )
    tokenizer.train_from_iterator(TRAINING, trainer)
    tokenizer.add_special_tokens([AddedToken(text, special=True, normalized=False) for text in special])
    tokenizer.add_tokens([AddedToken(text, special=False, normalized=False) for text in user])
    if bos:
        template = processors.TemplateProcessing(
            single=f"{bos}:0 $A:0", pair=f"{bos}:0 $A:0 {bos}:1 $B:1", special_tokens=[(bos, tokenizer.token_to_id(bos))]
        )
        tokenizer.post_processor = processors.Sequence([processors.ByteLevel(trim_offsets=False), template])
    file = json.loads(tokenizer.to_str())
    size = tokenizer.get_vocab_size(with_added_tokens=True)
    tokens = [tokenizer.id_to_token(at) for at in range(size)]
    kinds = [CONTROL if token in special else USER_DEFINED if token in user else NORMAL for token in tokens]
    vocab = {
        "model": "gpt2",
        "pre": pre,
        "tokens": tokens,
        "token_type": kinds,
        "merges": [" ".join(merge) for merge in file["model"]["merges"]],
        "bos": tokens.index(bos) if bos else None,
        "eos": tokens.index(special[-1]),
        "unk": None,
        "add_bos": bos is not None,
        "add_space_prefix": False,
    }
    return {"tokenizer_json": file, "vocab": vocab, **expected(tokenizer, bos, special[-1])}


def train_pieces(**options):
    """SentencePiece BPE: (piece, score, kind) of every token."""
    with tempfile.TemporaryDirectory() as folder:
        prefix = f"{folder}/pieces"
        sentencepiece.SentencePieceTrainer.train(
            # Few rare characters, so that most of them need the bytes.
            sentence_iterator=iter(text for text in TRAINING if "▁" not in text and sum(c > "\u00ff" for c in text) < 4),
            model_prefix=prefix,
            model_type="bpe",
            byte_fallback=True,
            normalization_rule_name="identity",
            remove_extra_whitespaces=False,
            split_digits=True,
            character_coverage=0.98,
            num_threads=1,
            minloglevel=2,
            **options,
        )
        model = sentencepiece.SentencePieceProcessor(model_file=f"{prefix}.model")
    kinds = []
    for at in range(model.get_piece_size()):
        kind = UNKNOWN if model.is_unknown(at) else CONTROL if model.is_control(at) else BYTE if model.is_byte(at) else NORMAL
        kinds.append(kind)
    return [(model.id_to_piece(at), model.get_score(at), kind) for at, kind in enumerate(kinds)]


def scored_bpe(pieces):
    """The merges that transformers makes of scores."""
    vocab = {piece: at for at, (piece, _, _) in enumerate(pieces)}
    merges = generate_merges(vocab, {piece: score for piece, score, _ in pieces})
    return models.BPE(vocab=vocab, merges=merges, unk_token="<unk>", fuse_unk=True, byte_fallback=True)


def scored_vocab(pieces, kinds, bos, eos, prefix):
    # A converter writes user-defined pieces with the spaces that they stand for.
    texts = [piece.replace("▁", " ") if kind == USER_DEFINED else piece for (piece, _, _), kind in zip(pieces, kinds)]
    return {
        "model": "llama",
        "pre": "",
        "tokens": texts,
        "token_type": kinds,
        "scores": [score for _, score, _ in pieces],
        "bos": bos,
        "eos": eos,
        "unk": [piece for piece, _, _ in pieces].index("<unk>"),
        "add_bos": True,
        "add_space_prefix": prefix,
    }


def llama(metaspace):
    """Llama 2's: a space in front, bytes where a character has no token."""
    pieces = train_pieces(vocab_size=1_200, unk_id=0, bos_id=1, eos_id=2)
    kinds = [kind for _, _, kind in pieces]
    tokenizer = Tokenizer(scored_bpe(pieces))
    if metaspace:
        tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(replacement="▁", prepend_scheme="first", split=False)
    else:
        tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    steps = [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(content=" ", left=1)]
    tokenizer.decoder = decoders.Sequence(steps)
    tokenizer.add_special_tokens([AddedToken(text, special=True, normalized=False) for text in ("<unk>", "<s>", "</s>")])
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s>:0 $A:0", pair="<s>:0 $A:0 <s>:1 $B:1", special_tokens=[("<s>", 1)]
    )
    vocab = None if metaspace else scored_vocab(pieces, kinds, 1, 2, True)
    return {"tokenizer_json": json.loads(tokenizer.to_str()), "vocab": vocab, **expected(tokenizer, "<s>", "</s>")}


def gemma():
    """Gemma's: no space in front, runs of newlines and of spaces are tokens of their own."""
    runs = ["\n" * count for count in range(1, 32)] + ["▁" * count for count in range(2, 32)]
    turns = ["<start_of_turn>", "<end_of_turn>"]
    pieces = train_pieces(
        vocab_size=1_300, pad_id=0, eos_id=1, bos_id=2, unk_id=3, pad_piece="<pad>", eos_piece="<eos>", bos_piece="<bos>",
        add_dummy_prefix=False, control_symbols=turns, user_defined_symbols=runs,
    )
    kinds = [USER_DEFINED if piece in runs else kind for piece, _, kind in pieces]
    tokenizer = Tokenizer(scored_bpe(pieces))
    tokenizer.normalizer = normalizers.Replace(" ", "▁")
    tokenizer.pre_tokenizer = pre_tokenizers.Split(pattern=" ", behavior="merged_with_previous", invert=False)
    tokenizer.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()])
    special = ["<pad>", "<eos>", "<bos>", "<unk>", *turns]
    tokenizer.add_special_tokens([AddedToken(text, special=True, normalized=False) for text in special])
    tokenizer.add_tokens([AddedToken(text, special=False, normalized=False) for text in runs])
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<bos>:0 $A:0", pair="<bos>:0 $A:0 <bos>:1 $B:1", special_tokens=[("<bos>", 2)]
    )
    vocab = scored_vocab(pieces, kinds, 2, 1, False)
    return {"tokenizer_json": json.loads(tokenizer.to_str()), "vocab": vocab, **expected(tokenizer, "<bos>", "<eos>")}


def smollm2(path):
    """The real vocabulary of SmolLM2 (Apache-2.0), from its GGUF file."""
    fields = gguf.GGUFReader(path).fields
    read = lambda key: fields[f"tokenizer.ggml.{key}"].contents()
    tokens, kinds, merges = read("tokens"), read("token_type"), read("merges")
    special = [token for token, kind in zip(tokens, kinds) if kind == CONTROL]
    pairs = [tuple(merge.split(" ")) for merge in merges]
    tokenizer = Tokenizer(models.BPE(vocab={token: at for at, token in enumerate(tokens)}, merges=pairs))
    digits = pre_tokenizers.Digits(individual_digits=True)
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([digits, pre_tokenizers.ByteLevel(add_prefix_space=False)])
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens([AddedToken(text, special=True, normalized=False) for text in special])
    # A token that a merge makes need not be stored twice: its place in the list holds the index of the merge.
    made = {merge.replace(" ", "", 1): at for at, merge in reversed(list(enumerate(merges)))}
    return {
        "merges": "\n".join(merges),
        "tokens": [made.get(token, token) for token in tokens],
        "special": special,
        "chat_template": fields["tokenizer.chat_template"].contents(),
        **expected(tokenizer, "<|im_start|>", "<|im_end|>"),
    }


def main(model, folder):
    for package in (transformers, tokenizers, sentencepiece):
        print(package.__name__, package.__version__)
    folder = pathlib.Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    plain = pre_tokenizers.ByteLevel(add_prefix_space=False)
    digits = pre_tokenizers.Sequence([pre_tokenizers.Digits(individual_digits=True), plain])

    def split(regex):
        steps = [pre_tokenizers.Split(Regex(regex), "isolated"), pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)]
        return pre_tokenizers.Sequence(steps)

    chatml = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
    llama3 = ["<|begin_of_text|>", "<|eot_id|>", "<|end_of_text|>"]
    write(folder / "strings.json.gz", STRINGS)
    write(folder / "gpt2.json.gz", byte_level("gpt2", "gpt-2", plain, ["<|endoftext|>"], []))
    write(folder / "smollm.json.gz", byte_level("smollm", "smollm", digits, chatml, []))
    write(
        folder / "llama3.json.gz",
        byte_level("llama3", "llama-bpe", split(LLAMA3), llama3, [], ignore_merges=True, bos="<|begin_of_text|>"),
    )
    write(folder / "qwen2.json.gz", byte_level("qwen2", "qwen2", split(QWEN2), chatml, ["<tool_call>", "'s"], normalizer=normalizers.NFC()))
    write(folder / "tekken.json.gz", byte_level("tekken", "tekken", split(TEKKEN), ["<s>", "</s>"], [], ignore_merges=True, bos="<s>"))
    write(folder / "llama.json.gz", llama(metaspace=False))
    write(folder / "metaspace.json.gz", llama(metaspace=True))
    write(folder / "gemma.json.gz", gemma())
    write(folder / "smollm2.json.gz", smollm2(model))


if __name__ == "__main__":
    main(*sys.argv[1:])
