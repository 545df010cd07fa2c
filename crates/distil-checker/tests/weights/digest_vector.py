"""Digests of models' tensors, computed from the description in the documentation of `ModelDigest` and from nothing else.

    python3 digest_vector.py > digest_vectors.json

Needs numpy. The models are small ones that are kept beside the code. What a loader uses is found by a cruder rule than the
crate's: in these models every tensor that is no vision tower, multi-token prediction or head beside a tied embedding.
"""

import hashlib
import json
import pathlib

import numpy as np

REPOSITORY = pathlib.Path(__file__).resolve().parents[4]
TINY = "examples/data/tiny/"
FIXTURES = "crates/distil-model/tests/fixtures/"
MODELS = [TINY + name for name in ["teacher", "student-a"]]
MODELS += [FIXTURES + name for name in ["qwen3_5-dense", "qwen3_5-dense-f32", "qwen3_5-moe", "qwen3_5-moe-fused", "qwen3_5-wrapper", "llama"]]


def stored_tensors(folder):
    index = folder / "model.safetensors.index.json"
    single = folder / "model.safetensors"
    names = ["model.safetensors"] if single.exists() else sorted(set(json.loads(index.read_text())["weight_map"].values()))
    for name in names:
        content = (folder / name).read_bytes()
        length = int.from_bytes(content[:8], "little")
        data = content[8 + length :]
        for tensor, info in json.loads(content[8 : 8 + length]).items():
            if tensor != "__metadata__":
                start, end = info["data_offsets"]
                yield tensor, info["dtype"], info["shape"], data[start:end]


def canonical(name):
    while name.startswith(("model.", "language_model.")):
        name = name.split(".", 1)[1]
    return name


def used_tensors(folder):
    config = json.loads((folder / "config.json").read_text())
    text = config.get("text_config", config)
    tied = text.get("tie_word_embeddings", config.get("tie_word_embeddings", False))
    for name, dtype, shape, data in stored_tensors(folder):
        name = canonical(name)
        if name.startswith(("visual.", "mtp.")) or (tied and name == "lm_head.weight"):
            continue
        if name.endswith(("mlp.experts.gate_up_proj", "mlp.experts.down_proj")):
            prefix, kind = name.rsplit(".", 1)
            experts = np.frombuffer(data, np.uint16 if dtype in ("BF16", "F16") else np.uint32).reshape(shape)
            for number, expert in enumerate(experts):
                halves = {"down_proj": expert}
                if kind == "gate_up_proj":
                    middle = shape[1] // 2
                    halves = {"gate_proj": expert[:middle], "up_proj": expert[middle:]}
                for half, matrix in halves.items():
                    yield f"{prefix}.{number}.{half}.weight", dtype, list(matrix.shape), matrix.tobytes()
        else:
            yield name, dtype, shape, data


def to_bf16(dtype, data):
    if dtype == "BF16":
        bits = np.frombuffer(data, np.uint16).astype(np.uint32) << 16
    else:
        values = np.frombuffer(data, np.float16 if dtype == "F16" else np.float32).astype(np.float32)
        bits = values.view(np.uint32)
    nan = (bits & 0x7FFFFFFF) > 0x7F800000
    rounded = ((bits.astype(np.uint64) + 0x7FFF + ((bits >> 16) & 1)) >> 16).astype(np.uint16)
    return np.where(nan, np.uint16(0x7FC0), rounded).astype("<u2").tobytes()


def digest(kind, tensors):
    listed = {}
    for name, dtype, shape, data in tensors:
        if kind == "bf16":
            dtype, data = "BF16", to_bf16(dtype, data)
        assert name not in listed
        sizes = "x".join(str(size) for size in shape) or "scalar"
        listed[name] = f"{dtype} {sizes} {hashlib.sha256(data).hexdigest()}"
    if listed.get("lm_head.weight") == listed["embed_tokens.weight"]:
        del listed["lm_head.weight"]
    lines = [f"distil-tensors/1 {kind}\n"] + [f"{name} {listed[name]}\n" for name in sorted(listed)]
    return hashlib.sha256("".join(lines).encode("ascii")).hexdigest()


vectors = {}
for model in MODELS:
    tensors = list(used_tensors(REPOSITORY / model))
    vectors[model] = {"raw": digest("raw", tensors), "bf16": digest("bf16", tensors), "tensors": len(tensors)}
print(json.dumps(vectors, indent=2))
