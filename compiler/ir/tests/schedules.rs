//! Kernels and schedules: the order of sums, sorts, and their text.

use ir::body::Body;
use ir::eval::kernel::{Memory, eval_kernel};
use ir::eval::schedule::{eval_schedule, memory};
use ir::eval::tensor::Data;
use ir::graph::Role;
use ir::kernel::{Kernel, Operand, Reduction, Scalar, Skeleton};
use ir::schedule::{
    Adds, Arg, BatchAxis, Buffer, BufferId, Epilogue, EpilogueArg, Function, Pitch, Product,
    Schedule, Target, Task, Tiling,
};
use ir::text::{parse_kernel, parse_schedule, print_kernel, print_schedule};
use ir::types::Dtype;

fn operand(dtype: Dtype, is_output: bool, outer: &[i64], row: i64, col: i64) -> Operand {
    Operand { dtype, is_output, outer: outer.to_vec(), row, col }
}

fn arg(buffer: u32, offset: u64) -> Arg {
    Arg { buffer: BufferId(buffer), offset }
}

fn target(product_k_slice: u64) -> Target {
    Target {
        name: "cpu".to_owned(),
        column_block: 4,
        kernel_nodes: 9,
        product_k_slice,
        epilogue_cols: [2, 4],
        score_tile: [4, 4],
        pitch: Pitch::default(),
        tiling: Tiling::default(),
    }
}

fn f32s(memory: &Memory, buffer: usize) -> Vec<f32> {
    let Data::F32(values) = &memory.0[buffer] else { panic!("buffer {buffer} holds f32") };
    values.clone()
}

/// Numbers whose sum depends on the order.
fn rough(n: usize) -> Vec<f32> {
    (0..n).map(|i| ((i * 7919 % 101) as f32 - 50.0) * 1.1f32.powi(i as i32 % 37)).collect()
}

/// Softmax of rows: two reductions and maps between them.
fn softmax(rows: u64, cols: u64) -> Kernel {
    let mut b = Body::new();
    let x = b.load(0, Dtype::F32);
    let top = b.reduce(Reduction::Max, x);
    let shifted = b.apply(Scalar::Sub, &[x, top]);
    let e = b.apply(Scalar::Exp, &[shifted]);
    let total = b.reduce(Reduction::Sum, e);
    let share = b.apply(Scalar::Div, &[e, total]);
    b.store(1, share);
    b.store(2, total);
    let stride = cols as i64;
    Kernel {
        name: "softmax".to_owned(),
        skeleton: Skeleton::Rows,
        outer: vec![rows],
        cols,
        operands: vec![
            operand(Dtype::F32, false, &[stride], 0, 1),
            operand(Dtype::F32, true, &[stride], 0, 1),
            operand(Dtype::F32, true, &[1], 0, 0),
        ],
        body: b.finish(),
    }
}

fn column_sum(rows: u64, cols: u64, block: u64) -> Kernel {
    let mut b = Body::new();
    let x = b.load(0, Dtype::F32);
    let total = b.reduce(Reduction::Sum, x);
    b.store(1, total);
    let stride = cols as i64;
    Kernel {
        name: "sum".to_owned(),
        skeleton: Skeleton::Columns { rows, block },
        outer: vec![],
        cols,
        operands: vec![
            operand(Dtype::F32, false, &[], stride, 1),
            operand(Dtype::F32, true, &[], stride, 1),
        ],
        body: b.finish(),
    }
}

fn segment_sum(rows: u64, cols: u64, n: u64) -> Kernel {
    let mut b = Body::new();
    let at = b.row();
    let x = b.load_at(0, Dtype::F32, at, cols as i64, n);
    let total = b.reduce(Reduction::Sum, x);
    b.store(3, total);
    Kernel {
        name: "scatter".to_owned(),
        skeleton: Skeleton::Segments { starts: 1, order: 2 },
        outer: vec![rows],
        cols,
        operands: vec![
            operand(Dtype::F32, false, &[0], 0, 1),
            operand(Dtype::I32, false, &[1], 0, 0),
            operand(Dtype::I32, false, &[0], 0, 0),
            operand(Dtype::F32, true, &[cols as i64], 0, 1),
        ],
        body: b.finish(),
    }
}

