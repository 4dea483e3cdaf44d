//! Round trips of small and of random plans, and refusals.

use crate::{
    Adds, Arg, Attention, Band, BatchAxis, Buffer, BufferId, Checkpoint, Clean, Code, Column,
    Columns, Count, Data, Dtype, EarlyStop, Epilogue, EpilogueArg, Eval, Fields, Filter, Format,
    Function, FunctionId, Launch, LaunchArg, Limit, LossOn, Normalize, OnNan, Pack, Pass, Plan,
    Product, Role, Run, Sample, Scratch, Shuffle, Source, Split, Start, Step, Strided, Task,
    TileArg, TileKernel, Tokenizer, Yield,
};

/// A small generator of test data; its numbers mean nothing.
struct Rng(u64);

impl Rng {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(0x1405_7b7e_f767_814f);
        self.0 >> 20
    }

    fn below(&mut self, n: u64) -> u64 {
        self.next() % n
    }

    fn flag(&mut self) -> bool {
        self.below(2) == 1
    }

    fn text(&mut self) -> String {
        const CHARS: [char; 12] =
            ['a', 'Z', '"', '\\', '\n', '\r', '\t', '{', '}', '|', 'é', '\u{0}'];
        (0..self.below(8)).map(|_| CHARS[self.below(12) as usize]).collect()
    }

    fn real(&mut self) -> f64 {
        f64::from_bits(self.next() << 8 | 0x3000_0000_0000_0000) * 1e3
    }

    fn some<T>(&mut self, make: impl Fn(&mut Rng) -> T) -> Option<T> {
        if self.flag() { Some(make(self)) } else { None }
    }

    fn many<T>(&mut self, make: impl Fn(&mut Rng) -> T) -> Vec<T> {
        (0..self.below(4)).map(|_| make(self)).collect()
    }

    fn arg(&mut self) -> Arg {
        Arg { buffer: BufferId(self.below(9) as u32), offset: self.below(2) * 64 }
    }

    fn launch(&mut self) -> Launch {
        let one = |r: &mut Rng| match r.flag() {
            true => LaunchArg::Memory(r.arg()),
            false => LaunchArg::Iteration,
        };
        Launch {
            code: self.below(9) as u32,
            args: self.many(one),
            blocks: self.below(99),
            threads: self.below(1024) as u32,
            shared_bytes: self.below(9999),
            flops: self.next(),
        }
    }

    fn signed(&mut self) -> i64 {
        self.below(2000) as i64 - 1000
    }

    fn product(&mut self) -> Product {
        Product {
            a: self.arg(),
            b: self.arg(),
            c: self.some(Rng::arg),
            batch: self.many(|r| BatchAxis {
                size: r.below(9),
                strides: [r.signed(), r.signed(), r.signed()],
            }),
            m: self.below(99),
            n: self.below(99),
            k: self.below(99),
            a_strides: [self.signed(), self.signed()],
            b_strides: [self.signed(), self.signed()],
            c_strides: [self.signed(), self.signed()],
            k_slice: self.below(512),
            adds: [Adds::Never, Adds::AfterFirst, Adds::Always][self.below(3) as usize],
            epilogue: self.some(|r| Epilogue {
                code: r.below(5) as u32,
                args: r.many(|r| r.some(Rng::arg).map_or(EpilogueArg::Sums, EpilogueArg::Memory)),
                cols: r.below(99),
            }),
        }
    }

    fn strided(&mut self) -> Strided {
        Strided { arg: self.arg(), strides: std::array::from_fn(|_| self.signed()) }
    }

    fn tile_kernel(&mut self) -> TileKernel {
        let arg = |r: &mut Rng| match r.below(3) {
            0 => TileArg::Scratch(Scratch::ALL[r.below(6) as usize]),
            1 => TileArg::Origin,
            _ => {
                let Strided { arg, strides } = r.strided();
                TileArg::Global { arg, strides }
            }
        };
        TileKernel { code: self.below(9) as u32, args: self.many(arg) }
    }

    fn attention(&mut self) -> Attention {
        let pass = if self.flag() {
            Pass::Forward { score: self.tile_kernel(), finish: self.tile_kernel() }
        } else {
            Pass::Backward {
                dout: self.strided(),
                dq: self.strided(),
                dk: self.strided(),
                dv: self.strided(),
                weights: self.tile_kernel(),
            }
        };
        Attention {
            batch: self.below(9),
            heads: self.below(9),
            groups: self.below(9),
            rows: self.below(99),
            keys: self.below(99),
            width: self.below(99),
            value_width: self.below(99),
            row_tile: self.below(99),
            key_tile: self.below(99),
            band: Band {
                causal: self.flag(),
                window: self.some(|r| r.below(99)),
                offset: self.some(Rng::arg),
            },
            q: self.strided(),
            k: self.strided(),
            v: self.strided(),
            pass,
        }
    }

    fn step(&mut self, depth: u64) -> Step {
        match self.below(if depth < 3 { 9 } else { 7 }) {
            0 | 1 => Step::Kernel {
                code: self.below(5) as u32,
                args: self.many(Rng::arg),
                extent: self.next(),
                grain: self.below(512),
                origin: self.text(),
            },
            2 => Step::Product { product: self.product(), origin: self.text() },
            3 => Step::Sort {
                ids: self.arg(),
                n: self.below(99),
                rows: self.below(99),
                order: self.arg(),
                starts: self.arg(),
            },
            4 => Step::Call(FunctionId(self.below(3) as u32)),
            5 => Step::Yield(if self.flag() { Yield::Batch } else { Yield::Metrics }),
            6 => Step::Attention { attention: self.attention(), origin: self.text() },
            7 => Step::Launch { launch: self.launch(), origin: self.text() },
            8 => Step::Tiles {
                count: self.below(9),
                body: self.many(|r| r.step(depth + 1)),
                advance: self.many(|r| (BufferId(r.below(9) as u32), r.below(99))),
            },
            _ => Step::Loop { count: Count::Accumulate, body: self.many(|r| r.step(depth + 1)) },
        }
    }

    fn one_of<T: Clone>(&mut self, values: &[T]) -> T {
        values[self.below(values.len() as u64) as usize].clone()
    }

    fn source(&mut self) -> Source {
        let (a, b) = (self.text(), self.text());
        let numbered = Column::Number(self.below(9) as u32);
        let (text, label) = (Column::Name(a.clone()), self.some(|r| Column::Name(r.text())));
        let header = self.one_of(&[None, Some(true), Some(false)]);
        let format = self.one_of(&[
            Format::Text,
            Format::Tokens,
            Format::Jsonl(Fields::Text { text: a.clone(), label: None }),
            Format::Jsonl(Fields::Text { text: a.clone(), label: Some(b.clone()) }),
            Format::Jsonl(Fields::Pair { prompt: a.clone(), completion: b }),
            Format::Jsonl(Fields::Messages(a)),
            Format::Table { columns: Columns::Text { text: text.clone(), label }, header },
            Format::Table { columns: Columns::Pair { prompt: numbered, completion: text }, header },
        ]);
        Source {
            name: self.some(Rng::text),
            paths: self.many(Rng::text),
            format,
            share: self.some(Rng::real),
        }
    }

    fn data(&mut self) -> Data {
        let (n, text) = (self.next(), self.text());
        let (share, keep, random) = (self.real(), self.real(), self.real());
        Data {
            sources: self.many(Rng::source),
            tokenizer: self.one_of(&[
                Tokenizer::Bytes,
                Tokenizer::Chars,
                Tokenizer::Words(n),
                Tokenizer::Bpe(n),
                Tokenizer::WordPiece(n),
                Tokenizer::Gpt2,
                Tokenizer::File(text.clone()),
                Tokenizer::Ids(n),
            ]),
            splits: self.many(|r| Split { name: r.text(), share: r.real() }),
            stratified: self.flag(),
            shuffle: self.one_of(&[Shuffle::None, Shuffle::Full, Shuffle::Window(n)]),
            pack: self.one_of(&[Pack::Documents, Pack::Rows]),
            loss_on: self.one_of(&[LossOn::Everything, LossOn::Completion]),
            task: self.one_of(&[
                Task::NextToken,
                Task::Classes { n: None },
                Task::Classes { n: Some(n) },
                Task::Masked { share, keep, random },
            ]),
            clean: Clean {
                normalize: self.many(|r| {
                    r.one_of(&[
                        Normalize::Nfc,
                        Normalize::Nfkc,
                        Normalize::Lowercase,
                        Normalize::Whitespace,
                    ])
                }),
                filters: self.many(|r| {
                    r.one_of(&[
                        Filter::MinChars(n),
                        Filter::MaxChars(n),
                        Filter::Has(text.clone()),
                        Filter::Lacks(text.clone()),
                    ])
                }),
                dedup: self.flag(),
                limit: self.one_of(&[None, Some(Limit::Documents(n)), Some(Limit::Tokens(n))]),
            },
        }
    }

    fn run(&mut self) -> Run {
        Run {
            steps: self.next(),
            batch: self.below(99),
            micro_batch: self.below(99),
            accumulate: self.below(99),
            context: self.below(99),
            seed: u64::MAX - self.below(9),
            vocab: self.below(999),
            data: self.data(),
            start: self.some(|r| Start { checkpoint: r.text(), sha256: r.text() }),
            eval: self.some(|r| Eval { every: r.below(9), batches: r.some(|r| r.below(9)) }),
            checkpoint: self.some(|r| Checkpoint {
                path: r.some(Rng::text),
                every: r.below(9),
                every_s: r.some(Rng::real),
                keep: r.some(|r| r.below(9)),
                best_val_loss: r.flag(),
            }),
            samples: self.many(|r| Sample {
                prompt: r.some(Rng::text),
                every: r.some(|r| r.below(9)),
                length: r.below(300),
                temperature: r.real(),
                top_k: r.some(|r| r.below(9)),
                top_p: r.real(),
            }),
            identity: self.text(),
            trajectory: self.text(),
            stop_below_val_loss: self.some(Rng::real),
            stop_after_s: self.some(Rng::real),
            early_stop: self.some(|r| EarlyStop { patience: r.below(99), min_delta: r.real() }),
            on_nan: if self.flag() { OnNan::Stop } else { OnNan::Skip { limit: self.below(99) } },
            exact_resume: self.flag(),
            min_scale: self.some(Rng::real),
        }
    }

    fn buffer(&mut self) -> Buffer {
        const ROLES: [Role; 11] = [
            Role::Param,
            Role::Cast,
            Role::Grad,
            Role::OptState,
            Role::Counter,
            Role::Metric,
            Role::Input,
            Role::Output,
            Role::Cache,
            Role::Flat,
            Role::Temp,
        ];
        Buffer {
            name: self.text(),
            dtype: Dtype::ALL[self.below(5) as usize],
            shape: self.many(|r| r.below(99)),
            role: ROLES[self.below(11) as usize],
            offset: self.next() * 64,
            bytes: self.next(),
            within: [None, Some(BufferId(self.below(9) as u32))][self.below(2) as usize],
        }
    }

    fn plan(&mut self) -> Plan {
        Plan {
            name: self.text(),
            compiler: self.text(),
            target: self.text(),
            buffers: self.many(Rng::buffer),
            arena_bytes: self.next(),
            code: self.many(|r| Code { name: r.text(), text: r.text() }),
            functions: self.many(|r| Function { name: r.text(), steps: r.many(|r| r.step(0)) }),
            run: self.run(),
        }
    }
}

