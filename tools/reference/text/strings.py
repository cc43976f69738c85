"""Seeded strings that a tokenizer finds hard. The same seed gives the same strings with any Python from 3.8 on."""

import random
import unicodedata

WORDS = (
    "the of and to in is that it for on with as this are be at from or an by we not have but can which you will one "
    "time known before anything runs lockstep program layout space chip stream bank slice lane cycle token request "
    "sky blue why light air scatters short long wave colour water river stone house window morning evening "
    "don't I'll we've they're it's she'd I'm DON'T It'S naïve café Straße über año señor œuvre ÅNGSTRÖM"
).split()
SPECIALS = ["<|im_start|>", "<|im_end|>", "<|endoftext|>", "<s>", "</s>", "<unk>", "<bos>", "<end_of_turn>", "<|eot_id|>"]
ALMOST = ["<|im_start|", "|im_end|>", "<|im_start |>", "<<|im_end|>>", "< s>", "<0x41>", "<0xE2>", "▁", "▁▁the", "Ġthe", "Ċ"]
SPACES = [" ", "  ", "\t", "\n", "\r\n", "\r", "\n\n", "\u00a0", "\u3000", "\u2028", "\u0085", "\u200b", "\v", "\f"]
EMOJI = [
    "😀", "👍🏽", "👨‍👩‍👧‍👦", "🏳️‍🌈", "🇩🇪", "🇯🇵🇧🇷", "❤️", "👩🏿‍🚀", "1️⃣", "☃", "🧑‍🤝‍🧑", "🫠", "🏴󠁧󠁢󠁳󠁣󠁴󠁿", "\u200d", "\ufe0f",
]
RANGES = {
    "cjk": (0x4E00, 0x9FA5),
    "kana": (0x3041, 0x30FE),
    "hangul": (0xAC00, 0xD7A3),
    "jamo": (0x1100, 0x11F9),
    "arabic": (0x0620, 0x06D3),
    "hebrew": (0x05D0, 0x05EA),
    "devanagari": (0x0905, 0x0951),
    "thai": (0x0E01, 0x0E4E),
    "cyrillic": (0x0410, 0x044F),
    "greek": (0x0391, 0x03C9),
    "combining": (0x0300, 0x036F),
    "math": (0x1D400, 0x1D7FF),
    "numerals": (0x2150, 0x2189),
    "superscript": (0x2070, 0x209C),
    "punctuation": (0x2010, 0x205E),
    "box": (0x2500, 0x259F),
    "latin": (0x00C0, 0x024F),
    "control": (0x0000, 0x001F),
    "c1": (0x007F, 0x009F),
    "private": (0xE000, 0xE0FF),
    "rare": (0x20000, 0x200FF),
}


def from_range(rng, name, count):
    low, high = RANGES[name]
    characters = []
    while len(characters) < count:
        character = chr(rng.randint(low, high))
        if unicodedata.category(character) != "Cn":
            characters.append(character)
    return "".join(characters)


def sentence(rng):
    words = [rng.choice(WORDS) for _ in range(rng.randint(1, 14))]
    text = words[0].capitalize()
    for word in words[1:]:
        text += rng.choice([" ", " ", " ", " ", ", ", "; ", " - ", "  "]) + word
    return text + rng.choice([".", "!", "?", "...", "", "\n"])


def code(rng):
    name = "_".join(rng.choice(WORDS[:60]) for _ in range(rng.randint(1, 3)))
    value = rng.choice([str(rng.randint(0, 10**9)), f"{rng.random():.6f}", f"0x{rng.getrandbits(32):08X}", '"text"', "1e-5"])
    indent = rng.choice(["    ", "\t", "  ", "        "])
    return rng.choice(
        [
            f"def {name}(self, x={value}):\n{indent}if x >= 0 and not x:\n{indent}{indent}return {{'a': [x]}}\n",
            f"for (int {name} = 0; {name} < {value}; ++{name}) {{\n{indent}a[{name}] += b->c; // {rng.choice(WORDS)}\n}}\n",
            f"<div class=\"{name}\">\n{indent}<p>{value} &amp; more</p>\n</div>",
            f"SELECT {name}, COUNT(*) FROM t WHERE id = {value} GROUP BY 1;",
            f"https://example.org/{name}?q={value}&r=%20#top",
            f"| {name} | {value} |\n|---|---:|\n",
            f"let mut {name}: Vec<u8> = vec![{value}]; // ok?\r\n\r\n",
            f"$\\sum_{{i=1}}^{{n}} x_i^2 = {value}$",
            f"{{\"{name}\": [{value}, null, true], \"k\":-{rng.random():.3e}}}",
        ]
    )


