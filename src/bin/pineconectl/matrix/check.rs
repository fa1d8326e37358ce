//! `pineconectl matrix check`: a homeserver seen as another homeserver sees it, one step after the other. The first step that fails ends the test, as
//! the rest could only fail too, and says what to do.

use std::io;
use std::net::{IpAddr, SocketAddr};

use data_encoding::BASE64_NOPAD;
use hyper::Method;
use pinecone::addr::{Address, Destination};
use pinecone::control::{Answer, Request};
use pinecone::dns::name::key_of_name;
use pinecone::keys::{PublicKey, Signature};
use pinecone::node::Target;
use pinecone::shell::clock::Clock;
use serde::Serialize;
use serde_json::Value;
use tokio::net::TcpStream;

use super::http;
use super::server_name::{Host, ServerName};
use super::tls::{self, Trust};
use crate::args::Arguments;
use crate::client::Client;
use crate::error::{CommandError, Kind};
use crate::output::{self, Column};
use crate::units::milliseconds;

/// How a step ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Outcome {
    Ok,
    /// Works, and yet something is to be known.
    Warning,
    Failed,
    Skipped,
}

#[derive(Debug, Serialize)]
struct Step {
    name: &'static str,
    outcome: Outcome,
    /// What was found.
    detail: String,
    /// What to do about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    advice: Option<String>,
}

/// A failed step, and the exit code that it means.
struct Failed {
    detail: String,
    advice: String,
    kind: Kind,
}

#[derive(Debug, Serialize)]
struct Report {
    server_name: String,
    address: Option<IpAddr>,
    ok: bool,
    steps: Vec<Step>,
}

impl Report {
    fn note(&mut self, name: &'static str, outcome: Outcome, detail: impl Into<String>) -> &mut Step {
        self.steps.push(Step { name, outcome, detail: detail.into(), advice: None });
        let last = self.steps.len() - 1;
        &mut self.steps[last]
    }

    fn warn(&mut self, name: &'static str, detail: impl Into<String>, advice: impl Into<String>) {
        self.note(name, Outcome::Warning, detail).advice = Some(advice.into());
    }
}

fn unreachable(detail: impl Into<String>, advice: impl Into<String>) -> Failed {
    Failed { detail: detail.into(), advice: advice.into(), kind: Kind::Unreachable }
}

fn wrong(detail: impl Into<String>, advice: impl Into<String>) -> Failed {
    Failed { detail: detail.into(), advice: advice.into(), kind: Kind::Failure }
}

/// Tests and prints.
pub(crate) async fn run(arguments: &Arguments, text: &str) -> Result<(), CommandError> {
    let mut report = Report { server_name: text.to_owned(), address: None, ok: false, steps: Vec::new() };
    let mut at = "name";
    let kind = match test(arguments, text, &mut report, &mut at).await {
        Ok(()) => None,
        Err(Failed { detail, advice, kind }) => {
            report.note(at, Outcome::Failed, detail).advice = Some(advice);
            Some(kind)
        }
    };
    report.ok = kind.is_none();
    if arguments.json {
        output::json(&report)?
    } else {
        output::text(&as_text(&report))?
    }
    let failed = |kind| CommandError::new(kind, format!("{text} cannot be federated with: the step {at} failed"));
    kind.map_or(Ok(()), |kind| Err(failed(kind)))
}

async fn test(arguments: &Arguments, text: &str, report: &mut Report, at: &mut &'static str) -> Result<(), Failed> {
    let name = server_name(text, report)?;
    *at = "resolve";
    let address = resolve(&name, arguments, report).await?;
    report.address = Some(address.ip());
    *at = "mesh";
    mesh(address.ip(), arguments, report)?;
    *at = "connect";
    connect(address, arguments, report).await?;
    *at = "tls";
    certificate(&name, address, arguments, report).await?;
    *at = "version";
    version(&name, address, arguments, report).await?;
    *at = "keys";
    keys(&name, address, arguments, report).await
}

fn server_name(text: &str, report: &mut Report) -> Result<ServerName, Failed> {
    let name: ServerName = text.parse().map_err(|error: super::server_name::ServerNameError| {
        wrong(error.to_string(), "write it as its owner's homeserver has it in its settings (server_name)")
    })?;
    if name.canonical() != text {
        let advice =
            format!("write {}: homeservers and clients compare server names letter by letter", name.canonical());
        report.warn("name", format!("{text} is not the usual form of this address"), advice);
    } else if name.port.is_none() {
        let advice = "give the homeserver a name with its port; without, others ask for .well-known and SRV records first, which \
                      takes minutes where there is no Internet";
        report.warn("name", format!("{text} has no port; trying {}", name.port_or_default()), advice);
    } else {
        report.note("name", Outcome::Ok, format!("{text} is a server name"));
    }
    Ok(name)
}

