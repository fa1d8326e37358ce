//! What the filter tells about itself: what it let in and why, and what it would do with a packet that is yet to come.
//!
//! Plain values, as `pineconectl firewall --json` prints them. An explanation runs the same code over the same rules as a packet
//! does, so it cannot disagree with the filter; what it cannot know is what the host is going to start itself.

use std::net::Ipv6Addr;

use serde::{Deserialize, Serialize};

use super::rules::{Near, Sender};
use super::{Firewall, Policy, Protocol, Rule, flows};
use crate::ip::protocol;
use crate::keys::PublicKey;

macro_rules! decisions {
    ($($(#[$doc:meta])* $name:ident = $label:literal,)*) => {
        /// What decided about an inbound packet.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Decision { $($(#[$doc])* $name,)* }

        impl Decision {
            /// All, in the order of their declaration.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// The label of the counter: lower case, words joined by `_`.
            pub const fn label(self) -> &'static str {
                match self { $(Self::$name => $label,)* }
            }
        }
    };
}

decisions! {
    /// Let in: the policy is to let in everything.
    Open = "open",
    /// Let in: belongs to what this host started.
    Flow = "flow",
    /// Let in: continues a connection that may be older than the daemon.
    RestartGrace = "restart_grace",
    /// Let in: an echo request.
    EchoRequest = "echo_request",
    /// Let in: an ICMPv6 error about a packet of this host.
    IcmpError = "icmp_error",
    /// Let in: a later fragment of what was let in.
    LaterFragment = "later_fragment",
    /// Let in: a rule covers it.
    Rule = "rule",
    /// Refused: nothing lets it in.
    Refused = "refused",
}

/// Packets by what decided about them.
#[derive(Clone, Debug, Default)]
pub(super) struct Decisions([u64; Decision::ALL.len()]);

impl Decisions {
    pub(super) fn count(&mut self, decision: Decision) {
        self.0[decision as usize] += 1;
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (Decision, u64)> {
        Decision::ALL.iter().map(|decision| (*decision, self.0[*decision as usize]))
    }
}

/// The filter at a glance.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct FirewallStatus {
    /// `established`, `open` or `rules`.
    pub policy: String,
    /// The rules, in the order of the configuration.
    pub rules: Vec<RuleStatus>,
    /// Packets that came by, by what decided about them: `open`, `flow`, `restart_grace`, `echo_request`, `icmp_error`,
    /// `later_fragment` and `rule` were let in, `refused` were not.
    pub decisions: std::collections::BTreeMap<String, u64>,
    /// Conversations of this host that are remembered.
    pub flows: usize,
    /// Most of them.
    pub flow_limit: usize,
}

/// One rule.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct RuleStatus {
    /// Its number, from 1.
    pub number: usize,
    /// What it lets in, for people: `tcp 22 from any`.
    pub rule: String,
    /// Packets it let in that belong to nothing this host started.
    pub packets: u64,
}

/// What is to be explained: a packet that would open something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Question {
    /// Where it comes from.
    pub address: Ipv6Addr,
    /// The key of whoever sends it, if known.
    pub key: Option<PublicKey>,
    /// Of which protocol it is. [`Protocol::Any`]: of one that is neither TCP nor UDP nor ICMPv6.
    pub protocol: Protocol,
    /// To which port, if the protocol has any.
    pub port: Option<u16>,
}

/// What the filter would do, and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Explanation {
    /// Whether it would be let in.
    pub allowed: bool,
    /// `open`, `echo_request`, `rule` or `refused`, as in [`FirewallStatus::decisions`].
    pub decided_by: String,
    /// The number of the rule that decides, from 1.
    pub rule: Option<usize>,
    /// The reason, in a sentence.
    pub why: String,
    /// Rules that cover the packet but for one thing, each with what that is.
    pub near: Vec<String>,
    /// What to write into the configuration to let it in, if it is refused.
    pub to_allow: Option<String>,
    /// Conversations of this host with that address: answers to those come in.
    pub flows: usize,
}

