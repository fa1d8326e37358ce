//! The log: lines for people, on standard error.
//!
//! Keys are shortened to eight digits by their `Debug` form, secrets have none. Nothing is logged per packet or frame above
//! level `trace`. Under the systemd journal, which adds the time, lines have none.

use std::io::{self, IsTerminal};
use std::sync::OnceLock;

use nix::sys::stat::fstat;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::util::SubscriberInitExt;

use crate::config::{LogFilter, LogFormat};

/// Starts logging for the whole process. A second call changes nothing.
pub fn start(filter: &LogFilter, format: LogFormat) {
    let filter_text = filter.as_str();
    // The grammar of `LogFilter` is part of that of `EnvFilter`; the tests hold one against the other.
    let env_filter = EnvFilter::try_new(filter_text).unwrap_or_default();
    // Module names are of use to who looks for a fault, and noise to everybody else.
    let detailed = filter_text.contains("debug") || filter_text.contains("trace");
    let lines = tracing_subscriber::fmt()
        .with_env_filter(env_filter)
        .with_target(detailed)
        .with_ansi(io::stderr().is_terminal())
        .with_writer(io::stderr);
    let with_time = match format {
        LogFormat::Time => true,
        LogFormat::Plain => false,
        LogFormat::Auto => !is_journal(std::env::var("JOURNAL_STREAM").ok().as_deref()),
    };
    if with_time {
        let lines = lines.with_filter_reloading();
        let handle = lines.reload_handle();
        let started = lines.finish().try_init();
        remember(started.is_ok(), move |filter| handle.reload(filter).is_ok());
    } else {
        let lines = lines.without_time().with_filter_reloading();
        let handle = lines.reload_handle();
        let started = lines.finish().try_init();
        remember(started.is_ok(), move |filter| handle.reload(filter).is_ok());
    }
}

/// Another level from now on, if logging was started here.
pub(crate) fn set_level(filter: &LogFilter) {
    let env_filter = EnvFilter::try_new(filter.as_str()).unwrap_or_default();
    if let Some(set) = SET_FILTER.get() {
        set(env_filter);
    }
}

type SetFilter = Box<dyn Fn(EnvFilter) -> bool + Send + Sync>;

/// How the filter of the log that was started is replaced: the log is the process's, so this is too.
static SET_FILTER: OnceLock<SetFilter> = OnceLock::new();

fn remember(started: bool, set: impl Fn(EnvFilter) -> bool + Send + Sync + 'static) {
    if started {
        let _ = SET_FILTER.set(Box::new(set));
    }
}

/// Whether standard error goes to the systemd journal: `JOURNAL_STREAM` is `device:inode` of the stream that does, and is
/// inherited by processes whose standard error goes elsewhere (systemd.exec(5)).
fn is_journal(journal_stream: Option<&str>) -> bool {
    let Some((device, inode)) = journal_stream.and_then(|stream| stream.split_once(':')) else { return false };
    fstat(io::stderr()).is_ok_and(|stderr| device.parse() == Ok(stderr.st_dev) && inode.parse() == Ok(stderr.st_ino))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_filter_that_the_configuration_takes_is_one_of_the_log() {
        for text in ["off", "error", "warn", "info", "debug", "trace", "info,pinecone::router=debug,pinecone=off"] {
            let filter: LogFilter = text.parse().unwrap();
            assert!(EnvFilter::try_new(filter.as_str()).is_ok(), "{text}");
        }
    }

    #[test]
    fn the_journal_is_recognised_by_the_stream_itself() {
        let stderr = fstat(io::stderr()).unwrap();
        assert!(is_journal(Some(&format!("{}:{}", stderr.st_dev, stderr.st_ino))));
        for other in [None, Some(""), Some("1"), Some("0:0"), Some("a:b")] {
            assert!(!is_journal(other), "{other:?}");
        }
    }
}
