#!/usr/bin/env python3
"""KL kernels side by side with PyTorch: the same buffers, one process, cases in turn.

    cargo build --release -p distil-benches --example kl_torch
    python benches/kl_torch.py [--record benches/record/kl-DATE.md]

Needs PyTorch (torch.compile needs a C++ compiler). Every round times each case once, one after the
other, so that a busy neighbour slows all of them; ratios are medians of the ratios within a round.
"""

import argparse
import ctypes
import datetime
import os
import pathlib
import platform
import statistics
import subprocess
import sys
import time

import torch
import torch._inductor.config

PATHS = ["AVX-512", "AVX2+FMA", "portable"]


class Pair(ctypes.Structure):
    _fields_ = [
        ("teacher", ctypes.c_void_p),
        ("student", ctypes.c_void_p),
        ("rows", ctypes.c_size_t),
        ("columns", ctypes.c_size_t),
        ("element_bytes", ctypes.c_size_t),
    ]


def load(path):
    lib = ctypes.CDLL(str(path))
    pair, size = ctypes.POINTER(Pair), ctypes.c_size_t
    lib.distil_path_available.argtypes = [size]
    lib.distil_kl_rows.argtypes = [pair, size, size, ctypes.c_void_p]
    lib.distil_read.argtypes = [pair, size, ctypes.c_int]
    lib.distil_read.restype = ctypes.c_uint64
    lib.distil_candle_new.argtypes = [pair]
    lib.distil_candle_new.restype = ctypes.c_void_p
    lib.distil_candle_kl.argtypes = [ctypes.c_void_p, ctypes.c_void_p]
    lib.distil_candle_free.argtypes = [ctypes.c_void_p]
    return lib


def eager(teacher, student):
    """As validators write it: both log-softmaxes in f32, then the sum over the vocabulary."""
    log_p = torch.log_softmax(teacher.float(), dim=-1)
    log_q = torch.log_softmax(student.float(), dim=-1)
    return (log_p.exp() * (log_p - log_q)).sum(dim=-1)


def exact(teacher, student):
    """The definition in f64, a row at a time."""
    rows = []
    for t, s in zip(teacher, student):
        log_p = torch.log_softmax(t.double(), dim=-1)
        log_q = torch.log_softmax(s.double(), dim=-1)
        rows.append((log_p.exp() * (log_p - log_q)).sum())
    return torch.stack(rows)


def compiled(threads):
    """A compilation of its own per number of threads: inductor writes the number into its code."""

    def kl(teacher, student):
        return eager(teacher, student)

    inner = torch.compile(kl, dynamic=False)

    def run(teacher, student):
        return inner(teacher, student)

    return run


def measure(lib, teacher, student, threads, rounds):
    """Milliseconds of each case in each round, and each case's largest error in nats."""
    rows, columns = teacher.shape
    torch._dynamo.reset()
    torch.set_num_threads(threads)
    torch._inductor.config.cpp.threads = threads
    pair = Pair(teacher.data_ptr(), student.data_ptr(), rows, columns, teacher.element_size())
    kl_f64 = torch.zeros(rows, dtype=torch.float64)
    kl_f32 = torch.zeros(rows, dtype=torch.float32)
    tensors = lib.distil_candle_new(pair)
    assert tensors, "candle refused the tensors"

    def ours(path):
        def run():
            assert lib.distil_kl_rows(pair, path, threads, kl_f64.data_ptr()) == 0
            return kl_f64

        return run

    def candle():
        assert lib.distil_candle_kl(tensors, kl_f32.data_ptr()) == 0
        return kl_f32

    inductor = compiled(threads)
    cases = {
        "read": lambda: lib.distil_read(pair, threads, 0),
        "read, prefetched": lambda: lib.distil_read(pair, threads, 1),
    }
    for index, name in enumerate(PATHS):
        if lib.distil_path_available(index):
            cases[f"distil-kl {name}"] = ours(index)
    cases["torch.compile"] = lambda: inductor(teacher, student)
    cases["torch eager"] = lambda: eager(teacher, student)
    cases["candle naive"] = candle

    truth = exact(teacher, student)
    error = {}
    for name, run in cases.items():  # also warms up and compiles
        result = run()
        if torch.is_tensor(result):
            error[name] = (result.double() - truth).abs().max().item()
        run()
    elapsed_ms = {name: [] for name in cases}
    for _ in range(rounds):
        for name, run in cases.items():
            start = time.perf_counter()
            run()
            elapsed_ms[name].append((time.perf_counter() - start) * 1e3)
    lib.distil_candle_free(tensors)
    return elapsed_ms, error


