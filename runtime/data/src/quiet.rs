//! Calls of foreign readers that panic on files which are damaged.
//!
//! Such a panic is caught and nothing of it is printed. The hook of the process stays in force for
//! every other panic: one that asks a flag of the thread is put in front of it, once. A program
//! that sets a hook of its own later has that one, and sees these panics too.

use std::{
    cell::Cell,
    panic::{AssertUnwindSafe, catch_unwind, set_hook, take_hook},
    sync::Once,
};

thread_local! {
    /// Whether a panic of this thread is a damaged file.
    static IS_QUIET: Cell<bool> = const { Cell::new(false) };
}

/// What `call` returns; `None` when it panicked. Nothing that it left half done may be used.
pub(crate) fn caught<T>(call: impl FnOnce() -> T) -> Option<T> {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let before = take_hook();
        set_hook(Box::new(move |panic| {
            if !IS_QUIET.get() {
                before(panic);
            }
        }));
    });
    let was_quiet = IS_QUIET.replace(true);
    let result = catch_unwind(AssertUnwindSafe(call));
    IS_QUIET.set(was_quiet);
    result.ok()
}
