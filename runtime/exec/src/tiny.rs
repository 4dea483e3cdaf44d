//! The smallest program that trains, for tests of what runs around one.
//!
//! Its one gradient depends on every id and on their order, its update on all earlier ones.

use plan::{
    Arg, Buffer, BufferId, Checkpoint, Code, Count, Data, Dtype, Eval, Function, FunctionId, Plan,
    Role, Run, Split, Step, Tokenizer, Yield,
};

const BUFFERS: [(&str, Dtype, &[u64], Role); 20] = [
    ("ids", Dtype::I32, &[2, 4], Role::Input),
    ("targets", Dtype::I32, &[2, 4], Role::Input),
    ("row", Dtype::I32, &[], Role::Input),
    ("seed", Dtype::I32, &[], Role::Counter),
    ("w", Dtype::F32, &[2, 2], Role::Param),
    ("w.m", Dtype::F32, &[2, 2], Role::OptState),
    ("g", Dtype::F64, &[], Role::Grad),
    ("loss", Dtype::F64, &[], Role::Metric),
    ("tokens", Dtype::F64, &[], Role::Metric),
    ("lr", Dtype::F64, &[], Role::Metric),
    ("grad_norm", Dtype::F64, &[], Role::Metric),
    ("finite", Dtype::F64, &[], Role::Metric),
    ("applied_updates", Dtype::F64, &[], Role::Counter),
    ("consumed_batches", Dtype::F64, &[], Role::Counter),
    ("eval.ids", Dtype::I32, &[2, 4], Role::Input),
    ("eval.targets", Dtype::I32, &[2, 4], Role::Input),
    ("eval.loss_sum", Dtype::F64, &[], Role::Metric),
    ("eval.tokens", Dtype::F64, &[], Role::Metric),
    ("b", Dtype::F32, &[3], Role::Param),
    ("skipped_updates", Dtype::F64, &[], Role::Counter),
];

/// w[0] = seed.
const INIT: &str = "function %init(i64, i64, i64) {
block0(v0: i64, v1: i64, v2: i64):
  v3 = load.i64 v0
  v4 = load.i64 v0+8
  v5 = load.i32 v3
  v6 = fcvt_from_sint.f32 v5
  store v6, v4
  return
}";

/// g = 0.75 g + id for every id.
const MICRO: &str = "function %micro(i64, i64, i64) {
block0(v0: i64, v1: i64, v2: i64):
  v3 = load.i64 v0
  v4 = load.i64 v0+8
  v5 = load.f64 v4
  v6 = iconst.i64 0
  jump block1(v6, v5)
block1(v7: i64, v8: f64):
  v9 = iadd v3, v7
  v10 = load.i32 v9
  v11 = fcvt_from_sint.f64 v10
  v12 = f64const 0x1.8p-1
  v13 = fmul v8, v12
  v14 = fadd v13, v11
  v15 = iconst.i64 4
  v16 = iadd v7, v15
  v17 = iconst.i64 32
  v18 = icmp ult v16, v17
  brif v18, block1(v16, v14), block2(v14)
block2(v19: f64):
  store v19, v4
  return
}";

/// w = 0.75 w + g; m = w + m; the metrics and counters; g = 0.
const UPDATE: &str = "function %update(i64, i64, i64) {
block0(v0: i64, v1: i64, v2: i64):
  v3 = load.i64 v0
  v4 = load.i64 v0+8
  v5 = load.i64 v0+16
  v6 = load.i64 v0+24
  v7 = load.i64 v0+32
  v8 = load.i64 v0+40
  v9 = load.i64 v0+48
  v10 = load.i64 v0+56
  v11 = load.i64 v0+64
  v12 = load.f64 v3
  v13 = fdemote.f32 v12
  v14 = load.f32 v4
  v15 = f32const 0x1.8p-1
  v16 = fmul v14, v15
  v17 = fadd v16, v13
  store v17, v4
  v18 = load.f32 v5
  v19 = fadd v18, v17
  store v19, v5
  v20 = fpromote.f64 v19
  v21 = f64const 0x1.0p-10
  v22 = fmul v20, v21
  store v22, v6
  v23 = f64const 0x1.0p4
  store v23, v7
  store v12, v8
  v24 = f64const 0x1.0
  store v24, v9
  v25 = load.f64 v10
  v26 = fadd v25, v24
  store v26, v10
  v27 = load.f64 v11
  v28 = f64const 0x1.0
  v29 = fadd v27, v28
  store v29, v11
  v30 = f64const 0.0
  store v30, v3
  return
}";

