//! Reading of requests, and the error that answers one.

use std::fmt::Debug;

use serde_json::Value;

/// Why a request failed. `unsupported`: the library has no such feature.
#[derive(Debug)]
pub struct Error {
    pub text: String,
    pub unsupported: bool,
}

pub type Result<T> = std::result::Result<T, Error>;

impl From<&str> for Error {
    fn from(text: &str) -> Self {
        Error { text: text.into(), unsupported: false }
    }
}

impl From<serde_json::Error> for Error {
    fn from(e: serde_json::Error) -> Self {
        Error { text: e.to_string(), unsupported: false }
    }
}

/// Says that the library has no such feature.
pub fn unsupported(text: &str) -> Error {
    Error { text: text.into(), unsupported: true }
}

/// Turns an error of the library into the answer's text.
pub fn failed<E: Debug>(what: &'static str) -> impl Fn(E) -> Error {
    move |e| Error { text: format!("{what}: {e:?}"), unsupported: false }
}

/// The octets of a member in hex; absent means none.
pub fn bytes(q: &Value, name: &str) -> Result<Vec<u8>> {
    hex::decode(q[name].as_str().unwrap_or_default()).map_err(failed("bad hex"))
}

/// The octets in hex of each element of a member.
pub fn list(q: &Value, name: &str) -> Result<Vec<Vec<u8>>> {
    array(q, name).map(|v| hex::decode(v.as_str().unwrap_or_default()).map_err(failed("bad hex"))).collect()
}

/// The numbers of a member.
pub fn numbers(q: &Value, name: &str) -> Vec<u64> {
    array(q, name).filter_map(Value::as_u64).collect()
}

/// A number, or 0.
pub fn number(q: &Value, name: &str) -> u64 {
    q[name].as_u64().unwrap_or_default()
}

/// A truth value, or false.
pub fn flag(q: &Value, name: &str) -> bool {
    q[name].as_bool().unwrap_or_default()
}

/// The elements of a member; absent means none.
pub fn array<'a>(q: &'a Value, name: &str) -> impl Iterator<Item = &'a Value> {
    q[name].as_array().map(Vec::as_slice).unwrap_or_default().iter()
}
