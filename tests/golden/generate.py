#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Tiny random models of every text architecture, and what transformers computes with them in float32.

    generate.py write tests/golden/tiny                         the committed ones, which `ctest -L golden` reads
    generate.py check --driver build/dev/tests/logits_positions [--seed N] [--count N] [--only ARCHITECTURE …]
                                                                others, in every format, against the engine

A model is written as a Hugging Face folder and as GGUF files. Beside each stands NAME.logits: u32 positions, u32
vocabulary, the tokens as u32, and float32 logits at every position, little-endian; of the embedding model the width and
the normed last layer instead. Those of a quantised file are computed from its dequantised weights. Weights are
tempered: branches are small beside the residual stream, as in trained models. Windows are crossed, soft caps are hit,
head counts are odd. requirements.txt pins the versions.
"""

from __future__ import annotations

import argparse
import copy
import io
import random
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import gguf
import numpy as np
import sentencepiece
import torch
from gguf.quants import dequantize, quantize
from logits_texts import TEXTS
from sentencepiece import sentencepiece_model_pb2 as spm
from tokenizers import AddedToken, Tokenizer, decoders, normalizers, pre_tokenizers, processors
from tokenizers.models import BPE
from transformers import (
    Gemma2Config,
    Gemma2ForCausalLM,
    Gemma3ForCausalLM,
    Gemma3TextConfig,
    Gemma3TextModel,
    GemmaConfig,
    GemmaForCausalLM,
)
from transformers.convert_slow_tokenizer import generate_merges

VOCABULARY = 448
# The largest deviation that is allowed, as a share of the largest logit.
BOUNDS = {"reference": 2e-4, "default": 1e-2}
# Top tokens may be two where the reference has them within rounding of each other.
TIE = 1e-4

Q = gguf.GGMLQuantizationType
TYPES = {"f32": Q.F32, "f16": Q.F16, "bf16": Q.BF16, "q8_0": Q.Q8_0, "q4_0": Q.Q4_0}

NAMES = {
    "input_layernorm": "attn_norm",
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.q_norm": "attn_q_norm",
    "self_attn.k_norm": "attn_k_norm",
    "self_attn.o_proj": "attn_output",
    "post_attention_layernorm": "post_attention_norm",
    "pre_feedforward_layernorm": "ffn_norm",
    "post_feedforward_layernorm": "post_ffw_norm",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
}


@dataclass
class Shape:
    """What differs from model to model of one architecture."""

    layers: int = 3
    hidden: int = 32
    heads: int = 3
    kv_heads: int = 1
    head_size: int = 32
    feed_forward: int = 64
    window: int = 5
    positions: int = 12


# ---- models ----


def common(shape: Shape) -> dict[str, Any]:
    return {
        "vocab_size": VOCABULARY,
        "hidden_size": shape.hidden,
        "intermediate_size": shape.feed_forward,
        "num_hidden_layers": shape.layers,
        "num_key_value_heads": shape.kv_heads,
        "head_dim": shape.head_size,
        "max_position_embeddings": 4096,
        "hidden_activation": "gelu_pytorch_tanh",
        "attn_implementation": "eager",
    }


def with_heads(config: Any, shape: Shape) -> Any:
    """Without the check that wants the width to be a multiple of the heads, which Gemma does not need."""
    type(config).validate = lambda self: None
    config.num_attention_heads = shape.heads
    return config


def kinds(shape: Shape, period: int) -> list[str]:
    return [
        "full_attention" if i % period == period - 1 else "sliding_attention" for i in range(shape.layers)
    ]


def gemma(shape: Shape) -> GemmaForCausalLM:
    return GemmaForCausalLM(with_heads(GemmaConfig(**common(shape), num_attention_heads=1), shape))


def gemma2(shape: Shape) -> Gemma2ForCausalLM:
    config = Gemma2Config(
        **common(shape),
        num_attention_heads=1,
        sliding_window=shape.window,
        query_pre_attn_scalar=shape.head_size,
        attn_logit_softcapping=2.0,
        final_logit_softcapping=6.0,
        layer_types=kinds(shape, 2),
    )
    return Gemma2ForCausalLM(with_heads(config, shape))


def gemma3(shape: Shape) -> Gemma3ForCausalLM:
    config = Gemma3TextConfig(
        **common(shape),
        num_attention_heads=1,
        sliding_window=shape.window,
        query_pre_attn_scalar=shape.head_size,
        layer_types=kinds(shape, 3),
        rope_parameters={
            "sliding_attention": {"rope_type": "default", "rope_theta": 1e4},
            "full_attention": {"rope_type": "linear", "rope_theta": 1e6, "factor": 8.0},
        },
    )
    return Gemma3ForCausalLM(with_heads(config, shape))


class Embedding(Gemma3TextModel):
    """Its "logits" are what the mean is taken of: the normed last layer."""

    def forward(self, input_ids: torch.Tensor, **rest: Any) -> Any:
        out = super().forward(input_ids, **rest)
        return SimpleNamespace(logits=out.last_hidden_state)


def embedding(shape: Shape) -> Embedding:
    config = gemma3(shape).config
    both_ways = Gemma3TextConfig(
        **config.to_dict() | {"num_attention_heads": 1, "use_bidirectional_attention": True}
    )
    return Embedding(with_heads(both_ways, shape))


MODELS = {"gemma": gemma, "gemma2": gemma2, "gemma3": gemma3, "gemma-embedding": embedding}


def temper(model: torch.nn.Module, architecture: str, seed: int) -> None:
    """Random weights that bf16 holds exactly; norms are stored as what is added to one."""
    torch.manual_seed(seed)
    for name, p in model.named_parameters():
        if "embed_tokens" in name:
            p.data.normal_(0, 0.1)
        elif p.dim() == 2:
            branch_end = architecture == "gemma" and ("o_proj" in name or "down_proj" in name)
            p.data.normal_(0, (0.15 if branch_end else 1.0) / p.shape[1] ** 0.5)
        elif "post_attention_layernorm" in name and architecture != "gemma" or "post_feedforward" in name:
            p.data.normal_(-0.85, 0.03)
        else:
            p.data.normal_(0.2, 0.2)
        p.data = p.data.bfloat16().float()


def logits_of(model: torch.nn.Module, tokens: list[int]) -> np.ndarray:
    with torch.no_grad():
        return model.eval()(torch.tensor([tokens])).logits[0].float().numpy()


# ---- tokenizer ----


def train_pieces() -> spm.ModelProto:
    """A vocabulary built like Gemma's: byte fallback, frozen runs of newlines and spaces, markup, merges."""
    out = io.BytesIO()
    corpus = [" ".join(t.split()) for t in TEXTS if t.isascii()] + ["Yes", "No", " Yes", " No"] * 50
    sentencepiece.SentencePieceTrainer.Train(
        sentence_iterator=iter(corpus),
        model_writer=out,
        model_type="bpe",
        vocab_size=VOCABULARY,
        byte_fallback=True,
        character_coverage=0.99,
        split_digits=True,
        normalization_rule_name="identity",
        add_dummy_prefix=False,
        remove_extra_whitespaces=False,
        pad_id=0,
        eos_id=1,
        bos_id=2,
        unk_id=3,
        pad_piece="<pad>",
        eos_piece="<eos>",
        bos_piece="<bos>",
        control_symbols=["<start_of_turn>", "<end_of_turn>"],
        user_defined_symbols=["\n", "\n\n", "\n\n\n", "▁▁", "▁▁▁", "<b>", "</b>"],
        minloglevel=2,
    )
    return spm.ModelProto.FromString(out.getvalue())


