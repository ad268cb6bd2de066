//! Reading of requests, what of their time is not the library's, and the error
//! that answers one.

use std::cell::Cell;
use std::fmt::Debug;
use std::time::{Duration, Instant};

use serde_json::Value;

thread_local! {
    /// How long the request at work has spent outside of the library.
    static OUTSIDE: Cell<Duration> = const { Cell::new(Duration::ZERO) };
}

/// Does something that is not the library's work.
pub fn outside<T>(f: impl FnOnce() -> T) -> T {
    let begin = Instant::now();
    let result = f();
    OUTSIDE.set(OUTSIDE.get() + begin.elapsed());
    result
}

/// Handles a request, and says how many nanoseconds the library took.
pub fn timed<T>(f: impl FnOnce() -> T) -> (T, u64) {
    OUTSIDE.set(Duration::ZERO);
    let begin = Instant::now();
    let result = f();
    let spent = begin.elapsed().saturating_sub(OUTSIDE.get());
    (result, spent.as_nanos() as u64)
}

/// Octets in hex.
pub fn hexed(octets: impl AsRef<[u8]>) -> String {
    outside(|| hex::encode(octets))
}

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
    outside(|| hex::decode(q[name].as_str().unwrap_or_default())).map_err(failed("bad hex"))
}

/// The octets in hex of each element of a member.
pub fn list(q: &Value, name: &str) -> Result<Vec<Vec<u8>>> {
    outside(|| array(q, name).map(|v| hex::decode(v.as_str().unwrap_or_default())).collect::<std::result::Result<_, _>>())
        .map_err(failed("bad hex"))
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
