//! Problems of many shapes.

use ir::ops::attend::{Attend, Sizes};
use ir::types::Dtype;

use crate::problem::{Layout, Problem};

/// Every kind of mask alone, and all of them.
pub(crate) fn kinds() -> [(&'static str, Attend); 9] {
    let all = Attend::all(0.3);
    let causal = Attend { is_causal: true, ..all };
    [
        ("all", all),
        ("causal", causal),
        ("window", Attend { window: Some(20), ..all }),
        ("causal window", Attend { window: Some(70), ..causal }),
        ("a window without an end", Attend { window: Some(1 << 50), ..all }),
        ("segments", Attend { has_segments: true, ..all }),
        ("dropout", Attend { drop: 0.25, ..all }),
        ("offset", Attend { has_offset: true, ..causal }),
        (
            "everything",
            Attend { window: Some(33), has_segments: true, has_offset: true, drop: 0.1, ..causal },
        ),
    ]
}

/// One head of a shape.
pub(crate) fn sizes([rows, keys]: [u64; 2], [width, value_width]: [u64; 2]) -> Sizes {
    Sizes { batch: 1, heads: 1, groups: 1, rows, keys, width, value_width }
}

/// Some heads share keys; there are two sequences.
pub(crate) fn shared(sizes: Sizes) -> Sizes {
    Sizes { batch: 2, heads: 4, groups: 2, ..sizes }
}

pub(crate) fn plain(attend: Attend, sizes: Sizes, dtype: Dtype) -> Problem {
    Problem { attend, sizes, dtype, offset: 0, layout: Layout::Rows }
}

/// All lengths around the ends of tiles, with all masks; the other choices take turns.
pub(crate) fn all() -> Vec<Problem> {
    let lengths = [
        [1, 1],
        [2, 1],
        [17, 17],
        [63, 63],
        [64, 64],
        [65, 65],
        [129, 129],
        [3, 130],
        [130, 3],
        [150, 70],
    ];
    let widths =
        [[16, 16], [64, 64], [32, 48], [128, 128], [80, 96], [48, 112], [128, 16], [16, 64]];
    let layouts = [
        Layout::Rows,
        Layout::Heads,
        Layout::Odd(4),
        Layout::Odd(2),
        Layout::Odd(1),
        Layout::Turned,
    ];
    let mut problems = vec![];
    for (i, length) in lengths.into_iter().enumerate() {
        for (j, (_, attend)) in kinds().into_iter().enumerate() {
            let turn = problems.len();
            let sizes = sizes(length, widths[turn % widths.len()]);
            let is_small = length[0] * length[1] < 1000;
            let sizes = if is_small || turn % 4 == 0 { shared(sizes) } else { sizes };
            problems.push(Problem {
                attend,
                sizes,
                dtype: [Dtype::Bf16, Dtype::F16][(i + j) % 2],
                offset: [7, 0, -3, 60][turn % 4],
                layout: layouts[turn % layouts.len()],
            });
        }
    }
    problems
}
