"""Perplexity of one GGUF file on one text by three programs, over the same windows (see windows.py).

1. float32: transformers and torch on the file's dequantised weights: what the file means.
2. lockstep: `lockstep eval perplexity TEXT --window N --json`.
3. llama.cpp: its library through the declarations of the package llama-cpp-python, default settings.

The ids come from transformers; llama.cpp's own tokenizer must give the same, and lockstep must have scored as many
positions. Exit code 1 where lockstep is further than `--limit` from float32, or further from it than llama.cpp is.

    pip install torch transformers gguf sentencepiece llama-cpp-python
    python tools/reference/quality/perplexity.py --model FILE.gguf --lockstep target/release/lockstep

A llama.cpp built elsewhere is used by LLAMA_CPP_LIB_PATH=FOLDER (that of libllama.so).
"""

import argparse
import ctypes
import json
import math
import pathlib
import subprocess
import sys

import numpy as np

from windows import Mean, cut, scored

ROOT = pathlib.Path(__file__).resolve().parents[3]


def main() -> int:
    options = arguments()
    model, bos, ids = load(options.model, options.text.read_text(encoding="utf-8"))
    windows = cut(ids, options.window, bos)
    facts = {"tokens": len(ids), "windows": len(windows), "scored": len(windows) * len(scored(options.window)), "bos": bos}
    reference = by_transformers(model, windows)
    del model
    found = {"float32": reference.perplexity()}
    if not options.without_llama:
        llama = by_llama(options, ids, windows)
        found["llama.cpp"] = llama.perplexity()
        facts["standard_error"] = llama.standard_error(reference)
    if options.lockstep:
        found["lockstep"] = by_lockstep(options, facts)
    return report(options, facts, found)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Perplexity by float32, lockstep and llama.cpp.")
    parser.add_argument("--model", type=pathlib.Path, required=True, help="GGUF file")
    parser.add_argument("--text", type=pathlib.Path, default=ROOT / "tests/data/alice.txt")
    parser.add_argument("--window", type=int, default=512)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--lockstep", help="the lockstep binary; left out: without lockstep")
    parser.add_argument("--without-llama", action="store_true", help="leave llama.cpp out")
    parser.add_argument("--limit", type=float, default=0.003, help="largest relative distance from float32")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    return parser.parse_args()


def load(path: pathlib.Path, text: str):
    """The float32 model, its BOS id or None, and the text's ids."""
    import torch
    import transformers

    torch.set_grad_enabled(False)
    named = {"pretrained_model_name_or_path": str(path.parent), "gguf_file": path.name}
    tokenizer = transformers.AutoTokenizer.from_pretrained(**named)
    model = transformers.AutoModelForCausalLM.from_pretrained(**named, dtype=torch.float32).eval()
    ids = tokenizer.encode(text, add_special_tokens=False, split_special_tokens=True)
    return model, bos_of(path), ids


def bos_of(path: pathlib.Path) -> int | None:
    """What the file says, whether or not its tokenizer adds it by itself."""
    import gguf

    field = gguf.GGUFReader(path).get_field("tokenizer.ggml.bos_token_id")
    return None if field is None else int(field.contents())


def by_transformers(model, windows: list[list[int]]) -> Mean:
    import torch

    mean = Mean()
    for number, window in enumerate(windows):
        progress("float32", number, windows)
        mean.add(surprises(model(torch.tensor([window])).logits[0].numpy(), window))
    return mean


def surprises(logits: np.ndarray, window: list[int]) -> list[float]:
    """Negative log likelihoods of the scored positions; row i of `logits` predicts position i + 1."""
    positions = np.array(scored(len(window)))
    rows = logits[positions - 1].astype(np.float64)
    peak = rows.max(axis=1)
    total = np.log(np.exp(rows - peak[:, None]).sum(axis=1)) + peak
    return (total - rows[np.arange(len(positions)), np.array(window)[positions]]).tolist()


