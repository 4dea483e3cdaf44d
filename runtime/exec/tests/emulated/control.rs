//! Where lanes go: branches, loops, barriers, and what they tell each other.

use crate::device::{Device, Grid};

/// `%r0` is the thread, `%r1` the thread of the grid, `%rd9` its place in the last buffer.
const PLACE: &str = "mov.b32 %r0, %tid.x;\n mov.b32 %r2, %ctaid.x;\n mov.b32 %r3, %ntid.x;\n\
    mad.lo.s32 %r1, %r2, %r3, %r0;\n";

/// The words that a body leaves in `%r9`, by thread of the grid.
fn results(grid: Grid, body: &str) -> Vec<u32> {
    let n = grid.blocks * u64::from(grid.threads);
    let mut device = Device::new().bytes(n * 4);
    let store = "mad.wide.s32 %rd9, %r1, 4, %rd0;\n st.global.b32 [%rd9], %r9;\n";
    device.passes(grid, &format!("{PLACE}{body}\n{store}"));
    device.read(0)
}

#[test]
fn every_thread_of_every_block_runs_once() {
    let all = results(Grid::of(3, 40), "mov.b32 %r9, %r1;");
    assert_eq!(all, (0..120).collect::<Vec<u32>>());
}

#[test]
fn lanes_leave_a_loop_at_their_own_time_and_go_on_together() {
    // The sum of the numbers up to the lane; then a ballot, in which all take part.
    let body = "mov.b32 %r9, 0;\n mov.b32 %r4, 0;\n\
        $head:\n setp.gt.s32 %p0, %r4, %r0;\n @%p0 bra $end;\n add.s32 %r9, %r9, %r4;\n\
        add.s32 %r4, %r4, 1;\n bra $head;\n\
        $end:\n setp.gt.s32 %p1, %r9, 10;\n vote.sync.ballot.b32 %r5, %p1, -1;\n\
        xor.b32 %r9, %r9, %r5;";
    let votes = (0..32u32).filter(|n| n * (n + 1) / 2 > 10).fold(0, |bits, n| bits | 1 << n);
    let sums: Vec<u32> = (0..32u32).map(|n| (n * (n + 1) / 2) ^ votes).collect();
    assert_eq!(results(Grid::of(1, 32), body), sums);
}

#[test]
fn branches_in_branches_come_together_again() {
    let body = "and.b32 %r4, %r0, 1;\n and.b32 %r5, %r0, 2;\n setp.eq.s32 %p0, %r4, 0;\n\
        setp.eq.s32 %p1, %r5, 0;\n mov.b32 %r9, 0;\n\
        @%p0 bra $even;\n @%p1 bra $one;\n mov.b32 %r9, 3;\n bra $end;\n\
        $one:\n mov.b32 %r9, 1;\n bra $end;\n\
        $even:\n @!%p1 bra $two;\n mov.b32 %r9, 0;\n bra $end;\n\
        $two:\n mov.b32 %r9, 2;\n\
        $end:\n bar.sync 0;\n";
    let all: Vec<u32> = (0..64).map(|n| n % 4).collect();
    assert_eq!(results(Grid::of(1, 64), body), all);
}

#[test]
fn guards_keep_lanes_from_doing_anything() {
    let body = "setp.lt.s32 %p0, %r0, 5;\n mov.b32 %r9, 7;\n @%p0 mov.b32 %r9, 1;\n\
        @!%p0 add.s32 %r9, %r9, %r0;";
    let all: Vec<u32> = (0..40).map(|n| if n < 5 { 1 } else { 7 + n }).collect();
    assert_eq!(results(Grid::of(1, 40), body), all);
}

#[test]
fn lanes_end_early_and_the_others_go_on() {
    let body = "mov.b32 %r9, 5;\n mad.wide.s32 %rd9, %r1, 4, %rd0;\n st.global.b32 [%rd9], %r9;\n\
        setp.ge.s32 %p0, %r0, 20;\n @%p0 ret;\n mov.b32 %r9, 6;";
    let all: Vec<u32> = (0..33).map(|n| if n < 20 { 6 } else { 5 }).collect();
    assert_eq!(results(Grid::of(1, 33), body), all);
}

#[test]
fn a_barrier_lets_warps_see_what_others_wrote() {
    // Thread i reads what thread 95 - i wrote, twice over.
    let body = "mov.b32 %r4, block_memory;\n mad.lo.s32 %r5, %r0, 4, %r4;\n\
        st.shared.b32 [%r5], %r1;\n bar.sync 0;\n sub.s32 %r6, 95, %r0;\n\
        mad.lo.s32 %r6, %r6, 4, %r4;\n ld.shared.b32 %r7, [%r6];\n bar.sync 0;\n\
        st.shared.b32 [%r5], %r7;\n bar.sync 0;\n ld.shared.b32 %r9, [%r6];";
    let all: Vec<u32> = (0..192).collect();
    assert_eq!(results(Grid::of(2, 96), body), all);
}

/// A mode, the lane operand, the third operand, and the lane that each reads from.
type Shuffled = (&'static str, u32, u32, fn(u32) -> u32);

#[test]
fn shuffles_read_from_the_lane_that_the_manual_names() {
    // PTX ISA 9.7.8.6.
    let cases: [Shuffled; 8] = [
        ("down", 4, 0x1f, |lane| if lane + 4 <= 31 { lane + 4 } else { lane }),
        ("down", 4, 0x100f, |lane| if lane % 16 + 4 <= 15 { lane + 4 } else { lane }),
        ("up", 4, 0, |lane| if lane >= 4 { lane - 4 } else { lane }),
        ("up", 3, 0x1800, |lane| if lane % 8 >= 3 { lane - 3 } else { lane }),
        ("bfly", 5, 0x1f, |lane| lane ^ 5),
        ("bfly", 24, 0x100f, |lane| if lane >= 16 { lane ^ 24 } else { lane }),
        ("idx", 7, 0x1f, |_| 7),
        ("idx", 3, 0x180f, |lane| lane / 8 * 8 + 3),
    ];
    for (mode, by, bound, from) in cases {
        let body =
            format!("mul.lo.s32 %r4, %r0, 3;\n shfl.sync.{mode}.b32 %r9, %r4, {by}, {bound}, -1;");
        let all: Vec<u32> = (0..32).map(|lane| from(lane) * 3).collect();
        assert_eq!(results(Grid::of(1, 32), &body), all, "{mode} {by} {bound:#x}");
    }
}

#[test]
fn atomics_of_all_threads_add_up() {
    let body = "mov.b32 %r4, 0;\n setp.eq.s32 %p0, %r0, 0;\n @%p0 st.shared.b32 [block_memory], %r4;\n\
        bar.sync 0;\n atom.shared.add.u32 %r5, [block_memory], %r0;\n bar.sync 0;\n\
        ld.shared.b32 %r9, [block_memory];";
    assert_eq!(results(Grid::of(2, 64), body), [2016; 128]);
}

#[test]
fn lanes_add_what_others_hold_in_buffers() {
    let mut device = Device::new().words(&[1, 2, 3, 4]).words(&[10]);
    let body = "mov.b32 %r0, %tid.x;\n mad.wide.s32 %rd2, %r0, 4, %rd0;\n\
        ld.global.b32 %r1, [%rd2];\n atom.global.add.u32 %r2, [%rd1], %r1;\n\
        st.global.b32 [%rd2], %r2;";
    device.passes(Grid::of(1, 4), body);
    assert_eq!((device.read(0), device.read(1)), (vec![10, 11, 13, 16], vec![20]));
}
