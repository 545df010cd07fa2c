"""Makes the test vectors in ../vectors with CPython alone: run it as `python3 scripts/make_vectors.py`.

Nothing here is shared with the Rust code: ChaCha20 is written out below and checked against RFC 8439 before use, and
Python's own `random`, `str.strip` and `str.isprintable` give the rest.
"""

import hashlib
import json
import pathlib
import random
import struct
import sys
import unicodedata

OUT = pathlib.Path(__file__).resolve().parent.parent / "vectors"


# --- ChaCha20, D. J. Bernstein's layout: 64-bit counter, 64-bit nonce ---


def chacha20_block(key, counter, nonce):
    def rotate(value, count):
        return ((value << count) | (value >> (32 - count))) & 0xFFFFFFFF

    state = list(struct.unpack("<4I", b"expand 32-byte k")) + list(struct.unpack("<8I", key))
    state += [counter & 0xFFFFFFFF, counter >> 32, nonce & 0xFFFFFFFF, nonce >> 32]
    words = state[:]

    def quarter(a, b, c, d):
        words[a] = (words[a] + words[b]) & 0xFFFFFFFF
        words[d] = rotate(words[d] ^ words[a], 16)
        words[c] = (words[c] + words[d]) & 0xFFFFFFFF
        words[b] = rotate(words[b] ^ words[c], 12)
        words[a] = (words[a] + words[b]) & 0xFFFFFFFF
        words[d] = rotate(words[d] ^ words[a], 8)
        words[c] = (words[c] + words[d]) & 0xFFFFFFFF
        words[b] = rotate(words[b] ^ words[c], 7)

    for _ in range(10):
        quarter(0, 4, 8, 12)
        quarter(1, 5, 9, 13)
        quarter(2, 6, 10, 14)
        quarter(3, 7, 11, 15)
        quarter(0, 5, 10, 15)
        quarter(1, 6, 11, 12)
        quarter(2, 7, 8, 13)
        quarter(3, 4, 9, 14)
    return struct.pack("<16I", *((a + b) & 0xFFFFFFFF for a, b in zip(words, state)))


def check_chacha20():
    # RFC 8439, 2.3.2: counter 1, 96-bit nonce 00 00 00 09 00 00 00 4a 00 00 00 00, in this layout's halves.
    block = chacha20_block(bytes(range(32)), 0x09000000_00000001, 0x00000000_4A000000)
    assert block.hex().startswith("10f1e7e4d13b5915500fdd1fa32071c4c7d1f4c733c0680304"), block.hex()


def stream(key, number):
    counter = 0
    while True:
        block = chacha20_block(key, counter, number)
        for start in range(0, 64, 8):
            yield int.from_bytes(block[start : start + 8], "little")
        counter += 1


def below(numbers, n):
    remainder = 2**64 % n
    while True:
        x = next(numbers)
        if x < 2**64 - remainder:
            return x % n


def seed_of(netuid, number, block_hash):
    return hashlib.sha256(
        b"distil/1 prompts\0" + netuid.to_bytes(2, "little") + number.to_bytes(8, "little") + block_hash
    ).digest()


