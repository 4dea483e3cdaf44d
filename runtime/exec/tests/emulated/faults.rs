//! Each detector finds planted bugs, and passes the same code without them.

use exec::device::emulated::{Kind, Report};

use crate::device::{Device, Grid};

/// `%r0` is the thread, `%rd9` its word of what was written (64 words), `%rd10` its word of the
/// output (64 words), `%r10` its word of shared memory (1024 bytes), `%r11` that of its neighbour.
const PLACES: &str = "mov.b32 %r0, %tid.x;\n mov.b32 %r1, %ctaid.x;\n\
    mad.wide.s32 %rd9, %r0, 4, %rd0;\n mad.wide.s32 %rd10, %r0, 4, %rd1;\n\
    mov.b32 %r9, block_memory;\n mad.lo.s32 %r10, %r0, 4, %r9;\n\
    xor.b32 %r8, %r0, 1;\n mad.lo.s32 %r11, %r8, 4, %r9;\n";

fn run(grid: Grid, body: &str) -> Result<(), Report> {
    let words: Vec<u32> = (0..64).collect();
    let mut device = Device::new().words(&words).bytes(256);
    device.run(grid, &format!("{PLACES}{body}"))
}

/// What is planted, with the bug and without.
type Planted = (&'static str, &'static str, &'static str);

fn finds(kind: Kind, grid: Grid, planted: &[Planted]) {
    for (name, wrong, sound) in planted {
        match run(grid, wrong) {
            Err(report) => assert_eq!(report.kind, kind, "{name}: {report}"),
            Ok(()) => panic!("{name}: not found"),
        }
        run(grid, sound).unwrap_or_else(|report| panic!("{name}: {report}"));
    }
}

#[test]
fn finds_what_leaves_its_buffer() {
    let planted = [
        (
            "a bound that is one too large",
            "setp.gt.s32 %p0, %r0, 64;\n @%p0 ret;\n ld.global.b32 %r4, [%rd9];",
            "setp.ge.s32 %p0, %r0, 64;\n @%p0 ret;\n ld.global.b32 %r4, [%rd9];",
        ),
        (
            "the word before the first one",
            "ld.global.b32 %r4, [%rd0+-4];",
            "ld.global.b32 %r4, [%rd0+0];",
        ),
        (
            "four words from the last one on",
            "st.global.v4.b32 [%rd1+256], {%r0, %r0, %r0, %r0};",
            "st.global.v4.b32 [%rd1+240], {%r0, %r0, %r0, %r0};",
        ),
        (
            "a step of the wrong size",
            "setp.ge.s32 %p0, %r0, 64;\n @%p0 ret;\n mad.wide.s32 %rd11, %r0, 8, %rd0;\n\
             ld.global.b32 %r4, [%rd11];",
            "setp.ge.s32 %p0, %r0, 32;\n @%p0 ret;\n mad.wide.s32 %rd11, %r0, 8, %rd0;\n\
             ld.global.b32 %r4, [%rd11];",
        ),
        (
            "what lies in the arena, but in another buffer",
            "ld.global.b32 %r4, [%rd1+-65536];",
            "ld.global.b32 %r4, [%rd0];",
        ),
        ("no address at all", "mov.b64 %rd5, 0;\n ld.global.b32 %r4, [%rd5];", ""),
        (
            "shared memory from its end on",
            "setp.eq.s32 %p0, %r0, 0;\n @%p0 st.shared.b32 [block_memory+1024], 1;",
            "setp.eq.s32 %p0, %r0, 0;\n @%p0 st.shared.b32 [block_memory+1020], 1;",
        ),
        (
            "shared memory before its start",
            "setp.eq.s32 %p0, %r0, 0;\n @%p0 st.shared.b32 [%r9+-4], 1;",
            "setp.eq.s32 %p0, %r0, 0;\n @%p0 st.shared.b32 [%r9+0], 1;",
        ),
        (
            "behind a parameter",
            "ld.param.b32 %r4, [kernel_1+8];",
            "ld.param.b32 %r4, [kernel_1+4];",
        ),
        (
            "the source of a copy",
            "cp.async.ca.shared.global [%r10], [%rd0+256], 4, 4;",
            "cp.async.ca.shared.global [%r10], [%rd0+256], 4, 0;",
        ),
        (
            "a row of a matrix",
            "add.s32 %r4, %r9, 1024;\n ldmatrix.sync.aligned.m8n8.x1.shared.b16 {%r5}, [%r4];",
            "",
        ),
    ];
    finds(Kind::OutOfBounds, Grid::of(1, 96), &planted);
}

#[test]
fn finds_an_access_across_the_end_of_its_buffer() {
    let mut device = Device::new().words(&[1, 2, 3]);
    let last = "ld.global.b64 %rd4, [%rd0+8];";
    let report = device.run(Grid::of(1, 1), last).unwrap_err();
    assert_eq!(report.kind, Kind::OutOfBounds, "{report}");
    device.passes(Grid::of(1, 1), "ld.global.b64 %rd4, [%rd0];");
}

#[test]
fn finds_what_is_not_aligned() {
    let planted = [
        ("8 bytes at 4", "ld.global.b64 %rd4, [%rd0+4];", "ld.global.b64 %rd4, [%rd0+8];"),
        (
            "16 bytes at 8",
            "ld.global.v4.b32 {%r4, %r5, %r6, %r7}, [%rd0+8];",
            "ld.global.v4.b32 {%r4, %r5, %r6, %r7}, [%rd0+16];",
        ),
        ("4 bytes at 2", "st.global.b32 [%rd1+2], %r0;", "st.global.b16 [%rd1+2], 1;"),
        (
            "4 shared bytes at 2",
            "st.shared.b32 [block_memory+2], 1;",
            "st.shared.b16 [block_memory+2], 1;",
        ),
        (
            "a row of a matrix at 8",
            "ldmatrix.sync.aligned.m8n8.x1.shared.b16 {%r4}, [block_memory+8];",
            "st.shared.b64 [block_memory], 0;\n st.shared.b64 [block_memory+8], 0;\n bar.sync 0;\n\
             ldmatrix.sync.aligned.m8n8.x1.shared.b16 {%r4}, [block_memory];",
        ),
        (
            "the source of a copy",
            "shl.b32 %r4, %r10, 2;\n\
             cp.async.cg.shared.global [%r4], [%rd0+8], 16, 16;",
            "shl.b32 %r4, %r10, 2;\n\
             cp.async.cg.shared.global [%r4], [%rd0+16], 16, 16;",
        ),
        (
            "the target of a copy",
            "add.s32 %r4, %r10, 4;\n cp.async.ca.shared.global [%r4], [%rd0], 8, 8;",
            "shl.b32 %r4, %r10, 1;\n cp.async.ca.shared.global [%r4], [%rd0], 8, 8;",
        ),
        (
            "an atomic at 2",
            "atom.global.add.u32 %r4, [%rd0+2], 1;",
            "atom.global.add.u32 %r4, [%rd0+4], 1;",
        ),
    ];
    finds(Kind::Misaligned, Grid::of(1, 32), &planted);
}

#[test]
fn finds_what_nothing_wrote() {
    let planted = [
        (
            "an output that is added to",
            "ld.global.b32 %r4, [%rd10];",
            "st.global.b32 [%rd10], %r0;\n ld.global.b32 %r4, [%rd10];",
        ),
        (
            "a tile whose last column is missing",
            "setp.lt.s32 %p0, %r0, 31;\n @%p0 st.shared.b32 [%r10], %r0;\n bar.sync 0;\n\
             ld.shared.b32 %r4, [%r11];",
            "setp.lt.s32 %p0, %r0, 32;\n @%p0 st.shared.b32 [%r10], %r0;\n bar.sync 0;\n\
             ld.shared.b32 %r4, [%r11];",
        ),
        (
            "what the block before left in shared memory",
            "setp.eq.s32 %p0, %r1, 0;\n @%p0 st.shared.b32 [%r10], %r0;\n\
             ld.shared.b32 %r4, [%r10];",
            "setp.ge.s32 %p0, %r1, 0;\n @%p0 st.shared.b32 [%r10], %r0;\n\
             ld.shared.b32 %r4, [%r10];",
        ),
        (
            "a counter that starts anywhere",
            "atom.shared.add.u32 %r4, [block_memory], 1;",
            "st.shared.b32 [block_memory], 0;\n bar.sync 0;\n\
             atom.shared.add.u32 %r4, [block_memory], 1;",
        ),
        (
            "the source of a copy",
            "cp.async.ca.shared.global [%r10], [%rd10], 4, 4;",
            "cp.async.ca.shared.global [%r10], [%rd9], 4, 4;",
        ),
        (
            "the second of two words",
            "st.global.b32 [%rd1], 1;\n ld.global.v2.b32 {%r4, %r5}, [%rd1];",
            "st.global.b32 [%rd1], 1;\n st.global.b32 [%rd1+4], 1;\n\
             ld.global.v2.b32 {%r4, %r5}, [%rd1];",
        ),
        (
            "the upper half of a word",
            "st.shared.b16 [block_memory], 1;\n bar.sync 0;\n ld.shared.b32 %r4, [block_memory];",
            "st.shared.b16 [block_memory], 1;\n bar.sync 0;\n ld.shared.b16 %h4, [block_memory];",
        ),
    ];
    finds(Kind::Uninitialised, Grid::of(2, 32), &planted);
}

#[test]
fn finds_races_in_shared_memory() {
    let planted = [
        (
            "no barrier between a store and the load of a neighbour",
            "st.shared.b32 [%r10], %r0;\n ld.shared.b32 %r4, [%r11];",
            "st.shared.b32 [%r10], %r0;\n bar.sync 0;\n ld.shared.b32 %r4, [%r11];",
        ),
        (
            "no barrier before a tile is written again",
            "st.shared.b32 [%r10], %r0;\n bar.sync 0;\n ld.shared.b32 %r4, [%r11];\n\
             st.shared.b32 [%r10], %r4;",
            "st.shared.b32 [%r10], %r0;\n bar.sync 0;\n ld.shared.b32 %r4, [%r11];\n bar.sync 0;\n\
             st.shared.b32 [%r10], %r4;",
        ),
        (
            "lanes that write other values to one place",
            "setp.lt.s32 %p0, %r0, 32;\n @%p0 st.shared.b32 [block_memory], %r0;",
            "setp.lt.s32 %p0, %r0, 32;\n @%p0 st.shared.b32 [block_memory], 5;",
        ),
        (
            "a start that atomics do not wait for",
            "setp.eq.s32 %p0, %r0, 0;\n @%p0 st.shared.b32 [block_memory], 0;\n\
             atom.shared.add.u32 %r4, [block_memory], 1;",
            "setp.eq.s32 %p0, %r0, 0;\n @%p0 st.shared.b32 [block_memory], 0;\n bar.sync 0;\n\
             atom.shared.add.u32 %r4, [block_memory], 1;",
        ),
        (
            "a counter that is read while others count",
            "setp.eq.s32 %p0, %r0, 0;\n @%p0 st.shared.b32 [block_memory], 0;\n bar.sync 0;\n\
             atom.shared.add.u32 %r4, [block_memory], 1;\n ld.shared.b32 %r5, [block_memory];",
            "setp.eq.s32 %p0, %r0, 0;\n @%p0 st.shared.b32 [block_memory], 0;\n bar.sync 0;\n\
             atom.shared.add.u32 %r4, [block_memory], 1;\n bar.sync 0;\n\
             ld.shared.b32 %r5, [block_memory];",
        ),
        (
            "a warp that waits for itself where it reads from another",
            "xor.b32 %r4, %r0, 32;\n mad.lo.s32 %r4, %r4, 4, %r9;\n st.shared.b32 [%r10], %r0;\n\
             bar.warp.sync -1;\n setp.ge.s32 %p0, %r0, 32;\n @%p0 ld.shared.b32 %r5, [%r4];",
            "xor.b32 %r4, %r0, 31;\n mad.lo.s32 %r4, %r4, 4, %r9;\n st.shared.b32 [%r10], %r0;\n\
             bar.warp.sync -1;\n ld.shared.b32 %r5, [%r4];",
        ),
        (
            "words over halves of other threads",
            "mad.lo.s32 %r4, %r0, 2, %r9;\n st.shared.b16 [%r4], 1;\n st.shared.b32 [%r10], 2;",
            "mad.lo.s32 %r4, %r0, 2, %r9;\n st.shared.b16 [%r4], 1;\n ld.shared.b16 %h1, [%r4];",
        ),
        (
            "matrices that are read before they are there",
            "shl.b32 %r4, %r0, 4;\n st.shared.v4.b32 [%r4], {%r0, %r0, %r0, %r0};\n\
             ldmatrix.sync.aligned.m8n8.x1.shared.b16 {%r5}, [%r4];",
            "shl.b32 %r4, %r0, 4;\n st.shared.v4.b32 [%r4], {%r0, %r0, %r0, %r0};\n\
             bar.warp.sync -1;\n ldmatrix.sync.aligned.m8n8.x1.shared.b16 {%r5}, [%r4];",
        ),
        (
            "many read what one then writes",
            "setp.eq.s32 %p0, %r0, 3;\n @%p0 st.shared.b32 [block_memory], 1;\n bar.sync 0;\n\
             ld.shared.b32 %r4, [block_memory];\n\
             @%p0 st.shared.b32 [block_memory], 2;",
            "setp.eq.s32 %p0, %r0, 3;\n @%p0 st.shared.b32 [block_memory], 1;\n bar.sync 0;\n\
             ld.shared.b32 %r4, [block_memory];\n\
             bar.sync 0;\n @%p0 st.shared.b32 [block_memory], 2;",
        ),
    ];
    finds(Kind::SharedRace, Grid::of(1, 64), &planted);
}

#[test]
fn finds_barriers_that_threads_do_not_reach() {
    let planted = [
        (
            "in a branch of some lanes",
            "setp.lt.s32 %p0, %r0, 16;\n @!%p0 bra $end;\n bar.sync 0;\n $end:",
            "setp.lt.s32 %p0, %r0, 16;\n @!%p0 bra $end;\n mov.b32 %r4, 1;\n $end:\n bar.sync 0;",
        ),
        (
            "in a branch of a whole warp",
            "setp.lt.s32 %p0, %r0, 32;\n @!%p0 bra $end;\n bar.sync 0;\n $end:",
            "setp.lt.s32 %p0, %r0, 64;\n @!%p0 bra $end;\n bar.sync 0;\n $end:",
        ),
        (
            "behind the end of some threads",
            "setp.lt.s32 %p0, %r0, 5;\n @%p0 ret;\n bar.sync 0;",
            "setp.lt.s32 %p0, %r0, 5;\n bar.sync 0;\n @%p0 ret;",
        ),
        (
            "behind the end of a whole warp",
            "setp.lt.s32 %p0, %r0, 32;\n @%p0 ret;\n bar.sync 0;",
            "setp.lt.s32 %p0, %r0, 32;\n bar.sync 0;\n @%p0 ret;",
        ),
        (
            "in a loop that threads leave at other times",
            "mov.b32 %r4, %r0;\n $head:\n bar.sync 0;\n sub.s32 %r4, %r4, 1;\n\
             setp.ge.s32 %p0, %r4, 0;\n @%p0 bra $head;",
            "mov.b32 %r4, 5;\n $head:\n bar.sync 0;\n sub.s32 %r4, %r4, 1;\n\
             setp.ge.s32 %p0, %r4, 0;\n @%p0 bra $head;",
        ),
        (
            "under a guard",
            "setp.ne.s32 %p0, %r0, 9;\n @%p0 bar.sync 0;",
            "setp.ne.s32 %p0, %r0, 64;\n @%p0 bar.sync 0;",
        ),
        (
            "of another number",
            "setp.lt.s32 %p0, %r0, 32;\n @%p0 bar.sync 0;\n @!%p0 bar.sync 1;",
            "setp.lt.s32 %p0, %r0, 32;\n @%p0 bar.sync 1;\n @!%p0 bar.sync 1;",
        ),
    ];
    finds(Kind::DivergentBarrier, Grid::of(1, 64), &planted);
}

#[test]
fn finds_copies_that_nothing_waited_for() {
    let planted = [
        (
            "no wait",
            "cp.async.ca.shared.global [%r10], [%rd9], 4, 4;\n cp.async.commit_group;\n\
             bar.sync 0;\n ld.shared.b32 %r4, [%r10];",
            "cp.async.ca.shared.global [%r10], [%rd9], 4, 4;\n cp.async.commit_group;\n\
             cp.async.wait_group 0;\n bar.sync 0;\n ld.shared.b32 %r4, [%r10];",
        ),
        (
            "a group that was not ended",
            "cp.async.ca.shared.global [%r10], [%rd9], 4, 4;\n cp.async.wait_group 0;\n\
             ld.shared.b32 %r4, [%r10];",
            "cp.async.ca.shared.global [%r10], [%rd9], 4, 4;\n cp.async.commit_group;\n\
             cp.async.wait_group 0;\n ld.shared.b32 %r4, [%r10];",
        ),
        (
            "a wait that leaves the group that is read",
            "cp.async.ca.shared.global [%r10], [%rd9], 4, 4;\n cp.async.commit_group;\n\
             cp.async.ca.shared.global [%r10+512], [%rd9], 4, 4;\n cp.async.commit_group;\n\
             cp.async.wait_group 1;\n bar.sync 0;\n ld.shared.b32 %r4, [%r11+512];",
            "cp.async.ca.shared.global [%r10], [%rd9], 4, 4;\n cp.async.commit_group;\n\
             cp.async.ca.shared.global [%r10+512], [%rd9], 4, 4;\n cp.async.commit_group;\n\
             cp.async.wait_group 1;\n bar.sync 0;\n ld.shared.b32 %r4, [%r11];",
        ),
        (
            "a wait without a barrier behind it",
            "cp.async.ca.shared.global [%r10], [%rd9], 4, 4;\n cp.async.commit_group;\n\
             cp.async.wait_group 0;\n ld.shared.b32 %r4, [%r11];",
            "cp.async.ca.shared.global [%r10], [%rd9], 4, 4;\n cp.async.commit_group;\n\
             cp.async.wait_group 0;\n bar.sync 0;\n ld.shared.b32 %r4, [%r11];",
        ),
        (
            "a barrier before the wait instead of behind it",
            "cp.async.ca.shared.global [%r10], [%rd9], 4, 4;\n cp.async.commit_group;\n\
             bar.sync 0;\n cp.async.wait_group 0;\n ld.shared.b32 %r4, [%r11];",
            "cp.async.ca.shared.global [%r10], [%rd9], 4, 4;\n cp.async.commit_group;\n\
             cp.async.wait_group 0;\n bar.sync 0;\n ld.shared.b32 %r4, [%r11];",
        ),
        (
            "a store to where a copy goes",
            "cp.async.ca.shared.global [%r10], [%rd9], 4, 4;\n st.shared.b32 [%r10], 1;",
            "cp.async.ca.shared.global [%r10], [%rd9], 4, 4;\n st.shared.b32 [%r10+512], 1;",
        ),
    ];
    finds(Kind::UseBeforeWait, Grid::of(1, 64), &planted);
}

#[test]
fn finds_a_copy_over_what_others_still_read() {
    let before = "st.shared.b32 [%r10], %r0;\n bar.sync 0;\n ld.shared.b32 %r4, [%r11];\n";
    let copy = "cp.async.ca.shared.global [%r10], [%rd9], 4, 4;";
    let report = run(Grid::of(1, 64), &format!("{before}{copy}")).unwrap_err();
    assert_eq!(report.kind, Kind::SharedRace, "{report}");
    run(Grid::of(1, 64), &format!("{before}bar.sync 0;\n{copy}")).unwrap();
}

#[test]
fn finds_lanes_that_do_not_take_part() {
    let planted = [
        (
            "a shuffle in a branch",
            "setp.lt.s32 %p0, %r0, 16;\n @!%p0 bra $end;\n\
             shfl.sync.idx.b32 %r4, %r0, 0, 31, -1;\n $end:",
            "setp.lt.s32 %p0, %r0, 16;\n @!%p0 bra $end;\n\
             shfl.sync.idx.b32 %r4, %r0, 0, 31, 65535;\n $end:",
        ),
        (
            "a ballot under a guard",
            "setp.ne.s32 %p0, %r0, 7;\n @%p0 vote.sync.ballot.b32 %r4, %p0, -1;",
            "setp.ne.s32 %p0, %r0, 7;\n vote.sync.ballot.b32 %r4, %p0, -1;",
        ),
        (
            "a barrier of lanes in a branch",
            "setp.lt.s32 %p0, %r0, 16;\n @!%p0 bra $end;\n bar.warp.sync -1;\n $end:",
            "setp.lt.s32 %p0, %r0, 16;\n @!%p0 bra $end;\n mov.b32 %r4, 0;\n $end:\n\
             bar.warp.sync -1;",
        ),
        (
            "a lane that does not name itself",
            "shfl.sync.idx.b32 %r4, %r0, 0, 31, 65535;",
            "shfl.sync.idx.b32 %r4, %r0, 0, 31, -1;",
        ),
        (
            "a read from a lane that is elsewhere",
            "setp.lt.s32 %p0, %r0, 16;\n @%p0 shfl.sync.idx.b32 %r4, %r0, 16, 31, 65535;",
            "setp.lt.s32 %p0, %r0, 16;\n @%p0 shfl.sync.idx.b32 %r4, %r0, 15, 31, 65535;",
        ),
        (
            "a product of matrices by some lanes",
            "setp.lt.s32 %p0, %r0, 16;\n\
             @%p0 mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%f0, %f1, %f2, %f3}, \
             {%r4, %r5, %r6, %r7}, {%r4, %r5}, {%f0, %f1, %f2, %f3};",
            "setp.lt.s32 %p0, %r0, 32;\n\
             @%p0 mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%f0, %f1, %f2, %f3}, \
             {%r4, %r5, %r6, %r7}, {%r4, %r5}, {%f0, %f1, %f2, %f3};",
        ),
        (
            "matrices that some lanes load",
            "st.shared.b64 [block_memory], 0;\n st.shared.b64 [block_memory+8], 0;\n\
             bar.sync 0;\n setp.lt.s32 %p0, %r0, 8;\n\
             @%p0 ldmatrix.sync.aligned.m8n8.x1.shared.b16 {%r4}, [block_memory];",
            "st.shared.b64 [block_memory], 0;\n st.shared.b64 [block_memory+8], 0;\n\
             bar.sync 0;\n ldmatrix.sync.aligned.m8n8.x1.shared.b16 {%r4}, [block_memory];",
        ),
    ];
    finds(Kind::DivergentLanes, Grid::of(1, 32), &planted);
}

#[test]
fn a_loop_without_end_is_stopped() {
    let report = run(Grid::of(1, 32), "$head:\n bra $head;").unwrap_err();
    assert_eq!(report.kind, Kind::Endless, "{report}");
}

#[test]
fn a_report_says_who_did_what_and_where() {
    let body = "setp.ne.s32 %p0, %r1, 1;\n @%p0 ret;\n setp.ne.s32 %p0, %r0, 33;\n @%p0 ret;\n\
        ld.global.b32 %r4, [%rd9+128];";
    let report = run(Grid::of(2, 64), body).unwrap_err();
    assert_eq!(
        report.to_string(),
        "out of bounds in `kernel`, block 1, thread 33, at `ld.global.b32 %r4, [%rd9+128]`: \
         reads 4 bytes at offset 260 of buffer 0, which has 256 bytes"
    );
    let report = run(Grid::of(1, 1), "ld.global.b32 %r4, [%rd1+-4];").unwrap_err();
    assert_eq!(report.what, "reads 4 bytes at 4 bytes before the start of buffer 1");
}
