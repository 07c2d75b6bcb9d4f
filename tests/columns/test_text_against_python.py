"""The words, n-grams and subwords that the drawn graph makes of a text, against plain Python."""

from collections import Counter
from itertools import pairwise

import numpy as np
from column_oracle import encoded, fitted
from hypothesis import example, given, settings
from hypothesis import strategies as st
from sklearn.utils import murmurhash3_32

from stages.columns._subwords import learn

few = settings(max_examples=40, deadline=None)
WIDE = [(0xFF10, 0xFF19), (0xFF21, 0xFF3A), (0xFF41, 0xFF5A)]
LETTERS = [(0xC0, 0x1FFF), (0x1F000, 0x1FAFF)]
HAN = [(0x3400, 0x4DBF), (0x4E00, 0x9FFF), (0xF900, 0xFAFF), (0x20000, 0x323AF)]
KANA = [(0x3041, 0x30FF)]
UNSPACED = [*HAN, *KANA, (0x3005, 0x3005), (0x3007, 0x3007), (0x31F0, 0x31FF), (0xFF66, 0xFF9F)]
SPACED = [*LETTERS, (0x2C00, 0x2DFF), (0xA640, 0xABFF), (0xD7A4, 0xD7FF), *WIDE]
HANGUL = [(0xAC00, 0xD7A3)]
MARKS = [(0xA1, 0xBF), (0x2010, 0x2027), (0x2030, 0x205E), (0x20A0, 0x2BFF), (0x3001, 0x3004), (0x3006, 0x3006),
         (0x3008, 0x303F), (0xFF01, 0xFF65)]  # fmt: skip
# of each way of cutting: what stands alone, what joins, and which runs of two kinds join apart from each other
SINGLE = {"word": HAN, "cjk": [*UNSPACED, *HANGUL], "subword": []}
JOINED = {"word": [*LETTERS, *KANA, (0xA640, 0xD7FF)], "cjk": SPACED, "subword": [*SPACED, *HANGUL]}
ALONE = {"word": "!$%?£¥€", "cjk": "!$%?£¥€！＄％？", "subword": ""}


def within(letter: str, ranges: list[tuple[int, int]]) -> bool:
    return any(low <= ord(letter) <= high for low, high in ranges) and letter not in "×÷"


def kind_of(letter: str, unit: str) -> str:
    """alone, letter, unspaced or nothing, by code point."""
    if within(letter, SINGLE[unit]) or letter in ALONE[unit]:
        return "alone"
    if (letter.isalnum() and letter.isascii()) or letter in "ªµº" or within(letter, JOINED[unit]):
        return "letter"
    if unit == "subword" and within(letter, UNSPACED):
        return "unspaced"
    mark = ("!" <= letter <= "~") or within(letter, MARKS) or letter in "×÷"
    return "alone" if unit == "subword" and mark else ""


def words_of(text: str, unit: str) -> list[str]:
    """Runs of one kind, and what stands alone. Only A … Z are made small. Subwords are cut from at most 24 letters."""
    found: list[str] = []
    before = ""
    for letter in text:
        kind = kind_of(letter, unit)
        lower = letter.lower() if letter.isascii() else letter
        if kind in ("letter", "unspaced") and kind == before and not (unit == "subword" and len(found[-1]) == 24):
            found[-1] += lower
        elif kind:
            found.append(lower)
        before = kind
    return found


def bag(codes: list[int], buckets: int, ngrams: int) -> list[int]:
    """word, pair, triple, word, pair, …: each in 1 … buckets, 0 where the text ends before it."""
    entries: list[int] = []
    for i in range(len(codes)):
        mixed = codes[i]
        for length in range(ngrams):
            if length:
                mixed = (mixed if length == 1 else mixed % (2**31 - 1)) * 1_000_003
                mixed += codes[i + length] if i + length < len(codes) else 0
            entries.append(mixed % buckets + 1 if i + length < len(codes) else 0)
    return entries


def hashed(text: str, unit: str, buckets: int, most: int, ngrams: int) -> list[int]:
    words = words_of(text, unit)[:most]
    return bag([int(murmurhash3_32(word.encode(), seed=0, positive=True)) for word in words], buckets, ngrams)