#[test]
fn a_row_is_summed_in_sixteen_lanes_then_a_tree() {
    let x = rough(37);
    let mut lanes = [0f32; 16];
    let mut b = Body::new();
    let load = b.load(0, Dtype::F32);
    let total = b.reduce(Reduction::Sum, load);
    b.store(1, total);
    let operands =
        vec![operand(Dtype::F32, false, &[37], 0, 1), operand(Dtype::F32, true, &[1], 0, 0)];
    let kernel = Kernel {
        name: String::new(),
        skeleton: Skeleton::Rows,
        outer: vec![1],
        cols: 37,
        operands,
        body: b.finish(),
    };
    let mut memory = Memory(vec![Data::F32(x.clone()), Data::F32(vec![0.0])]);
    eval_kernel(&kernel, &mut memory, &[arg(0, 0), arg(1, 0)]);
    for (c, x) in x.iter().enumerate() {
        lanes[c % 16] += x;
    }
    for half in [8, 4, 2, 1] {
        for i in 0..half {
            lanes[i] += lanes[i + half];
        }
    }
    assert_eq!(f32s(&memory, 1)[0].to_bits(), lanes[0].to_bits());
    assert_ne!(lanes[0], x.iter().sum::<f32>(), "the order matters for these numbers");
}

#[test]
fn a_column_is_summed_block_by_block() {
    let (rows, cols, block) = (7, 3, 4);
    let x = rough(21);
    let mut memory = Memory(vec![Data::F32(x.clone()), Data::F32(vec![9.0; 6])]);
    let kernel = column_sum(rows, cols, block);
    eval_kernel(&kernel, &mut memory, &[arg(0, 0), arg(1, 0)]);
    let sum = |range: std::ops::Range<usize>, c: usize| range.fold(0f32, |s, r| s + x[r * 3 + c]);
    let expected: Vec<f32> = [0..4, 4..7]
        .into_iter()
        .flat_map(|rows| (0..3).map(move |c| (rows.clone(), c)))
        .map(|(r, c)| sum(r, c))
        .collect();
    assert_eq!(f32s(&memory, 1), expected);
}

#[test]
fn softmax_rows_sum_to_one() {
    let x = vec![1.0, 2.0, 3.0, -1.0, 0.0, f32::NEG_INFINITY];
    let mut memory = Memory(vec![Data::F32(x), Data::F32(vec![0.0; 6]), Data::F32(vec![0.0; 2])]);
    eval_kernel(&softmax(2, 3), &mut memory, &[arg(0, 0), arg(1, 0), arg(2, 0)]);
    let shares = f32s(&memory, 1);
    for row in shares.chunks(3) {
        assert!((row.iter().sum::<f32>() - 1.0).abs() < 1e-6, "{shares:?}");
    }
    assert_eq!(shares[5], 0.0);
}

/// A schedule with every kind of task.
fn schedule() -> Schedule {
    let buffer = |name: &str, dtype, shape: &[u64], role| Buffer {
        name: name.to_owned(),
        dtype,
        shape: shape.to_vec(),
        role,
        within: None,
    };
    let buffers = vec![
        buffer("ids", Dtype::I32, &[5], Some(Role::Input)),
        buffer("values", Dtype::F32, &[5, 2], Some(Role::Param)),
        buffer("f.order", Dtype::I32, &[5], None),
        buffer("f.starts", Dtype::I32, &[4], None),
        buffer("table", Dtype::F32, &[3, 2], Some(Role::Grad)),
        buffer("f.c", Dtype::F32, &[2, 3, 3], None),
    ];
    let product = Product {
        a: arg(1, 0),
        b: arg(1, 2),
        c: Some(arg(5, 0)),
        batch: vec![BatchAxis { size: 2, strides: [1, 1, 9] }],
        m: 3,
        n: 3,
        k: 2,
        a_strides: [2, 1],
        b_strides: [1, 2],
        c_strides: [3, 1],
        adds: Adds::Never,
        epilogue: None,
    };
    let tasks = vec![
        Task::Sort { ids: arg(0, 0), n: 5, rows: 3, order: arg(2, 0), starts: arg(3, 0) },
        Task::Kernel {
            kernel: 0,
            args: vec![arg(1, 0), arg(3, 0), arg(2, 0), arg(4, 0)],
            origin: "hello.lt:1:1 \"gpt\"".to_owned(),
        },
        Task::Product { product: product.clone(), origin: String::new() },
        Task::Product { product: mapped_product(2), origin: "hello.lt:2:1".to_owned() },
        tiles(product),
    ];
    let functions = vec![Function { name: "f".to_owned(), tasks }];
    Schedule { buffers, kernels: vec![segment_sum(3, 2, 5), row_and_sum(2)], functions }
}

/// Two products of 3 x 2 by 2 x 4, whose sums go to [`row_and_sum`] only, in blocks of columns.
fn mapped_product(cols: u64) -> Product {
    Product {
        a: arg(1, 0),
        b: arg(1, 2),
        c: None,
        batch: vec![BatchAxis { size: 2, strides: [1, 0, 12] }],
        m: 3,
        n: 4,
        k: 2,
        a_strides: [2, 1],
        b_strides: [1, 2],
        c_strides: [4, 1],
        adds: Adds::Never,
        epilogue: Some(Epilogue {
            kernel: 1,
            args: vec![EpilogueArg::Sums, EpilogueArg::Memory(arg(5, 0))],
            cols,
        }),
    }
}

