//! What other programs print, as numbers. Pure: tested by `tests/bench_netns.rs`.

use serde_json::Value;

/// What iperf3 says about a TCP transfer.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Transfer {
    /// That arrived.
    pub(crate) bytes: f64,
    pub(crate) bits_per_second: f64,
}

/// Reads the output of `iperf3 -J`, or says what is wrong with it.
pub(crate) fn iperf3(text: &str) -> Result<Transfer, String> {
    let json: Value = serde_json::from_str(text).map_err(|error| format!("iperf3 did not print JSON: {error}"))?;
    if let Some(error) = json["error"].as_str() {
        return Err(format!("iperf3: {error}"));
    }
    let sum = &json["end"]["sum_received"];
    let number = |key: &str| sum[key].as_f64().ok_or_else(|| format!("iperf3 printed no {key}"));
    let transfer = Transfer { bytes: number("bytes")?, bits_per_second: number("bits_per_second")? };
    // A connection that stalls at its beginning is not an error for iperf3.
    if transfer.bytes > 0.0 { Ok(transfer) } else { Err("iperf3 transferred nothing".to_owned()) }
}

/// The round-trip times in milliseconds that `ping` printed.
pub(crate) fn ping_times(text: &str) -> Vec<f64> {
    let time = |line: &str| line.split_once(" time=")?.1.split_whitespace().next()?.parse().ok();
    text.lines().filter_map(time).collect()
}

/// User and system time in ticks, from `/proc/PID/stat`.
pub(crate) fn cpu_ticks(stat: &str) -> Option<u64> {
    // The second field is the program's name in parentheses, which may contain anything.
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace().skip(11);
    let (user, system): (u64, u64) = (fields.next()?.parse().ok()?, fields.next()?.parse().ok()?);
    Some(user + system)
}

/// A size in KiB from `/proc/PID/status`.
pub(crate) fn status_kib(status: &str, key: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(':'))?;
    line.split_whitespace().next()?.parse().ok()
}
