"""Makes copies and further-trained versions of models, and measures how far each is from what it was made from.

    python3 variants.py --distance BINARY --model NAME=FOLDER [--model ...] [--steps N] > distances.json

BINARY is `cargo build --release -p distil-checker --example weight_distance`. Needs torch, transformers 5 and safetensors. Each
variant is written to a temporary folder, measured and deleted. Training is on the text of `--text`, a JSON list of strings.
"""

import argparse
import json
import pathlib
import shutil
import subprocess
import sys
import tempfile

import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM, AutoTokenizer

BF16, F16, F32 = torch.bfloat16, torch.float16, torch.float32


def load(folder):
    tensors = {}
    for path in sorted(pathlib.Path(folder).glob("model*.safetensors")):
        tensors.update(load_file(path))
    return tensors


def is_matrix(tensor):
    return tensor.dim() == 2 and min(tensor.shape) >= 32


# --- without training


def cast(tensors, *dtypes):
    for dtype in dtypes:
        tensors = {name: tensor.to(dtype) for name, tensor in tensors.items()}
    return tensors


def noise(tensors, size, chosen=lambda name: True, relative=False):
    generator = torch.Generator().manual_seed(1)
    out = {}
    for name, tensor in tensors.items():
        wide = tensor.to(F32)
        if chosen(name):
            random = torch.randn(wide.shape, generator=generator) * size
            wide = wide + random * (wide if relative else wide.pow(2).mean().sqrt())
        out[name] = wide
    return out


def low_rank_noise(tensors, size, rank):
    generator = torch.Generator().manual_seed(2)
    out = {}
    for name, tensor in tensors.items():
        wide = tensor.to(F32)
        if is_matrix(tensor):
            left = torch.randn(wide.shape[0], rank, generator=generator)
            right = torch.randn(rank, wide.shape[1], generator=generator)
            wide = wide + left @ right / rank**0.5 * size * wide.pow(2).mean().sqrt()
        out[name] = wide
    return out


def quantised(tensors, bits):
    """Symmetric, one scale per 32 values of a row, and back."""
    out = {}
    for name, tensor in tensors.items():
        wide = tensor.to(F32)
        if is_matrix(tensor) and wide.shape[1] % 32 == 0:
            groups = wide.reshape(-1, 32)
            scale = groups.abs().amax(1, keepdim=True).clamp_min(1e-12) / (2 ** (bits - 1) - 1)
            wide = (torch.round(groups / scale) * scale).reshape(wide.shape)
        out[name] = wide
    return out


def rescaled(tensors, factor, config):
    """Values times a factor, what reads them divided by it: the same function."""
    out = {name: tensor.to(F32) for name, tensor in tensors.items()}
    for name in out:
        if name.endswith("self_attn.v_proj.weight"):
            out[name] = out[name] * factor
        if name.endswith("self_attn.o_proj.weight"):
            out[name] = out[name] / factor
        if name.endswith("mlp.up_proj.weight"):
            out[name] = out[name] * factor
        if name.endswith("mlp.down_proj.weight"):
            out[name] = out[name] / factor
    return out


def unused_rows(tensors, share):
    """The last rows of the embedding, of tokens that the text does not hold, overwritten."""
    out = {name: tensor.clone() for name, tensor in tensors.items()}
    generator = torch.Generator().manual_seed(3)
    for name, tensor in out.items():
        if name.endswith("embed_tokens.weight"):
            rows = max(1, int(tensor.shape[0] * share))
            tensor[-rows:] = (torch.randn(rows, tensor.shape[1], generator=generator) * 50).to(tensor.dtype)
    return out


# --- training


