"""Downloads from a running distil-devhub with the official client and compares all it sees with the files on disk.

Usage: huggingface_hub_check.py PROGRAM [OPTION OF THE PROGRAM...]
"""

import hashlib
import json
import logging
import os
import random
import signal
import struct
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

TOKEN = "hf_check"
CUT_BYTES = 1_000_000


def safetensors(tensors):
    """A safetensors file of zeros: name to (dtype, shape, bytes)."""
    header, place = {"__metadata__": {"format": "pt"}}, 0
    for name, (dtype, shape, size) in tensors.items():
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [place, place + size]}
        place += size
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + bytes(place)


def write(root, files):
    for path, content in files.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(content)


def contents(folder):
    """Path to bytes of all files below a folder, through links."""
    folder = Path(folder)
    files = (path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


def git_blob(content):
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


def sha256(content):
    return hashlib.sha256(content).hexdigest()


def lfs_pointer(content):
    return f"version https://git-lfs.github.com/spec/v1\noid sha256:{sha256(content)}\nsize {len(content)}\n".encode()


# More tensors than fit into the first 100,000 bytes of a header, so that the client asks for the rest of it as well.
MANY = {f"model.layers.{layer}.self_attn.some_projection.weight": ("BF16", [2, 3], 12) for layer in range(1500)}
ONE = {"model.embed_tokens.weight": ("BF16", [10, 4], 80), "model.norm.weight": ("F32", [4], 16)}
SHARDS = ["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"]
INDEX = {
    "metadata": {"total_size": 96 + 12 * len(MANY)},
    "weight_map": {**{name: SHARDS[0] for name in ONE}, **{name: SHARDS[1] for name in MANY}},
}
TINY = {
    "README.md": "# tiny\n".encode(),
    "config.json": b'{"vocab_size": 10}',
    "tokenizer.json": b'{"model": {"vocab": {}}}',
    "empty.txt": b"",
    "notes/two words.txt": b"spaces",
    "notes/deep/caf\u00e9 100% #1?.txt": "unicode: \u96ea".encode(),
    "\u96ea/\u96ea.bin": b"few bytes, but by their name for LFS",
    "weights.bin": random.Random(0).randbytes(3_000_000),
    SHARDS[0]: safetensors(ONE),
    SHARDS[1]: safetensors(MANY),
    "model.safetensors.index.json": json.dumps(INDEX).encode(),
}
RESUMED = {"resumed.bin": random.Random(1).randbytes(3_000_000)}
HIDDEN = {"config.json": b"{}", "weights.bin": random.Random(2).randbytes(20_000)}
ROWS = {"README.md": b"# rows\n", "data/train 0.parquet": random.Random(3).randbytes(2_000_000)}


class Server:
    """The program on a folder; it stops when the block is left."""

    def __init__(self, program, options, folder):
        arguments = [
            program, "--until-stdin-closes", "--token", TOKEN, "--page-size", "4",
            "--private", "models/alice/secret", "--gated", "models/alice/gated",
            "--fault", f"cut-body-after={CUT_BYTES};on=/cdn/;on=resumed.bin;times=1", *options, str(folder),
        ]  # fmt: skip
        pipe = subprocess.PIPE
        self.process = subprocess.Popen(arguments, stdin=pipe, stdout=pipe, stderr=pipe, text=True, encoding="utf-8")

    def __enter__(self):
        self.endpoint = self.process.stdout.readline().strip()
        assert self.endpoint.startswith("http://127.0.0.1:"), self.process.stderr.read()
        self.commits = dict(self.process.stderr.readline().split() for _ in range(5))
        return self

    def publish_again(self):
        """Has changed folders published; returns the one repository that was, and its commit."""
        self.process.send_signal(signal.SIGHUP)
        return self.process.stderr.readline().split()

    def stop(self):
        self.process.stdin.close()
        assert self.process.wait(timeout=20) == 0

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()


def done(what):
    print(f"  ok: {what}", flush=True)


def refused(error, call):
    """Holds that a call ends in just this error."""
    try:
        call()
    except Exception as found:  # noqa: BLE001
        assert type(found) is error, f"{type(found).__name__} instead of {error.__name__}: {found}"
        return found
    raise AssertionError(f"no {error.__name__}")


def check_information(api, commit):
    info = api.model_info("alice/tiny", files_metadata=True)
    assert (info.id, info.sha, info.private, info.gated) == ("alice/tiny", commit, False, False), info
    assert info.last_modified is not None and info.author == "alice"
    assert {sibling.rfilename: sibling.size for sibling in info.siblings} == {p: len(c) for p, c in TINY.items()}
    in_lfs = {sibling.rfilename for sibling in info.siblings if sibling.lfs}
    assert in_lfs == {"tokenizer.json", "weights.bin", "\u96ea/\u96ea.bin", *SHARDS}, in_lfs
    for sibling in info.siblings:
        content = TINY[sibling.rfilename]
        if sibling.lfs:
            pointer = lfs_pointer(content)
            assert (sibling.lfs.sha256, sibling.lfs.size) == (sha256(content), len(content))
            assert (sibling.lfs.pointer_size, sibling.blob_id) == (len(pointer), git_blob(pointer))
        else:
            assert sibling.blob_id == git_blob(content)
    assert info.safetensors.parameters == {"BF16": 40 + 6 * len(MANY), "F32": 4}, info.safetensors
    assert info.safetensors.total == 44 + 6 * len(MANY)
    assert api.model_info("alice/tiny", expand=["sha", "gated"]).siblings is None
    done("model_info: sizes, LFS records, git ids, count of parameters, expand")

    assert sorted(api.list_repo_files("alice/tiny")) == sorted(TINY)
    tree = {entry.path: entry for entry in api.list_repo_tree("alice/tiny", recursive=True, expand=True)}
    folders = {"notes", "notes/deep", "\u96ea"}
    assert set(tree) == set(TINY) | folders
    assert all(entry.last_commit.oid == commit for entry in tree.values())
    assert {path for path, entry in tree.items() if hasattr(entry, "tree_id")} == folders
    for path, content in TINY.items():
        assert tree[path].size == len(content)
        assert tree[path].lfs is None or tree[path].lfs.sha256 == sha256(content)
    top = [entry.path for entry in api.list_repo_tree("alice/tiny")]
    assert sorted(top) == sorted({path.split("/")[0] for path in TINY})
    below = [entry.path for entry in api.list_repo_tree("alice/tiny", "notes/deep")]
    assert below == [path for path in TINY if path.startswith("notes/deep/")]
    done("list_repo_files and list_repo_tree, over several pages")

    asked = ["weights.bin", "notes", "notes/two words.txt", "not there"]
    found = {entry.path: entry for entry in api.get_paths_info("alice/tiny", asked, expand=True)}
    assert set(found) == set(asked[:3]) and found["weights.bin"].lfs.sha256 == sha256(TINY["weights.bin"])
    branches = api.list_repo_refs("alice/tiny").branches
    assert [(branch.name, branch.target_commit) for branch in branches] == [("main", commit)]
    assert api.file_exists("alice/tiny", "config.json") and not api.file_exists("alice/tiny", "none.json")
    assert api.repo_exists("alice/tiny") and not api.repo_exists("alice/none")
    done("get_paths_info, list_repo_refs, file_exists, repo_exists")


def check_single_files(hub, endpoint, commit):
    for path, content in TINY.items():
        metadata = hub.get_hf_file_metadata(hub.hf_hub_url("alice/tiny", path))
        in_lfs = not metadata.location.startswith(endpoint)
        etag = sha256(content) if in_lfs else git_blob(content)
        assert (metadata.commit_hash, metadata.size, metadata.etag) == (commit, len(content), etag), (path, metadata)
        assert metadata.xet_file_data is None
        assert Path(hub.hf_hub_download("alice/tiny", path)).read_bytes() == content, path
    done("get_hf_file_metadata and hf_hub_download of every file")

    messages = []
    handler = logging.Handler()
    handler.emit = lambda record: messages.append(record.getMessage())
    logger = logging.getLogger("huggingface_hub.file_download")
    logger.addHandler(handler)
    logger.propagate = False
    path = hub.hf_hub_download("alice/resumed", "resumed.bin")
    logger.removeHandler(handler)
    logger.propagate = True
    assert Path(path).read_bytes() == RESUMED["resumed.bin"]
    assert any("resume" in message for message in messages), messages
    done(f"a download that broke off after {CUT_BYTES:,} bytes was resumed")

    with hub.HfFileSystem(endpoint=endpoint).open("alice/tiny/weights.bin", block_size=4096) as file:
        file.seek(1_234_567)
        assert file.read(10_000) == TINY["weights.bin"][1_234_567:1_244_567]
    done("reads of ranges through HfFileSystem")


def check_snapshots(hub, commit):
    first = hub.snapshot_download("alice/tiny", max_workers=4)
    assert Path(first).name == commit and contents(first) == TINY
    before = {path: path.stat().st_mtime_ns for path in Path(first).rglob("*") if path.is_file()}
    second = hub.snapshot_download("alice/tiny")
    assert second == first
    assert {path: path.stat().st_mtime_ns for path in Path(second).rglob("*") if path.is_file()} == before
    some = hub.snapshot_download("alice/tiny", allow_patterns=["*.json"], local_dir=Path(first).parents[3] / "some")
    found = {path for path in contents(some) if not path.startswith(".cache/")}
    assert found == {path for path in TINY if path.endswith(".json")}
    done("snapshot_download: the same bytes; again from the cache; by patterns")


def check_safetensors(hub):
    metadata = hub.get_safetensors_metadata("alice/tiny")
    assert metadata.sharded and metadata.weight_map == INDEX["weight_map"]
    assert metadata.parameter_count == {"BF16": 40 + 6 * len(MANY), "F32": 4}
    assert len(metadata.files_metadata[SHARDS[1]].tensors) == len(MANY)
    done("get_safetensors_metadata: headers by range, shorter and longer than the first request")


def check_datasets(hub, api, commit):
    info = api.dataset_info("alice/rows", files_metadata=True)
    assert info.sha == commit and {s.rfilename: s.size for s in info.siblings} == {p: len(c) for p, c in ROWS.items()}
    assert contents(hub.snapshot_download("alice/rows", repo_type="dataset")) == ROWS
    path = hub.hf_hub_download("alice/rows", "data/train 0.parquet", repo_type="dataset", force_download=True)
    assert Path(path).read_bytes() == ROWS["data/train 0.parquet"]
    done("datasets")


def check_refusals(hub, api):
    from huggingface_hub import errors

    refused(errors.RepositoryNotFoundError, lambda: api.model_info("alice/none"))
    refused(errors.RepositoryNotFoundError, lambda: api.model_info("alice/none", token="hf_other"))
    refused(errors.RepositoryNotFoundError, lambda: hub.snapshot_download("alice/none"))
    refused(errors.RepositoryNotFoundError, lambda: api.dataset_info("alice/tiny"))
    for revision in ["dev", "refs/pr/1", "0" * 40]:
        refused(errors.RevisionNotFoundError, lambda: api.model_info("alice/tiny", revision=revision))
        refused(errors.RevisionNotFoundError, lambda: hub.hf_hub_download("alice/tiny", "x", revision=revision))
    refused(errors.RemoteEntryNotFoundError, lambda: hub.hf_hub_download("alice/tiny", "none.json"))
    refused(errors.RemoteEntryNotFoundError, lambda: list(api.list_repo_tree("alice/tiny", "none")))
    done("RepositoryNotFoundError, RevisionNotFoundError, EntryNotFoundError")

    assert api.model_info("alice/gated").gated == "auto"
    for token in [None, "hf_other"]:
        for path in HIDDEN:
            refused(errors.GatedRepoError, lambda: hub.hf_hub_download("alice/gated", path, token=token))
    assert contents(hub.snapshot_download("alice/gated", token=TOKEN)) == HIDDEN
    for token in [None, "hf_other"]:
        refused(errors.RepositoryNotFoundError, lambda: api.model_info("alice/secret", token=token))
    assert api.model_info("alice/secret", token=TOKEN).private
    assert contents(hub.snapshot_download("alice/secret", token=TOKEN)) == HIDDEN
    done("GatedRepoError; gated and private repositories with a token")


def check_history(hub, api, server, folder, first):
    write(folder / "models/alice/tiny", {"config.json": b'{"vocab_size": 11}'})
    (folder / "models/alice/tiny/README.md").unlink()
    repository, second = server.publish_again()
    assert repository == "models/alice/tiny" and second != first
    assert api.model_info("alice/tiny").sha == second
    assert api.model_info("alice/tiny", revision=first).sha == first
    newest, pinned = hub.snapshot_download("alice/tiny"), hub.snapshot_download("alice/tiny", revision=first)
    assert contents(pinned) == TINY
    assert contents(newest) == {p: c for p, c in TINY.items() if p != "README.md"} | {"config.json": b'{"vocab_size": 11}'}
    tree = {entry.path: entry.last_commit.oid for entry in api.list_repo_tree("alice/tiny", expand=True)}
    assert (tree["config.json"], tree["weights.bin"]) == (second, first)
    done("a second commit, and the first one by its id")


def main(program, options):
    with tempfile.TemporaryDirectory(prefix="distil-devhub-check-") as temporary:
        folder = Path(temporary) / "repositories"
        write(folder / "models/alice/tiny", TINY)
        write(folder / "models/alice/resumed", RESUMED)
        write(folder / "models/alice/gated", HIDDEN)
        write(folder / "models/alice/secret", HIDDEN)
        write(folder / "datasets/alice/rows", ROWS)
        with Server(program, options, folder) as server:
            # The client reads its settings when it is imported; the caller's must not matter.
            for name in [name for name in os.environ if name.startswith("HF_") or name.lower().endswith("_proxy")]:
                del os.environ[name]
            os.environ.update(
                HF_ENDPOINT=server.endpoint,
                HF_HOME=str(Path(temporary) / "client"),
                HF_HUB_DISABLE_TELEMETRY="1",
                HF_HUB_DISABLE_PROGRESS_BARS="1",
                HF_HUB_DISABLE_IMPLICIT_TOKEN="1",
            )
            import huggingface_hub as hub

            print(f"huggingface_hub {hub.__version__} downloads from {' '.join(['distil-devhub', *options])}", flush=True)
            api, first = hub.HfApi(), server.commits["models/alice/tiny"]
            check_information(api, first)
            check_single_files(hub, server.endpoint, first)
            check_snapshots(hub, first)
            check_safetensors(hub)
            check_datasets(hub, api, server.commits["datasets/alice/rows"])
            check_refusals(hub, api)
            check_history(hub, api, server, folder, first)
            server.stop()
            assert contents(hub.snapshot_download("alice/tiny", revision=first, local_files_only=True)) == TINY
            done("with the server gone, all from the cache")


if __name__ == "__main__":
    # A check that hangs fails. The whole takes a few seconds.
    watchdog = threading.Timer(120, lambda: (print("no end after two minutes", file=sys.stderr), os._exit(1)))
    watchdog.daemon = True
    watchdog.start()
    main(sys.argv[1], sys.argv[2:])
