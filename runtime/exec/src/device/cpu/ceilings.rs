//! What this machine can do at most: arithmetic in registers, bytes from memory.
//!
//! Measured, not looked up: a machine is shared, throttled, or virtual. Each takes a fraction of a
//! second on all threads of a pool.

use std::hint::black_box;
use std::time::{Duration, Instant};

use super::pool::Pool;
use super::product::{Chains, chains};

/// How long each of the two is tried.
const LONG: Duration = Duration::from_millis(200);
/// Elements of each array of the triad: too many for any cache.
const ELEMENTS: usize = 1 << 24;
/// Links of the chains between two looks at the clock.
const LINKS: u64 = 1 << 16;

/// The two ceilings of a machine.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Ceilings {
    /// fp32 multiplications and additions a second, fused, in registers.
    pub flops: f64,
    /// Bytes a second of `a[i] = b[i] + x * c[i]`, counted as two reads and a write.
    pub bytes: f64,
}

impl Ceilings {
    /// Measures both with so many threads.
    pub fn measure(threads: usize) -> Self {
        let mut pool = Pool::new(threads);
        Self { flops: flops(&mut pool), bytes: bytes(&mut pool) }
    }
}

/// The best of what was tried while there was time.
fn best(work: f64, mut once: impl FnMut()) -> f64 {
    let start = Instant::now();
    let mut fastest = f64::INFINITY;
    while start.elapsed() < LONG {
        let begin = Instant::now();
        once();
        fastest = fastest.min(begin.elapsed().as_secs_f64());
    }
    work / fastest
}

fn flops(pool: &mut Pool) -> f64 {
    let Chains { run, lanes } = chains();
    // More pieces than threads, as the steps of a plan have.
    let pieces = pool.threads() as u64 * 8;
    let work = 2.0 * lanes as f64 * LINKS as f64 * pieces as f64;
    best(work, || {
        pool.run(pieces, 1, &|range| {
            for _ in range {
                // SAFETY: the chains are those of this machine.
                black_box(unsafe { run(black_box(LINKS), black_box(0.5)) });
            }
        });
    })
}

fn bytes(pool: &mut Pool) -> f64 {
    let (b, c) = (vec![1f32; ELEMENTS], vec![2f32; ELEMENTS]);
    let mut a = vec![0f32; ELEMENTS];
    let to = Elements(a.as_mut_ptr());
    let work = (3 * ELEMENTS * size_of::<f32>()) as f64;
    best(work, || {
        let x = black_box(3f32);
        pool.run(ELEMENTS as u64, 4096, &|range| {
            let range = range.start as usize..range.end as usize;
            // SAFETY: the ranges of one run do not overlap, and all are inside the array.
            let a = unsafe { std::slice::from_raw_parts_mut(to.from(range.start), range.len()) };
            for ((a, b), c) in a.iter_mut().zip(&b[range.clone()]).zip(&c[range]) {
                *a = b + x * c;
            }
        });
        black_box(&a);
    })
}

/// An array that threads write in different places.
#[derive(Clone, Copy)]
struct Elements(*mut f32);

// SAFETY: a run's ranges do not overlap.
unsafe impl Send for Elements {}
// SAFETY: as above.
unsafe impl Sync for Elements {}

impl Elements {
    fn from(&self, at: usize) -> *mut f32 {
        self.0.wrapping_add(at)
    }
}

#[cfg(test)]
mod tests {
    use super::Ceilings;

    #[test]
    fn both_are_those_of_a_computer() {
        let found = Ceilings::measure(1);
        assert!((1e8..1e14).contains(&found.flops), "{found:?}");
        assert!((1e8..1e13).contains(&found.bytes), "{found:?}");
    }
}
