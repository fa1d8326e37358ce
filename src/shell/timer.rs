//! A runtime timer that follows a moving core deadline without being set anew each time.
//!
//! Deadlines here mostly move away (each frame postpones the silence, each write the keepalive), and setting a timer costs more than
//! handling a packet may. So the timer stays armed for the earliest deadline it was ever told and, when it fires too early, is
//! armed again.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::time::Sleep;

use crate::shell::clock::Clock;
use crate::time::Instant;

/// A timer for one task.
#[derive(Debug)]
pub(crate) struct Timer {
    clock: Clock,
    sleep: Pin<Box<Sleep>>,
    /// What the timer is armed for; none if it has fired.
    armed_for: Option<Instant>,
}

impl Timer {
    /// A timer that is not armed. Must be made within the runtime.
    pub(crate) fn new(clock: Clock) -> Self {
        Self { clock, sleep: Box::pin(tokio::time::sleep_until(tokio::time::Instant::now())), armed_for: None }
    }

    /// Ready once `deadline` has passed; until then the task is woken no later than that.
    pub(crate) fn poll(&mut self, deadline: Instant, now: Instant, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            if now >= deadline {
                return Poll::Ready(());
            }
            if self.armed_for.is_none_or(|armed| armed > deadline) {
                self.sleep.as_mut().reset(self.clock.timer_at(deadline));
                self.armed_for = Some(deadline);
            }
            if self.sleep.as_mut().poll(cx).is_pending() {
                return Poll::Pending;
            }
            if self.armed_for.take() == Some(deadline) {
                // The runtime's clock is a little ahead of the one that `now` was read from.
                return Poll::Ready(());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::Duration;

    #[tokio::test(start_paused = true)]
    async fn a_deadline_that_moved_closer_is_not_missed_and_one_that_moved_away_not_early() {
        let clock = Clock::of_runtime();
        let mut timer = Timer::new(clock);
        let start = clock.now();
        let mut due = start + Duration::from_secs(3_600);
        let mut polls = 0;
        std::future::poll_fn(|cx| {
            polls += 1;
            let poll = timer.poll(due, clock.now(), cx);
            if polls == 1 {
                due = start + Duration::from_millis(20);
                let _ = timer.poll(due, clock.now(), cx);
                due = start + Duration::from_millis(60);
            }
            poll
        })
        .await;
        let waited = clock.now().saturating_since(start);
        assert!(waited >= Duration::from_millis(60) && waited < Duration::from_millis(70), "{waited:?}");
        assert!(polls >= 2);
    }
}