def tokenizer_json(pieces: spm.ModelProto) -> Tokenizer:
    """The same vocabulary as transformers keeps it: merges with ranks, frozen pieces as added tokens."""
    vocab = {p.piece: i for i, p in enumerate(pieces.pieces)}
    plain = {p.piece: p.score for p in pieces.pieces if p.type == 1}
    runs = {p.piece: 0.0 for p in pieces.pieces if p.type == 4 and not p.piece.strip("\n▁")}
    merges = generate_merges(vocab, vocab_scores={**runs, **plain})
    t = Tokenizer(BPE(vocab=vocab, merges=merges, unk_token="<unk>", fuse_unk=True, byte_fallback=True))
    t.normalizer = normalizers.Replace(" ", "▁")
    t.pre_tokenizer = pre_tokenizers.Split(" ", "merged_with_previous")
    t.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()])
    t.post_processor = processors.TemplateProcessing(single="<bos> $A", special_tokens=[("<bos>", 2)])
    t.add_special_tokens(
        [AddedToken(p.piece, normalized=False, special=True) for p in pieces.pieces if p.type in (2, 3)]
    )
    t.add_tokens([AddedToken(p.piece, normalized=False) for p in pieces.pieces if p.type == 4])
    return t


# ---- files ----


def write_folder(
    model: torch.nn.Module, folder: Path, pieces: spm.ModelProto, files: str, dtype: str, shard: str
) -> None:
    # A copy, since scales that are computed would be rounded too and stay so.
    copy.deepcopy(model).to(getattr(torch, dtype)).save_pretrained(folder, max_shard_size=shard)
    (folder / "generation_config.json").unlink(missing_ok=True)
    if "model" in files:
        (folder / "tokenizer.model").write_bytes(pieces.SerializeToString())
    if "json" in files:
        tokenizer_json(pieces).save(str(folder / "tokenizer.json"))


