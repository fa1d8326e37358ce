//! The terminal while `top` has it: taken, and given back however that ends.
//!
//! Instead of `ratatui::init` and `restore`: those write to standard error when the terminal cannot be restored, and if it has been hung up, that
//! is a panic within a panic.

use std::io::{self, IsTerminal, Stdout, stdin, stdout};
use std::mem::ManuallyDrop;
use std::ops::{Deref, DerefMut};
use std::os::fd::AsFd;
use std::time::Duration;

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use ratatui::Terminal;
use ratatui::backend::CrosstermBackend;
use ratatui::crossterm::cursor::Show;
use ratatui::crossterm::execute;
use ratatui::crossterm::terminal::{EnterAlternateScreen, LeaveAlternateScreen, disable_raw_mode, enable_raw_mode};

/// How long a terminal may take to be given back.
const PATIENCE: Duration = Duration::from_millis(200);

/// The whole terminal, raw and on its alternate screen, until this is dropped.
// Not dropped itself: it too would complain to a standard error that may be gone.
pub(super) struct Screen(ManuallyDrop<Terminal<CrosstermBackend<Stdout>>>);

impl Screen {
    /// Takes the terminal. From then on a panic gives it back first, so that its message is seen.
    pub(super) fn take() -> io::Result<Self> {
        let hook = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |what| {
            give_back();
            hook(what);
        }));
        take().inspect_err(|_| give_back()).map(|terminal| Self(ManuallyDrop::new(terminal)))
    }

    /// Waits for a key, but not longer than this. (crossterm itself reads for ever from a terminal that has been hung up.)
    ///
    /// # Errors
    /// The terminal is gone.
    pub(super) fn wait(&self, timeout: Duration) -> io::Result<()> {
        let (keys, picture) = (stdin(), stdout());
        let terminal = if keys.is_terminal() { keys.as_fd() } else { picture.as_fd() };
        let mut polled = [PollFd::new(terminal, PollFlags::POLLIN)];
        match poll(&mut polled, PollTimeout::try_from(timeout).unwrap_or(PollTimeout::MAX)) {
            // Of another size, perhaps.
            Ok(_) | Err(Errno::EINTR) => {}
            Err(error) => return Err(error.into()),
        }
        let gone = PollFlags::POLLHUP | PollFlags::POLLERR | PollFlags::POLLNVAL;
        if polled[0].revents().is_some_and(|found| found.intersects(gone)) {
            return Err(io::Error::new(io::ErrorKind::BrokenPipe, "it has been hung up"));
        }
        Ok(())
    }
}

fn take() -> io::Result<Terminal<CrosstermBackend<Stdout>>> {
    enable_raw_mode()?;
    execute!(stdout(), EnterAlternateScreen)?;
    Terminal::new(CrosstermBackend::new(stdout()))
}

/// As often as one likes. If it fails, the terminal is gone.
fn give_back() {
    let _ = execute!(stdout(), LeaveAlternateScreen, Show);
    let _ = disable_raw_mode();
}

/// Ends the program from another thread than the one that has the screen, and even if the terminal takes no output any more: it has its modes back
/// then, and what stands on it is for others to clear.
pub(super) fn abandon() -> ! {
    std::thread::spawn(give_back);
    std::thread::sleep(PATIENCE);
    let _ = disable_raw_mode();
    std::process::exit(1)
}

impl Drop for Screen {
    fn drop(&mut self) {
        give_back();
    }
}

impl Deref for Screen {
    type Target = Terminal<CrosstermBackend<Stdout>>;

    fn deref(&self) -> &Self::Target {
        &self.0
    }
}

impl DerefMut for Screen {
    fn deref_mut(&mut self) -> &mut Self::Target {
        &mut self.0
    }
}