/// `10 * sum + row`, in blocks of `cols` of 4 columns.
fn row_and_sum(cols: u64) -> Kernel {
    let mut b = Body::new();
    let (sum, row) = (b.load(0, Dtype::F32), b.outer(2));
    let (row, ten) = (b.apply(Scalar::Cast(Dtype::F32), &[row]), b.constant(Dtype::F32, 10.0));
    let tens = b.apply(Scalar::Mul, &[sum, ten]);
    let value = b.apply(Scalar::Add, &[tens, row]);
    b.store(1, value);
    let wide = cols as i64;
    Kernel {
        name: "row_and_sum".to_owned(),
        skeleton: Skeleton::Rows,
        outer: vec![2, 4 / cols, 3],
        cols,
        operands: vec![
            operand(Dtype::F32, false, &[0, 0, wide], 0, 1),
            operand(Dtype::F32, true, &[12, wide, 4], 0, 1),
        ],
        body: b.finish(),
    }
}

#[test]
fn an_epilogue_reads_the_sums_of_its_block() {
    for cols in [1, 2, 4] {
        let mut schedule = schedule();
        schedule.buffers.truncate(2);
        schedule.buffers[1].shape = vec![14];
        schedule.buffers.push(Buffer { shape: vec![24], ..schedule.buffers[1].clone() });
        schedule.kernels = vec![row_and_sum(cols)];
        let mut product = mapped_product(cols);
        let args = vec![EpilogueArg::Sums, EpilogueArg::Memory(arg(2, 0))];
        product.epilogue = Some(Epilogue { kernel: 0, args, cols });
        schedule.functions[0].tasks = vec![Task::Product { product, origin: String::new() }];
        let x: Vec<f32> = (1..=14).map(|x| x as f32).collect();
        let mut memory = memory(&schedule);
        memory.0[1] = Data::F32(x.clone());
        let target = target(512);
        assert!(eval_schedule(&schedule, &target, "f", &mut memory));
        let sum = |z: usize, i: usize, j: usize| {
            x[z + 2 * i] * x[2 + 2 * j] + x[z + 2 * i + 1] * x[3 + 2 * j]
        };
        for at in 0..24 {
            let (z, i, j) = (at / 12, at / 4 % 3, at % 4);
            assert_eq!(f32s(&memory, 2)[at], 10.0 * sum(z, i, j) + i as f32, "{cols} {at}");
        }
        assert_eq!(memory.0.len(), 3);
    }
}

/// Two iterations over the batch axis of a product, one that adds and one that does not.
fn tiles(product: Product) -> Task {
    let part = Product { batch: vec![], a_strides: [2, 0], ..product };
    let late = Product { adds: Adds::AfterFirst, b: arg(1, 0), ..part.clone() };
    let always = Product { adds: Adds::Always, ..part.clone() };
    let task = |product| Task::Product { product, origin: "there".to_owned() };
    let body = [part, late, always].map(task).to_vec();
    Task::Tiles { count: 2, body, advance: vec![(BufferId(1), 1), (BufferId(5), 9)] }
}

#[test]
fn tiles_move_on_and_add_after_the_first() {
    let k = 12;
    let (a, b) = (rough(k), rough(2 * k)[k..].to_vec());
    let whole = Product {
        a: arg(0, 0),
        b: arg(1, 0),
        c: Some(arg(2, 0)),
        batch: vec![],
        m: 1,
        n: 1,
        k: k as u64,
        a_strides: [0, 1],
        b_strides: [1, 0],
        c_strides: [1, 1],
        adds: Adds::Never,
        epilogue: None,
    };
    let target = target(4);
    let run = |task: Task| {
        let zeros = Data::F32(vec![0.5]);
        let mut memory = Memory(vec![Data::F32(a.clone()), Data::F32(b.clone()), zeros]);
        let buffers = vec![schedule().buffers[1].clone(); 3];
        let schedule = Schedule { buffers, ..Schedule::default() };
        ir::eval::schedule::eval_task(&task, &schedule, &target, &mut memory);
        f32s(&memory, 2)[0].to_bits()
    };
    let task = |product: Product| Task::Product { product, origin: String::new() };
    let part = |adds| task(Product { k: 4, adds, ..whole.clone() });
    let tiles = |adds, by| {
        let advance = vec![(BufferId(0), by), (BufferId(1), 4)];
        Task::Tiles { count: 3, body: vec![part(adds)], advance }
    };
    let expected = run(task(whole.clone()));
    assert_eq!(run(tiles(Adds::AfterFirst, 4)), expected);
    assert_ne!(run(tiles(Adds::AfterFirst, 3)), expected, "another advance is another sum");
    assert_ne!(run(tiles(Adds::Always, 4)), expected, "it starts from what is there");
    assert_ne!(run(tiles(Adds::Never, 4)), expected, "only the last rows are left");
}

