"""Texts to count: ordinary ones, ones that sit on the patterns' borders, and ways to cut them."""

from collections.abc import Iterator
from random import Random

LINES = """
the of and limit stream Token counter don't we'll I'M they'Re it's x's 'ſ ſ o'clock L'été naïve Straße ΑΒΓδε Привет мир
Ǆungla ǅ ʰand あいう カタカナ 中文字符 한국어 العربية עברית हिन्दी ไทย தமிழ் é e\u0301 n\u0303o
中AB AB中 中Ab 亚洲AV aB ABc aBC McDonald HTTPServer x1 2024 12345 0.5 1e9 Ⅳ ½ ٣٤٥ www.example.com a/b/c //comment
#include <|endoftext|> <|im_start|> {} [] () def return self.value == != -> => ... !!! ?! -- --- === /* */
👍🏽 👩\u200d👩\u200d👧 🇩🇪 \u200b \ufeff \ufffd \x00 \x00a \x7f
"""
WORDS = LINES.split()
BLANKS = [" "] * 12 + [
    "  ",
    "\n",
    "\n\n",
    "\r\n",
    "\t",
    "\n  ",
    "   \n",
    "\u00a0",
    "\u3000",
    " \u3000 ",
    "\x0b",
    "\x85",
    "\u2028",
    "",
]
EDGES = (
    *"aAzſsSlLrReEvVtTdDmM''  \n\r\t/!中ʰ\u0301é1२ǅ\u3000-\x00",
    "'ſ",
    "'ſ",
    "a'ſ",
    "'re",
    "'LL",
    "'s",
    "!\n/",
    "!\n/",
)
INVALID = (
    *(b"\x80", b"\xc0\xaf", b"\xc3", b"\xe0\x80\x80", b"\xe4\xb8", b"\xed\xa0\x80", b"\xf0\x9f", b"\xf0\x9f\x98"),
    *(b"\xf4\x90\x80\x80", b"\xf5", b"\xff", b"a", b" ", b"!", b"\xe4\xb8\xad", b"\xf0\x9f\x98\x80", b"'s", b"\n"),
)

# repeated without end, none of these has a cut that a counter could wait for
UNITS = (
    *(
        "a",
        "A",
        "=",
        "/",
        " ",
        "\n",
        "\t",
        " \n",
        "\u00a0",
        "\u3000",
        "\u3000 ",
        "中",
        "é",
        "É",
        "aA",
        "中A",
        "A中",
        "ʰ",
    ),
    *("\u0301", ".\u0301", "!/", "\r\n", "  \n", "abc", "the", "ABCdef", "=-", "😀", "\x00", "А"),
)
CASELESS = ("中", "ʰ", "\u0301", "A中")
BEFORE = ("", "x", " ", "!", "\n", "中", "'", "\u3000")
AFTER = (
    *("", "'s", "'re", "'x", "'ſ", "' ", " y", "y", "Y", "中", "!", "\n", "1", "\n\n z", "  z", " !", "\u3000!", "/"),
    *("亚洲AV", "Ab", "AB's"),
)
# what may stand before and after words of ASCII letters
BEFORE_WORDS = ("", " ", "  ", ".", "'", "\t", "1", "é", "\n", "x ")
AFTER_WORDS = (
    *("", " ", "  a", "'s", "'re there", "'", "é", "\u0301 or not", "Ab and some more", "1", ". The next one", "_"),
    *(".\n", "ſ", " \n", ".. of"),
)
ALPHABETS = (
    *(
        "abcXYZ中ʰ",
        "AB中",
        "ABab",
        "中文字AB",
        "!?-",
        "éÉaA\u0301",
        " \t\n\u3000",
        "   \n",
        "abcdefghijklmnopqrstuvwxyz",
    ),
    *("01", " a", "'aA", "".join(EDGES)),
)


def prose(random: Random) -> str:
    return "".join(random.choice(WORDS) + random.choice(BLANKS) for _ in range(random.randrange(1, 12)))


def edges(random: Random) -> str:
    return "".join(random.choices(EDGES, k=random.randrange(1, 40)))


def scalars(random: Random) -> str:
    """Any code points, half of them of the first two planes' scripts."""
    limits = (0x80, 0x250, 0x3000, 0x10000, 0x110000)
    codes = (random.randrange(random.choice(limits)) for _ in range(random.randrange(1, 16)))
    return "".join(chr(code) for code in codes if not 0xD800 <= code < 0xE000)


def runs(random: Random) -> str:
    """Pieces that grow for long, but not so long that a counter lets go of their text."""
    return "".join(random.choices(random.choice(ALPHABETS), k=random.randrange(20, 120)))


def short(random: Random) -> bytes:
    return random.choice((prose, prose, edges, edges, scalars, runs))(random).encode()


def invalid(random: Random) -> bytes:
    """Bytes that are mostly no UTF-8."""
    if random.random() < 0.3:
        return random.randbytes(random.randrange(1, 40))
    return b"".join(random.choices(INVALID, k=random.randrange(1, 16)))


def endless(random: Random) -> bytes:
    """A text with a piece longer than a counter holds."""
    size = random.choice((250, 257, 300, 520, 1000, 3000))
    if random.random() < 0.5:
        unit = random.choice(UNITS)
        middle = (unit * size)[:size]
    else:
        middle = "".join(random.choices(random.choice(ALPHABETS), k=size))
    return (random.choice(BEFORE) + middle + random.choice(AFTER) + random.choice(("", "a b"))).encode()


def whitespace() -> Iterator[str]:
    """Every arrangement of up to five of the characters that end a text's white space differently."""
    texts = [""]
    for _ in range(5):
        texts = [text + one for text in texts for one in (" ", "\n", "\r", "\u3000", "a", "!")]
        yield from texts


def lettered() -> Iterator[str]:
    """Words of small letters, capitals, and both."""
    for length in (1, 2, 7, 13, 14, 15, 16, 17, 20):
        word = "interoperabilities"[:length].ljust(length, "x")
        yield from (word, word.upper(), word.capitalize(), word[:-1] + "X")


def cuts(text: bytes, random: Random) -> Iterator[bytes]:
    """The text in parts of one byte, of a few, or of anything up to 1500."""
    sizes = random.choice(((1,), range(1, 9), (1, 2, 3, 4, 7, 30, 200, 1500)))
    start = 0
    while start < len(text):
        end = start + random.choice(sizes)
        yield text[start:end]
        start = end
