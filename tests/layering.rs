//! The two rules of `src/lib.rs`, enforced: the pure half touches nothing of the operating system, and a module uses only
//! those listed above it. And a third: no file is longer than 500 lines without its tests.
//!
//! One package has no crate wall between its layers; this test is that wall. It reads the sources as text: comments are
//! skipped, tests may touch the system, and everything else counts, also what is compiled on other platforms only.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::fs;
use std::path::{Path, PathBuf};

/// What code of the pure half must not mention, each with the reason that the failure gives.
const FORBIDDEN: &[(&str, &str)] = &[
    ("tokio", "the pure half has no runtime"),
    ("std::fs", "files are the shell's"),
    ("std::env", "the environment is the shell's"),
    ("std::process", "processes are the shell's"),
    ("std::thread", "threads are the shell's"),
    ("std::os", "the operating system is the shell's"),
    ("std::io::std", "standard streams are the shell's"),
    ("TcpStream", "sockets are the shell's"),
    ("TcpListener", "sockets are the shell's"),
    ("UdpSocket", "sockets are the shell's"),
    ("UnixStream", "sockets are the shell's"),
    ("UnixListener", "sockets are the shell's"),
    ("socket2", "sockets are the shell's"),
    ("nix", "the operating system is the shell's"),
    ("libc", "the operating system is the shell's"),
    ("rtnetlink", "the operating system is the shell's"),
    ("std::time::Instant", "time comes in as crate::time::Instant"),
    ("Instant::now", "time comes in with every call"),
    ("SystemTime", "the wall clock is read once, by the shell"),
    ("getrandom", "randomness comes in as crate::rng::Rng"),
    ("OsRng", "randomness comes in as crate::rng::Rng"),
    ("SysRng", "randomness comes in as crate::rng::Rng"),
    ("tracing_subscriber", "the log is the shell's"),
    ("println!", "standard output is the shell's"),
    ("eprintln!", "standard error is the shell's"),
];

/// The module that is not pure.
const SHELL: &str = "shell";
/// Longest file, in lines without its tests.
const MAX_LINES: usize = 500;

/// A source file of the library.
struct Source {
    /// Path below `src`.
    path: PathBuf,
    /// Its top-level module, the first below the crate.
    module: String,
    /// How many modules deep it is: 1 for a top-level module.
    depth: usize,
    /// The text with comment lines emptied.
    code: String,
    /// Where its tests begin in `code`; the end if it has none.
    tests_at: usize,
}

impl Source {
    fn new(path: &Path, text: &str) -> Self {
        let mut names: Vec<String> = path.iter().map(|name| name.to_str().unwrap().to_owned()).collect();
        let file = names.pop().unwrap();
        if file != "mod.rs" {
            names.push(file.trim_end_matches(".rs").to_owned());
        }
        let is_comment = |line: &str| line.trim_start().starts_with("//");
        let code: Vec<&str> = text.lines().map(|line| if is_comment(line) { "" } else { line }).collect();
        let code = code.join("\n");
        let tests_at = test_modules(&code).find(|(_, is_inline)| *is_inline).map_or(code.len(), |((at, _), _)| at);
        Self { path: path.to_owned(), module: names[0].clone(), depth: names.len(), code, tests_at }
    }

    /// The modules of files that are compiled for tests only, as this file declares them: their paths without `.rs`.
    fn test_files(&self) -> Vec<PathBuf> {
        let is_root = ["mod.rs", "lib.rs"].contains(&self.path.file_name().unwrap().to_str().unwrap());
        let directory = if is_root { self.path.parent().unwrap().to_owned() } else { self.path.with_extension("") };
        let files = test_modules(&self.code).filter(|(_, is_inline)| !is_inline);
        files.map(|((_, name), _)| directory.join(name)).collect()
    }

    fn line_of(&self, at: usize) -> usize {
        self.code[..at].matches('\n').count() + 1
    }
}