async fn resolve(name: &ServerName, arguments: &Arguments, report: &mut Report) -> Result<SocketAddr, Failed> {
    let port = name.port_or_default();
    let host = match &name.host {
        Host::Ip(address) => {
            report.note("resolve", Outcome::Ok, "it is an address: nothing to ask");
            return Ok(SocketAddr::new(*address, port));
        }
        Host::Name(host) => host.as_str(),
    };
    let look_up = tokio::time::timeout(arguments.timeout, tokio::net::lookup_host((host, port)));
    let found = match look_up.await {
        Ok(found) => found.map(Iterator::collect::<Vec<_>>),
        Err(_) => Err(io::ErrorKind::TimedOut.into()),
    };
    let advice = "let this host's resolver use pineconed's DNS (docs/dns.md), as the homeserver here needs it too";
    let key = key_of_name(host);
    let found = match (found, key) {
        (Ok(found), _) if !found.is_empty() => found,
        (outcome, Some(_)) => {
            let why = outcome.map_or_else(|error| error.to_string(), |_| "no address".to_owned());
            return Err(wrong(
                format!("{host} is a node's name, but this host's resolver does not know it: {why}"),
                advice,
            ));
        }
        (Err(error), None) => return Err(wrong(format!("{host} cannot be resolved: {error}"), advice)),
        (Ok(_), None) => return Err(wrong(format!("{host} has no address"), advice)),
    };
    let due = key.map(|key| IpAddr::V6(Address::of(&key).ip()));
    if let (Some(due), Some(other)) = (due, found.iter().find(|address| due.is_some_and(|due| address.ip() != due))) {
        let detail = format!("{host} belongs to {due}, but this host's resolver says {}", other.ip());
        return Err(wrong(detail, "somebody else answers for pinecone.internal here; see docs/dns.md, and /etc/hosts"));
    }
    let on_mesh = |address: &&SocketAddr| matches!(address.ip(), IpAddr::V6(ip) if Destination::of(ip).is_some());
    let address = found.iter().find(on_mesh).or(found.first()).copied();
    let address = address.ok_or_else(|| wrong(format!("{host} has no address"), advice))?;
    report.note("resolve", Outcome::Ok, format!("{host} is {}", address.ip()));
    Ok(address)
}

/// Asks the daemon for the node, to tell a missing node from a missing homeserver.
fn mesh(address: IpAddr, arguments: &Arguments, report: &mut Report) -> Result<(), Failed> {
    let IpAddr::V6(ip) = address else {
        report.note("mesh", Outcome::Skipped, format!("{address} is not on the mesh"));
        return Ok(());
    };
    let Some(destination) = Destination::of(ip) else {
        report.note("mesh", Outcome::Skipped, format!("{ip} is not on the mesh"));
        return Ok(());
    };
    let asked = Client::connect(&arguments.socket, arguments.timeout).and_then(|mut client| {
        if let Answer::Status(status) = client.ask(&Request::Status)?
            && destination.belongs_to(&status.public_key)
        {
            return Ok(None);
        }
        let request = Request::Ping { target: Target::Address(destination), timeout: arguments.timeout };
        client.ask(&request).map(Some)
    });
    match asked {
        Ok(None) => report.note("mesh", Outcome::Ok, "it is this node itself"),
        Ok(Some(Answer::Ping(answer))) => {
            let detail = format!("the node answers in {}, by {}", milliseconds(answer.rtt_seconds), answer.routed_by);
            report.note("mesh", Outcome::Ok, detail)
        }
        Ok(Some(_)) => report.note("mesh", Outcome::Skipped, "the daemon gave an answer that was not asked for"),
        Err(error) if error.kind == Kind::Unreachable => {
            let advice = "see on that host whether pineconed runs and has peers (pineconectl status), and here too";
            return Err(unreachable(format!("the node does not answer: {}", error.message()), advice));
        }
        Err(error) => report.note("mesh", Outcome::Skipped, format!("not asked: {}", error.message())),
    };
    Ok(())
}

async fn connect(address: SocketAddr, arguments: &Arguments, report: &mut Report) -> Result<(), Failed> {
    open(address, arguments).await?;
    report.note("connect", Outcome::Ok, format!("something listens on port {}", address.port()));
    Ok(())
}

