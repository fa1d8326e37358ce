//! What gets lost on a way, by what the answers to probes say of all that came.

/// Messages between two probes from which losses are judged …
const JUDGED_FROM: u32 = 10;
/// … and how often in a row it has to be less than a quarter that arrives.
const STRIKES: u32 = 2;

/// What gets lost on a way: whoever lets probes through and drops the rest is found out too.
#[derive(Clone, Debug, Default)]
pub(super) struct Losses {
    /// Messages that were sent, and how many that were when the last probe left.
    sent: u32,
    pub(super) sent_at_probe: u32,
    /// The same, and how many had arrived, at the last answer.
    judged: Option<(u32, u32)>,
    strikes: u32,
}

impl Losses {
    /// A message leaves.
    pub(super) const fn sent(&mut self) {
        self.sent = self.sent.wrapping_add(1);
    }

    /// A probe is about to.
    pub(super) const fn probe(&mut self) {
        self.sent_at_probe = self.sent.wrapping_add(1);
    }

    /// So many had arrived when the probe did: whether that is hardly any, and was before.
    pub(super) fn are_bad(&mut self, received: u32) -> bool {
        let (sent_before, received_before) = self.judged.unwrap_or((self.sent_at_probe, received));
        let (sent, came) = (self.sent_at_probe.wrapping_sub(sent_before), received.wrapping_sub(received_before));
        if self.judged.is_none() || sent >= JUDGED_FROM {
            self.judged = Some((self.sent_at_probe, received));
            let is_bad = sent >= JUDGED_FROM && came < sent / 4;
            self.strikes = if is_bad { self.strikes + 1 } else { 0 };
        }
        self.strikes >= STRIKES
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Sends so many messages, of which so many arrive, and a probe.
    fn round(losses: &mut Losses, sent: u32, arrived: &mut u32, came: u32) -> bool {
        (0..sent).for_each(|_| losses.sent());
        losses.probe();
        losses.sent();
        *arrived = arrived.wrapping_add(came + 1);
        losses.are_bad(*arrived)
    }

    #[test]
    fn hardly_anything_twice_in_a_row_is_bad_and_less_than_that_is_not() {
        let (mut losses, mut arrived) = (Losses::default(), u32::MAX - 3);
        assert!(!round(&mut losses, 100, &mut arrived, 0), "what was before is not known");
        assert!(!round(&mut losses, 100, &mut arrived, 10));
        assert!(round(&mut losses, 100, &mut arrived, 10));
        assert!(!round(&mut losses, 100, &mut arrived, 60));
        assert!(!round(&mut losses, 100, &mut arrived, 0));
    }

    #[test]
    fn a_few_messages_are_judged_when_there_are_enough() {
        let (mut losses, mut arrived) = (Losses::default(), 0);
        assert!((0..8).all(|_| !round(&mut losses, 2, &mut arrived, 0)), "probes that arrive count too");
        assert!((0..40).any(|_| round(&mut losses, 10, &mut arrived, 0)));
    }
}
