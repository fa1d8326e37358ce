//! The lab: hosts (network namespaces) and the links between them, which can be cut and mended.

use std::cell::RefCell;
use std::ffi::OsStr;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::PathBuf;
use std::process::{Child, Command, Output};
use std::rc::Rc;
use std::sync::Arc;

use nix::sched::{CloneFlags, setns};

use crate::daemon::Running;
use crate::wait::{seconds, wait_until};

/// Everything that one test builds. Lives in the sandbox, which removes it.
pub(crate) struct Lab {
    links: RefCell<u8>,
    daemons: RefCell<Vec<Rc<Running>>>,
}

/// A network namespace.
#[derive(Clone, Debug)]
pub(crate) struct Host {
    name: Arc<str>,
}

/// One end of a link.
#[derive(Clone, Debug)]
pub(crate) struct End {
    pub(crate) host: Host,
    pub(crate) interface: String,
    pub(crate) v4: Ipv4Addr,
    pub(crate) v6: Ipv6Addr,
}

/// An Ethernet cable between two hosts.
#[derive(Clone, Debug)]
pub(crate) struct Link {
    pub(crate) ends: [End; 2],
}

/// How a link is cut.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Cut {
    /// The interface goes down: both hosts see it.
    Down,
    /// Frames vanish: nobody is told.
    Silent,
}

impl Lab {
    pub(crate) fn new() -> Self {
        Self { links: RefCell::new(0), daemons: RefCell::default() }
    }

    /// A new host, with nothing but a loopback interface.
    pub(crate) fn host(&self, name: &str) -> Host {
        run(Command::new("ip").args(["netns", "add", name]));
        let host = Host { name: name.into() };
        host.ip(&["link", "set", "lo", "up"]);
        // Addresses are ours alone here; detecting duplicates would only delay every test by a second or two.
        host.within(|| {
            for file in ["/proc/sys/net/ipv6/conf/default/accept_dad", "/proc/sys/net/ipv6/conf/all/accept_dad"] {
                std::fs::write(file, "0").expect("the namespace is ours");
            }
        });
        host
    }

    /// A cable between `a` and `b`, with addresses in 10.0.n.0/24 and fd00:0:0:n::/64 of which the first end has 1, the second 2.
    pub(crate) fn link(&self, a: &Host, b: &Host) -> Link {
        let n = {
            let mut links = self.links.borrow_mut();
            *links += 1;
            *links
        };
        let end = |host: &Host, last: u8| End {
            host: host.clone(),
            interface: format!("e{n}"),
            v4: Ipv4Addr::new(10, 0, n, last),
            v6: Ipv6Addr::new(0xfd00, 0, 0, n.into(), 0, 0, 0, last.into()),
        };
        let link = Link { ends: [end(a, 1), end(b, 2)] };
        let interface = link.ends[0].interface.as_str();
        let pair = ["link", "add", interface, "netns", a.name(), "type", "veth", "peer", interface, "netns", b.name()];
        run(Command::new("ip").args(pair));
        for end in &link.ends {
            end.host.ip(&["addr", "add", &format!("{}/24", end.v4), "dev", interface]);
            end.host.ip(&["addr", "add", &format!("{}/64", end.v6), "dev", interface, "nodad"]);
            end.host.ip(&["link", "set", interface, "up"]);
        }
        link.wait_for_carrier();
        link
    }

    /// A switch with a port for each of `hosts`, which have 10.1.0.n/24 and a link-local address on `lan0`.
    pub(crate) fn switch(&self, hosts: &[Host]) -> Host {
        let switch = self.host("switch");
        switch.ip(&["link", "add", "br0", "type", "bridge", "mcast_snooping", "0"]);
        switch.ip(&["link", "set", "br0", "up"]);
        for (n, host) in hosts.iter().enumerate() {
            let port = format!("p{n}");
            let pair = ["link", "add", "lan0", "netns", host.name(), "type", "veth"];
            run(Command::new("ip").args(pair).args(["peer", port.as_str(), "netns", switch.name()]));
            switch.ip(&["link", "set", &port, "master", "br0", "up"]);
            host.ip(&["addr", "add", &format!("10.1.0.{}/24", n + 1), "dev", "lan0"]);
            host.ip(&["link", "set", "lan0", "up"]);
        }
        for host in hosts {
            wait_until("the port has a carrier", seconds(5), || {
                host.ip(&["link", "show", "dev", "lan0"]).contains("state UP")
            });
        }
        switch
    }

    /// Remembers a daemon for [`Lab::finish`] and for its log if the test fails.
    pub(crate) fn remember(&self, daemon: Rc<Running>) {
        self.daemons.borrow_mut().push(daemon);
    }

