#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Our tokenizer against SentencePiece and transformers on the vocabulary of a GGUF file.

The SentencePiece model is rebuilt from the file's tokens, scores and types. With --as model it is also what we read, as
tokenizer.model of a folder; with --as json we read the tokenizer.json that transformers' rules make of it, and the
other side is the tokenizers package, as transformers uses it. Texts are in 20 scripts, in mixtures of
them with spaces, newlines, tabs and HTML tags, and random bytes made valid UTF-8. None spells a control token: there
we differ from SentencePiece on purpose (user text never yields one).

usage: tokenizer_parity.py MODEL.gguf DRIVER [--as gguf|model|json] [--count N] [--seed N]      DRIVER: the program tokenize_lines
"""

import argparse
import random
import struct
import subprocess
import sys
import tempfile
from pathlib import Path

import gguf
import sentencepiece
import torch
from generate import tokenizer_json
from safetensors.torch import save_file
from sentencepiece import sentencepiece_model_pb2 as spm

SCRIPTS = {
    "latin": (0x61, 0x7A),
    "latin-supplement": (0xC0, 0x24F),
    "greek": (0x391, 0x3C9),
    "cyrillic": (0x410, 0x44F),
    "armenian": (0x561, 0x586),
    "hebrew": (0x5D0, 0x5EA),
    "arabic": (0x621, 0x64A),
    "devanagari": (0x905, 0x94D),
    "bengali": (0x985, 0x9B9),
    "tamil": (0xB85, 0xBCD),
    "telugu": (0xC05, 0xC4D),
    "thai": (0xE01, 0xE3A),
    "georgian": (0x10D0, 0x10F0),
    "hangul": (0xAC00, 0xD7A3),
    "hiragana": (0x3041, 0x3093),
    "katakana": (0x30A1, 0x30F6),
    "han": (0x4E00, 0x9FA5),
    "ethiopic": (0x1200, 0x135A),
    "khmer": (0x1780, 0x17D3),
    "emoji": (0x1F300, 0x1F6FF),
}
SEPARATORS = [
    " ",
    " ",
    " ",
    " ",
    "  ",
    "   ",
    "\n",
    "\n\n",
    "\t",
    "\t\t",
    "\r\n",
    ", ",
    ". ",
    "-",
    "▁",
    "",
    " " * 40,
    "\n" * 35,
    "\t" * 33,
    "<b>",
    "</b>",
    "<table>",
    "</td>",
    "<br>",
    "\u00a0",
    "\u200b",
    "\u200d",
    "\ufe0f",
    "\0",
    "> </",
    ">",
    "<",
    "0",
    "12",
    "3.5",
    "<0x41>",
]


def field(reader, name):
    f = reader.fields[name]
    return f, [f.parts[i] for i in f.data]


def pieces_of(reader):
    _, tokens = field(reader, "tokenizer.ggml.tokens")
    _, scores = field(reader, "tokenizer.ggml.scores")
    _, types = field(reader, "tokenizer.ggml.token_type")
    return [
        (bytes(t).decode(), float(s[0]), int(y[0])) for t, s, y in zip(tokens, scores, types, strict=True)
    ]


def rebuild(pieces):
    """A SentencePiece model with the same ids; runs of spaces are spelled with U+2581 there."""
    model = spm.ModelProto()
    for text, score, kind in pieces:
        p = model.pieces.add()
        p.piece = text.replace(" ", "▁")
        p.score = score
        # The one UNKNOWN piece that SentencePiece demands; the file types it as a control token.
        p.type = 2 if text == "<unk>" else kind
    model.trainer_spec.model_type = 2  # BPE
    model.trainer_spec.byte_fallback = True
    model.trainer_spec.vocab_size = len(pieces)
    model.trainer_spec.unk_id = next(i for i, p in enumerate(pieces) if p[0] == "<unk>")
    model.normalizer_spec.name = "identity"
    model.normalizer_spec.add_dummy_prefix = False
    model.normalizer_spec.remove_extra_whitespaces = False
    model.normalizer_spec.escape_whitespaces = True
    return model


def write_folder(folder, pieces):
    """A folder with a model so thin that it is only its tokenizer's."""
    shapes = {"embed_tokens": [pieces, 1], "norm": [1], "layers.0.self_attn.q_proj": [32, 1]}
    tensors = {
        f"model.{name}.weight": torch.zeros(shape, dtype=torch.bfloat16) for name, shape in shapes.items()
    }
    tensors |= {
        f"model.layers.0.{name}.weight": torch.zeros([32, 1])
        for name in ("self_attn.k_proj", "mlp.gate_proj")
    }
    save_file(tensors, folder / "model.safetensors")
    (folder / "config.json").write_text('{"model_type": "gemma3_text", "head_dim": 32}')


