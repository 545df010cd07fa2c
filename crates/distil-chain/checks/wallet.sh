#!/usr/bin/env bash
# Checks wallets against bittensor-wallet and bittensor-core (PyPI): what they write signs here, and they verify it.
# Skipped, and saying so, without Python or PyPI (see environment.sh).
source "$(dirname "$0")/environment.sh"
program="$(example hotkey)"
"$python" "$checks/wallet_check.py" "$program"
