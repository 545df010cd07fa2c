//! JSON-RPC over WebSocket, and single requests over HTTP.

mod connection;
mod devnet;
mod error;
mod few_neurons;
mod methods;
mod parameters;
mod server;
mod subscriptions;

pub(crate) use server::{Gate, Server, Shared};
pub(crate) use subscriptions::Subscribers;
