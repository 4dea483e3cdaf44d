"""Writes gpt2.jsonl: texts, how many ids of GPT-2 they have, and a hash of these.

Run as `python gpt2.py R50K_BASE EXAMPLES_DATA > gpt2.jsonl` with the package `tiktoken`; the first
argument is the published file of ranks, the second the folder of example texts.
"""

import base64
import hashlib
import json
import random
import struct
import sys

import tiktoken

PATTERN = r"""'(?:[sdmt]|ll|ve|re)| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"""
ALPHABET = " \n\t'sdmtlverae019.,!-_#\"(){}\u00e9\u0301\u4f60\u597d\u3002\U0001f389\u200d\u00a0\u3000\u0e01\u0416\u00df\u216b\u00b2"
CODE = [
    "fn main() {\n    println!(\"{}\", 1 + 2);\n}\n",
    "def f(x):\n\treturn x**2  # comment\n\n\n",
    "for (int i = 0; i < n; ++i) a[i] += b[i];\r\n",
    "<a href='x.html'>it's</a>   \n   ",
    "x = [1, 22, 333, 4444]  ; y=0x1F\n",
]


def cut(draw, text, n, least, most):
    for _ in range(n):
        start = draw.randrange(len(text))
        yield text[start : start + draw.randint(least, most)]


def texts(folder):
    draw = random.Random(1)
    read = lambda name: open(f"{folder}/{name}", encoding="utf-8").read()
    yield from cut(draw, read("shakespeare.txt"), 250, 1, 90)
    yield from cut(draw, read("authors.tsv"), 150, 1, 90)
    yield from cut(draw, read("chat.jsonl"), 100, 1, 90)
    yield from cut(draw, read("classics_zh.txt"), 200, 1, 40)
    yield from cut(draw, "".join(CODE), 100, 1, 60)
    for _ in range(200):
        yield "".join(draw.choice(ALPHABET) for _ in range(draw.randint(0, 40)))


def main(ranks, folder):
    lines = open(ranks, "rb").read().split(b"\n")
    pairs = (line.split() for line in lines if line)
    table = {base64.b64decode(token): int(rank) for token, rank in pairs}
    gpt2 = tiktoken.Encoding("gpt2", pat_str=PATTERN, mergeable_ranks=table, special_tokens={})
    for text in texts(folder):
        ids = gpt2.encode_ordinary(text)
        digest = hashlib.sha256(struct.pack(f"<{len(ids)}I", *ids)).hexdigest()
        print(json.dumps([text, len(ids), digest[:16]], ensure_ascii=False))


main(*sys.argv[1:])