def distil_vectors():
    hashes = [
        bytes(32),
        bytes([0, 0xAB] * 16),
        bytes(range(32)),
        hashlib.sha256(b"a block").digest(),
        b"\xff" * 32,
    ]
    bounds = [1, 2, 3, 10, 97, 1000, 2**32 - 1, 2**32, 2**32 + 1, 51_234_567_890_123, 2**63, 2**63 + 1, 2**64 - 1]
    files = [0, 3, 0, 10, 1, 100_000, 2_147_483_648_123, 0]
    cases = []
    for netuid, number, block_hash in [
        (97, 0, hashes[0]),
        (97, 7_855_174, hashes[1]),
        (97, 7_900_050, hashes[2]),
        (1, 2**40 + 5, hashes[3]),
        (65_535, 2**64 - 1, hashes[4]),
    ]:
        seed = seed_of(netuid, number, block_hash)
        tries = []
        for number_of_try in [0, 1, 2, 39, 40, 2**32, 2**64 - 1]:
            numbers = stream(seed, number_of_try)
            tries.append({"try": number_of_try, "below": [below(numbers, n) for n in bounds * 3]})
        places = []
        for number_of_try in range(60):
            # A file in proportion to its size, then one of its rows: here a file has a row for every byte but one.
            numbers = stream(seed, number_of_try)
            place = below(numbers, sum(files))
            for index, size in enumerate(files):
                if place < size:
                    break
                place -= size
            rows = max(files[index] - 1, 1)
            places.append([index, below(numbers, rows)])
        cases.append(
            {
                "netuid": netuid,
                "block": number,
                "block_hash": "0x" + block_hash.hex(),
                "seed": seed.hex(),
                "bounds": bounds,
                "tries": tries,
                "file_sizes": files,
                "places": places,
            }
        )
    return cases


# --- CPython's random ---


def python_vectors():
    seeds = [0, 1, 97, 2**31, 2**32 - 1, 2**32, 2**32 + 1, 2**53, 2**64 - 1, 7_855_174, 7_858_952, 7_899_999, 7_900_050]
    words = []
    for seed in seeds[:8]:
        generator = random.Random(seed)
        words.append({"seed": seed, "bits": [generator.getrandbits([1, 5, 32, 33, 64][i % 5]) for i in range(1000)]})
    samples = []
    sizes = [
        # up to 5: the boundary is 21
        (0, 1), (1, 1), (5, 5), (5, 6), (5, 20), (5, 21), (5, 22), (5, 1000),
        # 6: 21 + 64; 21: 21 + 64; 22: 21 + 256
        (6, 85), (6, 86), (21, 85), (21, 86), (22, 277), (22, 278),
        # 40: 21 + 256
        (40, 40), (40, 41), (40, 276), (40, 277), (40, 278), (40, 499), (40, 500), (40, 10_000), (40, 2**32), (40, 2**32 + 1), (40, 2**40),
        (500, 500), (500, 2069), (500, 2070),
    ]  # fmt: skip
    for seed in seeds:
        for count, pool in sizes:
            if count == 500 and seed > 1:
                continue  # long lists
            places = random.Random(seed).sample(range(pool), count)
            samples.append({"seed": seed, "pool": pool, "count": count, "places": places})
    return {"words": words, "samples": samples}


# --- prompts ---


def distil_prompt(text):
    if len(text) < 200:
        return None
    text = text[:4000]
    text = "".join(c for c in text if ord(c) >= 32 or c in "\t\n\r").strip()
    if not text:
        return None
    if 2 * sum(c.isprintable() or c in "\t\n\r" for c in text) < len(text):
        return None
    return reference_prompt(text)


def reference_prompt(text):
    text = text.strip()
    if len(text) > 512:
        dot = text[:512].rfind(". ")
        text = text[: dot + 1] if dot > 200 else text[:512]
    return text


def ranges(codes):
    result = []
    for code in codes:
        if result and result[-1][1] == code - 1:
            result[-1][1] = code
        else:
            result.append([code, code])
    return result


