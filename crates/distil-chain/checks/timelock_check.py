"""Holds this crate's timelock encryption to the libraries that Bittensor's own tools use (PyPI): each opens what the other
encrypted, and both choose the same round. Usage: timelock_check.py PROGRAM, the example `timelock`."""

import secrets
import subprocess
import sys
import time

import bittensor_core
import bittensor_drand

# drand's quicknet, round 1000; anybody can fetch it from https://api.drand.sh.
ROUND = 1000
SIGNATURE = "b44679b9a59af2ec876b1a6b1ad52ea9b1615fc3982b19576350f93447cb1125e342b73a8dd2bacbe47e4b6b63ed5e39"
GENESIS_S, PERIOD_S = 1692803367, 3
SIZES = [0, 1, 2, 15, 16, 17, 63, 64, 100, 536, 779, 780, 3000]

ours = subprocess.Popen([sys.argv[1]], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def ask(*arguments):
    ours.stdin.write(" ".join(map(str, arguments)) + "\n")
    ours.stdin.flush()
    answer = ours.stdout.readline()
    assert answer, f"{arguments[0]}: no answer"
    return answer.strip()


assert ask("verify", ROUND, SIGNATURE) == "true"
assert ask("verify", ROUND + 1, SIGNATURE) == "false"

checked = 0
for library in (bittensor_drand, bittensor_core):
    for size in SIZES:
        plaintext = secrets.token_bytes(size)
        # Ours, opened by theirs. They take the envelope; the inner bytes are compared through it.
        envelope = bytes.fromhex(ask("envelope", ROUND, plaintext.hex()))
        assert library.decrypt_with_signature(envelope, SIGNATURE) == plaintext, (library.__name__, size)
        inner = bytes.fromhex(ask("encrypt", ROUND, plaintext.hex()))
        assert len(inner) == size + 244
        # Theirs, opened by ours.
        envelope, round_ = library.encrypt_at_round(plaintext, ROUND)
        assert round_ == ROUND
        assert ask("open-envelope", SIGNATURE, envelope.hex()) == plaintext.hex(), (library.__name__, size)
        checked += 2
assert bittensor_core.inner_ciphertext(envelope) in envelope

# A commitment's inner bytes end in the cipher's name; only the round's signature, yet to come, opens them.
for library in (bittensor_drand, bittensor_core):
    for blocks in (1, 7, 360):
        before = int(time.time())
        inner, round_ = library.get_encrypted_commitment("text", blocks, 12.0)
        after = int(time.time())
        assert bytes(inner).endswith(b"AES_GCM_") and len(inner) == 5 + 244
        rounds = [
            tuple(map(int, ask("round", (now + 12 * blocks) * 1000).split())) for now in range(before, after + 1)
        ]
        assert any(round_ in pair for pair in rounds), (library.__name__, round_, rounds)
        formula = "SDK 10's" if round_ in [sdk_10 for _, sdk_10 in rounds] else "ours"
        print(f"{library.__name__}: reveal in {blocks} blocks: round {round_}, by {formula} formula")
        checked += 1

ours.stdin.close()
assert ours.wait() == 0
print(f"{checked} comparisons, all equal")
