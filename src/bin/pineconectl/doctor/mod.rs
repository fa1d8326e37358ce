//! `pineconectl doctor`: looks at everything that usually goes wrong, and says what is wrong and what to type.
//!
//! It needs no daemon, but asks one if it runs. It changes nothing. Each look is a function from what was found to findings; `host` has
//! those at the operating system, `names` that at its resolver, `network` those at the daemon and its peers.

mod host;
mod names;
mod network;

use std::io::{IsTerminal, Write};
use std::path::PathBuf;

use pinecone::config::Config;
use pinecone::shell::config_file::{self, Source};
use serde::Serialize;
use serde_json::json;

use crate::args::{Arguments, DoctorOptions};
use crate::error::{CommandError, Kind};
use crate::output;
use crate::style::Style;

/// How serious a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
enum Level {
    /// As it should be.
    Ok,
    /// Could not be found out, and why.
    Unknown,
    /// Works, but probably not as it is meant.
    Warning,
    /// Does not work.
    Error,
}

/// What one look found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
struct Finding {
    /// What was looked at, in a word or two.
    check: &'static str,
    level: Level,
    /// What was found.
    what: String,
    /// What to type or to write, if something is wrong.
    #[serde(skip_serializing_if = "Option::is_none")]
    fix: Option<String>,
}

impl Finding {
    fn ok(check: &'static str, what: impl Into<String>) -> Self {
        Self { check, level: Level::Ok, what: what.into(), fix: None }
    }

    fn unknown(check: &'static str, what: impl Into<String>) -> Self {
        Self { check, level: Level::Unknown, what: what.into(), fix: None }
    }

    fn warning(check: &'static str, what: impl Into<String>, fix: impl Into<String>) -> Self {
        Self { check, level: Level::Warning, what: what.into(), fix: Some(fix.into()) }
    }

    fn error(check: &'static str, what: impl Into<String>, fix: impl Into<String>) -> Self {
        Self { check, level: Level::Error, what: what.into(), fix: Some(fix.into()) }
    }
}

/// What is looked at: the configuration, and where it came from.
struct Patient<'a> {
    arguments: &'a Arguments,
    config: Config,
    /// The configuration file, if there is one.
    file: Option<PathBuf>,
    /// The control socket: that of the command line or else of the configuration.
    socket: PathBuf,
}

/// Looks at everything and prints what was found. An error if anything does not work.
pub(crate) fn run(arguments: &Arguments, options: &DoctorOptions) -> Result<(), CommandError> {
    let (findings, patient) = match config_file::load(options.config.as_deref()) {
        Ok((config, source)) => {
            let file = match source {
                Source::File(path) => Some(path),
                Source::Defaults => None,
            };
            let found = file.as_ref().map_or_else(
                || "there is no configuration file: the daemon runs on its defaults".to_owned(),
                |path| format!("{} is right", path.display()),
            );
            let named = *arguments.socket != *pinecone::config::DEFAULT_SOCKET;
            let socket = if named { arguments.socket.clone() } else { config.control.socket.clone() };
            (vec![Finding::ok("configuration", found)], Patient { arguments, config, file, socket })
        }
        Err(error) => {
            let finding =
                Finding::error("configuration", error.to_string(), "mend the file, then type: pineconed check");
            let (config, socket) = (Config::default(), arguments.socket.clone());
            (vec![finding], Patient { arguments, config, file: None, socket })
        }
    };
    let findings = examine(&patient, findings);
    let worst = findings.iter().map(|finding| finding.level).max().unwrap_or(Level::Ok);
    if arguments.json {
        output::json(&json!({ "findings": findings, "worst": worst }))?;
    } else {
        output::text(&as_text(&findings, Style::of_stdout()))?;
    }
    let errors = findings.iter().filter(|finding| finding.level == Level::Error).count();
    if errors > 0 {
        return Err(CommandError::new(
            Kind::Failure,
            format!("{errors} of {} checks found something that does not work", findings.len()),
        ));
    }
    Ok(())
}

fn examine(patient: &Patient<'_>, mut findings: Vec<Finding>) -> Vec<Finding> {
    let progress = Progress::new();
    progress.say("the host");
    findings.extend(host::examine(patient));
    progress.say("the daemon");
    findings.extend(network::examine(patient, &progress));
    findings.extend(names::examine(patient));
    progress.end();
    findings
}

fn as_text(findings: &[Finding], style: Style) -> String {
    let mut text = String::new();
    for finding in findings {
        let mark = match finding.level {
            Level::Ok => style.good("ok     "),
            Level::Unknown => "?      ".to_owned(),
            Level::Warning => style.odd("warning"),
            Level::Error => style.bad("ERROR  "),
        };
        // Some of it comes from peers.
        let clean =
            |text: &str| text.chars().map(|letter| if letter.is_control() { ' ' } else { letter }).collect::<String>();
        text.push_str(&format!("{mark}  {:<14} {}\n", finding.check, clean(&finding.what)));
        if let Some(fix) = &finding.fix {
            text.push_str(&format!("{:25}-> {}\n", "", clean(fix)));
        }
    }
    text
}

/// What is looked at right now, on a terminal: name look-ups can take seconds.
struct Progress(bool);

impl Progress {
    fn new() -> Self {
        Self(std::io::stderr().is_terminal())
    }

    fn say(&self, what: &str) {
        if self.0 {
            // To the start of the line, and clear it. If it cannot be shown it is not missed.
            let _ = write!(std::io::stderr(), "\r\x1b[Klooking at {what} …");
        }
    }

    fn end(&self) {
        if self.0 {
            let _ = write!(std::io::stderr(), "\r\x1b[K");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn findings_are_shown_with_what_to_type() {
        let findings = [
            Finding::ok("clock", "set"),
            Finding::error("TUN device", "there is no /dev/net/tun", "modprobe tun"),
            Finding::warning("peers", "bad\x1b[2Jpeer", "look"),
        ];
        let text = as_text(&findings, Style::plain());
        let expected = "ok       clock          set\nERROR    TUN device     there is no /dev/net/tun\n";
        assert!(text.starts_with(expected) && text.contains("-> modprobe tun\n"), "{text}");
        assert!(!text.contains('\x1b'), "{text}");
        assert!(Level::Error > Level::Warning && Level::Warning > Level::Unknown && Level::Unknown > Level::Ok);
    }
}
