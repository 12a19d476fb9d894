# SPDX-License-Identifier: Apache-2.0
"""Gemma 3 from the very GGUF file that the engine runs: weights dequantised, tokenizer rebuilt from its metadata.

The features must come from the weights that are served, not from the unquantised originals, because a head is fitted
to what it will see.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import sentencepiece
import torch
from gguf import GGUFReader
from gguf.quants import dequantize
from sentencepiece import sentencepiece_model_pb2
from transformers import Gemma3ForCausalLM, Gemma3TextConfig
from transformers.models.gemma3.modeling_gemma3 import Gemma3RotaryEmbedding

BOS = 2

# GGUF name of a layer's tensor -> transformers name. GGUF stores RMSNorm weights as 1 + w, transformers w.
LAYER_NAMES = {
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "attn_q_norm": "self_attn.q_norm",
    "attn_k_norm": "self_attn.k_norm",
    "attn_norm": "input_layernorm",
    "post_attention_norm": "post_attention_layernorm",
    "ffn_norm": "pre_feedforward_layernorm",
    "post_ffw_norm": "post_feedforward_layernorm",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}


@dataclass(frozen=True)
class Backbone:
    model: Gemma3ForCausalLM
    tokenizer: sentencepiece.SentencePieceProcessor
    digest: str
    hidden: int

    def tokens(self, text: str) -> list[int]:
        """Token ids without BOS; a control string in the text stays ordinary text."""
        return list(self.tokenizer.EncodeAsIds(text))


def _tokenizer(reader: GGUFReader) -> sentencepiece.SentencePieceProcessor:
    messages: Any = sentencepiece_model_pb2  # generated at import, unknown to a type checker
    proto = messages.ModelProto()
    proto.trainer_spec.model_type = messages.TrainerSpec.BPE
    proto.trainer_spec.byte_fallback = True
    proto.trainer_spec.pad_id, proto.trainer_spec.eos_id = 0, 1
    proto.trainer_spec.bos_id, proto.trainer_spec.unk_id = 2, 3
    proto.normalizer_spec.name = "identity"
    proto.normalizer_spec.add_dummy_prefix = False
    proto.normalizer_spec.remove_extra_whitespaces = False
    pieces = reader.fields["tokenizer.ggml.tokens"].contents()
    scores = reader.fields["tokenizer.ggml.scores"].contents()
    types = reader.fields["tokenizer.ggml.token_type"].contents()
    for index, (piece, score, kind) in enumerate(zip(pieces, scores, types, strict=True)):
        # GGUF calls <unk> a control piece; sentencepiece wants exactly one of its own kind.
        proto.pieces.add(piece=piece, score=score, type=2 if index == 3 else kind)
    processor = sentencepiece.SentencePieceProcessor()
    processor.LoadFromSerializedProto(proto.SerializeToString())
    return processor


def load(path: Path, layers: int | None = None) -> Backbone:
    """The first `layers` layers (all of them) of the model in `path`, in float32."""
    reader = GGUFReader(path)

    def meta(key: str) -> Any:
        return reader.fields[f"gemma3.{key}"].contents()

    layers = meta("block_count") if layers is None else layers
    config = Gemma3TextConfig(
        vocab_size=len(reader.fields["tokenizer.ggml.tokens"].data),
        hidden_size=meta("embedding_length"),
        intermediate_size=meta("feed_forward_length"),
        num_hidden_layers=layers,
        num_attention_heads=meta("attention.head_count"),
        num_key_value_heads=meta("attention.head_count_kv"),
        head_dim=meta("attention.key_length"),
        query_pre_attn_scalar=meta("attention.key_length"),
        sliding_window=meta("attention.sliding_window"),
        rms_norm_eps=meta("attention.layer_norm_rms_epsilon"),
        rope_parameters={
            "full_attention": {"rope_type": "default", "rope_theta": meta("rope.freq_base")},
            "sliding_attention": {"rope_type": "default", "rope_theta": 10000.0},
        },
        max_position_embeddings=meta("context_length"),
        hidden_activation="gelu_pytorch_tanh",
        tie_word_embeddings=True,
    )
    state: dict[str, torch.Tensor] = {}
    for tensor in reader.tensors:
        stem = tensor.name.removesuffix(".weight")
        values = torch.from_numpy(dequantize(tensor.data, tensor.tensor_type).astype(np.float32))
        if stem == "token_embd":
            state["model.embed_tokens.weight"] = state["lm_head.weight"] = values
        elif stem == "output_norm":
            state["model.norm.weight"] = values - 1
        else:
            _, number, kind = stem.split(".")
            if int(number) < layers:
                name = f"model.layers.{number}.{LAYER_NAMES[kind]}.weight"
                state[name] = values - 1 if kind.endswith("norm") else values
    with torch.device("meta"):
        model = Gemma3ForCausalLM(config)
    model.load_state_dict(state, assign=True, strict=True)
    # Rotary frequencies and the scale of embeddings are computed, not stored: build them off the meta device.
    model.model.rotary_emb = Gemma3RotaryEmbedding(config)
    model.model.embed_tokens.embed_scale = torch.tensor(float(config.hidden_size) ** 0.5)
    model.train(False)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    return Backbone(model, _tokenizer(reader), digest, config.hidden_size)
