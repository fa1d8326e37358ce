//! The local Synapse's admin API: which homeservers it has set aside for now, and to try one again at once.

use std::path::Path;
use std::time::Duration;

use hyper::{Method, Uri};
use serde_json::Value;
use tokio::net::TcpStream;

use super::args::SynapseOptions;
use super::http::{self, Answer};
use crate::error::{CommandError, Kind};

/// Synapse is on this host: it answers at once, unless it is very busy.
const PATIENCE: Duration = Duration::from_secs(30);
/// Most homeservers that are looked after at a time; those that failed last come first.
pub(crate) const MAX_DESTINATIONS: usize = 256;
/// Longest token in bytes; they have some 50.
const MAX_TOKEN: u64 = 4096;

/// Synapse, for an administrator.
pub(crate) struct Synapse {
    authority: String,
    token: String,
}

impl Synapse {
    /// Reads the token; connects to nothing yet.
    pub(crate) fn new(options: &SynapseOptions) -> Result<Self, CommandError> {
        let wrong = || {
            let message = format!(
                "--homeserver {}: only http://HOST:PORT, where Synapse listens for clients",
                options.homeserver
            );
            CommandError::new(Kind::Failure, message)
        };
        let uri: Uri = options.homeserver.parse().map_err(|_| wrong())?;
        let authority = uri.authority().filter(|_| uri.scheme_str() == Some("http") && uri.path() == "/");
        let authority = authority.filter(|authority| authority.port().is_some()).ok_or_else(wrong)?;
        Ok(Self { authority: authority.to_string(), token: read_token(&options.token_file)? })
    }

    /// The homeservers that Synapse does not try at the moment because they could not be reached.
    pub(crate) async fn set_aside(&self) -> Result<Vec<String>, CommandError> {
        let path =
            format!("/_synapse/admin/v1/federation/destinations?order_by=retry_last_ts&dir=b&limit={MAX_DESTINATIONS}");
        let answer = self.ask(Method::GET, &path).await?;
        let document: Value = serde_json::from_slice(&answer.body).unwrap_or(Value::Null);
        if answer.status != 200 || !document["destinations"].is_array() {
            return Err(self.refused(&answer));
        }
        Ok(names_set_aside(&document))
    }

    /// Has Synapse try `destination` again at once.
    pub(crate) async fn retry(&self, destination: &str) -> Result<(), CommandError> {
        let path = format!("/_synapse/admin/v1/federation/destinations/{}/reset_connection", escape(destination));
        let answer = self.ask(Method::POST, &path).await?;
        // 400: it is not set aside any more.
        if matches!(answer.status, 200 | 400) { Ok(()) } else { Err(self.refused(&answer)) }
    }

    async fn ask(&self, method: Method, path: &str) -> Result<Answer, CommandError> {
        let failed = |error| {
            let message =
                format!("Synapse on {}: {error}; is it running, and is that its port for clients?", self.authority);
            CommandError::new(Kind::Failure, message)
        };
        let stream = TcpStream::connect(&self.authority).await.map_err(failed)?;
        let request = http::Request { method, host: &self.authority, path, token: Some(&self.token) };
        http::ask(stream, &request, PATIENCE).await.map_err(failed)
    }

    fn refused(&self, answer: &Answer) -> CommandError {
        let (authority, status) = (&self.authority, answer.status);
        match status {
            401 | 403 => {
                let message = format!(
                    "Synapse on {authority} does not take the token for one of an administrator (docs/matrix.md says how to get one)"
                );
                CommandError::new(Kind::Permission, message)
            }
            _ => {
                let message = format!("{authority} answered {status}: is that a Synapse, on its port for clients?");
                CommandError::new(Kind::Failure, message)
            }
        }
    }
}

fn names_set_aside(document: &Value) -> Vec<String> {
    let all = document["destinations"].as_array().into_iter().flatten();
    let waiting = all.filter(|one| one["retry_last_ts"].as_u64().is_some_and(|at| at > 0));
    waiting.filter_map(|one| one["destination"].as_str()).map(str::to_owned).take(MAX_DESTINATIONS).collect()
}

fn read_token(file: &Path) -> Result<String, CommandError> {
    let shown = file.display();
    let wrong = |kind, why: String| CommandError::new(kind, format!("{shown}: {why}"));
    let len = std::fs::metadata(file).map(|about| about.len());
    let text = match len {
        Ok(len) if len > MAX_TOKEN => {
            return Err(wrong(Kind::Failure, "this is no access token: it is too long".to_owned()));
        }
        _ => std::fs::read_to_string(file),
    };
    let text = text.map_err(|error| match error.kind() {
        std::io::ErrorKind::PermissionDenied => wrong(Kind::Permission, "you may not read it; use sudo".to_owned()),
        _ => wrong(
            Kind::Failure,
            format!("{error}; put an administrator's access token there, or name its file with --token-file"),
        ),
    })?;
    let token = text.trim();
    if token.is_empty() || !token.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(wrong(Kind::Failure, "this is no access token: that is one word".to_owned()));
    }
    Ok(token.to_owned())
}

/// A path segment with everything escaped that is not plain.
fn escape(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    text.bytes().map(|byte| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") }).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn options(homeserver: &str, token: &str) -> (tempfile::TempDir, SynapseOptions) {
        let directory = tempfile::tempdir().unwrap();
        let token_file = directory.path().join("token");
        std::fs::write(&token_file, token).unwrap();
        (directory, SynapseOptions { homeserver: homeserver.to_owned(), token_file })
    }

    #[test]
    fn the_place_of_a_homeserver_is_host_and_port() {
        for wrong in ["https://localhost:8008", "http://localhost", "localhost:8008", "http://localhost:8008/_matrix"] {
            let (_directory, options) = options(wrong, "t");
            assert!(Synapse::new(&options).is_err_and(|error| error.message().contains("only http://")), "{wrong}");
        }
        let (_directory, options) = options("http://localhost:8008", " syt_abc \n");
        let synapse = Synapse::new(&options).unwrap();
        assert_eq!((synapse.authority.as_str(), synapse.token.as_str()), ("localhost:8008", "syt_abc"));
    }

    #[test]
    fn a_token_is_one_word() {
        for wrong in ["", "two words", "\u{1b}"] {
            let (_directory, options) = options("http://localhost:8008", wrong);
            assert!(Synapse::new(&options).is_err(), "{wrong}");
        }
    }

    #[test]
    fn only_those_that_wait_are_set_aside() {
        let document = json!({"destinations": [{"destination": "a", "retry_last_ts": 5}, {"destination": "b", "retry_last_ts": 0}, {}]});
        assert_eq!(names_set_aside(&document), ["a"]);
        assert_eq!(escape("[600::1]:8448"), "%5B600%3A%3A1%5D%3A8448");
    }
}