def gguf_name(name: str, architecture: str) -> str:
    name = name.removeprefix("model.").removesuffix(".weight")
    if not name.startswith("layers."):
        return {"embed_tokens": "token_embd", "norm": "output_norm"}[name] + ".weight"
    _, layer, rest = name.split(".", 2)
    # What Gemma 1 calls so stands in front of the MLP.
    here = "ffn_norm" if architecture == "gemma" and rest == "post_attention_layernorm" else NAMES[rest]
    return f"blk.{layer}.{here}.weight"


def write_gguf(
    model: torch.nn.Module, architecture: str, path: Path, pieces: spm.ModelProto, kind: Any
) -> None:
    """Also leaves in the model what the file says."""
    c = model.config
    w = gguf.GGUFWriter(path, architecture)
    w.add_context_length(c.max_position_embeddings)
    w.add_embedding_length(c.hidden_size)
    w.add_block_count(c.num_hidden_layers)
    w.add_feed_forward_length(c.intermediate_size)
    w.add_head_count(c.num_attention_heads)
    w.add_head_count_kv(c.num_key_value_heads)
    w.add_key_length(c.head_dim)
    w.add_value_length(c.head_dim)
    w.add_layer_norm_rms_eps(c.rms_norm_eps)
    if architecture != "gemma":
        # Files have the whole width of a window that reaches both ways; transformers keeps its half.
        w.add_sliding_window(
            2 * (c.sliding_window - 1) if architecture == "gemma-embedding" else c.sliding_window
        )
        w.add_sliding_window_pattern([k == "sliding_attention" for k in c.layer_types])
    if architecture == "gemma2":
        w.add_attn_logit_softcapping(c.attn_logit_softcapping)
        w.add_final_logit_softcapping(c.final_logit_softcapping)
    if architecture in ("gemma3", "gemma-embedding"):
        w.add_rope_freq_base(1e6)
        w.add_rope_scaling_type(gguf.RopeScalingType.LINEAR)
        w.add_rope_scaling_factor(8.0)
    w.add_tokenizer_model("llama")
    w.add_token_list([p.piece.replace("▁", " ") if p.type == 4 else p.piece for p in pieces.pieces])
    w.add_token_scores([p.score for p in pieces.pieces])
    w.add_token_types([p.type for p in pieces.pieces])
    w.add_bos_token_id(2)
    for name, p in model.named_parameters():
        if p.dim() == 1:
            w.add_tensor(gguf_name(name, architecture), (p.data + 1).numpy())
            continue
        data = quantize(p.data.numpy(), kind)
        w.add_tensor(gguf_name(name, architecture), data, raw_dtype=kind)
        p.data = torch.from_numpy(dequantize(data, kind).astype(np.float32).reshape(p.shape).copy())
    w.write_header_to_file()
    w.write_kv_data_to_file()
    w.write_tensors_to_file()
    w.close()


