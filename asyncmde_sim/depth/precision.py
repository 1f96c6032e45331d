"""The precision that the networks compute in."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import torch
from torch import nn


def inference_precision(device: torch.device) -> torch.autocast:
    """Half precision for convolutions where the processor computes in it; else float32.

    On a CPU bfloat16 halves their time and changes depth by about 0.3 % (median; the last layer stays in
    float32, see ``DPTDecoder``).
    """
    if device.type == "cuda":
        return torch.autocast("cuda", torch.float16)
    return torch.autocast("cpu", torch.bfloat16, enabled=_computes_in_bfloat16())


@lru_cache
def _computes_in_bfloat16() -> bool:
    """Whether the processor does; an older torch, which cannot tell, stays in float32."""
    capabilities: dict[str, Any] = getattr(torch.cpu, "get_capabilities", dict)()
    return bool(capabilities.get("avx512_bf16") or capabilities.get("amx_bf16"))


def cast_once(*modules: nn.Module) -> None:
    """Keep in bfloat16 the weights that ``inference_precision`` would cast at every call; results stay."""
    if not _computes_in_bfloat16():
        return
    for module in modules:
        for layer in module.modules():
            if type(layer) is nn.Conv2d:  # a subclass has a precision of its own
                layer.to(torch.bfloat16)
