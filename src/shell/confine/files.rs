//! Files, by Landlock: what the running daemon reads and writes is little.
//!
//! It reads what looking up names and trusting CAs takes (`/etc`, `/usr` with the libraries that the name service loads), and again what a
//! reload reads. It writes nothing; it makes and removes sockets. The private key is in memory by now and not among these, unless it lies
//! beside one of them. Unix sockets can be connected to wherever they are: that is decided by their modes.

use std::path::PathBuf;

use landlock::{
    ABI, Access, AccessFs, BitFlags, CompatLevel, Compatible, LandlockStatus, Ruleset, RulesetAttr, RulesetCreatedAttr,
    RulesetError, RulesetStatus, Scope, path_beneath_rules,
};

/// The newest kernel interface that this was tried with. Older kernels enforce what they know of it.
const TRIED: ABI = ABI::V6;

/// Read by the name service, by what loads its modules, and by TLS for the CAs of the host; and what the C library asks about the system.
const SYSTEM: &[&str] = &[
    "/etc",
    "/usr",
    "/lib",
    "/lib64",
    "/nix/store",
    "/run/systemd/resolve",
    "/run/resolvconf",
    "/run/NetworkManager",
    "/run/connman",
    "/var/lib/ca-certificates",
    "/var/lib/sss/mc",
    "/proc/self",
    "/dev/null",
    "/dev/urandom",
];

/// Restricts this process. Says how far it is.
pub(super) fn restrict(readable: &[PathBuf], sockets: &[PathBuf]) -> String {
    match try_restrict(readable, sockets) {
        Ok(status) => status,
        Err(error) => format!("not restricted: {error}"),
    }
}

fn try_restrict(readable: &[PathBuf], sockets: &[PathBuf]) -> Result<String, RulesetError> {
    let read = AccessFs::ReadFile | AccessFs::ReadDir;
    let socket: BitFlags<AccessFs> = AccessFs::MakeSock
        | AccessFs::RemoveFile
        // The lock beside each socket.
        | AccessFs::MakeReg
        | AccessFs::ReadFile
        | AccessFs::WriteFile;
    let status = Ruleset::default()
        .set_compatibility(CompatLevel::BestEffort)
        .handle_access(AccessFs::from_all(TRIED))?
        .scope(Scope::from_all(TRIED))?
        .create()?
        // What is not there is left out.
        .add_rules(path_beneath_rules(SYSTEM, read))?
        .add_rules(path_beneath_rules(readable, read))?
        .add_rules(path_beneath_rules(sockets, socket))?
        .restrict_self()?;
    Ok(match (status.ruleset, status.landlock) {
        (RulesetStatus::FullyEnforced, _) => "full".to_owned(),
        (RulesetStatus::PartiallyEnforced, _) => {
            "partial (the kernel knows less of Landlock than this program)".to_owned()
        }
        (RulesetStatus::NotEnforced, LandlockStatus::NotEnabled) => {
            "not restricted: Landlock is off in this kernel (lsm=)".to_owned()
        }
        (RulesetStatus::NotEnforced, _) => "not restricted: this kernel has no Landlock".to_owned(),
    })
}
