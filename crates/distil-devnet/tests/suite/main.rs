//! The chain over real sockets: with subxt, as a client would use it, and in raw JSON-RPC.

mod blocks;
mod client;
mod commitments;
mod conformance;
mod faults;
mod persistence;
mod polkadot_js;
mod pool;
mod raw;
mod storage;
mod weights;
