#!/usr/bin/env bash
# Runs the test in which @polkadot/api (npm) reads and writes through a devnet. Needs node and npm and, the first time,
# npm's registry; without them it says so and passes. With REQUIRE=1 it fails instead.
set -euo pipefail
checks="$(cd "$(dirname "$0")" && pwd)"
cd "$checks/../../.."

skip() {
  echo "skipped: $*"
  if [ "${REQUIRE:-0}" = 1 ]; then
    echo "REQUIRE=1 makes this a failure"
    exit 1
  fi
  exit 0
}

command -v node >/dev/null && command -v npm >/dev/null || skip "there are no node and npm"

# One folder for each lock file, kept so that the next run needs neither the network nor the time.
key="$(node -e 'const f = require("fs"), c = require("crypto"); console.log(c.createHash("sha256").update(process.version).update(f.readFileSync(process.argv[1])).digest("hex").slice(0, 16))' "$checks/package-lock.json")"
environment="${XDG_CACHE_HOME:-$HOME/.cache}/distil/polkadot-api-$key"
if [ ! -e "$environment/complete" ]; then
  rm -rf "$environment"
  mkdir -p "$environment"
  cp "$checks/package.json" "$checks/package-lock.json" "$environment/"
  (cd "$environment" && npm ci --ignore-scripts --no-audit --no-fund --silent) ||
    skip "npm could not install package-lock.json: is npm's registry within reach?"
  touch "$environment/complete"
fi

export CARGO_TARGET_DIR="${CARGO_TARGET_DIR:-$PWD/target}"
DISTIL_POLKADOT_API="$environment/node_modules" \
  cargo test --locked --workspace --test suite -- --exact polkadot_js::polkadot_api_decodes_reads_and_submits