def pieces_of(word: str, vocabulary: list[str]) -> list[int]:
    """Greedy longest match; 1 is a letter that no piece begins with. "##x" is x inside a word."""
    found, start = [], 0
    while start < len(word):
        inside = start > 0 and not within(word[0], UNSPACED)
        for end in range(len(word), start, -1):
            piece = ("##" if inside else "") + word[start:end]
            if piece in vocabulary:
                break
        found.append(vocabulary.index(piece) + 2 if piece in vocabulary else 1)
        start = end
    return found


def unpadded(row: np.ndarray) -> list[int]:
    live = np.flatnonzero(row)
    return row[: live[-1] + 1].tolist() if len(live) else []


def trimmed(entries: list[int]) -> list[int]:
    return unpadded(np.array(entries, int))


scripts = st.text(
    st.one_of(
        st.characters(exclude_categories=["Cs"], exclude_characters="\0"),
        st.sampled_from(
            " \t\nabcXYZ019!$?€.-'#[]^\\`~×÷ªº東京ßÉПрив가한국어👍🏽׳ㄱ々〇ｱｶａＢ１！、。テストのー\u0301\u2028"
        ),
    ),
    max_size=30,
)
texts = st.lists(scripts, min_size=1, max_size=6)
UGLY = ["東京タワー3丁目 Tower!!", "👍🏽👍 ok", "Ünïcode É é", "a", "", " \n\t", "日本語のテスト한국어 １２ab！"]


@few
@given(
    texts=texts,
    unit=st.sampled_from(["word", "cjk"]),
    buckets=st.sampled_from([16, 65_536, 2**31 - 1]),
    most=st.integers(1, 5),
    ngrams=st.integers(1, 3),
)
@example(texts=["", " ", "\n\t", "\x02"], unit="word", buckets=16, most=1, ngrams=2)
@example(texts=UGLY, unit="word", buckets=65_536, most=5, ngrams=2)
@example(texts=UGLY, unit="cjk", buckets=65_536, most=5, ngrams=3)
def test_ngrams_are_hashed_as_sklearn_hashes_words(texts, unit, buckets, most, ngrams):
    found = encoded({"type": "text"}, [], texts, unit=unit, buckets=buckets, max_tokens=most, ngrams=ngrams)
    assert found.shape[1] <= most * ngrams
    assert [unpadded(row) for row in found] == [trimmed(hashed(text, unit, buckets, most, ngrams)) for text in texts]


def test_these_texts_give_exactly_these_words():
    assert words_of("Don't PAY 100%... £5!", "word") == ["don", "t", "pay", "100", "%", "£", "5", "!"]
    assert words_of("東京タワー Tower", "word") == ["東", "京", "タワー", "tower"]
    assert words_of("É é STRASSE straße", "word") == ["É", "é", "strasse", "straße"]
    assert words_of(" \n\t … — ", "word") == []
    assert words_of("東京タワーは한국어 naïve ！", "cjk") == [*"東京タワーは한국어", "naïve", "！"]
    assert words_of("東京タワー，한국어 [x]-ray", "subword") == [
        "東京タワー",
        "，",
        "한국어",
        "[",
        "x",
        "]",
        "-",
        "ray",
    ]
    assert words_of("a" * 50, "subword") == ["a" * 24, "a" * 24, "aa"]


def test_twenty_thousand_words_are_hashed_up_to_the_limit():
    text = " ".join(f"w{i}" for i in range(20_000))
    found = encoded({"type": "text", "max_chars": 200_000}, [], [text, "short"], buckets=65_536, max_tokens=512)
    assert found.shape == (2, 1024)
    assert [unpadded(row) for row in found] == [trimmed(hashed(x, "word", 65_536, 512, 2)) for x in (text, "short")]
    whole = encoded({"type": "text", "max_chars": 200_000}, [], [text], buckets=65_536, max_tokens=30_000)
    assert unpadded(whole[0]) == trimmed(hashed(text, "word", 65_536, 30_000, 2))


# Vocabularies


@few
@given(train=texts, texts=texts, unit=st.sampled_from(["word", "cjk"]), size=st.integers(1, 9), least=st.integers(1, 2))
@example(train=UGLY, texts=UGLY, unit="cjk", size=9, least=1)
def test_words_in_order_are_numbered_by_frequency_then_name(train, texts, unit, size, least):
    counts = Counter(word for text in train for word in words_of(text, unit))
    kept = sorted((word for word in counts if counts[word] >= least), key=lambda word: (-counts[word], word))[:size]
    found = encoded({"type": "text"}, train, texts, unit=unit, kind="tokens", vocabulary=size, min_count=least)
    number = {word: i for i, word in enumerate(kept, 2)}
    assert [unpadded(row) for row in found] == [[number.get(w, 1) for w in words_of(text, unit)] for text in texts]