#[test]
fn scatter_sums_in_position_order_and_leaves_out_other_ids() {
    let mut schedule = schedule();
    schedule.functions[0].tasks.truncate(2);
    let target = target(1);
    let mut memory = memory(&schedule);
    memory.0[0] = Data::I32(vec![2, -1, 0, 2, 3]);
    memory.0[1] = Data::F32((1..=10).map(|x| x as f32).collect());
    assert!(eval_schedule(&schedule, &target, "f", &mut memory));
    assert_eq!(memory.0[2], Data::I32(vec![2, 0, 3, 0, 0]));
    assert_eq!(memory.0[3], Data::I32(vec![0, 1, 1, 3]));
    assert_eq!(f32s(&memory, 4), [5.0, 6.0, 0.0, 0.0, 8.0, 10.0]);
    assert!(!eval_schedule(&schedule, &target, "g", &mut memory));
}

#[test]
fn a_product_adds_slices_of_k() {
    let k = 11;
    let (a, b) = (rough(k), rough(2 * k)[k..].to_vec());
    let product = Product {
        a: arg(0, 0),
        b: arg(1, 0),
        c: Some(arg(2, 0)),
        batch: vec![],
        m: 1,
        n: 1,
        k: k as u64,
        a_strides: [0, 1],
        b_strides: [1, 0],
        c_strides: [1, 1],
        adds: Adds::Never,
        epilogue: None,
    };
    let mut memory = Memory(vec![Data::F32(a.clone()), Data::F32(b.clone()), Data::F32(vec![0.0])]);
    ir::eval::schedule::eval_product(&product, 4, Dtype::F32, &mut memory);
    let slice = |r: std::ops::Range<usize>| r.fold(0f32, |s, l| a[l].mul_add(b[l], s));
    let expected = slice(0..4) + slice(4..8) + slice(8..11);
    assert_eq!(f32s(&memory, 2)[0].to_bits(), expected.to_bits());
}

#[test]
fn kernels_parse_back_equal() {
    let mut odd = softmax(2, 3);
    let mut b = Body::new();
    for dtype in Dtype::ALL {
        for value in [0.0, -0.0, 0.1, -7.0, f64::INFINITY, f64::NEG_INFINITY, f64::NAN, 1e-300] {
            b.constant(dtype, value);
        }
    }
    b.bits(Dtype::F32, 0xffff_ffff);
    let (x, i) = (b.load(0, Dtype::F32), b.col());
    let y = b.outer(0);
    let z = b.apply(Scalar::Shl, &[i, y]);
    b.apply(Scalar::Cast(Dtype::F64), &[x]);
    b.apply(Scalar::Bitcast(Dtype::F32), &[z]);
    b.apply(Scalar::Philox, &[i, y, z, i, y]);
    b.reduce(Reduction::Min, x);
    odd.body = b.finish();
    odd.operands[0].col = -3;
    for kernel in [softmax(2, 3), column_sum(7, 3, 4), segment_sum(3, 2, 5), odd] {
        let text = print_kernel(&kernel);
        assert_eq!(parse_kernel(&text).as_ref(), Ok(&kernel), "{text}");
        assert_eq!(print_kernel(&parse_kernel(&text).unwrap()), text);
        let again = ir::expand::expand_kernel(&kernel);
        assert_eq!(parse_kernel(&print_kernel(&again)), Ok(again));
    }
}

#[test]
fn schedules_parse_back_equal() {
    let schedule = schedule();
    let text = print_schedule(&schedule);
    assert_eq!(parse_schedule(&text).as_ref(), Ok(&schedule), "{text}");
}

#[test]
fn broken_text_is_an_error_with_its_line() {
    let text = print_schedule(&schedule());
    for end in 0..text.len() - 2 {
        let _ = parse_schedule(&text[..end]);
    }
    let error = parse_schedule("schedule\n$0 = nothing \"x\" : f32[1]").unwrap_err();
    assert_eq!(error.line, 2);
    assert_eq!(error.found, "nothing");
    assert!(parse_kernel("kernel \"x").is_err());
    assert!(ir::text::parse_module("module\nfn \"f\" {\n %0 = ad %0 : f32[]\n}").is_err());
}
