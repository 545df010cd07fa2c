//! The parameters of a request, by position.

use super::error::RpcError;
use crate::hex;
use crate::types::account::H256;
use serde::de::DeserializeOwned;
use serde_json::Value;

/// What a request brings.
pub(crate) struct Parameters(Vec<Value>);

impl Parameters {
    pub(crate) fn new(value: Option<Value>) -> Result<Self, RpcError> {
        match value {
            None | Some(Value::Null) => Ok(Parameters(Vec::new())),
            Some(Value::Array(values)) => Ok(Parameters(values)),
            // Some clients send one object; the operator's methods take it so.
            Some(object @ Value::Object(_)) => Ok(Parameters(vec![object])),
            Some(_) => Err(RpcError::invalid_params("parameters are an array or an object")),
        }
    }

    /// A parameter that is not null.
    pub(crate) fn given(&self, at: usize) -> Option<&Value> {
        self.0.get(at).filter(|value| !value.is_null())
    }

    fn required(&self, at: usize) -> Result<&Value, RpcError> {
        self.given(at).ok_or_else(|| RpcError::invalid_params(format!("parameter {} is missing", at + 1)))
    }

    pub(crate) fn text(&self, at: usize) -> Result<&str, RpcError> {
        let text = self.required(at)?.as_str();
        text.ok_or_else(|| RpcError::invalid_params(format!("parameter {} is not a text", at + 1)))
    }

    pub(crate) fn bytes(&self, at: usize) -> Result<Vec<u8>, RpcError> {
        bytes_of(self.required(at)?, at)
    }

    pub(crate) fn list_of_bytes(&self, at: usize) -> Result<Vec<Vec<u8>>, RpcError> {
        let list = self.required(at)?.as_array();
        let list = list.ok_or_else(|| RpcError::invalid_params(format!("parameter {} is not a list", at + 1)))?;
        list.iter().map(|value| bytes_of(value, at)).collect()
    }

    /// A block's hash, where one is given.
    pub(crate) fn hash(&self, at: usize) -> Result<Option<H256>, RpcError> {
        let Some(value) = self.given(at) else { return Ok(None) };
        let hash = value.as_str().and_then(hex::decode_array::<32>);
        let problem = || RpcError::invalid_params(format!("parameter {} is not a hash of 32 bytes", at + 1));
        hash.map(|hash| Some(H256(hash))).ok_or_else(problem)
    }

    /// A number, in decimal or as a hexadecimal text.
    pub(crate) fn number(&self, at: usize) -> Result<u64, RpcError> {
        number_of(self.required(at)?)
            .ok_or_else(|| RpcError::invalid_params(format!("parameter {} is not a number", at + 1)))
    }

    pub(crate) fn read<T: DeserializeOwned>(&self, at: usize) -> Result<T, RpcError> {
        serde_json::from_value(self.required(at)?.clone())
            .map_err(|error| RpcError::invalid_params(format!("parameter {}: {error}", at + 1)))
    }
}

pub(crate) fn number_of(value: &Value) -> Option<u64> {
    match value {
        Value::Number(number) => number.as_u64(),
        Value::String(text) => u64::from_str_radix(text.strip_prefix("0x")?, 16).ok(),
        _ => None,
    }
}

fn bytes_of(value: &Value, at: usize) -> Result<Vec<u8>, RpcError> {
    value
        .as_str()
        .and_then(hex::decode)
        .ok_or_else(|| RpcError::invalid_params(format!("parameter {} is not bytes in hexadecimal digits", at + 1)))
}