def ratio(over, under):
    return statistics.median(a / b for a, b in zip(over, under))


def report(dtype, threads, teacher, elapsed_ms, error):
    """Two markdown tables: every case, and the ratios of the fastest path."""
    gigabytes = 2 * teacher.numel() * teacher.element_size() / 1e9
    read = [min(pair) for pair in zip(elapsed_ms["read"], elapsed_ms["read, prefetched"])]
    lines = [
        f"### {dtype}, {threads} thread{'s' if threads > 1 else ''}",
        "",
        "| case | median ms | min ms | GB/s | rows/s | largest error, nats |",
        "|---|---|---|---|---|---|",
    ]
    for name, times in elapsed_ms.items():
        median = statistics.median(times)
        rate = f"{gigabytes / median * 1e3:.1f}"
        rows = f"{teacher.shape[0] / median * 1e3:,.0f}"
        shown = f"{error[name]:.1e}" if name in error else "–"
        lines.append(f"| {name} | {median:.2f} | {min(times):.2f} | {rate} | {rows} | {shown} |")
    ours = elapsed_ms[next(name for name in elapsed_ms if name.startswith("distil-kl"))]
    lines += [
        "",
        "| fastest path against | torch eager | torch.compile | candle naive | read bandwidth |",
        "|---|---|---|---|---|",
        f"| {dtype}, {threads}T | {ratio(elapsed_ms['torch eager'], ours):.1f}× "
        f"| {ratio(elapsed_ms['torch.compile'], ours):.1f}× "
        f"| {ratio(elapsed_ms['candle naive'], ours):.1f}× "
        f"| {ratio(read, ours):.2f} of it |",
        "",
    ]
    return lines


def machine():
    model = platform.processor() or platform.machine()
    try:
        for line in open("/proc/cpuinfo"):
            if line.startswith("model name"):
                model = line.split(":", 1)[1].strip()
            if line.startswith("cpu family"):
                family = line.split(":", 1)[1].strip()
        model = f"{model} (family {family})"
    except OSError:
        pass
    rustc = subprocess.run(["rustc", "--version"], capture_output=True, text=True).stdout.strip()
    return f"{model}, {os.cpu_count()} cores; {rustc}; torch {torch.__version__}; Python {platform.python_version()}"


def main():
    here = pathlib.Path(__file__).resolve().parent
    target = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", here.parent / "target"))
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--library", type=pathlib.Path, default=target / "release/examples/libkl_torch.so")
    parser.add_argument("--rows", type=int, default=64)
    parser.add_argument("--columns", type=int, default=248_320)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--dtypes", nargs="+", choices=["bf16", "f32"], default=["bf16", "f32"])
    parser.add_argument("--record", type=pathlib.Path, help="append the tables to this file")
    options = parser.parse_args()
    lib = load(options.library)

    torch.manual_seed(0)
    teacher = 3.0 * torch.randn(options.rows, options.columns)
    student = teacher + 0.4 * torch.randn(options.rows, options.columns)
    lines = [
        f"## {datetime.date.today()}: KL of [{options.rows}, {options.columns}] logits",
        "",
        f"- {machine()}",
        f"- {options.rounds} rounds; load average before {os.getloadavg()[0]:.2f}",
        "- GB/s counts each logit once. Ratios are medians over rounds; read bandwidth is the faster",
        "  of the two readings in each round.",
        "",
    ]
    for dtype in options.dtypes:
        cast = torch.bfloat16 if dtype == "bf16" else torch.float32
        t, s = teacher.to(cast), student.to(cast)
        for threads in options.threads:
            elapsed_ms, error = measure(lib, t, s, threads, options.rounds)
            lines += report(dtype, threads, t, elapsed_ms, error)
    lines.append(f"Load average after: {os.getloadavg()[0]:.2f}")
    text = "\n".join(lines) + "\n"
    sys.stdout.write(text)
    if options.record:
        options.record.parent.mkdir(parents=True, exist_ok=True)
        with open(options.record, "a") as file:
            file.write(text)


if __name__ == "__main__":
    main()
