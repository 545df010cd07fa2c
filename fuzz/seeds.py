#!/usr/bin/env python3
"""Writes starting points for the fuzz targets, made from the tiny models and fixtures of this repository.

fuzz/seeds.py FOLDER
"""
import pathlib, struct, sys

root = pathlib.Path(__file__).resolve().parent.parent
out = pathlib.Path(sys.argv[1])


def put(target, name, content):
    folder = out / target
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(content)


for name, text in {
    "repo": "Qwen/Qwen3.5-35B-A3B", "revision": "0123456789abcdef0123456789abcdef01234567", "hash": "0x" + "5a" * 32,
    "model": "lab/student@0123456789abcdef0123456789abcdef01234567",
    "hotkey": "5GrwvaEF5zXb26Fz9rcQpDWS57CtERHpNehXCPcNoHGKutQY",
    "commitment": '{"model":"lab/student","revision":"0123456789abcdef0123456789abcdef01234567"}',
    "source": "hub:HuggingFaceFW/fineweb@0123456789abcdef0123456789abcdef01234567/sample/10BT",
}.items():
    put("ids", name, text.encode())

# As in targets/repository.rs.
CONFIG, MODEL, INDEX, TOKENIZER = 0, 1, 2, 5


def piece(name, content):
    return bytes([name]) + struct.pack("<H", len(content)) + content


for model in ["teacher", "student-a", "student-b"]:
    folder = root / "examples/data/tiny" / model
    weights = (folder / "model.safetensors").read_bytes()
    (length,) = struct.unpack("<Q", weights[:8])
    header = weights[8:8 + length]
    put("header", model, struct.pack("<Q", len(weights) - 8 - length) + header)
    config = (folder / "config.json").read_bytes()
    put("repository", model, piece(CONFIG, config) + piece(MODEL, weights[:8 + length][:60000]))
small = b'{"a":{"dtype":"BF16","shape":[2,2],"data_offsets":[0,8]},"__metadata__":{"format":"pt"}}'
put("header", "small", struct.pack("<Q", 8) + small)
put("repository", "small", piece(MODEL, struct.pack("<Q", len(small)) + small + bytes(8)))
put("repository", "index", piece(INDEX, b'{"metadata":{"total_size":8},"weight_map":{"a":"model-00001-of-00002.safetensors"}}'))
put("repository", "tokenizer", piece(TOKENIZER, b'{"model":{"type":"BPE","vocab":{"a":0,"b":1,"ab":2},"merges":["a b",["b","a"]]},"added_tokens":[{"id":3,"content":"<e>","special":true}]}'))

document = "It was a dark and stormy night. " * 20
put("prompts", "parquet", b"\0" + (root / "crates/distil-dataset/tests/fixtures/pyarrow.parquet").read_bytes())
put("prompts", "jsonl", b"\1" + ('{"text":"%s"}\n"%s"\n' % (document, document)).encode())
put("prompts", "json", b"\2" + ('["%s",{"text":"%s"}]' % (document, document)).encode())
put("prompts", "txt", b"\3" + f"{document}\n\n{document}".encode())
