//! The memory of this machine, as the compiler is told of it.

use passes::fit::Room;

/// Share of the machine's memory that a run may take when its spec does not say.
pub const SHARE_PERCENT: u64 = 60;

/// What a process takes beside its arena: itself, the compiler's leftovers, compiled kernels.
const PROCESS_BYTES: u64 = 24 << 20;

/// What each thread takes: packed panels of a product, its stack.
const THREAD_BYTES: u64 = 1 << 20;

/// The room of a run with a thread for each core.
pub fn room() -> Room {
    let threads = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let total = exec::room::total();
    Room {
        default_bytes: total.map(|bytes| bytes / 100 * SHARE_PERCENT),
        beside_bytes: PROCESS_BYTES + threads as u64 * THREAD_BYTES,
    }
}