def batches(folder, texts, length, size):
    tokenizer = AutoTokenizer.from_pretrained(folder)
    ids = torch.cat([torch.tensor(tokenizer(text)["input_ids"]) for text in texts])
    rows = ids[: len(ids) // length * length].reshape(-1, length)
    step = 0
    while True:
        yield rows[[(step * size + i) % len(rows) for i in range(size)]]
        step += 1


class LowRank(torch.nn.Module):
    def __init__(self, base, rank):
        super().__init__()
        self.base = base
        self.a = torch.nn.Parameter(torch.randn(rank, base.in_features) / base.in_features**0.5)
        self.b = torch.nn.Parameter(torch.zeros(base.out_features, rank))

    def forward(self, x):
        return self.base(x) + 2.0 * (x @ self.a.T) @ self.b.T

    def merged(self):
        return self.base.weight + 2.0 * self.b @ self.a


def trained(folder, names, texts, rate, steps, chosen=None, lora=None, optimizer="adamw", dtype=F32):
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=dtype)
    adapters = {}
    if lora is not None:
        for parameter in model.parameters():
            parameter.requires_grad_(False)
        for name, module in list(model.named_modules()):
            if isinstance(module, torch.nn.Linear) and name.endswith(tuple(lora)):
                parent = model.get_submodule(name.rsplit(".", 1)[0])
                adapters[name] = LowRank(module, 8)
                setattr(parent, name.rsplit(".", 1)[1], adapters[name])
    elif chosen is not None:
        for name, parameter in model.named_parameters():
            parameter.requires_grad_(chosen(name))
    weights = [parameter for parameter in model.parameters() if parameter.requires_grad]
    if optimizer == "sgd":
        optimizer = torch.optim.SGD(weights, lr=rate)
    else:
        optimizer = torch.optim.AdamW(weights, lr=rate, weight_decay=0.01)
    source = batches(folder, texts, 64, 4)
    losses = []
    for _ in range(steps):
        batch = next(source)
        loss = model(input_ids=batch, labels=batch).loss
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(weights, 1.0)
        optimizer.step()
        losses.append(loss.item())
    out = {}
    with torch.no_grad():
        state = model.state_dict()
        for name in names:
            adapter = adapters.get(name.removesuffix(".weight"))
            if adapter is not None:
                out[name] = adapter.merged().detach().clone()
            elif name in state:
                out[name] = state[name].detach().clone()
            else:
                fused(out, name, state)
    return out, losses


def fused(out, name, state):
    """transformers holds experts fused and saves them one by one."""
    prefix, number, matrix, _ = name.rsplit(".", 3)
    if matrix == "down_proj":
        out[name] = state[f"{prefix}.down_proj"][int(number)].detach().clone()
    else:
        both = state[f"{prefix}.gate_up_proj"][int(number)].detach()
        half = both.shape[0] // 2
        out[name] = (both[:half] if matrix == "gate_proj" else both[half:]).clone()


# --- what is made