@few
@given(
    train=texts, texts=texts, size=st.sampled_from([1, 8, 30, 300]), least=st.integers(1, 2), most=st.integers(1, 40)
)
@example(train=[], texts=UGLY, size=8, least=1, most=9)
@example(train=UGLY, texts=UGLY, size=300, least=1, most=40)
@example(train=["aaaa" * 30, "東" * 60], texts=["a" * 31, "a" * 100, "東" * 50, "b東a"], size=30, least=1, most=40)
@example(train=["# ## a#b"] * 2, texts=["##", "# a", "a##b", "#a"], size=30, least=1, most=40)
def test_subwords_are_the_longest_pieces_from_the_left(train, texts, size, least, most):
    options = {"unit": "subword", "vocabulary": size, "min_count": least, "max_tokens": most}
    vocabulary = fitted({"type": "text"}, train, **options)[0].state["c"]["vocabulary"]
    assert len(set(vocabulary)) == len(vocabulary) <= size
    expected = [[n for word in words_of(text, "subword") for n in pieces_of(word, vocabulary)][:most] for text in texts]
    found = encoded({"type": "text"}, train, texts, kind="tokens", **options)
    assert [unpadded(row) for row in found] == expected
    bags = encoded({"type": "text"}, train, texts, buckets=1000, ngrams=3, **options)
    assert [unpadded(row) for row in bags] == [trimmed(bag(codes, 1000, 3)) for codes in expected]


def merged_one_by_one(counts: dict[str, int], size: int, least: int) -> list[str]:
    """Byte-pair merging as its paper tells it: count all pairs anew, merge the most frequent, repeat."""
    words = [
        (list(word) if within(word[0], UNSPACED) else [word[0], *("##" + x for x in word[1:])], count)
        for word, count in counts.items()
    ]
    alphabet = Counter[str]()
    for word, count in words:
        for symbol in word:
            alphabet[symbol] += count
    kept = sorted((x for x in alphabet if alphabet[x] >= least), key=lambda x: (-alphabet[x], x))[:size]
    while len(kept) < size:
        pairs = Counter[tuple[str, str]]()
        for word, count in words:
            for a, b in pairwise(word):
                if a in kept and b in kept and len((a + b).replace("##", "")) <= 16:
                    pairs[a, b] += count
        if not pairs or max(pairs.values()) < least:
            break
        best = min(pairs, key=lambda pair: (-pairs[pair], pair))
        merged = best[0] + best[1].removeprefix("##")
        kept += [] if merged in kept else [merged]
        for word, _ in words:
            for i in range(len(word) - 1):
                if tuple(word[i : i + 2]) == best:
                    word[i : i + 2] = [merged]
    return kept


syllables = st.lists(st.sampled_from(["a", "b", "ab", "ba", "c", "aa", "東", "京"]), min_size=1, max_size=8)
teaching = st.dictionaries(syllables.map(lambda s: "".join(x for x in s if (x in "東京") == (s[0] in "東京"))),
                           st.integers(1, 5), max_size=8)  # fmt: skip


@few
@given(counts=teaching, size=st.integers(1, 60), least=st.integers(1, 4))
@example(counts={"aaaaa": 3, "aaa": 1, "baaab": 2}, size=60, least=1)
def test_pieces_are_merged_as_if_all_pairs_were_counted_anew(counts, size, least):
    assert learn(Counter(counts), size, least) == merged_one_by_one(counts, size, least)


def test_frequent_words_become_one_piece_and_rare_ones_are_cut():
    train = ["thinking singing ringing bring"] * 3 + ["東京タワー", "東京都"] * 2
    options = {"unit": "subword", "kind": "tokens", "vocabulary": 80}
    encoder, _, _ = fitted({"type": "text"}, train, **options)
    vocabulary = encoder.state["c"]["vocabulary"]
    assert {"thinking", "##ing", "東京", "東京都"} <= set(vocabulary)
    row = encoded(
        {"type": "text"}, train, ["Thinking, bringing 東京都!"], unit="subword", kind="tokens", vocabulary=80
    )[0]
    assert [vocabulary[n - 2] if n > 1 else "?" for n in row if n] == [
        "thinking", "?", "bring", "##ing", "東京都", "?"
    ]  # fmt: skip