def by_llama(options: argparse.Namespace, ids: list[int], windows: list[list[int]]) -> Mean:
    import llama_cpp.llama_cpp as llama

    quiet = llama.llama_log_callback(lambda level, text, data: None)
    llama.llama_log_set(quiet, None)
    llama.llama_backend_init()
    model = llama.llama_model_load_from_file(str(options.model).encode(), llama.llama_model_default_params())
    vocabulary = llama.llama_model_get_vocab(model)
    own = llama_ids(llama, vocabulary, options.text.read_bytes(), len(ids))
    if own != ids:
        raise SystemExit(f"llama.cpp makes {len(own)} ids of the text, transformers {len(ids)}, and they differ")
    settings = llama.llama_context_default_params()
    settings.n_ctx = settings.n_batch = settings.n_ubatch = options.window
    settings.n_threads = settings.n_threads_batch = options.threads
    context = llama.llama_init_from_model(model, settings)
    mean = Mean()
    for number, window in enumerate(windows):
        progress("llama.cpp", number, windows)
        mean.add(surprises(llama_logits(llama, context, window, llama.llama_vocab_n_tokens(vocabulary)), window))
    return mean


def llama_ids(llama, vocabulary, text: bytes, expected: int) -> list[int]:
    room = (llama.llama_token * (expected * 2 + 16))()
    count = llama.llama_tokenize(vocabulary, text, len(text), room, len(room), False, False)
    return list(room[: max(count, 0)])


def llama_logits(llama, context, window: list[int], vocabulary_size: int) -> np.ndarray:
    """All rows of one window, in a fresh context."""
    llama.llama_memory_clear(llama.llama_get_memory(context), True)
    batch = llama.llama_batch_init(len(window), 0, 1)
    batch.n_tokens = len(window)
    for position, token in enumerate(window):
        batch.token[position] = token
        batch.pos[position] = position
        batch.n_seq_id[position] = 1
        batch.seq_id[position][0] = 0
        batch.logits[position] = 1
    if llama.llama_decode(context, batch) != 0:
        raise SystemExit("llama.cpp could not decode a window")
    flat = ctypes.cast(llama.llama_get_logits(context), ctypes.POINTER(ctypes.c_float))
    rows = np.ctypeslib.as_array(flat, shape=(len(window), vocabulary_size)).copy()
    llama.llama_batch_free(batch)
    return rows


def by_lockstep(options: argparse.Namespace, facts: dict) -> float:
    """Runs the binary. Where its JSON says how much it scored, that must be what the others scored."""
    command = [options.lockstep, "eval", "perplexity", str(options.text), "--model", str(options.model)]
    command += ["--window", str(options.window), "--threads", str(options.threads), "--json"]
    answer = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)
    for key in ("tokens", "windows", "scored"):
        if key in answer and answer[key] != facts[key]:
            raise SystemExit(f"lockstep: {key} {answer[key]}, the others {facts[key]}")
    return float(answer["perplexity"])


def report(options: argparse.Namespace, facts: dict, found: dict[str, float]) -> int:
    reference = found["float32"]
    distance = {name: value / reference - 1 for name, value in found.items()}
    if options.json:
        print(json.dumps({**facts, "window": options.window, "perplexity": found, "relative": distance}))
    else:
        print(f"{options.model.name}, {options.text.name}: {facts['tokens']} tokens, {facts['windows']} windows of "
              f"{options.window}, {facts['scored']} positions scored, BOS {facts['bos']}")
        for name, value in found.items():
            print(f"{name:<10} {value:10.5f} {distance[name]:+10.4%}")
        if "standard_error" in facts:
            print(f"standard error of llama.cpp's distance, from the positions: {facts['standard_error']:.4%}")
    if "lockstep" not in found:
        return 0
    near = abs(distance["lockstep"]) <= options.limit
    nearer = "llama.cpp" not in found or abs(distance["lockstep"]) <= abs(distance["llama.cpp"])
    if not near:
        print(f"lockstep is further than {options.limit:.2%} from float32", file=sys.stderr)
    if not nearer:
        print("lockstep is further from float32 than llama.cpp is", file=sys.stderr)
    return 0 if near and nearer and math.isfinite(found["lockstep"]) else 1


def progress(name: str, number: int, windows: list) -> None:
    if sys.stderr.isatty():
        print(f"\r{name}: window {number + 1} of {len(windows)}", end="", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
