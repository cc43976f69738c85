//! Ctrl-C: the first ends the answer, a second one the program.

use std::sync::atomic::{AtomicBool, Ordering};

static ASKED: AtomicBool = AtomicBool::new(false);

/// Exit code of a program that Ctrl-C ended, as shells have it.
pub const EXIT_CODE: u8 = 130;

/// From here on Ctrl-C is noted instead of ending the program at once.
pub fn watch() {
    let handler = || {
        if ASKED.swap(true, Ordering::SeqCst) {
            std::process::exit(i32::from(EXIT_CODE));
        }
    };
    // Where the handler cannot be set, Ctrl-C ends the program: nothing is lost but manners.
    let _ = ctrlc::set_handler(handler);
}

/// Whether Ctrl-C was pressed since the last [`clear`].
pub fn asked() -> bool {
    ASKED.load(Ordering::SeqCst)
}

/// Forgets it.
pub fn clear() {
    ASKED.store(false, Ordering::SeqCst);
}
