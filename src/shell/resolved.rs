//! Tells systemd-resolved where to ask for our names, so that nobody has to.
//!
//! `resolvectl` does it: it speaks the daemon's D-Bus interface (`SetLinkDNS`, `SetLinkDomains` of org.freedesktop.resolve1) and is there
//! wherever that is, while a D-Bus library of our own would be the largest dependency that we have. The settings belong to the interface and
//! go with it. Where systemd-resolved does not run nothing happens; `docs/dns.md` says what to do there.

use std::io::Read;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use crate::dns::{ADDRESS, SUFFIX};
use crate::time::Duration;

/// There while systemd-resolved runs.
const RUNNING: &str = "/run/systemd/resolve";

/// It answers within a few hundredths of a second; a start is not held up by one that does not.
const PATIENCE: Duration = Duration::from_secs(3);
/// How often a program is asked whether it has ended.
const LOOK: Duration = Duration::from_millis(5);

/// Tells it, and waits for that: it has to be done before the daemon gives up the right to start programs, and without a thread, which would keep
/// all rights.
pub(crate) async fn announce(interface: &str) {
    if !Path::new(RUNNING).is_dir() {
        tracing::info!(
            "names: {SUFFIX} is answered at [{ADDRESS}]:53; systemd-resolved does not run here, see docs/dns.md"
        );
        return;
    }
    match tokio::time::timeout(PATIENCE, tell(interface)).await {
        Ok(Ok(())) => tracing::info!("names: systemd-resolved asks [{ADDRESS}]:53 for {SUFFIX}"),
        Ok(Err(error)) => {
            tracing::warn!("names: cannot tell systemd-resolved about {SUFFIX}: {error}; see docs/dns.md");
        }
        Err(_) => tracing::warn!(
            "names: systemd-resolved did not answer within {} s, so it does not ask us for {SUFFIX}; see docs/dns.md",
            PATIENCE.as_secs()
        ),
    }
}

async fn tell(interface: &str) -> Result<(), String> {
    let server = ADDRESS.to_string();
    // With a tilde: asked for these names alone. The last two are the reverse zones of the overlay's prefix.
    let domains = format!("~{SUFFIX} ~6.0.ip6.arpa ~7.0.ip6.arpa");
    let domains: Vec<&str> = domains.split(' ').collect();
    resolvectl("dns", interface, &[&server]).await?;
    resolvectl("domain", interface, &domains).await?;
    resolvectl("default-route", interface, &["false"]).await?;
    // Nobody signs our zone; and on this interface is no one to ask by multicast.
    for setting in ["dnssec", "llmnr", "mdns"] {
        // Some builds lack one or the other.
        let _ = resolvectl(setting, interface, &["no"]).await;
    }
    Ok(())
}

async fn resolvectl(verb: &str, interface: &str, values: &[&str]) -> Result<(), String> {
    let mut command = Command::new("resolvectl");
    command.arg(verb).arg(interface).args(values);
    // It must not ask anybody for a password: it does on a terminal alone. (Its option against that is an error before systemd 257.)
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    // Or it tells our service manager how it went, which is for us alone to do.
    command.env_remove("NOTIFY_SOCKET");
    let mut running = Running(command.spawn().map_err(|error| format!("resolvectl: {error}"))?);
    let status = loop {
        match running.0.try_wait().map_err(|error| format!("resolvectl: {error}"))? {
            Some(status) => break status,
            None => tokio::time::sleep(LOOK).await,
        }
    };
    if status.success() {
        return Ok(());
    }
    let mut said = String::new();
    if let Some(mut stderr) = running.0.stderr.take() {
        // It has ended, so this does.
        let _ = stderr.read_to_string(&mut said);
    }
    Err(format!("resolvectl {verb}: {}", said.lines().next().unwrap_or("it failed")))
}

/// A program that does not outlive our patience.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        if matches!(self.0.try_wait(), Ok(None)) {
            let _ = self.0.kill();
            let _ = self.0.wait();
        }
    }
}