/// Modules behind `#[cfg(test)]`: where each begins, its name, and whether it is in this file.
fn test_modules(code: &str) -> impl Iterator<Item = ((usize, &str), bool)> {
    code.match_indices("#[cfg(test)]\n").filter_map(|(at, attribute)| {
        let line = code[at + attribute.len()..].lines().next()?.trim();
        let module = line.strip_prefix("pub(crate) ").unwrap_or(line).strip_prefix("mod ")?;
        match module.strip_suffix(';') {
            Some(name) => Some(((at, name), false)),
            None => module.strip_suffix(" {").map(|name| ((at, name), true)),
        }
    })
}

#[test]
fn the_pure_half_touches_nothing_of_the_operating_system() {
    let faults: Vec<String> = library().iter().flat_map(impurities).collect();
    assert!(faults.is_empty(), "\n{}", faults.join("\n"));
}

#[test]
fn a_module_uses_only_those_listed_above_it() {
    let modules = modules_in_order();
    let faults: Vec<String> = library().iter().flat_map(|source| upward_uses(source, &modules)).collect();
    assert!(faults.is_empty(), "\n{}", faults.join("\n"));
}

#[test]
fn no_file_is_longer_than_its_budget() {
    let too_long = |source: &Source| source.line_of(source.tests_at) > MAX_LINES;
    let all = all_sources();
    let faults: Vec<_> = all.iter().filter(|source| too_long(source)).map(|source| source.path.display()).collect();
    assert!(faults.is_empty(), "more than {MAX_LINES} lines without tests: {faults:?}");
}

#[test]
fn the_checks_find_what_they_are_for() {
    let modules: Vec<String> = ["low", "mid", "high", "shell"].map(str::to_owned).to_vec();
    let impure = |text: &str| impurities(&Source::new(Path::new("mid.rs"), text));
    let upward = |path: &str, text: &str| upward_uses(&Source::new(Path::new(path), text), &modules);

    assert_eq!(impure("\nuse std::fs;\n"), ["mid.rs:2: `std::fs`: files are the shell's"]);
    assert_eq!(impure("let t = std::time::Instant::now();").len(), 2);
    assert_eq!(impure("// std::fs\n/// tokio\nfn unixlike() { nixie(); }\n"), [""; 0]);
    assert_eq!(impure("#[cfg(test)]\nmod tests {\nuse std::fs;\n}"), [""; 0]);
    let parent = Source::new(Path::new("mid/mod.rs"), "#[cfg(test)]\nmod cases;\n#[cfg(test)]\npub(crate) mod tests {");
    assert_eq!((parent.test_files(), parent.line_of(parent.tests_at)), (vec![PathBuf::from("mid/cases")], 3));
    assert_eq!(impurities(&Source::new(Path::new("shell/x.rs"), "use std::fs;")), [""; 0]);

    assert_eq!(upward("mid.rs", "use crate::low::A;\nuse crate::mid::B;"), [""; 0]);
    assert_eq!(upward("mid.rs", "use crate::high::A;"), ["mid.rs:1: `mid` uses `high`, which is listed below it"]);
    assert_eq!(upward("mid/x.rs", "fn f() { crate::shell::run() }").len(), 1);
    assert_eq!(upward("mid.rs", "use crate::{\n    low::{A, high},\n    high::B,\n};").len(), 1);
    assert_eq!(upward("mid.rs", "#[cfg(test)]\nmod tests {\nuse crate::high::A;\n}").len(), 1);
    assert_eq!(upward("mid.rs", "use super::high::A;").len(), 1);
    assert_eq!(upward("mid/x.rs", "use super::A;\n#[cfg(test)]\nmod tests {\nuse super::super::B;\n}"), [""; 0]);
    assert_eq!(upward("mid/x.rs", "use super::super::high::A;").len(), 1);
}

/// Mentions of the operating system in code of the pure half.
fn impurities(source: &Source) -> Vec<String> {
    if source.module == SHELL {
        return Vec::new();
    }
    let code = &source.code[..source.tests_at];
    let mut faults = Vec::new();
    for (word, reason) in FORBIDDEN {
        for (at, _) in code.match_indices(word) {
            let continues = |letter: char| letter.is_alphanumeric() || letter == '_';
            let begins = !code[..at].ends_with(continues);
            // `std::io::std` stands for stdin, stdout and stderr; a macro ends by itself.
            let ends = word.ends_with(['d', '!']) || !code[at + word.len()..].starts_with(continues);
            if begins && ends {
                faults.push(format!("{}:{}: `{word}`: {reason}", source.path.display(), source.line_of(at)));
            }
        }
    }
    faults
}