impl Firewall {
    /// What the filter is and what it has done.
    pub fn status(&self) -> FirewallStatus {
        let policy = match self.policy {
            Policy::Established => "established",
            Policy::Open => "open",
            Policy::Rules(_) => "rules",
        };
        let rule = |(index, (rule, packets)): (usize, (&Rule, u64))| RuleStatus {
            number: index + 1,
            rule: rule.to_string(),
            packets,
        };
        FirewallStatus {
            policy: policy.to_owned(),
            rules: self.rule_hits().enumerate().map(rule).collect(),
            decisions: self.decisions().map(|(decision, count)| (decision.label().to_owned(), count)).collect(),
            flows: self.flow_count(),
            flow_limit: flows::CAPACITY,
        }
    }

    /// What would become of a packet that belongs to nothing this host started.
    pub fn explain(&self, question: &Question) -> Explanation {
        let number = match question.protocol {
            Protocol::Tcp => protocol::TCP,
            Protocol::Udp => protocol::UDP,
            Protocol::Icmp => protocol::ICMPV6,
            // RFC 3692 experiments: no rule names it, so it stands for all that none does.
            Protocol::Any => 253,
        };
        let sender = Sender { address: question.address, key: question.key.as_ref() };
        let rule = self.policy.rule_for(sender, number, question.port);
        let flows = self.flows.with(question.address);
        let explained = |decision: Decision, rule: Option<usize>, why: String| Explanation {
            allowed: decision != Decision::Refused,
            decided_by: decision.label().to_owned(),
            rule: rule.map(|index| index + 1),
            why,
            near: Vec::new(),
            to_allow: None,
            flows,
        };
        let named = |index: usize| self.policy.rules().get(index).map(ToString::to_string).unwrap_or_default();
        match (&self.policy, rule) {
            (Policy::Open, _) => {
                explained(Decision::Open, None, "firewall.inbound = \"open\" lets in everything".to_owned())
            }
            (_, Some(index)) if question.protocol == Protocol::Icmp => {
                let why =
                    format!("echo requests always pass, and rule {} ({}) lets in the rest", index + 1, named(index));
                explained(Decision::Rule, Some(index), why)
            }
            (_, Some(index)) => {
                let why = format!("rule {} covers it: {}", index + 1, named(index));
                explained(Decision::Rule, Some(index), why)
            }
            (_, None) if question.protocol == Protocol::Icmp => {
                let why = "echo requests always pass; of other ICMPv6 only errors about packets of this host do";
                explained(Decision::EchoRequest, None, why.to_owned())
            }
            (policy, None) => Explanation {
                near: self.near(sender, number, question.port),
                to_allow: Some(to_allow(question)),
                ..explained(Decision::Refused, None, refused(policy))
            },
        }
    }

    /// Rules that one thing keeps from covering a packet.
    fn near(&self, sender: Sender<'_>, number: u8, port: Option<u16>) -> Vec<String> {
        let near = self.policy.rules().iter().enumerate().filter_map(|(index, rule)| {
            let what = match rule.near(sender, number, port)? {
                Near::Sender => "is for another sender",
                Near::Port => "is for another port",
                Near::Protocol => "is for another protocol",
            };
            Some(format!("rule {} ({rule}) {what}", index + 1))
        });
        near.take(MAX_NEAR).collect()
    }
}

/// Rules that nearly cover a packet, at most; more would not be read.
const MAX_NEAR: usize = 8;

fn refused(policy: &Policy) -> String {
    let rules = match policy.rules().len() {
        0 => "there are no rules that let in more".to_owned(),
        1 => "the only rule does not cover it".to_owned(),
        n => format!("none of the {n} rules covers it"),
    };
    format!("others may only answer this host and ping it, and {rules}")
}

/// The rule that would let it in.
fn to_allow(question: &Question) -> String {
    let from = question.key.map_or_else(|| question.address.to_string(), |key| key.to_string());
    let protocol = match question.protocol {
        Protocol::Any => String::new(),
        Protocol::Tcp => ", protocol = \"tcp\"".to_owned(),
        Protocol::Udp => ", protocol = \"udp\"".to_owned(),
        Protocol::Icmp => ", protocol = \"icmp\"".to_owned(),
    };
    let port = question.port.map_or_else(String::new, |port| format!(", port = {port}"));
    format!("{{ from = \"{from}\"{protocol}{port} }}")
}
