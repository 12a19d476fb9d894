# SPDX-License-Identifier: Apache-2.0
"""What is trained: a LoRA on the upper layers of a trunk that stops early, and one linear head an output on the means
of several layers. What reads a reply also reads the prompt before it, but only the reply's tokens are averaged."""

from __future__ import annotations

import random
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
SPAN, STRIDE = 64, 32  # tokens: a long text is judged as a whole and by each stretch of this length
WINDOW = 160  # tokens of a training text; windows of the daemon are longer
BEFORE_PROMPT, AFTER_PROMPT, PROMPT_TOKENS = "User: ", "\nAssistant: ", 96
PROJECTIONS = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")


@dataclass(frozen=True)
class Example:
    context: list[int]  # BOS, and for a reply what it answers
    text: list[int]
    inner: tuple[int, int] | None  # tokens that the labels speak of, when not of all
    harmless: bool

    def __len__(self) -> int:
        return len(self.context) + len(self.text)

    def stretch(self) -> tuple[int, int]:
        """What is averaged in training: the whole text, or for long ones now and then a stretch that the labels hold
        for, since the daemon asks about stretches too."""
        length = len(self.text)
        if length <= SPAN or random.random() < 0.5:
            return 0, length
        if self.harmless:
            start = STRIDE * random.randrange((length - SPAN) // STRIDE + 1)
        elif self.inner is not None:
            start = min(self.inner[0] // STRIDE * STRIDE, length - 1)
        else:
            return 0, length
        return start, min(start + SPAN, length)


def example(base: backbone.Backbone, row: Row) -> Example | None:
    tokens = base.tokens(row.text)
    inner: tuple[int, int] | None = None
    if row.inner is not None:
        inner = (len(base.tokens(row.text[: row.inner[0]])), len(base.tokens(row.text[: row.inner[1]])))
        cut = max(0, min(inner[0], inner[1] - WINDOW))
        tokens, inner = tokens[cut:], (inner[0] - cut, inner[1] - cut)
    text = window(row, tokens, WINDOW)
    if not text:
        return None
    context = [backbone.BOS]
    if row.prompt:
        prompt = base.tokens(row.prompt)[-PROMPT_TOKENS:]
        context += [*base.tokens(BEFORE_PROMPT), *prompt, *base.tokens(AFTER_PROMPT)]
    harmless = row.labels.get("unsafe") == 0 and not any(row.labels.get(key) for key in OUTPUTS)
    return Example(context, text, inner, harmless)


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
            start, end = item.stretch() if self.training else (0, len(item.text))
            part = torch.ones(end - start)
            if self.training and end - start > 4:
                part = (torch.rand(end - start) > 0.1).float()
                part[0] = 1.0
            at = len(item.context)
            weight[i, at + start : at + end, 0] = part / part.sum()
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

    def restore(self, path: Path) -> None:
        """The averaged weights of a finished run."""
        state: dict[str, Any] = torch.load(path)
        self.mean.copy_(state["mean"])
        self.scale.copy_(state["scale"])
        with torch.no_grad():
            for name, p in self.trained().items():
                p.copy_(state["weights"][name])

    def trained(self) -> dict[str, torch.Tensor]:
        return {name: p for name, p in self.named_parameters() if p.requires_grad}
