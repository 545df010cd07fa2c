"""Records real training of the tiny student for the tests, as what it changes.

    python3 updates.py ../tests/weights/updates

`adamw-1e-5.safetensors`: AdamW at 1e-5, 50 steps in f32, each tensor's change in 8 bits with one scale.
`lora-attention.safetensors`: a low-rank adapter of rank 8 on all of attention, 1e-4, 50 steps, its two factors in bf16.
"""

import json
import pathlib
import sys

import torch
from safetensors.torch import save_file

import variants

TINY = pathlib.Path(__file__).resolve().parents[3] / "examples/data/tiny"


def main():
    out = pathlib.Path(sys.argv[1])
    out.mkdir(parents=True, exist_ok=True)
    student = TINY / "student-a"
    texts = json.loads((TINY / "prompts.json").read_text())
    base = variants.load(student)
    weights, losses = variants.trained(student, list(base), texts, 1e-5, 50)
    print("AdamW", losses[0], "to", losses[-1])
    update = {}
    for name, tensor in base.items():
        change = weights[name] - tensor.to(torch.float32)
        scale = (change.abs().max() / 127).clamp_min(1e-20)
        update[name] = torch.round(change / scale).to(torch.int8)
        update[name + ".scale"] = scale.reshape(1)
    save_file(update, out / "adamw-1e-5.safetensors")

    attention = ["q_proj", "k_proj", "v_proj", "o_proj", "in_proj_qkv", "out_proj"]
    weights, losses = variants.trained(student, list(base), texts, 1e-4, 50, lora=attention)
    print("LoRA", losses[0], "to", losses[-1])
    update = {}
    for name, tensor in base.items():
        change = weights[name] - tensor.to(torch.float32)
        if change.abs().max() == 0:
            continue
        u, s, v = torch.linalg.svd(change)
        update[name + ".left"] = (u[:, :8] * s[:8]).to(torch.bfloat16).contiguous()
        update[name + ".right"] = v[:8].to(torch.bfloat16).contiguous()
    save_file(update, out / "lora-attention.safetensors")


if __name__ == "__main__":
    main()