/// The sum is that of the ids with a target, over w.
const EVAL: &str = "function %eval(i64, i64, i64) {
block0(v0: i64, v1: i64, v2: i64):
  v3 = load.i64 v0
  v4 = load.i64 v0+8
  v5 = load.i64 v0+16
  v6 = load.i64 v0+24
  v7 = load.i64 v0+32
  v8 = load.f32 v5
  v9 = fpromote.f64 v8
  v10 = f64const 0.0
  v11 = iconst.i64 0
  jump block1(v11, v10, v10)
block1(v12: i64, v13: f64, v14: f64):
  v15 = iadd v3, v12
  v16 = load.i32 v15
  v17 = iadd v4, v12
  v18 = load.i32 v17
  v19 = iconst.i32 0
  v20 = icmp sge v18, v19
  v21 = fcvt_from_sint.f64 v16
  v22 = fdiv v21, v9
  v23 = f64const 0x1.0
  v24 = select v20, v22, v10
  v25 = select v20, v23, v10
  v26 = fadd v13, v24
  v27 = fadd v14, v25
  v28 = iconst.i64 4
  v29 = iadd v12, v28
  v30 = iconst.i64 32
  v31 = icmp ult v29, v30
  brif v31, block1(v29, v26, v27), block2(v26, v27)
block2(v32: f64, v33: f64):
  store v32, v6
  store v33, v7
  return
}";

fn kernel(code: u32, names: &[&str]) -> Step {
    let arg = |name: &&str| {
        let idx = BUFFERS.iter().position(|b| b.0 == *name).unwrap();
        Arg { buffer: BufferId(idx as u32), offset: 0 }
    };
    let args = names.iter().map(arg).collect();
    Step::Kernel { code, args, extent: 1, grain: 1, origin: String::new() }
}

fn functions() -> Vec<Function> {
    let function = |name: &str, steps: Vec<Step>| Function { name: name.to_owned(), steps };
    let micro = vec![Step::Yield(Yield::Batch), kernel(1, &["ids", "g"])];
    let update = [
        "g",
        "w",
        "w.m",
        "loss",
        "tokens",
        "grad_norm",
        "finite",
        "applied_updates",
        "consumed_batches",
    ];
    let body = vec![Step::Call(FunctionId(1))];
    let step = vec![
        Step::Loop { count: Count::Accumulate, body },
        kernel(2, &update),
        Step::Yield(Yield::Metrics),
    ];
    let eval = ["eval.ids", "eval.targets", "w", "eval.loss_sum", "eval.tokens"];
    vec![
        function("init", vec![kernel(0, &["seed", "w"])]),
        function("micro", micro),
        function("step", step),
        function("eval", vec![kernel(3, &eval)]),
    ]
}

fn buffers() -> (Vec<Buffer>, u64) {
    let mut offset = 0;
    let mut buffers = Vec::new();
    for (name, dtype, shape, role) in BUFFERS {
        let width = if dtype == Dtype::F64 { 8 } else { 4 };
        let bytes = shape.iter().product::<u64>() * width;
        buffers.push(Buffer {
            name: name.into(),
            dtype,
            shape: shape.to_vec(),
            role,
            offset,
            bytes,
        });
        offset += bytes.next_multiple_of(plan::ALIGN);
    }
    (buffers, offset)
}

/// The program: 12 steps of 2 × 2 sequences of 4 bytes.
pub(crate) fn plan() -> Plan {
    let (buffers, arena_bytes) = buffers();
    let codes = [("init", INIT), ("micro", MICRO), ("update", UPDATE), ("eval", EVAL)];
    let split = |name: &str, share| Split { name: name.to_owned(), share };
    Plan {
        name: "tiny".to_owned(),
        compiler: "test".to_owned(),
        target: "cpu".to_owned(),
        buffers,
        arena_bytes,
        code: codes.map(|(name, text)| Code { name: name.into(), text: text.into() }).to_vec(),
        functions: functions(),
        run: Run {
            steps: 12,
            batch: 4,
            micro_batch: 2,
            accumulate: 2,
            context: 4,
            seed: 3,
            vocab: 256,
            data: Data {
                paths: vec!["*.txt".to_owned()],
                tokenizer: Tokenizer::Bytes,
                splits: vec![split("train", 0.9), split("val", 0.1)],
                shuffle: true,
            },
            eval: Some(Eval { every: 4, batches: Some(1) }),
            checkpoint: Some(Checkpoint {
                path: None,
                every: 3,
                every_s: None,
                keep: Some(3),
                best_val_loss: true,
            }),
            samples: Vec::new(),
            identity: "i".to_owned(),
            trajectory: "t".to_owned(),
            stop_below_val_loss: None,
            stop_after_s: None,
            on_nan: plan::OnNan::Stop,
            min_scale: None,
        },
    }
}
