//! Memory by vectors, copies and matrices, and products of matrices.

use crate::device::{Device, Grid};
use crate::values::random;

/// `%r0` is the thread, `%rd9` its 16 bytes of what is read, `%rd10` of what is written.
const PLACES: &str = "mov.b32 %r0, %tid.x;\n mad.wide.s32 %rd9, %r0, 16, %rd0;\n\
    mad.wide.s32 %rd10, %r0, 16, %rd1;\n shl.b32 %r10, %r0, 4;\n";

/// What a body leaves of random words, 16 bytes for each of 40 threads.
fn passed(body: &str) -> (Vec<u32>, Vec<u32>) {
    let words: Vec<u32> = random(160).into_iter().map(|x| x as u32).collect();
    let mut device = Device::new().words(&words).bytes(640);
    device.passes(Grid::of(1, 40), &format!("{PLACES}{body}"));
    (words, device.read(1))
}

#[test]
fn vectors_of_every_class_pass_through_registers_and_shared_memory() {
    let names = |prefix: &str, n: usize| -> String {
        let regs: Vec<String> = (20..20 + n).map(|at| format!("%{prefix}{at}")).collect();
        if n == 1 { regs.concat() } else { format!("{{{}}}", regs.join(", ")) }
    };
    let classes =
        [("b16", "h", 2), ("b32", "r", 4), ("b64", "rd", 8), ("f32", "f", 4), ("f64", "fd", 8)];
    for (class, prefix, bytes) in classes {
        for (width, n) in [("", 1), (".v2", 2), (".v4", 4)] {
            if bytes * n > 16 {
                continue;
            }
            // Registers of tests end at 16 for some classes.
            let regs = names(prefix, n).replace("%h2", "%h").replace("%fd2", "%fd");
            let mut body = String::new();
            for at in (0..16).step_by(bytes * n) {
                body += &format!(
                    "ld.global{width}.{class} {regs}, [%rd9+{at}];\n\
                     st.shared{width}.{class} [%r10+{at}], {regs};\n\
                     ld.shared{width}.{class} {regs}, [%r10+{at}];\n\
                     st.global{width}.{class} [%rd10+{at}], {regs};\n"
                );
            }
            let (read, written) = passed(&body);
            assert_eq!(read, written, "{width}.{class}");
        }
    }
}

#[test]
fn copies_bring_what_is_there_and_zeros() {
    let wait = "cp.async.commit_group;\n cp.async.wait_group 0;\n\
        ld.shared.v4.b32 {%r4, %r5, %r6, %r7}, [%r10];\n\
        st.global.v4.b32 [%rd10], {%r4, %r5, %r6, %r7};";
    let (read, written) =
        passed(&format!("cp.async.cg.shared.global [%r10], [%rd9], 16, 16;\n{wait}"));
    assert_eq!(read, written);
    let parts = "cp.async.ca.shared.global [%r10], [%rd9], 4, 0;\n\
        cp.async.ca.shared.global [%r10+4], [%rd9+4], 4, 4;\n\
        cp.async.ca.shared.global [%r10+8], [%rd9+8], 8, 4;\n";
    let (read, written) = passed(&format!("{parts}{wait}"));
    let kept = |(at, word): (usize, u32)| if at % 4 == 1 || at % 4 == 2 { word } else { 0 };
    assert_eq!(written, read.into_iter().enumerate().map(kept).collect::<Vec<u32>>());
}

/// Halves `8 * row + column` of four matrices, each lane's four registers of them.
fn matrices(is_transposed: bool) -> Vec<u32> {
    let mut device = Device::new().bytes(512);
    let transposed = if is_transposed { ".trans" } else { "" };
    let body = format!(
        "mov.b32 %r0, %tid.x;\n shl.b32 %r1, %r0, 4;\n mad.wide.s32 %rd9, %r0, 16, %rd0;\n\
         mul.lo.s32 %r2, %r0, 524296;\n mul.lo.s32 %r3, %r0, 524296;\n\
         add.s32 %r4, %r2, 65536;\n add.s32 %r5, %r2, 196610;\n add.s32 %r6, %r2, 327684;\n\
         add.s32 %r7, %r2, 458758;\n st.shared.v4.b32 [%r1], {{%r4, %r5, %r6, %r7}};\n\
         bar.sync 0;\n\
         ldmatrix.sync.aligned.m8n8.x4{transposed}.shared.b16 {{%r4, %r5, %r6, %r7}}, [%r1];\n\
         st.global.v4.b32 [%rd9], {{%r4, %r5, %r6, %r7}};"
    );
    device.passes(Grid::of(1, 32), &body);
    device.read(0)
}

