//! Where the results go: standard output, a file for programs, the document for people.

use std::fmt::Write as _;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::json;

use crate::args::Args;
use crate::readings::Results;
use crate::table::markdown;

const BEGIN: &str = "<!-- results: begin -->";
const END: &str = "<!-- results: end -->";

/// Prints the tables, and writes the files that were asked for. `ours`: which peers ratios are made for; `missing`: those that were left
/// out, with reasons.
pub(crate) fn write(args: &Args, results: &Results, ours: &[usize], missing: &[String]) -> Result<(), String> {
    let machine = Machine::look();
    let mut text = format!(
        "{} rounds of {} s, on {} ({} processors), Linux {}.\n",
        args.rounds(),
        args.seconds(),
        machine.model,
        machine.processors,
        machine.kernel
    );
    let loads: Vec<_> = results.loads.iter().map(|load| format!("{load:.1}")).collect();
    let _ = writeln!(text, "The load average was {} before the rounds.", loads.join(", "));
    for line in missing {
        let _ = writeln!(text, "Left out: {line}");
    }
    let _ = write!(text, "\n{}", markdown(results, ours));
    println!("\n{text}");
    if let Some(path) = &args.json {
        let unix = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs());
        let mut json = results.to_json();
        json["unix_seconds"] = json!(unix);
        json["rounds"] = json!(args.rounds());
        json["seconds"] = json!(args.seconds());
        json["missing"] = json!(missing);
        json["machine"] = json!({ "model": machine.model, "processors": machine.processors, "kernel": machine.kernel });
        std::fs::write(path, format!("{json:#}\n")).map_err(|error| format!("{}: {error}", path.display()))?;
    }
    args.report.as_deref().map_or(Ok(()), |path| replace(path, &text))
}

/// Puts `text` between the marks in the file.
fn replace(path: &Path, text: &str) -> Result<(), String> {
    let fail = |error: &dyn std::fmt::Display| format!("{}: {error}", path.display());
    let document = std::fs::read_to_string(path).map_err(|error| fail(&error))?;
    let parts = document.split_once(BEGIN).and_then(|(head, rest)| Some((head, rest.split_once(END)?.1)));
    let (head, tail) = parts.ok_or_else(|| fail(&"the marks for results are missing"))?;
    std::fs::write(path, format!("{head}{BEGIN}\n{text}{END}{tail}")).map_err(|error| fail(&error))
}

/// What the numbers hold for.
struct Machine {
    model: String,
    processors: usize,
    kernel: String,
}

impl Machine {
    fn look() -> Self {
        let cpus = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let model = cpus.lines().find(|line| line.starts_with("model name")).and_then(|line| line.split_once(": "));
        // Without a builder's own suffix, which says nothing.
        let kernel = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
        let kernel = kernel.trim().split('-').next().unwrap_or_default().to_owned();
        Self {
            model: model.map_or("an unknown processor", |(_, model)| model).to_owned(),
            processors: std::thread::available_parallelism().map_or(1, usize::from),
            kernel,
        }
    }
}