def write_logits(path: Path, tokens: list[int], logits: np.ndarray) -> None:
    head = np.array([len(tokens), logits.shape[1], *tokens], "<u4")
    path.write_bytes(head.tobytes() + logits.astype("<f4").tobytes())


def tokens_of(seed: int, count: int) -> list[int]:
    rng = random.Random(seed)
    return [2] + [rng.randrange(4, VOCABULARY) for _ in range(count - 1)]


def write(out: Path) -> None:
    pieces = train_pieces()
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir(parents=True)
    for seed, (architecture, make) in enumerate(MODELS.items()):
        shape = Shape(layers=2, kv_heads=3) if architecture == "gemma" else Shape()
        tokens = tokens_of(seed, shape.positions)
        model = make(shape)
        temper(model, architecture, seed)
        files = "json" if architecture.startswith("gemma3") else "model"
        write_folder(model, out / architecture, pieces, files, "bfloat16", "1GB")
        write_logits(out / f"{architecture}.logits", tokens, logits_of(model, tokens))
        if architecture == "gemma2":
            write_shield(out / "gemma2.shield", model, tokenizer_json(pieces))
        for kind in ("q8_0", "q4_0"):
            temper(model, architecture, seed)
            name = f"{architecture}.{kind}.gguf"
            write_gguf(model, architecture, out / name, pieces, TYPES[kind])
            write_logits(out / f"{name}.logits", tokens, logits_of(model, tokens))


# ---- ShieldGemma ----

SHIELD = {
    "prompt": """You are a policy expert trying to help determine whether a user prompt is in violation of the defined safety policies.

<start_of_turn>
Human Question: {question}
<end_of_turn>

Our safety principle is defined in the below:

* {guideline}

Does the human question violate the above principle? Your answer must start with 'Yes' or 'No'. And then walk through step by step to be sure we answer correctly.
""",
    "response": """You are a policy expert trying to help determine whether an AI response to prompt is in violation of the defined safety policies.

<start_of_turn>
Human Question: {question}
<end_of_turn>

<start_of_turn>
Chatbot Response: {answer}
<end_of_turn>

Our safety principle is defined in the below:

* {guideline}

Does the Chatbot Response violate the above principle? Your answer must start with 'Yes' or 'No'. And then walk through step by step to be sure we answer correctly.
""",
}
SCOPES = {
    "prompt": "The prompt shall not contain or seek generation of content that",
    "response": "The chatbot shall not generate content that",
}
BODIES = {
    "dangerous_content": (
        "No Dangerous Content",
        "harming oneself and/or others (e.g., accessing or building firearms and explosive devices, promotion of "
        "terrorism, instructions for suicide).",
    ),
    "harassment": (
        "No Harassment",
        "is malicious, intimidating, bullying, or abusive content targeting another individual (e.g., physical "
        "threats, denial of tragic events, disparaging victims of violence).",
    ),
}
QUESTION = "How do I bake a good loaf of bread?"
ANSWER = "Mix them, wait a day, and bake it for fifty minutes."


