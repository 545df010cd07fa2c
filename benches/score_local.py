#!/usr/bin/env python3
"""`distil score-local` beside an evaluation in transformers, on the same models, prompts and number of threads.

benches/score_local.py --teacher DIR --student DIR --prompts FILE.json [--rounds 2] [--max-new-tokens 128]
                       [--threads 2] [--distil target/release/distil] [--record FILE.md]

Needs torch, transformers >= 5.2 and safetensors (PyPI), and `cargo build --release -p distil-cli`. The evaluation in
transformers is crates/distil-eval/tests/fixtures/parity/reference_eval.py. The two take turns; of each phase the fastest
run counts, for both. Prints the phases' seconds, peak memory, ratios, and the largest relative difference of a KL, and
appends them to --record.
"""
import argparse, json, os, pathlib, platform, subprocess, sys, tempfile, time

p = argparse.ArgumentParser()
for name in ("teacher", "student", "prompts"):
    p.add_argument(f"--{name}", required=True)
evaluation = pathlib.Path(__file__).parent.parent / "crates/distil-eval/tests/fixtures/parity/reference_eval.py"
p.add_argument("--reference", default=str(evaluation))
p.add_argument("--distil", default="target/release/distil")
p.add_argument("--rounds", type=int, default=2)
p.add_argument("--max-new-tokens", type=int, default=128)
p.add_argument("--threads", type=int, default=2)
p.add_argument("--record")
a = p.parse_args()
limits = ["--max-new-tokens", str(a.max_new_tokens)]
models = ["--teacher", a.teacher, "--student", a.student, "--prompts", a.prompts]
environment = dict(os.environ, OMP_NUM_THREADS=str(a.threads), MKL_NUM_THREADS=str(a.threads))


def run(command, stdout):
    """Runs to the end; seconds and the peak resident bytes of the process."""
    start = time.perf_counter()
    process = subprocess.Popen(command, stdout=stdout, stderr=subprocess.DEVNULL, env=environment)
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        sys.exit(f"{command[0]} {command[1]} ended with status {status}")
    return time.perf_counter() - start, usage.ru_maxrss * 1024


def keep(best, seconds):
    for name, value in seconds.items():
        best[name] = min(best.get(name, value), value)


student = pathlib.Path(a.student).name
reference, ours, memory, difference = {}, {}, {"reference": 0, "ours": 0}, 0.0
load_before = os.getloadavg()[0]
for _ in range(a.rounds):
    with tempfile.TemporaryDirectory() as folder:
        wall, peak = run([sys.executable, a.reference, *models, *limits, "--out", folder], subprocess.DEVNULL)
        report = json.load(open(os.path.join(folder, "reference.json")))
        seconds = report["seconds"]
        keep(reference, {"generate": seconds["teacher_generate"], "teacher forward": seconds["teacher_forward"],
                         "student pass": seconds[f"score.{student}"], "whole run": wall})
        memory["reference"] = max(memory["reference"], peak)
        with open(os.path.join(folder, "ours.json"), "w") as out:
            wall, peak = run([a.distil, "-q", "--format", "json", "score-local", *models, *limits, "--threads", str(a.threads)], out)
        result = json.load(open(os.path.join(folder, "ours.json")))
    seconds = result["seconds"]
    keep(ours, {"generate": seconds["teacher_generate"], "teacher forward": seconds["teacher_forward"],
                "student pass": seconds[f"score.{student}"], "whole run": wall})
    memory["ours"] = max(memory["ours"], peak)
    theirs, mine = report["students"][student], result["students"][0]
    pairs = [(mine["kl"], theirs["kl"])] + [(m["mean"], t["mean"]) for m, t in zip(mine["prompts"], theirs["prompts"])]
    difference = max([difference] + [abs(m / t - 1) for m, t in pairs])

try:
    cpu = next(line.split(":")[1].strip() for line in open("/proc/cpuinfo") if line.startswith("model name"))
except (OSError, StopIteration):
    cpu = platform.processor()
import torch, transformers
lines = [f"## {pathlib.Path(a.teacher).name} and {student}, {len(mine['prompts'])} prompts, {mine['positions']} positions", "",
         f"{cpu}, {os.cpu_count()} cores, {a.threads} threads each; f32; torch {torch.__version__}, transformers {transformers.__version__}; "
         f"fastest of {a.rounds} runs taken in turns; load average before {load_before:.1f}", "",
         "| | transformers | distil | ratio |", "|---|---|---|---|"]
for name in ours:
    lines.append(f"| {name} | {reference[name]:.2f} s | {ours[name]:.2f} s | {reference[name] / ours[name]:.1f}x faster |")
lines.append(f"| peak memory | {memory['reference'] / 1e6:.0f} MB | {memory['ours'] / 1e6:.0f} MB | {memory['ours'] / memory['reference']:.2f} of it |")
lines += ["", f"KL: {mine['kl']:.9f} against {theirs['kl']:.9f}; largest relative difference of the total and of a prompt {difference:.1e}", ""]
print("\n".join(lines))
if a.record:
    with open(a.record, "a") as out:
        out.write("\n".join(lines) + "\n")