def word(rng, normal, script):
    if rng.random() < 0.3:  # a real piece, so that long merges happen
        return rng.choice(normal).replace("▁", " ")
    low, high = SCRIPTS[script]
    letters = [chr(rng.randint(low, high)) for _ in range(rng.randint(1, 12))]
    return "".join(letters).title() if rng.random() < 0.1 else "".join(letters)


def text(rng, normal, index):
    names = list(SCRIPTS)
    if index % 5 == 4:
        data = bytes(rng.randrange(256) for _ in range(rng.randint(1, 120)))
        return data.decode("utf-8", "replace")
    one = names[index % len(names)]
    out = []
    for _ in range(rng.randint(1, 40)):
        out.append(word(rng, normal, one if rng.random() < 0.8 else rng.choice(names)))
        out.append(rng.choice(SEPARATORS))
    return "".join(out)


def ours(driver, model, texts):
    data = b"".join(struct.pack("<I", len(t)) + t for t in (t.encode() for t in texts))
    done = subprocess.run([driver, model], input=data, stdout=subprocess.PIPE, check=True)
    return [[int(i) for i in line.split()] for line in done.stdout.decode().split("\n")[: len(texts)]]


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("model")
    parser.add_argument("driver")
    parser.add_argument("--as", dest="form", choices=["gguf", "model", "json"], default="gguf")
    parser.add_argument("--count", type=int, default=10000)
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    rng = random.Random(args.seed)
    pieces = pieces_of(gguf.GGUFReader(args.model))
    normal = [text for text, _, kind in pieces if kind == 1]
    # What every control token contains; no text with one of them is compared.
    forbidden = [
        "<unused",
        "[multimodal]",
        "_of_turn>",
        "_of_image>",
        "<pad>",
        "<eos>",
        "<bos>",
        "<unk>",
        "<mask>",
    ]
    texts = []
    index = 0
    while len(texts) < args.count:
        candidate = text(rng, normal, index)
        index += 1
        if not any(f in candidate for f in forbidden):
            texts.append(candidate)
    rebuilt = rebuild(pieces)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        write_folder(folder, len(pieces))
        if args.form == "json":
            reference = tokenizer_json(rebuilt)
            reference.save(str(folder / "tokenizer.json"))
            theirs = [e.ids for e in reference.encode_batch(texts, add_special_tokens=False)]
        else:
            processor = sentencepiece.SentencePieceProcessor()
            processor.LoadFromSerializedProto(rebuilt.SerializeToString())
            (folder / "tokenizer.model").write_bytes(rebuilt.SerializeToString())
            theirs = processor.EncodeAsIds(texts)
        mine = ours(args.driver, args.model if args.form == "gguf" else folder, texts)
    different = tokens = 0
    for t, a, b in zip(texts, mine, theirs, strict=True):
        tokens += len(b)
        if a != b:
            different += 1
            if different <= 5:
                at = next(
                    (i for i, (x, y) in enumerate(zip(a, b, strict=False)) if x != y), min(len(a), len(b))
                )
                print(
                    f"differs at token {at}: {t!r}\n  ours   {a[at : at + 8]}\n  theirs {b[at : at + 8]}",
                    file=sys.stderr,
                )
    print(f"{len(texts)} texts, {tokens} tokens, {different} texts differ")
    return 1 if different else 0


if __name__ == "__main__":
    sys.exit(main())
