# SPDX-License-Identifier: Apache-2.0
"""What is trained: a LoRA on the upper layers of a trunk that stops early, and one linear head an output on the means
of several layers. What reads a reply also reads the prompt before it, but only the reply's tokens are averaged."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, PeftModel, get_peft_model
from torch import nn

from guard import backbone
from guard.rows import OUTPUTS, Row, window

TAPS = (4, 8, 12)  # layers whose means the heads read; the trunk ends at the last
FIRST_LORA = 4  # layers below stay as they are
RANK = 16
WINDOW = 160  # tokens of a training text; windows of the daemon are longer
BEFORE_PROMPT, AFTER_PROMPT, PROMPT_TOKENS = "User: ", "\nAssistant: ", 96
PROJECTIONS = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")


@dataclass(frozen=True)
class Example:
    context: list[int]  # BOS, and for a reply what it answers
    text: list[int]

    def __len__(self) -> int:
        return len(self.context) + len(self.text)


def example(base: backbone.Backbone, row: Row) -> Example | None:
    text = window(row, base.tokens(row.text), WINDOW)
    if not text:
        return None
    context = [backbone.BOS]
    if row.prompt:
        prompt = base.tokens(row.prompt)[-PROMPT_TOKENS:]
        context += [*base.tokens(BEFORE_PROMPT), *prompt, *base.tokens(AFTER_PROMPT)]
    return Example(context, text)


class Guard(nn.Module):
    """`adapt` False: the frozen trunk alone, for comparison."""

    mean: torch.Tensor
    scale: torch.Tensor

    def __init__(self, path: Path, *, adapt: bool, dropout: float) -> None:
        super().__init__()
        self.base = backbone.load(path, TAPS[-1])
        causal: Any = self.base.model
        causal.requires_grad_(False)
        for module in causal.modules():
            if isinstance(module, nn.Linear):
                module.to(torch.bfloat16)  # products in bfloat16; sums, norms and the residual stream in float32
        causal.lm_head = nn.Identity()
        self.trunk: PeftModel | None = None
        if adapt:
            config = LoraConfig(
                r=RANK,
                lora_alpha=RANK,
                lora_dropout=dropout,
                target_modules=list(PROJECTIONS),
                layers_to_transform=list(range(FIRST_LORA, TAPS[-1])),
            )
            self.trunk = get_peft_model(causal, config, autocast_adapter_dtype=True)
            for name, parameter in self.trunk.named_parameters():
                if "lora_" in name:
                    parameter.data = parameter.data.float()
        width = len(TAPS) * self.base.hidden
        self.register_buffer("mean", torch.zeros(width))
        self.register_buffer("scale", torch.ones(width))
        self.drop = nn.Dropout(dropout)
        self.head = nn.Linear(width, len(OUTPUTS))
        nn.init.zeros_(self.head.weight)
        nn.init.constant_(self.head.bias, -1.0)

    def means(self, batch: Sequence[Example]) -> torch.Tensor:
        """[rows, taps · hidden]; padded on the right, where a causal model does not look. In training a tenth of the
        positions is left out of each mean."""
        longest = max(map(len, batch))
        ids = torch.zeros((len(batch), longest), dtype=torch.long)
        weight = torch.zeros((len(batch), longest, 1))
        for i, item in enumerate(batch):
            ids[i, : len(item)] = torch.tensor([*item.context, *item.text])
            part = torch.ones(len(item.text))
            if self.training and len(item.text) > 4:
                part = (torch.rand(len(item.text)) > 0.1).float()
                part[0] = 1.0
            weight[i, len(item.context) : len(item), 0] = part / part.sum()
        kept: dict[int, torch.Tensor] = {}
        layers: Any = self.base.model.model.layers
        handles = [
            layers[tap - 1].register_forward_hook(
                lambda _m, _a, out, tap=tap: kept.__setitem__(
                    tap, ((out[0] if isinstance(out, tuple) else out).float() * weight).sum(dim=1)
                )
            )
            for tap in TAPS
        ]
        try:
            with torch.autocast("cpu", torch.bfloat16):
                self.base.model.model(input_ids=ids, use_cache=False)
        finally:
            for handle in handles:
                handle.remove()
        return torch.cat([kept[tap] for tap in TAPS], dim=1)

    def forward(self, batch: Sequence[Example]) -> torch.Tensor:
        x = (self.means(batch) - self.mean) / self.scale
        logits: torch.Tensor = self.head(self.drop(x))
        return logits

    def trained(self) -> dict[str, torch.Tensor]:
        return {name: p for name, p in self.named_parameters() if p.requires_grad}
