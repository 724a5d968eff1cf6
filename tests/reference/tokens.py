"""Makes tokens.json: what transformers' BERT tokenizer gives for awkward sentences.

    pip install transformers && python tokens.py ../../models/all-MiniLM-L6-v2 > tokens.json

Each case must come out the same by tokenizer.json and by vocab.txt with tokenizer_config.json alone.
"""

import json
import pathlib
import shutil
import sys
import tempfile

from transformers import AutoTokenizer

SINGLES = [
    "Hello, world!",
    "",
    " ",
    "\t \u00a0\u3000 ",
    "  leading and trailing   blanks  ",
    "naïve café, Ångström, Škoda, façade; ÀÉÎÕÜ",
    "cafe\u0301 and café",
    "İstanbul ıssız DİYARBAKIR",
    "Straße GROẞE ẞ ß",
    "ΑΣ σίγμα ΟΔΥΣΣΕΥΣ",
    "Привет, мир! Ёлка",
    "שָׁלוֹם עולם",
    "العربية مَرْحَبًا",
    "हिन्दी में नमस्ते",
    "中文分词 and English混排",
    "日本語のテキスト、カタカナ",
    "한국어 문장입니다",
    "𠀀𠀁 rare CJK 㐀 豈",
    "emoji 😀😃 👩‍👩‍👧‍👦 🇩🇪 ❤️ ☺",
    "control \x00\x01\x08 \x7f\x80 characters \ufffd here",
    "zero\u200bwidth\u200djoiner \u00adsoft \ufeffmark",
    "line\nfeed\rcarriage\ttab\x0bvertical\x0cform",
    "``quoted'' -- it's “curly” ‘single’ … – —",
    "a+b=c^2 $5.00 £3 €4 ~50% #tag @user `code` |pipe| <b>",
    "!!!???...,,,;;;",
    "x" * 100,
    "x" * 101,
    "antidisestablishmentarianism pneumonoultramicroscopicsilicovolcanoconiosis",
    "[CLS] in the text [SEP] and [MASK] [PAD] [UNK] too",
    "[cls] [sep] [Mask]",
    "##ing ##ed un##able",
    "http://url_removed/path?x=1&amp;y=2",
    "can't won't I'd we'll O'Neil's",
    "1,234,567.89 3D 2nd 1990s ½ ² ①",
    "ﬁ ligature ＦＵＬＬｗｉｄｔｈ Ⅷ ª º",
    "e\u0301\u0323 stacked z̷͚̦a̵l̶g̷o̴",
    "ﷺ ꧁꧂ ∑∫√∞≠ ←↑→↓ ♠♣♥♦",
    "her brother , whom he called \" the witness \" , deliberately",
    "LMAO, AMAZING!   So so sooooo GOOD :-) ;) <3 XD",
    "word " * 50,
]
PAIRS = [
    ("A man inspects the uniform.", "The man is sleeping", 32),
    ("", "", 16),
    ("only the first", "", 16),
    ("", "only the second", 16),
    ("long first " * 20, "short", 24),
    ("short", "long second " * 20, 24),
    ("long first " * 20, "long second " * 20, 24),
    ("long first " * 20, "long second " * 20, 25),
    ("one two three four five six seven eight nine ten", "one two three four five six seven eight nine ten", 13),
    ("naïve 中文 " * 9, "😀 " * 12, 20),
    ("a b c", "d e f g h i j k l m n o p q r s t", 5),
    ("exactly fits here", "and nothing is cut", 10),
]
CUT = [("word " * 50, 16), ("pneumonoultramicroscopicsilicovolcanoconiosis", 8), ("four five", 4), ("x y z", 5)]

folder = pathlib.Path(sys.argv[1])
whole = AutoTokenizer.from_pretrained(folder)
with tempfile.TemporaryDirectory() as bare:
    for name in ["vocab.txt", "tokenizer_config.json", "config.json"]:
        shutil.copy(folder / name, bare)
    vocabulary = AutoTokenizer.from_pretrained(bare)

cases = [([text], 128) for text in SINGLES] + [([a, b], n) for a, b, n in PAIRS] + [([t], n) for t, n in CUT]
lines = []
for text, n in cases:
    # In batches, as training does it: called with bare words, transformers takes a pair with an empty second text for
    # a single text.
    settings = dict(truncation="longest_first", max_length=n, return_token_type_ids=True)
    one, two = (t(*([part] for part in text), **settings) for t in (whole, vocabulary))
    (ids,), (types,) = one["input_ids"], one["token_type_ids"]
    assert two["input_ids"] == [ids] and two["token_type_ids"] == [types], text
    lines.append(json.dumps(dict(text=text, max_length=n, ids=ids, types=types)))
print("[" + ",\n".join(lines) + "]")
