# Sourced by the checks: enters the workspace and makes a Python environment with requirements.txt, as $python. Needs python3
# (3.10 or newer) and, the first time, PyPI; without them it says so and the check passes. With REQUIRE=1 it fails instead.
set -euo pipefail
checks="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
cd "$checks/../../.."

skip() {
  echo "skipped: $*"
  if [ "${REQUIRE:-0}" = 1 ]; then
    echo "REQUIRE=1 makes this a failure"
    exit 1
  fi
  exit 0
}

if ! python3 -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 10))' 2>/dev/null; then
  skip "there is no python3 of version 3.10 or newer with venv"
fi

# One environment for each set of requirements, kept so that the next run needs neither the network nor the time.
key="$( (python3 -VV; cat "$checks/requirements.txt") | python3 -c 'import hashlib, sys; print(hashlib.sha256(sys.stdin.buffer.read()).hexdigest()[:16])')"
environment="${XDG_CACHE_HOME:-$HOME/.cache}/distil/bittensor-$key"
if [ ! -e "$environment/complete" ]; then
  rm -rf "$environment"
  mkdir -p "$environment"
  python3 -m venv "$environment/venv" || skip "python3 -m venv failed"
  "$environment/venv/bin/pip" install --quiet --disable-pip-version-check --no-input --require-hashes --only-binary :all: \
    --requirement "$checks/requirements.txt" || skip "pip could not install requirements.txt: is PyPI within reach?"
  touch "$environment/complete"
fi
python="$environment/venv/bin/python"

# Builds an example and gives its path.
example() {
  export CARGO_TARGET_DIR="${CARGO_TARGET_DIR:-$PWD/target}"
  cargo build --quiet --locked --workspace --example "$1" >&2 || return
  echo "$CARGO_TARGET_DIR/debug/examples/$1"
}
