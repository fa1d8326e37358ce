//! What can be decided anew while the node runs.

use super::Node;
use crate::ip::firewall::Policy;
use crate::time::Instant;

impl Node {
    /// Another policy for what others may open towards this host. Flows stay.
    pub fn set_firewall(&mut self, policy: Policy, now: Instant) {
        self.firewall.set_policy(policy, now);
    }

    /// Another group password's hash; zeros without one. If it is another, all sessions end, and new ones are with that group.
    pub fn set_psk(&mut self, psk: &[u8; 32], now: Instant) {
        self.sessions.set_psk(psk);
        self.settle(now);
    }

    /// Whether handshakes from now on may agree on AES-256-GCM.
    pub fn set_aes(&mut self, aes: bool) {
        self.sessions.set_aes(aes);
    }

    /// Whether packets may take source routes from now on, and who looks for one to this node is answered.
    pub fn set_source_routes(&mut self, enabled: bool) {
        self.routes.set_enabled(enabled);
    }
}
