//! Errors as Substrate's nodes report them.

use crate::chain::SubmitError;
use crate::hex;
use crate::pool::PoolError;
use crate::types::dispatch::InvalidTransaction;
use serde_json::{Value, json};

/// An error of JSON-RPC.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct RpcError {
    pub(crate) code: i32,
    pub(crate) message: String,
    pub(crate) data: Option<Value>,
}

pub(crate) const PARSE_ERROR: i32 = -32_700;
const INVALID_REQUEST: i32 = -32_600;
const METHOD_NOT_FOUND: i32 = -32_601;
const INVALID_PARAMS: i32 = -32_602;
/// What goes wrong with storage and runtime calls.
const CLIENT_ERROR: i32 = 4003;
const BAD_FORMAT: i32 = 1001;
const VERIFICATION_ERROR: i32 = 1002;

impl RpcError {
    fn new(code: i32, message: impl Into<String>) -> Self {
        RpcError { code, message: message.into(), data: None }
    }

    fn with(mut self, data: impl Into<Value>) -> Self {
        self.data = Some(data.into());
        self
    }

    pub(crate) fn invalid_request() -> Self {
        RpcError::new(INVALID_REQUEST, "Invalid request")
    }

    pub(crate) fn parse_error() -> Self {
        RpcError::new(PARSE_ERROR, "Parse error")
    }

    pub(crate) fn method_not_found() -> Self {
        RpcError::new(METHOD_NOT_FOUND, "Method not found")
    }

    pub(crate) fn invalid_params(problem: impl Into<String>) -> Self {
        RpcError::new(INVALID_PARAMS, "Invalid params").with(problem.into())
    }

    pub(crate) fn client(problem: impl Into<String>) -> Self {
        RpcError::new(CLIENT_ERROR, format!("Client error: {}", problem.into()))
    }

    /// Whatever the operator asked for.
    pub(crate) fn ordered(code: i32) -> Self {
        RpcError::new(code, "Ordered error")
    }

    /// The pool's refusals, as they look on a real node.
    pub(crate) fn ordered_pool_error(code: i32, submitted: Option<[u8; 32]>) -> Self {
        match code {
            1012 => RpcError::new(1012, "Transaction is temporarily banned"),
            1013 => already_imported(&submitted.unwrap_or_default()),
            1014 => too_low_priority(1, 0),
            1016 => immediately_dropped(),
            _ => invalid(InvalidTransaction::Stale),
        }
    }

    pub(crate) fn json(&self) -> Value {
        match &self.data {
            Some(data) => json!({ "code": self.code, "message": self.message, "data": data }),
            None => json!({ "code": self.code, "message": self.message }),
        }
    }
}

fn invalid(reason: InvalidTransaction) -> RpcError {
    RpcError::new(1010, "Invalid Transaction").with(reason.reason())
}

fn already_imported(hash: &[u8; 32]) -> RpcError {
    RpcError::new(1013, "Transaction Already Imported").with(hex::encode(hash))
}

fn too_low_priority(old: u64, new: u64) -> RpcError {
    RpcError::new(1014, format!("Priority is too low: ({old} vs {new})"))
        .with("The transaction has too low priority to replace another transaction already in the pool.")
}

fn immediately_dropped() -> RpcError {
    RpcError::new(1016, "Immediately Dropped").with("The transaction couldn't enter the pool because of the limit")
}

impl From<SubmitError> for RpcError {
    fn from(error: SubmitError) -> Self {
        match error {
            SubmitError::Format(problem) => {
                RpcError::new(BAD_FORMAT, format!("Extrinsic has invalid format: {}", problem.message()))
            }
            SubmitError::Undecodable => RpcError::new(
                VERIFICATION_ERROR,
                "Verification Error: Runtime error: Execution failed: the runtime cannot decode the call",
            ),
            SubmitError::Invalid(reason) => invalid(reason),
            SubmitError::Pool(PoolError::AlreadyImported(hash)) => already_imported(&hash.0),
            SubmitError::Pool(PoolError::TooLowPriority { old, new }) => too_low_priority(old, new),
            SubmitError::Pool(PoolError::Full) => immediately_dropped(),
        }
    }
}
