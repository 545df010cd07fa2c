//! The running chain.

use crate::chain::Chain;
use crate::rpc::{Server, Shared};
use crate::{Admin, DevNetError, DevNetSettings};
use std::sync::Arc;

/// A running chain. It has a thread and an asynchronous runtime of its own, so blocking code may use it, and it stops
/// when it is dropped.
#[derive(Debug)]
pub struct DevNet {
    admin: Admin,
    server: Server,
}

impl DevNet {
    /// Starts a chain, or goes on with the one in the state file.
    ///
    /// # Errors
    /// [`DevNetError::NotLoopback`] or [`DevNetError::Setting`] for settings that make no chain, [`DevNetError::File`]
    /// or [`DevNetError::StateFile`] for a state file that cannot be used, [`DevNetError::Start`] where the system gives
    /// no socket or thread.
    pub fn start(settings: DevNetSettings) -> Result<DevNet, DevNetError> {
        settings.check()?;
        let shared = Arc::new(Shared::new(Chain::open(settings)?));
        let server = Server::start(Arc::clone(&shared))?;
        Ok(DevNet { admin: Admin::new(shared), server })
    }

    /// Where it listens: `ws://127.0.0.1:PORT`. The same port takes single requests over HTTP.
    pub fn endpoint(&self) -> String {
        format!("ws://{}", self.server.address())
    }

    /// What an operator can do.
    pub fn admin(&self) -> &Admin {
        &self.admin
    }
}
