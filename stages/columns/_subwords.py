"""Counted words in, a vocabulary of their pieces out; and the graph that cuts words into such pieces.

Learned by merging the most frequent pair (Sennrich et al. 2016), cut by greedy longest match (Wu et al.
2016, WordPiece; Uzan et al. 2024 on why that suits such vocabularies). "##ing" is a piece inside a word.

No regular expression holds the vocabulary: RE2's automaton runs out of its 8 MB near 8,000 entries,
then complains once a token and is ten times slower. So the graph walks a trie, all places at once.
"""

import heapq
from collections import Counter, defaultdict
from itertools import groupby, pairwise

import numpy as np

from stages.columns._tokens import (
    FIRST,
    MAX_WORD,
    NO_SPACES,
    PADDING,
    UNKNOWN,
    draw_numbers,
    python_pattern,
    zero,
)
from stages.core.graph import END, INT64, Graph

MAX_PIECE = 16  # letters
MAX_WORDS = 100_000  # the most frequent ones teach the pieces
INSIDE = "##"
START, MIDDLE = 1, 2  # the trie's roots, at the start of a word and inside it; node 0 is a dead end
unspaced = python_pattern(f"[{NO_SPACES}]").match


def symbols(word: str) -> list[str]:
    """The letters of a word, marked where they stand inside it; a script without spaces has no inside."""
    if unspaced(word):
        return list(word)
    return [word[0], *(INSIDE + letter for letter in word[1:])]


def letters(piece: str) -> str:
    return piece[len(INSIDE) :] if len(piece) > len(INSIDE) and piece.startswith(INSIDE) else piece


def learn(counts: "Counter[str]", size: int, min_count: int) -> list[str]:
    """At most `size` pieces: letters by frequency, then merged pairs, each seen `min_count` times or more."""
    taught = sorted(counts.items(), key=lambda item: (-item[1], item[0]))[:MAX_WORDS]
    words, times = [symbols(word) for word, _ in taught], [count for _, count in taught]
    alphabet: Counter[str] = Counter()
    for word, count in zip(words, times, strict=True):
        for symbol in word:
            alphabet[symbol] += count
    common = sorted((-count, symbol) for symbol, count in alphabet.items() if count >= min_count)
    vocabulary = dict.fromkeys(symbol for _, symbol in common[:size])
    parts: Counter[tuple[str, ...]] = Counter()  # words between letters that are too rare
    for word, count in zip(words, times, strict=True):
        for known, run in groupby(word, vocabulary.__contains__):
            if known:
                parts[tuple(run)] += count
    merge_pairs([list(part) for part in parts], list(parts.values()), vocabulary, size, min_count)
    return list(vocabulary)


def merge_pairs(
    words: list[list[str]], times: list[int], vocabulary: dict[str, None], size: int, min_count: int
) -> None:
    """Byte-pair merging, in place. A pair's count in the queue may be old: it is looked up when its turn comes."""
    seen: Counter[tuple[str, str]] = Counter()
    places: defaultdict[tuple[str, str], set[int]] = defaultdict(set)
    for i, word in enumerate(words):
        for pair in pairwise(word):
            seen[pair] += times[i]
            places[pair].add(i)
    queue = [(-count, pair) for pair, count in seen.items()]
    heapq.heapify(queue)
    while queue and len(vocabulary) < size:
        count, pair = heapq.heappop(queue)
        merged = pair[0] + letters(pair[1])
        if seen[pair] < min_count or len(letters(merged)) > MAX_PIECE:
            continue
        if -count != seen[pair]:
            heapq.heappush(queue, (-seen[pair], pair))
            continue
        vocabulary[merged] = None
        fresh: set[tuple[str, str]] = set()
        for i in places.pop(pair):
            before, words[i] = words[i], merge(words[i], pair, merged)
            for old in pairwise(before):
                seen[old] -= times[i]
            for new in pairwise(words[i]):
                seen[new] += times[i]
                if merged in new:
                    places[new].add(i)
                    fresh.add(new)
        for new in fresh:
            heapq.heappush(queue, (-seen[new], new))


def merge(word: list[str], pair: tuple[str, str], merged: str) -> list[str]:
    found: list[str] = []
    for symbol in word:
        if found and (found[-1], symbol) == pair:
            found[-1] = merged
        else:
            found.append(symbol)
    return found


