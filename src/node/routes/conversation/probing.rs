//! When which way is probed, and what becomes of one that does not answer.

use super::{Conversation, Wanted};
use crate::node::routes::measure::Measure;
use crate::session::RouteMessage;
use crate::time::{Duration, Instant};

/// Between two probes of the way in use, …
const PROBE_EVERY: Duration = Duration::from_secs(1);
/// … and of the others.
const SPARE_EVERY: Duration = Duration::from_secs(3);
/// In the token of a probe: who asks hears nothing although it should. The other side looks after its own way then.
pub(in crate::node::routes) const DOUBTFUL: u64 = 1 << 63;

impl Conversation {
    pub(super) fn expire_probes(&mut self, now: Instant, wanted: &mut Vec<Wanted>) {
        if self.ordinary.expire(now).is_some() && self.using.is_none() {
            self.probe_all_at(now);
        }
        let mut late = Vec::new();
        for candidate in &mut self.candidates {
            if let Some(sent) = candidate.measure.expire(now) {
                late.push((candidate.id, sent, candidate.measure.misses(), candidate.measure.answers()));
            }
        }
        for (id, sent, misses, answers) in late {
            // One that never answered leads nowhere; one that did has a second try.
            if misses > 1 || answers == 0 {
                self.broke(id, now);
                continue;
            }
            self.probe(id, now, wanted);
            if self.using == Some(id) {
                self.probe_all_at(now);
                self.step_aside(sent, now);
            }
        }
    }

    /// Every way is to be probed now.
    pub(super) const fn probe_all_at(&mut self, now: Instant) {
        (self.probe_at, self.spare_at) = (now, now);
    }

    pub(super) fn probe_what_is_due(&mut self, now: Instant, wanted: &mut Vec<Wanted>) {
        let spare_too = self.spare_at <= now;
        self.probe_at = now + PROBE_EVERY;
        if spare_too {
            self.spare_at = now + SPARE_EVERY;
        }
        let is_due = |id: Option<u64>, measure: &Measure| {
            !measure.is_waiting() && (spare_too || id == self.using || !measure.is_settled())
        };
        let routes = self.candidates.iter().filter(|it| is_due(Some(it.id), &it.measure)).map(|it| it.id);
        let ordinary = is_due(None, &self.ordinary).then_some(0);
        for id in routes.chain(ordinary).collect::<Vec<_>>() {
            self.probe(id, now, wanted);
        }
    }

    pub(super) fn probe(&mut self, id: u64, now: Instant, wanted: &mut Vec<Wanted>) {
        self.tokens += 1;
        let token = if self.silence.is_to_be_told(now) { self.tokens | DOUBTFUL } else { self.tokens };
        match self.candidate(id) {
            Some(candidate) => {
                candidate.losses.probe();
                candidate.measure.begin(token, now);
            }
            None if id == 0 => {
                self.ordinary_losses.probe();
                self.ordinary.begin(token, now);
            }
            None => return,
        }
        wanted.push(Wanted::Say(id, RouteMessage::Probe { id, token }));
    }
}
