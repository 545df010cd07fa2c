//! The program `distil-worker`: runs teachers and students on a host with a GPU, for a validator elsewhere.
//!
//! ```sh
//! distil validate --worker 'ssh -o BatchMode=yes gpu-host distil-worker' …
//! ```
//!
//! It speaks the worker protocol of [`distil_eval::worker`] on standard input and output and does nothing else. It knows
//! neither chain nor wallets, so a model that took it over would find no keys. It takes no arguments: the request says
//! where to compute and with what. `HF_HOME`, `HF_ENDPOINT`, `HF_TOKEN` and `HF_HUB_OFFLINE` are honoured, and
//! `DISTIL_WORKER_CACHE` names the folder for what is kept of teachers.

#![forbid(unsafe_code)]

fn main() -> std::io::Result<()> {
    distil_eval::worker::serve()
}