def grow(vocabulary: list[str], number: dict[str, int]) -> tuple[list[dict[int, int]], list[int]]:
    """A trie: the children of each node by letter number, and each node's token number, 0 for none."""
    children: list[dict[int, int]] = [{}, {}, {}]
    tokens = [0, 0, 0]
    for token, piece in enumerate(vocabulary, FIRST):
        node = START if letters(piece) == piece and not unspaced(piece) else MIDDLE
        for letter in letters(piece):
            below = children[node].setdefault(number[letter], len(children))
            if below == len(children):
                children.append({})
                tokens.append(0)
            node = below
        tokens[node] = token
    return children, tokens


def lay_out(children: list[dict[int, int]], tokens: list[int], base: int) -> dict[str, np.ndarray]:
    """A trie as a double array (Aoe 1989): the child of node n by letter c is n' = offset[n] + c if parent[n'] = n.

    Every array has room for `base` letters behind the last node.
    """
    free, slot = np.ones(2 * (len(children) + base), bool), np.zeros(len(children), np.int64)
    free[: MIDDLE + 1], slot[: MIDDLE + 1], lowest = False, range(MIDDLE + 1), 0
    offsets = np.zeros(len(children), np.int64)
    for node in sorted(range(len(children)), key=lambda node: (-len(children[node]), node)):
        if not children[node]:
            break
        numbers = np.array(sorted(children[node]))
        while not free[lowest]:
            lowest += 1
        start = max(0, lowest - int(numbers[0]))
        while True:
            span = np.arange(start, start + 1024)
            free = np.pad(free, (0, max(0, int(span[-1]) + base + 1 - len(free))), constant_values=True)
            fits = free[numbers[:, None] + span].all(0)
            if fits.any():
                break
            start += len(span)
        offsets[node] = span[fits.argmax()]
        free[numbers + offsets[node]] = False
        for letter, child in children[node].items():
            slot[child] = offsets[node] + letter
    laid = {name: np.zeros(int(max(slot.max(), offsets.max())) + base, np.int64) for name in ("offset", "token")}
    laid["parent"] = np.full_like(laid["token"], -1)
    laid["offset"][slot], laid["token"][slot] = offsets, tokens
    for node, below in enumerate(children):
        laid["parent"][[slot[child] for child in below.values()]] = slot[node]
    return laid


def draw_pieces(graph: Graph, words: str, vocabulary: list[str], max_tokens: int) -> str:
    """Words [N, T] → token numbers [N, width] of their pieces, in order; 0 is padding, 1 unknown.

    Each distinct word is cut once. N and the number of words must be at least 1.
    """
    flat = graph("Reshape", words, graph.integers(-1))
    distinct, _, inverse, _ = graph("Unique", flat, outputs=4)
    alphabet = sorted({letter for piece in vocabulary for letter in letters(piece)})
    letter, node, starts = draw_letters(graph, distinct, alphabet)
    pieces = draw_cuts(graph, *draw_matches(graph, letter, node, alphabet, vocabulary), starts)
    return graph.slice(draw_sequences(graph, words, inverse, pieces), 0, max_tokens, 1)


def draw_letters(graph: Graph, words: str, alphabet: list[str]) -> tuple[str, str, str]:
    """Words [U] → the numbers of all their letters [F], with 0 behind each word; the root that each starts
    from [F]; and the place of each word's first letter [U]."""
    letter = graph("Tokenizer", words, domain="com.microsoft", tokenexp=".", mark=0, mincharnum=1, pad_value=PADDING)
    letter = graph("Pad", draw_numbers(graph, letter, alphabet), graph.integers(0, 0, 0, 1))
    first = graph.slice(letter, 0, 1, 1)
    rest = graph.slice(letter, 1, END, 1)
    roots = graph.constant([MIDDLE] * FIRST + [MIDDLE if unspaced(x) else START for x in alphabet], "int64")
    inside = graph("Add", graph("Mul", rest, zero(graph)), graph.constant(MIDDLE, "int64"))
    root = graph("Concat", graph("Gather", roots, first), inside, axis=1)
    length = graph("ReduceSum", count(graph, letter), graph.integers(1), keepdims=0)
    ends = graph("Unsqueeze", length, graph.integers(1))
    width = graph("Squeeze", graph("Shape", letter, start=1, end=2))
    kept = graph("LessOrEqual", graph("Range", zero(graph), width, graph.constant(1, "int64")), ends)
    one_more = graph("Add", length, graph.constant(1, "int64"))
    starts = graph("CumSum", one_more, zero(graph), exclusive=1)
    flat = [graph("Compress", graph("Reshape", x, graph.integers(-1)), graph("Reshape", kept, graph.integers(-1)))
            for x in (letter, root)]  # fmt: skip
    return flat[0], flat[1], starts


