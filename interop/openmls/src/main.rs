//! An MLS client of OpenMLS behind the protocol of "mimi-lab mls-peer": one JSON
//! request per line on standard input, one answer per line on standard output.

mod peer;
mod request;

use std::io::{BufRead, Write};

use serde_json::{Value, json};

fn main() {
    let mut peer = None;
    let mut out = std::io::stdout().lock();
    for line in std::io::stdin().lock().lines() {
        let line = line.expect("standard input can be read");
        if line.trim().is_empty() {
            continue;
        }
        let answer = match answer(&mut peer, &line) {
            Ok(mut a) => {
                a["ok"] = json!(true);
                a
            }
            Err(request::Error { text, unsupported }) => {
                json!({"ok": false, "error": text, "unsupported": unsupported})
            }
        };
        writeln!(out, "{answer}").and_then(|()| out.flush()).expect("standard output can be written");
    }
}

fn answer(peer: &mut Option<peer::Peer>, line: &str) -> request::Result<Value> {
    let q: Value = serde_json::from_str(line)?;
    let op = q["op"].as_str().unwrap_or_default();
    if op == "init" {
        let (new, answer) = peer::Peer::new(&q)?;
        *peer = Some(new);
        return Ok(answer);
    }
    let Some(p) = peer else {
        return Err("the first request has to be init".into());
    };
    let (answer, ns) = request::timed(|| p.handle(op, &q));
    let mut answer = answer?;
    answer["ns"] = json!(ns);
    Ok(answer)
}
