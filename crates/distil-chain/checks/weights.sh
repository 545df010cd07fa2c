#!/usr/bin/env bash
# Checks rows of weights and the rounds of their reveal against bittensor, bittensor-drand and bittensor-core (PyPI), with
# fresh data. Skipped, and saying so, without Python or PyPI (see environment.sh).
source "$(dirname "$0")/environment.sh"
sdk10="$environment/sdk10-$(python3 -c 'import hashlib, sys; print(hashlib.sha256(open(sys.argv[1], "rb").read()).hexdigest()[:16])' "$checks/requirements-sdk10.txt")"
if [ ! -e "$sdk10/complete" ]; then
  rm -rf "$sdk10"
  "$environment/venv/bin/pip" install --quiet --disable-pip-version-check --no-input --require-hashes --no-deps \
    --only-binary :all: --target "$sdk10" --requirement "$checks/requirements-sdk10.txt" ||
    skip "pip could not install requirements-sdk10.txt: is PyPI within reach?"
  touch "$sdk10/complete"
fi
program="$(example weights)"
"$python" "$checks/weights_check.py" "$program" "$sdk10" "$@"