async fn open(address: SocketAddr, arguments: &Arguments) -> Result<TcpStream, Failed> {
    let connecting = tokio::time::timeout(arguments.timeout, TcpStream::connect(address)).await;
    let error = match connecting {
        Ok(Ok(stream)) => return Ok(stream),
        Ok(Err(error)) => error,
        Err(_) => io::ErrorKind::TimedOut.into(),
    };
    let port = address.port();
    let advice = match error.kind() {
        io::ErrorKind::ConnectionRefused => format!(
            "nothing listens on port {port} there: start the homeserver, and let it listen on \"::\" (not on IPv4 alone, nor on localhost)"
        ),
        io::ErrorKind::PermissionDenied => format!(
            "that node's firewall does not let us in: its pineconed.toml needs firewall.inbound = [{{ from = \"any\", protocol = \"tcp\", \
             port = {port} }}]"
        ),
        io::ErrorKind::TimedOut => format!(
            "if the node answers pings, its host's firewall (nftables, ufw) drops what comes to port {port} on pine0: open it there"
        ),
        _ => "see whether pineconed runs here (pineconectl status) and has its interface (ip address show pine0)"
            .to_owned(),
    };
    Err(unreachable(format!("no connection to {address}: {error}"), advice))
}

type Connection = tokio_rustls::client::TlsStream<TcpStream>;

/// A connection with TLS over it.
async fn open_tls(name: &ServerName, address: SocketAddr, arguments: &Arguments) -> Result<Connection, Failed> {
    let stream = open(address, arguments).await?;
    let talk = tokio::time::timeout(arguments.timeout, tls::connect(stream, &name.host)).await;
    let error = match talk {
        Ok(Ok(stream)) => return Ok(stream),
        Ok(Err(error)) => error,
        Err(_) => io::ErrorKind::TimedOut.into(),
    };
    let advice = format!(
        "port {} has to speak TLS 1.3: in Synapse `tls: true` for its listener; in nginx `ssl_protocols TLSv1.2 TLSv1.3;` (other homeservers may do \
         with 1.2, this test does not)",
        address.port()
    );
    Err(wrong(format!("no TLS: {error}"), advice))
}

async fn certificate(
    name: &ServerName,
    address: SocketAddr,
    arguments: &Arguments,
    report: &mut Report,
) -> Result<(), Failed> {
    let stream = open_tls(name, address, arguments).await?;
    match tls::trust(&stream, &name.host) {
        Trust::Public => {
            report.note("tls", Outcome::Ok, "a CA that this host trusts vouches for the certificate");
        }
        Trust::Unknown => {
            let detail = "the certificate is for this name, and no CA vouches for it: homeservers on the mesh take it with the settings \
                          that `pineconectl matrix init` writes";
            report.note("tls", Outcome::Ok, detail);
        }
        Trust::Wrong(why) => {
            let advice =
                "homeservers that verify certificates will refuse it; `pineconectl matrix init` makes one that fits";
            report.warn("tls", format!("the certificate is wrong: {why}"), advice);
        }
    }
    Ok(())
}

/// Asks over TLS and reads JSON.
async fn get(
    name: &ServerName,
    address: SocketAddr,
    path: &str,
    arguments: &Arguments,
) -> Result<(u16, Value), Failed> {
    let stream = open_tls(name, address, arguments).await?;
    let request = http::Request { method: Method::GET, host: &name.to_string(), path, token: None };
    let answer = http::ask(stream, &request, arguments.timeout).await.map_err(|error| {
        wrong(
            format!("{path}: {error}"),
            "something else than a web server listens there; look at the homeserver's log",
        )
    })?;
    Ok((answer.status, serde_json::from_slice(&answer.body).unwrap_or(Value::Null)))
}

async fn version(
    name: &ServerName,
    address: SocketAddr,
    arguments: &Arguments,
    report: &mut Report,
) -> Result<(), Failed> {
    let (status, answer) = get(name, address, "/_matrix/federation/v1/version", arguments).await?;
    let text = |field: &str| answer["server"][field].as_str().unwrap_or("unknown").chars().take(60).collect::<String>();
    if status == 200 && answer["server"].is_object() {
        report.note("version", Outcome::Ok, format!("{} {}", text("name"), text("version")));
    } else if (502..=504).contains(&status) {
        let advice = "the web server there does not reach its homeserver: is it running, and on 127.0.0.1:8008?";
        return Err(wrong(format!("the web server answers {status}"), advice));
    } else {
        let advice = "some homeservers do not say; if it is none, the port is wrong, or its web server does not pass /_matrix on";
        report.warn("version", format!("/_matrix/federation/v1/version gives {status}"), advice);
    }
    Ok(())
}