#[test]
fn lanes_get_two_neighbours_of_each_matrix() {
    for is_transposed in [false, true] {
        let all = matrices(is_transposed);
        for lane in 0..32 {
            for matrix in 0..4 {
                let [low, high] = [0, 1].map(|at| {
                    let (row, col) = (lane / 4, lane % 4 * 2 + at);
                    let (row, col) = if is_transposed { (col, row) } else { (row, col) };
                    (matrix * 8 + row) * 8 + col
                });
                assert_eq!(all[lane * 4 + matrix], (low | high << 16) as u32, "{lane} {matrix}");
            }
        }
    }
}

/// A product of numbers that are whole, so that the order of sums does not matter.
fn product(op: &str, bits: impl Fn(i64) -> u32) {
    let mut numbers = random(16 * 16 + 16 * 8 + 16 * 8).into_iter().map(|x| (x % 17) as i64 - 8);
    let mut take = |n: usize| numbers.by_ref().take(n).collect::<Vec<i64>>();
    let (a, b, c) = (take(256), take(128), take(128));
    let pair = |x: i64, y: i64| bits(x) | bits(y) << 16;
    let mut words = vec![];
    for lane in 0..32 {
        let (group, k) = (lane / 4, lane % 4 * 2);
        let of_a = |row: usize, k: usize| pair(a[row * 16 + k], a[row * 16 + k + 1]);
        let of_b = |k: usize| pair(b[k * 8 + group], b[(k + 1) * 8 + group]);
        words.extend([of_a(group, k), of_a(group + 8, k)]);
        words.extend([of_a(group, k + 8), of_a(group + 8, k + 8), of_b(k), of_b(k + 8)]);
        let of_c = |row: usize, at: usize| (c[row * 8 + k + at] as f32).to_bits();
        words.extend([of_c(group, 0), of_c(group, 1), of_c(group + 8, 0), of_c(group + 8, 1)]);
        words.extend([0, 0]);
    }
    let mut device = Device::new().words(&words).bytes(512);
    let body = format!(
        "mov.b32 %r0, %tid.x;\n mad.wide.s32 %rd9, %r0, 48, %rd0;\n\
         mad.wide.s32 %rd10, %r0, 16, %rd1;\n\
         ld.global.v4.b32 {{%r1, %r2, %r3, %r4}}, [%rd9];\n\
         ld.global.v2.b32 {{%r5, %r6}}, [%rd9+16];\n\
         ld.global.v2.f32 {{%f0, %f1}}, [%rd9+24];\n ld.global.v2.f32 {{%f2, %f3}}, [%rd9+32];\n\
         {op} {{%f0, %f1, %f2, %f3}}, {{%r1, %r2, %r3, %r4}}, {{%r5, %r6}}, \
         {{%f0, %f1, %f2, %f3}};\n\
         st.global.v4.f32 [%rd10], {{%f0, %f1, %f2, %f3}};"
    );
    device.passes(Grid::of(1, 32), &body);
    let found = device.read(1);
    for lane in 0..32 {
        for at in 0..4 {
            let (row, col) = (lane / 4 + at / 2 * 8, lane % 4 * 2 + at % 2);
            let sum: i64 = (0..16).map(|k| a[row * 16 + k] * b[k * 8 + col]).sum();
            let expected = (c[row * 8 + col] + sum) as f32;
            assert_eq!(f32::from_bits(found[lane * 4 + at]), expected, "{op} {row} {col}");
        }
    }
}

#[test]
fn products_of_matrices_are_sums_of_products() {
    product("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32", |x| (x as f32).to_bits() >> 16);
    product("mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32", |x| {
        // Whole numbers up to 8 as halves: the upper bits of a single under another bias.
        let bits = (x as f32).to_bits();
        if x == 0 {
            0
        } else {
            bits >> 16 & 0x8000 | ((bits >> 13 & 0x3ffff) - (112 << 10)) & 0x7fff
        }
    });
}
