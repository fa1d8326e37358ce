//! Names as a host's programs see them: a real resolver that is told where to ask, and nothing else.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use pinecone::dns::name::name_of;

use crate::daemon::{Config, Running, public_key};
use crate::lab::{Host, Lab};
use crate::mesh::Mesh;
use crate::sandbox::{in_lab, mount_tmpfs};
use crate::wait::{seconds, wait_until};

/// Asks glibc's resolver, as any program would, and prints what it says.
const LOOK_UP: &str = "import socket, sys
for name in sys.argv[1:]:
    try: print(sorted({entry[4][0] for entry in socket.getaddrinfo(name, 8448)}))
    except socket.gaierror as error: print(error.errno)";
const REVERSE: &str = "import socket, sys
print(socket.getnameinfo((sys.argv[1], 80), socket.NI_NUMERICSERV)[0])";

/// Runs Python with a resolv.conf that names our responder alone.
fn python(host: &Host, script: &str, arguments: &[&str]) -> String {
    let mount = "printf 'nameserver 6ff::53\\noptions timeout:2 attempts:1\\n' > /run/resolv.conf && \
                 printf 'hosts: files dns\\n' > /run/nsswitch.conf && \
                 mount --bind /run/resolv.conf \"$(readlink -f /etc/resolv.conf)\" && \
                 { [ ! -e /etc/nsswitch.conf ] || mount --bind /run/nsswitch.conf /etc/nsswitch.conf; } && exec \"$@\"";
    let mut command = Command::new("unshare");
    command.args(["--mount", "sh", "-c", mount, "sh", "python3", "-c", script]).args(arguments);
    let output = host.within(|| command.output()).expect("unshare starts");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("Python prints text").trim_end().to_owned()
}

fn two_nodes(lab: &Lab) -> Mesh {
    let name = format!("\n[dns]\nnames = {{ friend = \"{}\" }}\n", public_key(crate::daemon::seeds_by_key(2)[1]));
    Mesh::line_with(lab, 2, |n, config| {
        if n == 0 {
            config.more_discovery.push_str(&name);
        }
    })
}

#[test]
fn programs_find_nodes_by_key_and_by_pet_name_and_find_nothing_else() {
    in_lab(&["python3"], |lab| {
        let mesh = two_nodes(lab);
        mesh.wait_reachable(0, 1);
        let other = mesh.nodes[1].ctl("status")["public_key"].as_str().unwrap().parse().unwrap();
        let found = format!("['{}']", mesh.address(1));
        let names = [&name_of(&other), "friend.pinecone.internal", "stranger.pinecone.internal"];
        // -2 is EAI_NONAME: there is none, which was said at once.
        assert_eq!(python(&mesh.hosts[0], LOOK_UP, &names), format!("{found}\n{found}\n-2"));
        // What is not ours was refused, and with no other server to ask that is the end. Which error that is, is the C library's choice.
        assert!(python(&mesh.hosts[0], LOOK_UP, &["example.org"]).starts_with('-'));
        // The other has no name for us, but knows our key, as it knows those of all peers; of a stranger it knows only the address.
        let key = mesh.nodes[0].ctl("status")["public_key"].as_str().unwrap().parse().unwrap();
        assert_eq!(python(&mesh.hosts[1], REVERSE, &[&mesh.address(0).to_string()]), name_of(&key));
        assert_eq!(python(&mesh.hosts[1], REVERSE, &["600:dead::1"]), "600:dead::1");
        assert_eq!(python(&mesh.hosts[0], REVERSE, &[&mesh.address(1).to_string()]), "friend.pinecone.internal");
    });
}

#[test]
fn pineconectl_finds_nodes_by_name() {
    in_lab(&[], |lab| {
        let mesh = two_nodes(lab);
        mesh.wait_reachable(0, 1);
        let ask = |arguments: &str| {
            let mut command = Command::new(crate::daemon::binary("pineconectl"));
            command.arg("--socket").arg(mesh.nodes[0].socket()).args(arguments.split(' '));
            let output = mesh.hosts[0].within(|| command.output()).unwrap();
            (output.status.code(), String::from_utf8_lossy(&output.stdout).into_owned())
        };
        for name in ["friend", "friend.pinecone.internal", &name_of(&public_key(crate::daemon::seeds_by_key(2)[1]))] {
            let (code, said) = ask(&format!("lookup {name}"));
            assert!(code == Some(0) && said.contains(&mesh.address(1).to_string()), "{name}: {said}");
            assert_eq!(ask(&format!("ping --count 1 {name}")).0, Some(0), "{name}");
        }
        assert_eq!(ask("lookup stranger").0, Some(1));
    });
}

#[test]
fn systemd_resolved_is_told_where_to_ask() {
    in_lab(&[], |lab| {
        // As systemd-resolved would look to us: its directory, and a resolvectl, which here writes down what it is told.
        std::fs::create_dir_all("/run/systemd/resolve").unwrap();
        let programs = Path::new("/usr/local/sbin");
        mount_tmpfs(programs);
        let fake = programs.join("resolvectl");
        std::fs::write(&fake, "#!/bin/sh\necho \"$*\" >> /run/told\n").unwrap();
        std::fs::set_permissions(&fake, PermissionsExt::from_mode(0o755)).unwrap();
        let _node = Running::start(lab, &lab.host("n0"), Config::new(1));
        let told = || std::fs::read_to_string("/run/told").unwrap_or_default();
        wait_until("all is told", seconds(10), || told().lines().count() == 6);
        let told = told();
        let lines: Vec<_> = told.lines().take(3).collect();
        let domains = "domain pine0 ~pinecone.internal ~6.0.ip6.arpa ~7.0.ip6.arpa";
        assert_eq!(lines, ["dns pine0 6ff::53", domains, "default-route pine0 false"]);
    });
}
