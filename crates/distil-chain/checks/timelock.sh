#!/usr/bin/env bash
# Checks timelock encryption against bittensor-drand and bittensor-core (PyPI), in both directions and with fresh data.
# Skipped, and saying so, without Python or PyPI (see environment.sh).
source "$(dirname "$0")/environment.sh"
program="$(example timelock)"
"$python" "$checks/timelock_check.py" "$program"