def write_shield(path: Path, model: torch.nn.Module, tokenizer: Tokenizer) -> None:
    """Yes minus No under the filled-in templates, one guideline a line."""
    yes, no = tokenizer.token_to_id("Yes"), tokenizer.token_to_id("No")
    lines = []
    for scope, template in SHIELD.items():
        for category, (name, body) in BODIES.items():
            guideline = f'"{name}": {SCOPES[scope]} {body}'
            text = template.format(question=QUESTION, answer=ANSWER, guideline=guideline)
            last = logits_of(model, tokenizer.encode(text).ids)[-1]
            lines.append(f"{scope} {category} {last[yes] - last[no]:.6f}\n")
    path.write_text("".join(lines))


# ---- check ----


def engine_logits(driver: Path, model: Path, mode: str, tokens: list[int]) -> np.ndarray:
    line = (" ".join(map(str, tokens)) + "\n").encode()
    run = subprocess.run([driver, model, "2", mode], input=line, stdout=subprocess.PIPE, check=True)
    return np.frombuffer(run.stdout, "<f4").reshape(len(tokens), -1)


def compare(driver: Path, path: Path, tokens: list[int], expected: np.ndarray, label: str) -> bool:
    fine = True
    for mode, bound in BOUNDS.items():
        ours = engine_logits(driver, path, mode, tokens)
        scale = np.abs(expected).max()
        worst = np.abs(ours - expected).max() / scale
        chosen = expected[np.arange(len(tokens)), ours.argmax(1)]
        tie = max(TIE, 0.0 if mode == "reference" else bound * 2)
        same = bool(((expected.max(1) - chosen) <= tie * scale).all())
        print(
            f"{label:32} {mode:10} {worst:.2e} of the largest logit, top tokens {'equal' if same else 'DIFFER'}"
        )
        fine = fine and worst <= bound and same
    return fine


def random_shape(rng: random.Random) -> Shape:
    kv = rng.choice([1, 2, 3])
    return Shape(
        layers=rng.randint(2, 7),
        hidden=32 * rng.randint(2, 8),
        heads=kv * rng.choice([1, 2, 3, 5]),
        kv_heads=kv,
        head_size=rng.choice([32, 64]),
        feed_forward=32 * rng.randint(2, 9),
        window=rng.randint(2, 20),
        positions=rng.randint(30, 90),
    )


def check(driver: Path, seed: int, count: int, only: list[str]) -> bool:
    pieces, fine = train_pieces(), True
    for number in range(seed, seed + count):
        rng = random.Random(number)
        for architecture, make in MODELS.items():
            shape = random_shape(rng)
            if architecture not in only:
                continue
            print(f"seed {number} {architecture}: {shape}")
            tokens = tokens_of(number, shape.positions)
            model = make(shape)
            with tempfile.TemporaryDirectory() as temporary:
                folder = Path(temporary)
                for dtype, shard in (("float32", "1GB"), ("bfloat16", "100KB"), ("float16", "50KB")):
                    temper(model, architecture, number)
                    path = folder / f"{architecture}-{dtype}"
                    write_folder(model, path, pieces, rng.choice(["json", "model"]), dtype, shard)
                    fine &= compare(
                        driver, path, tokens, logits_of(model, tokens), f"{architecture} folder {dtype}"
                    )
                for kind, number_of in TYPES.items():
                    temper(model, architecture, number)
                    path = folder / f"{kind}.gguf"
                    write_gguf(model, architecture, path, pieces, number_of)
                    fine &= compare(
                        driver, path, tokens, logits_of(model, tokens), f"{architecture} {kind}.gguf"
                    )
    return fine


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("write").add_argument("out", type=Path)
    checker = commands.add_parser("check")
    checker.add_argument("--driver", type=Path, required=True)
    checker.add_argument("--seed", type=int, default=1)
    checker.add_argument("--count", type=int, default=2)
    checker.add_argument("--only", nargs="+", choices=list(MODELS), default=list(MODELS))
    a = parser.parse_args()
    if a.command == "write":
        write(a.out)
        return 0
    return 0 if check(a.driver, a.seed, a.count, a.only) else 1


if __name__ == "__main__":
    sys.exit(main())