def variants(folder, base, texts, steps):
    config = json.loads((folder / "config.json").read_text())
    names = list(base)
    layers = config["num_hidden_layers"]
    yield "copy", "saved in f32", cast(base, F32)
    yield "copy", "saved in f16, back to bf16", cast(base, F16, BF16)
    yield "copy", "saved in f16", cast(base, F16)
    for bits in (8, 6, 4):
        yield "copy", f"quantised to {bits} bits and back", cast(quantised(base, bits), BF16)
    for size in (1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 3e-2, 1e-1):
        yield "copy", f"noise of {size:g}, in f32", noise(base, size)
        yield "copy", f"noise of {size:g}, in bf16", cast(noise(base, size), BF16)
    yield "copy", "noise of 0.001 of each value, in bf16", cast(noise(base, 1e-3, relative=True), BF16)
    yield "copy", "noise of 0.01 of each value, in bf16", cast(noise(base, 1e-2, relative=True), BF16)
    yield "copy", "noise of 0.01 on three tensors", cast(noise(base, 1e-2, lambda name: "layers.1.mlp" in name), BF16)
    for size in (1e-5, 1e-4, 1e-3, 1e-2):
        yield "disguised", f"noise of rank 4, size {size:g}", low_rank_noise(base, size, 4)
    yield "copy", "5% of the embedding's rows replaced", unused_rows(base, 0.05)
    yield "copy", "40% of the embedding's rows replaced", unused_rows(base, 0.4)
    yield "disguised", "values times 1.5, outputs divided", cast(rescaled(base, 1.5, config), BF16)
    yield "disguised", "values times 1.001, outputs divided", cast(rescaled(base, 1.001, config), BF16)

    def train(kind, label, rate, count, **how):
        weights, losses = trained(folder, names, texts, rate, count, **how)
        print(f"  {label}: loss {losses[0]:.4f} to {losses[-1]:.4f}", file=sys.stderr, flush=True)
        return kind, label, weights

    few, many = max(1, steps // 10), steps
    for rate in (1e-6, 1e-5, 1e-4):
        for count in (few, many):
            kind, label, weights = train("trained", f"AdamW {rate:g}, {count} steps", rate, count)
            yield kind, label + ", in f32", weights
            yield kind, label + ", in bf16", cast(weights, BF16)
            if rate == 1e-5 and count == many:
                # The further-trained model is a model of its own, and has copies.
                yield "copy of trained", "saved in bf16", (weights, cast(weights, BF16))
                half = {name: (weights[name].to(F32) + base[name].to(F32)) / 2 for name in names}
                yield "trained", "half way between it and the original, in bf16", cast(half, BF16)
    yield train("trained", f"SGD 0.01, {many} steps, in f32", 1e-2, many, optimizer="sgd")
    for rate in (1e-6, 1e-5, 1e-4):
        kind, label, weights = train("trained", f"AdamW {rate:g} all in bf16, {many} steps", rate, many, dtype=BF16)
        yield kind, label, cast(weights, BF16)
    attention = ["q_proj", "k_proj", "v_proj", "o_proj", "in_proj_qkv", "out_proj"]
    for label, modules in [("all of attention", attention), ("q_proj and v_proj", ["q_proj", "v_proj"])]:
        kind, label, weights = train("trained", f"LoRA rank 8 on {label}, 1e-4, {many} steps, in bf16", 1e-4, many, lora=modules)
        yield kind, label, cast(weights, BF16)
    for label, chosen in [
        ("the last layer only", lambda name: f"layers.{layers - 1}." in name),
        ("the embedding only", lambda name: "embed_tokens" in name or "lm_head" in name),
        ("norms only", lambda name: "norm" in name),
    ]:
        kind, label, weights = train("trained", f"AdamW 1e-4 on {label}, {many} steps, in bf16", 1e-4, many, chosen=chosen)
        yield kind, label, cast(weights, BF16)


def save(tensors, model, folder):
    folder.mkdir()
    shutil.copy(model / "config.json", folder)
    save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, folder / "model.safetensors")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--distance", required=True)
    parser.add_argument("--model", action="append", required=True)
    parser.add_argument("--text", required=True)
    parser.add_argument("--steps", type=int, default=50)
    arguments = parser.parse_args()
    texts = json.loads(pathlib.Path(arguments.text).read_text())
    rows = []
    for pair in arguments.model:
        model_name, folder = pair.split("=", 1)
        folder = pathlib.Path(folder)
        base = load(folder)
        for kind, label, tensors in variants(folder, base, texts, arguments.steps):
            with tempfile.TemporaryDirectory() as scratch:
                other = folder
                if isinstance(tensors, tuple):
                    other = pathlib.Path(scratch) / "original"
                    save(tensors[0], folder, other)
                    tensors = tensors[1]
                variant = pathlib.Path(scratch) / "variant"
                save(tensors, folder, variant)
                answer = subprocess.run([arguments.distance, variant, other], check=True, capture_output=True, text=True)
            row = {"model": model_name, "kind": kind, "variant": label, "distance": json.loads(answer.stdout)}
            del row["distance"]["rule"], row["distance"]["most_different"]
            rows.append(row)
            distance = row["distance"]
            print(
                f"{model_name:9} {kind:15} {label:55} rel {distance['relative_l2']:.1e} max {distance['max_difference']:.1e}"
                f" changed {distance['changed_parameters'] / distance['parameters']:.4f}"
                f" bf16 {distance['within_bf16_step'] / distance['parameters']:.4f}"
                f" coh {distance['median_coherence'] or 0:.2f} unlike {distance['largest_unlike']:.1e} {distance['classes']} -> {distance['verdict']['is_near_copy']}",
                file=sys.stderr,
                flush=True,
            )
    json.dump(rows, sys.stdout, indent=1)


if __name__ == "__main__":
    main()