#[test]
fn random_plans_read_back_equal() {
    let mut rng = Rng(7);
    for _ in 0..2000 {
        let plan = rng.plan();
        let text = plan.print();
        assert_eq!(Plan::parse(&text).as_ref(), Ok(&plan), "{text}");
        assert_eq!(Plan::parse(&text).unwrap().print(), text);
    }
}

#[test]
fn a_cut_or_changed_text_never_panics() {
    let mut rng = Rng(11);
    for _ in 0..60 {
        let text = rng.plan().print();
        for end in (0..text.len()).filter(|&end| text.is_char_boundary(end)) {
            let _ = Plan::parse(&text[..end]);
        }
        let mut bytes = text.into_bytes();
        for _ in 0..200 {
            let at = rng.below(bytes.len() as u64) as usize;
            bytes[at] = b"{}()[]|\" 9-"[rng.below(11) as usize];
            let _ = Plan::parse(&String::from_utf8_lossy(&bytes));
        }
    }
}

#[test]
fn the_hash_follows_the_content() {
    let mut plan = Rng(3).plan();
    let before = plan.hash();
    assert_eq!(before.len(), 64);
    assert_eq!(before, plan.clone().hash());
    plan.run.seed ^= 1;
    assert_ne!(before, plan.hash());
}

#[test]
fn another_format_is_refused_with_a_sentence() {
    let error = Plan::parse("plan 9\nwhatever").unwrap_err();
    assert_eq!(
        error.to_string(),
        "plan, line 1: the plan has format 9, this program reads format 3; compile the spec again"
    );
}

#[test]
fn deep_loops_are_refused() {
    let mut plan = Rng(5).plan();
    let mut step = Step::Yield(Yield::Batch);
    for _ in 0..40 {
        step = Step::Loop { count: Count::Accumulate, body: vec![step] };
    }
    plan.functions = vec![Function { name: "deep".to_owned(), steps: vec![step] }];
    assert!(Plan::parse(&plan.print()).unwrap_err().message.contains("nested deeper"));
}

#[test]
fn the_short_form_names_code_by_length() {
    let mut plan = Rng(9).plan();
    plan.code = vec![Code { name: "k0".to_owned(), text: "a\nb\n".to_owned() }];
    assert!(plan.print_steps().contains("code c0 \"k0\" lines 3\n"));
    assert!(Plan::parse(&plan.print_steps()).unwrap_err().message.contains("whole plan"));
}