def numbers(rng):
    return rng.choice(
        [
            str(rng.getrandbits(rng.choice([4, 16, 64, 200]))),
            f"{rng.randint(0, 10**9):,}.{rng.randint(0, 99):02}",
            f"{rng.randint(1, 31)}/{rng.randint(1, 12)}/20{rng.randint(10, 99)} {rng.randint(0, 23)}:{rng.randint(0, 59):02}",
            f"-{rng.randint(0, 99)}%  +{rng.randint(0, 999)}€ №{rng.randint(0, 9)} ½ ² Ⅷ ٣٤٥ １２３",
        ]
    )


def scripts(rng):
    names = rng.sample(sorted(RANGES), rng.randint(1, 4))
    return rng.choice(["", " ", "\n", "-"]).join(from_range(rng, name, rng.randint(1, 12)) for name in names)


def marks(rng):
    letters = [rng.choice("aeiouncsz가अกع") + from_range(rng, "combining", rng.randint(0, 4)) for _ in range(rng.randint(1, 12))]
    return "".join(letters)


def spaces(rng):
    parts = []
    for _ in range(rng.randint(1, 6)):
        parts.append(rng.choice(SPACES) * rng.choice([1, 1, 2, 3, 7, 16, 33]))
        parts.append(rng.choice(["", "x", "the", "1", ".", "é"]))
    return "".join(parts)


def specials(rng):
    parts = [rng.choice(SPECIALS + ALMOST + ["user", "\n", " ", "hello", "'s"]) for _ in range(rng.randint(1, 8))]
    return "".join(parts)


def emoji(rng):
    return "".join(rng.choice([*EMOJI, " ", "a"]) for _ in range(rng.randint(1, 8)))


def anything(rng):
    characters = []
    while len(characters) < rng.randint(1, 24):
        point = rng.choice([rng.randint(0, 0x7F), rng.randint(0, 0x2FFF), rng.randint(0, 0xFFFF), rng.randint(0x10000, 0x1FFFF)])
        if unicodedata.category(chr(point)) not in ("Cn", "Cs"):
            characters.append(chr(point))
    return "".join(characters)


def broken(rng):
    return "".join(rng.choice(["\ufffd", "\ufeff", "\ufffe", "\x00", "\\ud800", "Ã©", "â€™", "\x1b[0m", "%C3%28", "a"]) for _ in range(6))


KINDS = [sentence, sentence, code, code, numbers, scripts, scripts, marks, spaces, specials, specials, emoji, anything, broken]


def fixed():
    """Long words and corners; 10,000 characters without a place to split."""
    rng = random.Random(4)
    return [
        "", " ", "  ", "\n", "\u0000", "a", "é", "e\u0301", "한", "\u1112\u1161\u11ab", "'", "'s", " 's", "'S", "'ſ", "İ", "ǅ", "Ⅷ",
        "a" * 10_000,
        "".join(rng.choice("etaoinshrdlu") for _ in range(10_000)),
        "7" * 10_000,
        " " * 10_000,
        "\n" * 3_000,
        " " * 5_000 + "x",
        "\u4e00" * 3_000,
        "😀" * 2_000,
        "the" * 3_000,
        "!" * 10_000,
        "e" + "\u0301" * 3_000,
        "<|im_end|>" * 200,
    ]


def strings(count, seed):
    """`count` different strings, the fixed ones first."""
    rng = random.Random(seed)
    found = dict.fromkeys(fixed())
    while len(found) < count:
        text = rng.choice(KINDS)(rng)
        if rng.random() < 0.2:
            text += rng.choice(["", " ", "\n"]) + rng.choice(KINDS)(rng)
        found[text] = None
    return list(found)
