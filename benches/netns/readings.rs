//! What was measured. Pure: tested by `tests/bench_netns.rs`.

use serde_json::{Value, json};

/// What a number counts, which says how it is written and whether more is better.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unit {
    Gbps,
    Milliseconds,
    /// Processor seconds for 10^9 bytes.
    CpuPerGb,
    MicrosPerPacket,
    Mebibytes,
    PerSecond,
    Percent,
}

impl Unit {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Gbps => "Gbit/s",
            Self::Milliseconds => "ms",
            Self::CpuPerGb => "CPU s/GB",
            Self::MicrosPerPacket => "CPU µs/packet",
            Self::Mebibytes => "MiB",
            Self::PerSecond => "1/s",
            Self::Percent => "%",
        }
    }

    pub(crate) fn more_is_better(self) -> bool {
        matches!(self, Self::Gbps | Self::PerSecond | Self::Percent)
    }
}

/// One number.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Reading {
    pub(crate) what: String,
    pub(crate) unit: Unit,
    pub(crate) value: f64,
}

impl Reading {
    pub(crate) fn new(what: &str, unit: Unit, value: f64) -> Self {
        Self { what: what.to_owned(), unit, value }
    }
}

/// A line of the table: one thing that was measured in one case.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Row {
    pub(crate) case: String,
    pub(crate) what: String,
    pub(crate) unit: Unit,
    /// By peer (as in [`Results::peers`]) and round.
    pub(crate) values: Vec<Vec<Option<f64>>>,
}

/// Everything that was measured.
#[derive(Debug)]
pub(crate) struct Results {
    pub(crate) peers: Vec<String>,
    pub(crate) rounds: usize,
    /// In the order in which they first came up.
    pub(crate) rows: Vec<Row>,
    /// The machine's load average before each round.
    pub(crate) loads: Vec<f64>,
    /// What went wrong and was then measured once more, in words.
    pub(crate) repeated: Vec<String>,
    /// What went wrong twice.
    pub(crate) failures: Vec<String>,
}

impl Results {
    pub(crate) fn new(peers: Vec<String>, rounds: usize) -> Self {
        Self { peers, rounds, rows: Vec::new(), loads: Vec::new(), repeated: Vec::new(), failures: Vec::new() }
    }

    /// Takes what the peer number `peer` was measured to do in a case.
    pub(crate) fn add(&mut self, case: &str, peer: usize, round: usize, readings: &[Reading]) {
        for Reading { what, unit, value } in readings {
            let row = match self.rows.iter().position(|row| row.case == case && row.what == *what) {
                Some(row) => row,
                None => {
                    let values = vec![vec![None; self.rounds]; self.peers.len()];
                    self.rows.push(Row { case: case.to_owned(), what: what.clone(), unit: *unit, values });
                    self.rows.len() - 1
                }
            };
            self.rows[row].values[peer][round] = Some(*value);
        }
    }

    /// All of it, for other programs.
    pub(crate) fn to_json(&self) -> Value {
        let row = |row: &Row| {
            let values: serde_json::Map<_, _> =
                self.peers.iter().cloned().zip(row.values.iter().map(|rounds| json!(rounds))).collect();
            json!({ "case": row.case, "what": row.what, "unit": row.unit.name(), "values": values })
        };
        let rows: Vec<_> = self.rows.iter().map(row).collect();
        json!({ "rows": rows, "load_averages": self.loads, "repeated": self.repeated, "failures": self.failures })
    }
}