    /// What holds at the end of every test: all daemons that were not stopped on purpose run, and none panicked.
    pub(crate) fn finish(&self) {
        for daemon in self.daemons.borrow().iter() {
            daemon.check_at_end();
        }
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        let daemons = self.daemons.borrow();
        if std::thread::panicking() {
            daemons.iter().for_each(|daemon| daemon.print_log());
        }
        daemons.iter().for_each(|daemon| daemon.kill());
    }
}

impl Host {
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Runs `f` on a thread in this namespace. Sockets opened and processes started there stay there.
    pub(crate) fn within<T: Send>(&self, f: impl FnOnce() -> T + Send) -> T {
        let enter = || {
            let namespace =
                std::fs::File::open(PathBuf::from("/run/netns").join(self.name())).expect("the host exists");
            setns(namespace, CloneFlags::CLONE_NEWNET).expect("the namespace is ours");
            f()
        };
        std::thread::scope(|scope| scope.spawn(enter).join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
    }

    /// Starts a program here.
    pub(crate) fn spawn(&self, command: &mut Command) -> Child {
        let program = command.get_program().to_owned();
        self.within(|| command.spawn()).unwrap_or_else(|error| panic!("{}: cannot start: {error}", program.display()))
    }

    /// Runs a program here to its end, whatever that is.
    pub(crate) fn output<S: AsRef<OsStr>>(&self, program: &str, arguments: &[S]) -> Output {
        let mut command = Command::new(program);
        command.args(arguments);
        self.within(|| command.output()).unwrap_or_else(|error| panic!("{program}: cannot start: {error}"))
    }

    /// Runs `ip` in this namespace; it must succeed. Returns what it printed.
    pub(crate) fn ip(&self, arguments: &[&str]) -> String {
        run(Command::new("ip").args(["-n", self.name()]).args(arguments))
    }

    /// Loads nftables rules into this namespace.
    pub(crate) fn nft(&self, rules: &str) {
        let output = self.output("nft", &[rules]);
        assert!(output.status.success(), "nft refused {rules:?}: {}", String::from_utf8_lossy(&output.stderr));
    }

    /// Whether an interface of this name exists.
    pub(crate) fn has_interface(&self, name: &str) -> bool {
        self.output("ip", &["link", "show", "dev", name]).status.success()
    }
}

impl Link {
    /// The end at `host`.
    pub(crate) fn end_at(&self, host: &Host) -> &End {
        self.ends.iter().find(|end| end.host.name == host.name).expect("the host has an end of this link")
    }

    /// Cuts the link.
    pub(crate) fn cut(&self, how: Cut) {
        match how {
            Cut::Down => self.ends.iter().for_each(|end| {
                end.host.ip(&["link", "set", &end.interface, "down"]);
            }),
            Cut::Silent => self.drop_frames("drop"),
        }
    }

    /// Drops `percent` of the frames that arrive at either end.
    pub(crate) fn lose(&self, percent: u8) {
        self.drop_frames(&format!("numgen random mod 100 < {percent} drop"));
    }

    /// Undoes a cut or loss.
    pub(crate) fn mend(&self, how: Cut) {
        match how {
            Cut::Down => {
                for end in &self.ends {
                    end.host.ip(&["link", "set", &end.interface, "up"]);
                    // The kernel forgot it when the interface went down.
                    let address = format!("{}/64", end.v6);
                    end.host.ip(&["addr", "replace", &address, "dev", &end.interface, "nodad"]);
                }
                self.wait_for_carrier();
            }
            Cut::Silent => self.ends.iter().for_each(|end| end.host.nft(&format!("delete table inet {}", end.table()))),
        }
    }

    fn drop_frames(&self, rule: &str) {
        for end in &self.ends {
            let (table, interface) = (end.table(), &end.interface);
            end.host.nft(&format!(
                "add table inet {table}; add chain inet {table} in {{ type filter hook prerouting priority -500; }}; \
                 add rule inet {table} in iifname {interface} {rule}"
            ));
        }
    }

    /// A link carries nothing until the kernel has noticed that both ends are up, which takes up to a second.
    fn wait_for_carrier(&self) {
        for end in &self.ends {
            wait_until("the link has a carrier", seconds(5), || {
                end.host.ip(&["link", "show", "dev", &end.interface]).contains("state UP")
            });
        }
    }
}

impl End {
    /// Where the daemon of this end listens, as a peer URI for the other side.
    pub(crate) fn uri(&self) -> String {
        format!("tcp://{}:7463", self.v4)
    }

    /// The IPv6 twin of [`End::uri`].
    pub(crate) fn uri_v6(&self) -> String {
        format!("tcp://[{}]:7463", self.v6)
    }

    /// The address for other programs.
    pub(crate) fn ip(&self) -> IpAddr {
        self.v4.into()
    }

    fn table(&self) -> String {
        format!("cut_{}", self.interface)
    }
}

/// Runs a program of the lab itself, which must succeed. Returns what it printed.
fn run(command: &mut Command) -> String {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: cannot start: {error}"));
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}
