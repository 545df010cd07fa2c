"""Holds rows of weights and the rounds of their reveal to Bittensor's own libraries (PyPI): SDK 10 for rows and for epochs
that follow from block numbers, bittensor-core for epochs kept in storage.
Usage: weights_check.py PROGRAM SDK10 [--write FILE]: the example `weights`, the folder with SDK 10, and where to write what
was compared, for the tests that have no Python."""

import __future__
import ast
import json
import pathlib
import random
import subprocess
import sys
import time

PROGRAM, SDK10 = sys.argv[1], pathlib.Path(sys.argv[2])
WRITE = sys.argv[4] if sys.argv[3:4] == ["--write"] else None
GENESIS_S, PERIOD_S, BLOCK_S = 1692803367, 3, 12
HOTKEY = bytes([1]) * 32

ours = subprocess.Popen([PROGRAM], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def ask(*arguments):
    ours.stdin.write(" ".join(map(str, arguments)) + "\n")
    ours.stdin.flush()
    answer = ours.stdout.readline()
    assert answer, f"{arguments[0]}: no answer"
    return answer.strip()


def sdk10_conversion():
    """The function alone: the module it is in imports half the world."""
    name = "convert_weights_and_uids_for_emit"
    tree = ast.parse((SDK10 / "bittensor/utils/weight_utils.py").read_text())
    tree.body = [node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name == name]
    scope = {"U16_MAX": 65535}
    exec(compile(tree, name, "exec", flags=__future__.annotations.compiler_flag), scope)
    return scope[name]


class Column(list):
    def tolist(self):
        return list(self)


def blocks_until(encrypt):
    """The round is that of so many blocks from now, rounded down to its period: which the clock may blur by one second."""
    while True:
        before = int(time.time())
        _, round_ = encrypt()
        if int(time.time()) == before:
            return -((before - GENESIS_S - round_ * PERIOD_S) // BLOCK_S)


sys.path.insert(0, str(SDK10))
import bittensor_drand  # noqa: E402 - of SDK 10

sys.path.pop(0)
import bittensor_core  # noqa: E402

assert hasattr(bittensor_drand, "get_encrypted_commit"), "not SDK 10's bittensor-drand"
convert = sdk10_conversion()
draw = random.Random(None if WRITE is None else 97)
vectors = {"rows": [], "arithmetic": [], "stateful": []}

for _ in range(300):
    neurons = draw.randint(1, 256)
    uids = sorted(draw.sample(range(neurons), draw.randint(1, min(neurons, 12))))
    # Whole numbers too, of which many fall between two values.
    weights = [draw.choice([0.0, draw.random(), float(draw.randint(0, 6)), draw.random() * 1e-5]) for _ in uids]
    if not any(weights):
        continue
    theirs = " ".join(f"{uid}:{value}" for uid, value in zip(*convert(Column(uids), Column(weights))))
    given = [f"{uid}:{weight!r}" for uid, weight in zip(uids, weights)]
    assert ask("row", neurons, 0, *given) == theirs, given
    vectors["rows"].append({"neurons": neurons, "weights": list(zip(uids, weights)), "row": theirs})

for number in range(120):
    # Shorter epochs than six blocks do not occur, and have a smaller margin here.
    tempo, netuid, period = draw.choice([6, 20, 99, 360, draw.randint(6, 2000)]), draw.randint(1, 128), draw.randint(1, 4)
    # By turns around the end of an epoch and anywhere.
    block = draw.randint(3000, 9_000_000)
    if number % 2:
        block += -(block + netuid + 1) % (tempo + 1) + draw.randint(-2, 2)
    theirs = blocks_until(lambda: bittensor_drand.get_encrypted_commit([1], [65535], 0, tempo, block, netuid, period, 12.0, HOTKEY))
    # They take the epoch of the newest block, and the chain that of the block with the commit, one later where an epoch
    # ends with it. Hence the block before is what compares with theirs.
    mine = int(ask("arithmetic", netuid, tempo, period, block - 1)) - 1
    assert mine == theirs, (netuid, tempo, period, block, mine, theirs)
    vectors["arithmetic"].append([netuid, tempo, period, block, theirs])

for number in range(120):
    tempo, period, block = draw.randint(6, 2000), draw.randint(1, 4), draw.randint(10_000, 9_000_000)
    # An epoch that runs, is due or is overdue; some with one ordered for earlier.
    last = block - draw.choice([draw.randint(0, tempo - 1), tempo - 1, tempo, tempo + draw.randint(0, 5)])
    pending = draw.choice([0, 0, block + draw.randint(-3, tempo)])
    theirs = blocks_until(
        lambda: bittensor_core.get_encrypted_commit_v2([1], [65535], 0, last, pending, 5, tempo, block - last, block, period, 12.0, HOTKEY)
    )
    # As the client reads it: by order or by tempo, and with the next block where it is due.
    next_start = max(min(last + tempo, pending or last + tempo), block + 1)
    mine = int(ask("stateful", next_start, tempo, period, block + 1)) + 1
    assert mine == theirs, (last, pending, tempo, period, block, mine, theirs)
    vectors["stateful"].append([next_start, tempo, period, block, theirs])

ours.stdin.close()
assert ours.wait() == 0
if WRITE:
    lines = ",\n".join(f' "{kind}": [\n  ' + ",\n  ".join(map(json.dumps, cases[:40])) + "\n ]" for kind, cases in vectors.items())
    pathlib.Path(WRITE).write_text("{\n" + lines + "\n}\n")
print(f"{sum(map(len, vectors.values()))} comparisons, all equal")