def draw_matches(graph: Graph, letter: str, node: str, alphabet: list[str], vocabulary: list[str]) -> tuple[str, str]:
    """At each letter [F]: the token number of the longest piece from there, and that piece's length."""
    number = {letter: i for i, letter in enumerate(alphabet, FIRST)}
    laid = lay_out(*grow(vocabulary, number), FIRST + len(alphabet))
    offset, parent, token_of = (graph.constant(laid[name]) for name in ("offset", "parent", "token"))
    token = graph("Min", letter, graph.constant(UNKNOWN, "int64"))
    length = token  # an unknown letter is one long, the end of a word nothing
    longest = max((len(letters(piece)) for piece in vocabulary), default=1)
    padded = graph("Pad", letter, graph.integers(0, longest - 1))
    for span in range(1, longest + 1):
        ahead = graph.slice(padded, span - 1, span - longest if span < longest else END, 0)
        child = graph("Add", graph("Gather", offset, node), ahead)
        node = graph("Where", graph("Equal", graph("Gather", parent, child), node), child, zero(graph))
        found = graph("Gather", token_of, node)
        hit = graph("Greater", found, zero(graph))
        token = graph("Where", hit, found, token)
        length = graph("Where", hit, graph.constant(span, "int64"), length)
    return token, length


def draw_cuts(graph: Graph, token: str, length: str, starts: str) -> str:
    """Follow the matches [F] from where each word starts [U]: [U, MAX_WORD] token numbers, padded with 0."""
    cuts, here = [], starts
    for _ in range(MAX_WORD):
        cuts.append(graph.column(graph("Gather", token, here)))
        here = graph("Add", here, graph("Gather", length, here))
    return str(graph("Concat", *cuts, axis=1))


def draw_sequences(graph: Graph, words: str, inverse: str, pieces: str) -> str:
    """Each word's pieces behind each other, by row: words [N, T], their places among the U distinct ones [N · T],
    pieces [U, MAX_WORD] → [N, width].

    Arrays as long as the words and tokens that there are, J, not [N, T, MAX_WORD]: ten times faster.
    """
    one, width = graph.constant(1, "int64"), graph("Shape", words, start=1, end=2)
    count_U = graph("ReduceSum", count(graph, pieces), graph.integers(1), keepdims=0)
    count_W = graph("Gather", count_U, inverse)
    live_W = graph("Squeeze", graph("NonZero", count_W), graph.integers(0))
    start_W = graph("CumSum", count_W, zero(graph), exclusive=1)
    start = graph("Gather", start_W, live_W)
    total = graph("ReduceSum", count_W, graph.integers(0), keepdims=1)
    blank_J = graph("Expand", graph.integers(0), total)
    ones = graph("Expand", one, graph("Shape", start))
    word_J = graph("CumSum", graph("ScatterElements", blank_J, start, ones), zero(graph))
    word_J = graph("Sub", word_J, one)  # which of the live words a token is of
    place_J = graph("Range", zero(graph), graph("Squeeze", total), one)
    first_J = graph("Gather", start, word_J)
    entry_J = graph("Mul", graph("Gather", graph("Gather", inverse, live_W), word_J), graph.constant(MAX_WORD, "int64"))
    entry_J = graph("Add", entry_J, graph("Sub", place_J, first_J))
    token_J = graph("Gather", graph("Reshape", pieces, graph.integers(-1)), entry_J)
    row_J = graph("Gather", graph("Div", live_W, width), word_J)
    by_row = graph("Reshape", start_W, graph("Shape", words))
    row_start = graph("Reshape", graph.slice(by_row, 0, 1, 1), graph.integers(-1))
    within_J = graph("Sub", place_J, graph("Gather", row_start, row_J))
    widest = graph("Add", graph("ReduceMax", within_J, graph.integers(0), keepdims=1), one)
    shape = graph("Concat", graph("Shape", words, start=0, end=1), widest, axis=0)
    target_J = graph("Add", graph("Mul", row_J, widest), within_J)
    blank = graph("Expand", graph.integers(0), graph("Mul", graph("Shape", words, start=0, end=1), widest))
    return str(graph("Reshape", graph("ScatterElements", blank, target_J, token_J), shape))


def count(graph: Graph, numbers: str) -> str:
    return graph.cast(graph("Greater", numbers, zero(graph)), INT64)
