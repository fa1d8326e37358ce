//! pineconed(8) and pineconectl(1): the command lines as clap knows them, and what it does not.

use std::io;

use clap::Command;
use clap_mangen::Man;

use crate::roff::{paragraph, section, term};

const EXIT_CODES: &[(&str, &str)] = &[
    ("0", "Done."),
    ("1", "Failure; one line on standard error says of what, and what to do."),
    ("2", "The command line is wrong."),
    ("3", "No daemon runs on the control socket."),
    ("4", "You may not use the control socket."),
    ("5", "Nobody answered in time."),
];

/// pineconed(8)
pub(crate) fn pineconed(command: &Command) -> io::Result<Vec<u8>> {
    let mut page = head(command, "8")?;
    page.extend(commands(command, "")?.into_bytes());
    let terms = |title: &str, terms: &[(&str, &str)]| {
        section(title) + &terms.iter().map(|(name, meaning)| term(name, meaning)).collect::<String>()
    };
    let rest = [
        section("Configuration"),
        paragraph(
            "Read from the file that --config names, or /etc/pinecone/pineconed.toml, or without one from nowhere: the defaults are a \
             complete configuration. See pineconed.toml(5).",
        ),
        terms(
            "Signals",
            &[
                (
                    "SIGHUP",
                    "Reads the configuration again and follows it, whole or not at all; pineconectl reload does the same and says how it went.",
                ),
                (
                    "SIGTERM, SIGINT",
                    "Ends all peerings, undoes what was done on the host, and exits within two seconds.",
                ),
            ],
        ),
        terms(
            "Environment",
            &[
                ("PINECONE_LOG", "What to log, as --log-level."),
                (
                    "NOTIFY_SOCKET, WATCHDOG_USEC, WATCHDOG_PID",
                    "Where and how often to tell the service manager, see sd_notify(3).",
                ),
                ("SSL_CERT_FILE, SSL_CERT_DIR", "The CAs to trust for wss:// peers, instead of those of the host."),
            ],
        ),
        terms(
            "Files",
            &[
                ("/etc/pinecone/pineconed.toml", "The configuration."),
                (
                    "/var/lib/pinecone/node.key",
                    "The private key, made on the first start. Whoever has it is this node: back it up, and keep it to yourself.",
                ),
                ("/run/pinecone/pineconed.sock", "The control socket, for pineconectl(1)."),
                ("/run/pinecone-root", "The root of the file system that pineconed.service sees."),
            ],
        ),
        terms("Exit status", &EXIT_CODES[..3]),
        section("See also"),
        "pineconectl(1), pineconed.toml(5), /usr/share/doc/pineconed/docs/operations.md\n".to_owned(),
    ];
    page.extend(rest.concat().into_bytes());
    Ok(page)
}

/// pineconectl(1)
pub(crate) fn pineconectl(command: &Command) -> io::Result<Vec<u8>> {
    let mut page = head(command, "1")?;
    page.extend(commands(command, "")?.into_bytes());
    let codes: String = EXIT_CODES.iter().map(|(code, meaning)| term(code, meaning)).collect();
    let rest = [
        section("Environment"),
        term("PINECONE_SOCKET", "The control socket, as --socket."),
        section("Files"),
        term(
            "/run/pinecone/pineconed.sock",
            "The daemon's control socket. Its group may use it, see control.group in pineconed.toml(5).",
        ),
        section("Exit status"),
        codes,
        section("See also"),
        "pineconed(8), pineconed.toml(5)\n".to_owned(),
    ];
    page.extend(rest.concat().into_bytes());
    Ok(page)
}

/// Title, name, synopsis, description and the options that every command has.
fn head(command: &Command, number: &str) -> io::Result<Vec<u8>> {
    let source = format!("pineconed {}", env!("CARGO_PKG_VERSION"));
    // What stands after the help is told in sections of its own.
    let command = command.clone().after_help("").after_long_help("");
    let man = Man::new(command).section(number).source(source).manual("pineconed");
    let mut page = Vec::new();
    man.render_title(&mut page)?;
    man.render_name_section(&mut page)?;
    man.render_synopsis_section(&mut page)?;
    man.render_description_section(&mut page)?;
    man.render_options_section(&mut page)?;
    Ok(page)
}

/// All commands on the one page, those of commands too.
fn commands(command: &Command, above: &str) -> io::Result<String> {
    let mut text = if above.is_empty() { section("Commands") } else { String::new() };
    for command in command.get_subcommands().filter(|command| command.get_name() != "help" && !command.is_hide_set()) {
        let name = format!("{above}{}", command.get_name());
        if command.has_subcommands() {
            text += &commands(command, &format!("{name} "))?;
            continue;
        }
        text += &format!(".SS \"{name}\"\n");
        text += &paragraph(&command.get_about().map(ToString::to_string).unwrap_or_default());
        let mut options = Vec::new();
        Man::new(command.clone().disable_help_flag(true)).render_options_section(&mut options)?;
        text += &String::from_utf8_lossy(&options).replace(".SH OPTIONS\n", "");
    }
    Ok(text)
}
