//! `pineconectl map`: what this node knows of the network, as a picture in one file.
//!
//! A node knows little: the way from the root down to itself, its peers, the nodes that it has sessions with, and the part of the snake that passes
//! by. `known` puts that together, `svg` draws it. Nothing is asked of other nodes.

mod known;
mod svg;

use std::io::IsTerminal;
use std::path::Path;

use pinecone::control::{Answer, Request};

use crate::args::{Arguments, MapOptions};
use crate::client::Client;
use crate::error::{CommandError, Kind};
use crate::output;
use known::Known;

/// Asks, draws, and writes to a file or standard output.
pub(crate) fn run(arguments: &Arguments, options: &MapOptions) -> Result<(), CommandError> {
    let mut client = Client::connect(&arguments.socket, arguments.timeout)?;
    let requests = [Request::Status, Request::Tree, Request::Peers, Request::Sessions, Request::Snake];
    let [status, tree, peers, sessions, snake] = requests.map(|request| client.ask(&request));
    let (
        Answer::Status(status),
        Answer::Tree(tree),
        Answer::Peers(peers),
        Answer::Sessions(sessions),
        Answer::Snake(snake),
    ) = (status?, tree?, peers?, sessions?, snake?)
    else {
        return Err(CommandError::new(Kind::Failure, "the daemon answered something else than was asked"));
    };
    let known = Known::new(&status, &tree, &peers.peers, &sessions, &snake);
    if arguments.json {
        return output::json(&known);
    }
    let picture = svg::draw(&known);
    let is_html = options.html || options.file.as_deref().and_then(Path::extension).is_some_and(|end| end == "html");
    let text = if is_html { svg::page(&picture, &known) } else { picture };
    match &options.file {
        Some(file) => std::fs::write(file, text)
            .map_err(|error| CommandError::new(Kind::Failure, format!("cannot write {}: {error}", file.display()))),
        None if std::io::stdout().is_terminal() => Err(CommandError::new(
            Kind::Failure,
            "the map is a picture: name a file (pineconectl map map.svg, or map.html), or send it through a pipe",
        )),
        None => output::text(&text),
    }
}