/// Fetches the homeserver's signing keys, without which nobody believes what it sends.
async fn keys(
    name: &ServerName,
    address: SocketAddr,
    arguments: &Arguments,
    report: &mut Report,
) -> Result<(), Failed> {
    let (status, answer) = get(name, address, "/_matrix/key/v2/server", arguments).await?;
    if status != 200 {
        let advice = "no homeserver answers there: in Synapse the listener needs the resource `federation` (or `keys`); a web server in \
                      front has to pass all of /_matrix on";
        return Err(wrong(format!("/_matrix/key/v2/server gives {status}"), advice));
    }
    let own = answer["server_name"].as_str().unwrap_or_default();
    if own != name.to_string() {
        let own: String = own.chars().take(230).collect();
        let advice = format!(
            "its users are called @somebody:{own}; test that name, and use it in invitations and addresses of rooms"
        );
        return Err(wrong(format!("the homeserver there calls itself {own:?}"), advice));
    }
    let now = Clock::new().unix_now().0;
    if answer["valid_until_ts"].as_u64().is_none_or(|until| until <= now) {
        let advice = "one of the two hosts has a wrong clock: compare `date -u`";
        return Err(wrong("the homeserver's keys are not valid any more", advice));
    }
    let signed = signed_by(&answer, &name.to_string());
    if signed.is_empty() {
        return Err(wrong(
            "none of the homeserver's keys has signed them",
            "report it to those who make this homeserver",
        ));
    }
    report.note("keys", Outcome::Ok, format!("the homeserver proves its keys: {}", signed.join(", ")));
    Ok(())
}

/// Which of the `verify_keys` have signed the document as they should (specification, "Signing JSON").
fn signed_by(document: &Value, server: &str) -> Vec<String> {
    let mut bare = document.clone();
    if let Value::Object(fields) = &mut bare {
        fields.remove("signatures");
        fields.remove("unsigned");
    }
    // Canonical JSON: serde_json's maps are sorted and it writes no spaces.
    let message = bare.to_string();
    let decode = |text: &Value| BASE64_NOPAD.decode(text.as_str()?.trim_end_matches('=').as_bytes()).ok();
    let is_signed = |id: &str, key: &Value| -> Option<bool> {
        let key = PublicKey(decode(&key["key"])?.try_into().ok()?);
        let signature: Signature = decode(&document["signatures"][server][id])?.try_into().ok()?;
        Some(key.verifies(message.as_bytes(), &signature))
    };
    let keys = document["verify_keys"].as_object().into_iter().flatten();
    keys.filter(|(id, key)| is_signed(id, key) == Some(true)).map(|(id, _)| id.chars().take(60).collect()).collect()
}

fn as_text(report: &Report) -> String {
    let mut rows = Vec::new();
    for step in &report.steps {
        let outcome = match step.outcome {
            Outcome::Ok => "ok",
            Outcome::Warning => "warning",
            Outcome::Failed => "FAILED",
            Outcome::Skipped => "skipped",
        };
        rows.push(vec![step.name.to_owned(), outcome.to_owned(), step.detail.clone()]);
        if let Some(advice) = &step.advice {
            rows.push(vec![String::new(), String::new(), format!("→ {advice}")]);
        }
    }
    output::table(&[Column::Left("STEP"), Column::Left("RESULT"), Column::Left("WHAT")], rows, "")
}

#[cfg(test)]
mod tests {
    use pinecone::keys::{Keypair, Seed};
    use serde_json::json;

    use super::*;

    #[test]
    fn keys_count_only_if_they_signed_the_document() {
        let keypair = Keypair::from_seed(&Seed([7; 32]));
        let key = BASE64_NOPAD.encode(&keypair.public().0);
        let mut document = json!({"server_name": "s", "valid_until_ts": 1, "old_verify_keys": {}, "verify_keys": {"ed25519:1": {"key": key}}});
        let signature = keypair.sign(document.to_string().as_bytes());
        document["signatures"] = json!({"s": {"ed25519:1": BASE64_NOPAD.encode(&signature)}});
        assert_eq!(signed_by(&document, "s"), ["ed25519:1"]);
        assert!(signed_by(&document, "other").is_empty());
        document["valid_until_ts"] = json!(2);
        assert!(signed_by(&document, "s").is_empty());
    }

    #[test]
    fn what_a_step_found_and_what_to_do_are_shown() {
        let mut report = Report { server_name: "s".to_owned(), address: None, ok: false, steps: Vec::new() };
        report.note("name", Outcome::Ok, "fine");
        report.warn("tls", "not so fine", "do this");
        let text = as_text(&report);
        assert!(text.contains("name  ok       fine\ntls   warning  not so fine\n               → do this\n"), "{text}");
    }
}
