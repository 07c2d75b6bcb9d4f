"""A text input of a graph in; its words, a bag of hashed n-grams, or vocabulary numbers out.

Explicit code points, never \\w: RE2, re and regex have different Unicode tables. The alternatives
of a pattern are disjoint: the Tokenizer operator takes the longest match, re the first.
"""

import re
from collections import Counter
from collections.abc import Iterable

from stages.core.graph import END, INT64, Graph

HAN = r"\x{3400}-\x{4DBF}\x{4E00}-\x{9FFF}\x{F900}-\x{FAFF}\x{20000}-\x{323AF}"
KANA = r"\x{3041}-\x{30FF}"
BEFORE_KANA = r"0-9A-Za-z\x{AA}\x{B5}\x{BA}\x{C0}-\x{D6}\x{D8}-\x{F6}\x{F8}-\x{1FFF}"
HANGUL = r"\x{AC00}-\x{D7A3}"
MARK = r"!$%?\x{A3}\x{A5}\x{20AC}"
WORD = f"[{HAN}]|[{BEFORE_KANA}{KANA}\\x{{A640}}-\\x{{D7FF}}\\x{{1F000}}-\\x{{1FAFF}}]+|[{MARK}]"

# What is written without spaces, wide forms of letters and marks included.
NO_SPACES = HAN + KANA + r"\x{3005}\x{3007}\x{31F0}-\x{31FF}\x{FF66}-\x{FF9F}"
SPACED = BEFORE_KANA + (
    r"\x{2C00}-\x{2DFF}\x{A640}-\x{ABFF}\x{D7A4}-\x{D7FF}\x{1F000}-\x{1FAFF}"
    r"\x{FF10}-\x{FF19}\x{FF21}-\x{FF3A}\x{FF41}-\x{FF5A}"
)
WIDE_MARK = MARK + r"\x{FF01}\x{FF04}\x{FF05}\x{FF1F}"
EVERY_MARK = (
    r"!-/:-@\x{5B}-`{-~\x{A1}-\x{A9}\x{AB}-\x{B4}\x{B6}-\x{B9}\x{BB}-\x{BF}\x{D7}\x{F7}\x{2010}-\x{2027}\x{2030}-\x{205E}"
    r"\x{20A0}-\x{2BFF}\x{3001}-\x{3004}\x{3006}\x{3008}-\x{303F}\x{FF01}-\x{FF0F}\x{FF1A}-\x{FF20}"
    r"\x{FF3B}-\x{FF40}\x{FF5B}-\x{FF65}"
)
MAX_WORD = 24  # letters; what is longer is cut into words of this length before it is cut into pieces
PATTERNS = {
    "word": WORD,
    "cjk": f"[{NO_SPACES}{HANGUL}]|[{SPACED}]+|[{WIDE_MARK}]",
    "subword": f"[{NO_SPACES}]{{1,{MAX_WORD}}}|[{SPACED}{HANGUL}]{{1,{MAX_WORD}}}|[{EVERY_MARK}]",
}
MULTIPLIER, PRIME = 1_000_003, 2**31 - 1
PADDING = "\x02"
UNKNOWN, FIRST = 1, 2  # numbers of a token: 0 is padding, 2 the first entry of the vocabulary
LOWER = {letter: letter + 32 for letter in range(ord("A"), ord("Z") + 1)}


def python_pattern(pattern: str) -> re.Pattern[str]:
    """The same pattern for Python's re."""
    return re.compile(re.sub(r"\\x\{([0-9A-F]+)\}", lambda code: f"\\U{int(code[1], 16):08X}", pattern))


def count_words(unit: str, texts: Iterable[str]) -> "Counter[str]":
    """The words that `draw_words` finds, in lower case as there (A … Z alone)."""
    find, counts = python_pattern(PATTERNS[unit]).findall, Counter[str]()
    for text in texts:
        counts.update(find(text.translate(LOWER)))
    return counts


def draw_words(graph: Graph, name: str, unit: str, max_words: int) -> str:
    """[N] strings → [N + 1, T] lower-case words, padded; T is at least 1.

    A sentinel row stands at the end: these operators fail on N = 0, or change rank.
    """
    both = graph("Concat", name, graph.constant(["a b"], "string"), axis=0)
    lower = graph("StringNormalizer", both, case_change_action="LOWER", locale="C")
    words = graph(
        "Tokenizer", lower, domain="com.microsoft", tokenexp=PATTERNS[unit], mark=0, mincharnum=1, pad_value=PADDING
    )  # fmt: skip
    return graph.slice(words, 0, max_words, 1)


def draw_hashes(graph: Graph, words: str) -> tuple[str, str]:
    """Words → their MurmurHash3 (32 bit, seed 0, of the UTF-8 bytes), and which of them are no padding."""
    live = graph("Not", graph("Equal", words, graph.constant(PADDING, "string")))
    hashed = graph("MurmurHash3", words, domain="com.microsoft", positive=1, seed=0)
    return graph.cast(hashed, INT64), live


def draw_numbers(graph: Graph, words: str, vocabulary: list[str]) -> str:
    """Words → int64 of the same shape: 0 padding, 1 unknown, then the vocabulary."""
    numbers = graph(
        "LabelEncoder", words, domain="ai.onnx.ml", keys_strings=[PADDING, *vocabulary],
        values_int64s=[0, *range(FIRST, FIRST + len(vocabulary))], default_int64=UNKNOWN,
    )  # fmt: skip
    return str(numbers)


def draw_bag(graph: Graph, codes: str, live: str, buckets: int, ngrams: int) -> str:
    """Codes [N, T] → [N, T · ngrams] in 1 … buckets: word, pair, triple, word, pair, …; 0 where there is none.

    A pair is a · 1,000,003 + b, a triple the same of the pair modulo 2³¹ - 1 and c: below 2⁶³.
    """
    size, one = graph.constant(buckets, "int64"), graph.constant(1, "int64")
    mixed = codes
    parts: list[str] = []
    for length in range(ngrams):
        if length:
            grown = graph("Mul", graph.slice(mixed, 0, -1, 1), graph.constant(MULTIPLIER, "int64"))
            mixed = graph("Add", grown, graph.slice(codes, length, END, 1))
        entry = graph("Add", graph("Mod", mixed, size), one)
        entry = graph("Mul", entry, graph.cast(graph.slice(live, length, END, 1), INT64))
        if length:
            entry = graph("Concat", entry, graph("Mul", graph.slice(parts[0], 0, length, 1), zero(graph)), axis=1)
            mixed = graph("Mod", mixed, graph.constant(PRIME, "int64"))
        parts.append(entry)
    return interleave(graph, parts)


def zero(graph: Graph) -> str:
    return graph.constant(0, "int64")


def interleave(graph: Graph, parts: list[str]) -> str:
    """n arrays [N, T] → [N, n · T], entry by entry, so that padding stays at the end."""
    if len(parts) == 1:
        return parts[0]
    stacked = graph("Concat", *(graph("Unsqueeze", part, graph.integers(2)) for part in parts), axis=2)
    rows = graph("Shape", parts[0], start=0, end=1)
    width = graph("Mul", graph("Shape", parts[0], start=1, end=2), graph.integers(len(parts)))
    return str(graph("Reshape", stacked, graph("Concat", rows, width, axis=0), allowzero=1))
