//! What goes wrong is told when it does.

use std::io::Write;
use std::sync::Once;

/// From now on a panic is also told on stderr at once, and not only at the end of all tests, which may be half an hour later
/// and cut off in a log.
pub(crate) fn panics_are_told_at_once() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let hook = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            let thread = std::thread::current();
            let name = thread.name().unwrap_or("a thread");
            // the test harness keeps back what the macros print, but not what is written
            let _ = writeln!(std::io::stderr(), "\n{name} {panic}");
            hook(panic);
        }));
    });
}