/// Uses of modules that are listed below the file's own.
fn upward_uses(source: &Source, modules: &[String]) -> Vec<String> {
    let rank = |module: &str| modules.iter().position(|listed| listed == module);
    let Some(own) = rank(&source.module) else {
        return vec![format!("{}: module `{}` is not in src/lib.rs", source.path.display(), source.module)];
    };
    let mut faults = Vec::new();
    for (at, _) in source.code.match_indices("crate::") {
        for used in first_names(&source.code[at + "crate::".len()..]) {
            if rank(&used).is_some_and(|used| used > own) {
                let (path, line, module) = (source.path.display(), source.line_of(at), &source.module);
                faults.push(format!("{path}:{line}: `{module}` uses `{used}`, which is listed below it"));
            }
        }
    }
    // A way around `crate::`: as many `super::` as lead out of the top-level module. Tests are one module deeper.
    for (at, _) in source.code.match_indices("super::").filter(|(at, _)| !source.code[..*at].ends_with("super::")) {
        let supers = source.code[at..].split("super::").take_while(|between| between.is_empty()).count();
        let depth = if at < source.tests_at { source.depth } else { source.depth + 1 };
        if supers >= depth {
            let (path, line) = (source.path.display(), source.line_of(at));
            faults.push(format!("{path}:{line}: `super::` leads out of `{}`; write `crate::`", source.module));
        }
    }
    faults
}

/// The names that may follow `crate::`: one, or those of a list in braces.
fn first_names(after: &str) -> Vec<String> {
    let name = |text: &str| text.chars().take_while(|letter| letter.is_alphanumeric() || *letter == '_').collect();
    let Some(list) = after.strip_prefix('{') else { return vec![name(after)] };
    let (mut names, mut depth, mut at_name) = (Vec::new(), 0, true);
    for (at, letter) in list.char_indices() {
        match letter {
            '{' => depth += 1,
            '}' if depth == 0 => break,
            '}' => depth -= 1,
            ',' if depth == 0 => at_name = true,
            _ if at_name && !letter.is_whitespace() => {
                names.push(name(&list[at..]));
                at_name = false;
            }
            _ => {}
        }
    }
    names
}

/// The modules of `src/lib.rs` from the lowest layer up; the shell is the last but for what drives the decoders of all.
fn modules_in_order() -> Vec<String> {
    let text = fs::read_to_string(source_directory().join("lib.rs")).unwrap();
    let module = |line: &str| line.strip_prefix("pub mod ")?.strip_suffix(';').map(str::to_owned);
    let modules: Vec<String> = text.lines().filter_map(module).collect();
    assert!(modules.ends_with(&[SHELL.to_owned(), "fuzzing".to_owned()]), "{modules:?}");
    modules
}

fn source_directory() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src")
}

/// The library without its root.
fn library() -> Vec<Source> {
    let mut sources = all_sources();
    sources.retain(|source| source.module != "bin" && source.module != "lib");
    assert!(sources.len() > 20, "found only {} files", sources.len());
    sources
}

fn all_sources() -> Vec<Source> {
    let root = source_directory();
    let (mut sources, mut directories) = (Vec::new(), vec![root.clone()]);
    while let Some(directory) = directories.pop() {
        for entry in fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                directories.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                sources.push(Source::new(path.strip_prefix(&root).unwrap(), &fs::read_to_string(&path).unwrap()));
            }
        }
    }
    let test_files: Vec<PathBuf> = sources.iter().flat_map(Source::test_files).collect();
    for source in &mut sources {
        if test_files.iter().any(|test| source.path.with_extension("").starts_with(test)) {
            source.tests_at = 0;
        }
    }
    sources.sort_by(|a, b| a.path.cmp(&b.path));
    sources
}