def prompt_vectors():
    scalars = [code for code in range(0x110000) if not 0xD800 <= code <= 0xDFFF]
    unassigned = [code for code in scalars if unicodedata.category(chr(code)) == "Cn"]
    # U+FFFE, U+FFFF of each plane and U+FDD0 to U+FDEF will never be assigned: there the answer is known.
    never = {code for code in unassigned if code & 0xFFFE == 0xFFFE or 0xFDD0 <= code <= 0xFDEF}
    open_ones = set(unassigned) - never
    not_printable = [code for code in scalars if not chr(code).isprintable() and code not in open_ones]
    generator = random.Random("prompts")
    alphabets = ["abc. ", "é. \n", "🐳. ", "\x00\x1b\x1c\x7f ab.", "\u00a0\u2028\u3000a. ", "\ue000\ufffe\u200ba. ", "白鯨。. "]
    prompts = []
    for alphabet in alphabets:
        lengths = [0, 1, 199, 200, 201, 511, 512, 513, 600, 4001] if alphabet in alphabets[:2] else [199, 200, 513, 600]
        for length in lengths:
            document = "".join(generator.choice(alphabet) for _ in range(length))
            if generator.random() < 0.3:
                document = " \n" * 5 + document + "\u2003" * 3
            if length > 600:
                # Kept short in the file: only the beginning varies.
                document = document[:700] + document[0] * (length - 700)
            prompts.append(
                {"document": document, "distil": distil_prompt(document), "reference": reference_prompt(document)}
            )
    return {
        "unicode": unicodedata.unidata_version,
        "not_printable": ranges(not_printable),
        "unassigned": ranges(sorted(open_ones)),
        "white_space": [code for code in scalars if chr(code).isspace()],
        "prompts": prompts,
    }


def draw_vectors():
    """A corpus of three files and what is drawn from it: sizes in bytes decide the file, then a row."""
    generator = random.Random("corpus")
    words = ["whale", "sea", "ship", "mast.", "été", "harpoon", "鯨", "captain.", "the", "of", "a", "night."]

    def document(length):
        text = ""
        while len(text) < length:
            text += generator.choice(words) + " "
        return text[:length]

    files = {}
    for name, lengths in {
        "a/short.jsonl": [20, 199, 200, 201, 210, 50, 220],
        "a/long.jsonl": [900, 530, 512, 513, 1500, 700, 650, 800],
        "b.jsonl": [300, None, 250, "garbage", 400, 100, 600, 260, 330, None, 270, 290],
    }.items():
        lines = []
        for length in lengths:
            text = None if length is None else "\ue000" * 250 if length == "garbage" else document(length)
            lines.append(json.dumps({"text": text}, ensure_ascii=len(lines) % 2 == 0))
        files[name] = "\n".join(lines) + "\n"
    order = sorted(files)
    sizes = [len(files[name].encode()) for name in order]
    rows = {name: [json.loads(line)["text"] for line in files[name].splitlines()] for name in order}
    cases = []
    for block, count in [(50, 1), (100, 10), (150, 16), (7_900_050, 12)]:
        block_hash = hashlib.sha256(str(block).encode()).digest()
        seed = seed_of(97, block, block_hash)
        seen, prompts, number = set(), [], 0
        passed = {"too_short": 0, "not_text": 0, "repeated": 0}
        while len(prompts) < count:
            numbers = stream(seed, number)
            number += 1
            place, index = below(numbers, sum(sizes)), 0
            while place >= sizes[index]:
                place -= sizes[index]
                index += 1
            row = below(numbers, len(rows[order[index]]))
            if (index, row) in seen:
                passed["repeated"] += 1
                continue
            seen.add((index, row))
            text = rows[order[index]][row]
            if text is None:
                passed["not_text"] += 1
            elif len(text) < 200:
                passed["too_short"] += 1
            elif (prompt := distil_prompt(text)) is None:
                passed["not_text"] += 1
            else:
                prompts.append({"id": f"{order[index]}#L{row + 1}", "text": prompt})
        cases.append(
            {"block": block, "block_hash": block_hash.hex(), "count": count, "prompts": prompts, "passed_over": passed}
        )
    return {"files": files, "cases": cases}


def write(name, value):
    text = json.dumps(value, separators=(",", ":"), ensure_ascii=False)
    (OUT / name).write_text(text + "\n", encoding="utf-8")


check_chacha20()
OUT.mkdir(exist_ok=True)
write("distil_sampling.json", {"cases": distil_vectors()})
write("draw.json", draw_vectors())
write("cpython_sample.json", python_vectors())
write("prompt_text.json", prompt_vectors())
print("made with Python", sys.version.split()[0], "and Unicode", unicodedata.unidata_version)
