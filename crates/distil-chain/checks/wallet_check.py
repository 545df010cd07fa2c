"""Holds this crate's wallets to Bittensor's own library (PyPI): a wallet that it writes signs here, and it verifies the
signature. Usage: wallet_check.py PROGRAM, the example `hotkey`."""

import ctypes
import os
import pathlib
import subprocess
import sys
import tempfile

import bittensor_core
import bittensor_wallet

PROGRAM, PASSWORD = sys.argv[1], "pässword 1"


def signed(wallets, hotkey, variables=()):
    result = subprocess.run(
        [PROGRAM, wallets, "alpha", hotkey, "message"], capture_output=True, text=True, env={**os.environ, **dict(variables)}
    )
    assert result.returncode == 0, result.stderr
    return result.stdout.split()


with tempfile.TemporaryDirectory() as wallets:
    wallet = bittensor_wallet.Wallet(name="alpha", hotkey="phrase", path=wallets)
    wallet.create_new_coldkey(use_password=False, overwrite=True, suppress=True)
    wallet.create_new_hotkey(use_password=False, overwrite=True, suppress=True)
    by_uri = bittensor_wallet.Wallet(name="alpha", hotkey="uri", path=wallets)
    by_uri.create_hotkey_from_uri("//Bob", use_password=False, overwrite=True, suppress=True)
    hotkeys = pathlib.Path(wallets, "alpha", "hotkeys")
    plain = (hotkeys / "phrase").read_bytes()
    encrypted = hotkeys / "encrypted"
    encrypted.write_bytes(bytes(bittensor_core.encrypt_keyfile_data(plain, PASSWORD)))
    encrypted.chmod(0o600)

    # The library sets its environment by the C function, which os.environ does not see.
    keyfile = bittensor_wallet.Keyfile(str(encrypted), "encrypted", False)
    keyfile.save_password_to_env(PASSWORD)
    variable = keyfile.env_var_name()
    getenv = ctypes.CDLL(None).getenv
    getenv.restype = ctypes.c_char_p
    variables = [(variable, getenv(variable.encode()).decode())]

    for hotkey, expected, environment in [
        ("phrase", wallet.hotkey, []),
        ("uri", by_uri.hotkey, []),
        ("encrypted", wallet.hotkey, variables),
    ]:
        coldkey, address, signature = signed(wallets, hotkey, environment)
        assert coldkey == wallet.coldkeypub.ss58_address, hotkey
        assert address == expected.ss58_address, hotkey
        assert expected.verify(b"message", bytes.fromhex(signature)), hotkey
        assert not expected.verify(b"another", bytes.fromhex(signature)), hotkey
        print(f"{hotkey}: {address} signs, and Bittensor's library verifies it")
