//! The smallest program that trains, for tests of what runs around one.
//!
//! Its one gradient depends on every id and on their order, its update on all earlier ones.

use plan::{
    Arg, Buffer, BufferId, Checkpoint, Code, Count, Dtype, Eval, Function, FunctionId, Plan, Role,
    Run, Split, Step, Yield,
};

const BUFFERS: [(&str, Dtype, &[u64], Role); 27] = [
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
    ("loss_sum", Dtype::F64, &[], Role::Metric),
    ("token_sum", Dtype::F64, &[], Role::Metric),
    ("summed_batches", Dtype::F64, &[], Role::Metric),
    ("used_scale", Dtype::F64, &[], Role::Metric),
    ("skip_cause", Dtype::F64, &[], Role::Metric),
    ("recent_skipped", Dtype::F64, &[], Role::Metric),
    ("applied_updates", Dtype::F64, &[], Role::Counter),
    ("consumed_batches", Dtype::F64, &[], Role::Counter),
    ("eval.ids", Dtype::I32, &[2, 4], Role::Input),
    ("eval.targets", Dtype::I32, &[2, 4], Role::Input),
    ("eval.loss_sum", Dtype::F64, &[], Role::Metric),
    ("eval.tokens", Dtype::F64, &[], Role::Metric),
    ("b", Dtype::F32, &[3], Role::Param),
    ("skipped_updates", Dtype::F64, &[], Role::Counter),
    ("skips_in_row", Dtype::F64, &[], Role::Counter),
    ("loss_scale", Dtype::F64, &[], Role::Counter),
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

/// g = 0.75 g + id for every id, from 0 in the first micro-batch; g and 8 tokens into the sums.
const MICRO: &str = "function %micro(i64, i64, i64) {
block0(v0: i64, v1: i64, v2: i64):
  v3 = load.i64 v0
  v4 = load.i64 v0+8
  v5 = load.i64 v0+16
  v6 = load.i64 v0+24
  v7 = load.i64 v0+32
  v8 = load.f64 v4
  v9 = load.f64 v7
  v10 = f64const 0.0
  v11 = f64const 0x1.0
  v12 = fcmp eq v9, v10
  v13 = select v12, v10, v8
  v14 = iconst.i64 0
  jump block1(v14, v13)
block1(v15: i64, v16: f64):
  v17 = iadd v3, v15
  v18 = load.i32 v17
  v19 = fcvt_from_sint.f64 v18
  v20 = f64const 0x1.8p-1
  v21 = fmul v16, v20
  v22 = fadd v21, v19
  v23 = iconst.i64 4
  v24 = iadd v15, v23
  v25 = iconst.i64 32
  v26 = icmp ult v24, v25
  brif v26, block1(v24, v22), block2(v22)
block2(v27: f64):
  store v27, v4
  v28 = load.f64 v5
  v29 = fadd v28, v27
  store v29, v5
  v30 = load.f64 v6
  v31 = f64const 0x1.0p3
  v32 = fadd v30, v31
  store v32, v6
  v33 = fadd v9, v11
  store v33, v7
  return
}";

/// w = 0.75 w + g; m = w + m, when the loss is finite; the metrics and counters; the sums are 0.
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
  v12 = load.i64 v0+72
  v13 = load.i64 v0+80
  v14 = load.i64 v0+88
  v15 = load.i64 v0+96
  v16 = load.i64 v0+104
  v17 = load.i64 v0+112
  v20 = f64const 0.0
  v21 = f64const 0x1.0
  v22 = f64const 0x1.0p1
  v23 = load.f64 v9
  v24 = load.f64 v10
  v25 = fdiv v23, v24
  store v25, v6
  store v24, v7
  v26 = fsub v25, v25
  v27 = fcmp eq v26, v20
  v28 = load.f64 v3
  v29 = fdemote.f32 v28
  v30 = load.f32 v4
  v31 = f32const 0x1.8p-1
  v32 = fmul v30, v31
  v33 = fadd v32, v29
  v34 = select v27, v33, v30
  store v34, v4
  v35 = load.f32 v5
  v36 = fadd v35, v34
  v37 = select v27, v36, v35
  store v37, v5
  v38 = fpromote.f64 v37
  v39 = f64const 0x1.0p-10
  v40 = fmul v38, v39
  store v40, v8
  store v20, v9
  store v20, v10
  store v20, v11
  v41 = select v27, v21, v20
  v42 = load.f64 v12
  v43 = fadd v42, v41
  store v43, v12
  v44 = load.f64 v13
  v45 = fadd v44, v21
  store v45, v13
  v46 = select v27, v20, v22
  store v46, v14
  v47 = load.f64 v15
  v48 = fadd v47, v21
  v49 = select v27, v20, v48
  store v49, v15
  v50 = load.f64 v16
  v51 = fadd v50, v21
  v52 = fsub v51, v41
  store v52, v16
  store v21, v17
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
    let micro = ["ids", "g", "loss_sum", "token_sum", "summed_batches"];
    let update = [
        "g",
        "w",
        "w.m",
        "loss",
        "tokens",
        "grad_norm",
        "loss_sum",
        "token_sum",
        "summed_batches",
        "applied_updates",
        "consumed_batches",
        "skip_cause",
        "skips_in_row",
        "skipped_updates",
        "used_scale",
    ];
    let body = vec![Step::Yield(Yield::Batch), Step::Call(FunctionId(1))];
    let step = vec![
        Step::Loop { count: Count::Accumulate, body },
        kernel(2, &update),
        Step::Yield(Yield::Metrics),
    ];
    let eval = ["eval.ids", "eval.targets", "w", "eval.loss_sum", "eval.tokens"];
    vec![
        function("init", vec![kernel(0, &["seed", "w"])]),
        function("micro", vec![kernel(1, &micro)]),
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
            within: None,
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
            data: plan::Data {
                splits: vec![split("train", 0.9), split("val", 0.1)],
                ..plan::Data::text(vec!["*.txt".to_owned()], plan::Tokenizer::Bytes)
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
            early_stop: None,
            on_nan: plan::OnNan::Stop,
            start: None,
            exact_resume: false,
            min_scale: None,
        },
    }
}
