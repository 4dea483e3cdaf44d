//! Runs in 16 bits: the copies of weights, and what a checkpoint need not hold.

use exec::executor::{Executor, Options};
use exec::signal::Stop;
use exec::train::{self, Event, Outcome};
use plan::{BufferId, Plan, Role};

use crate::backend::Silent;
use crate::folder::{Folder, dropout, gpt};
use crate::plans::compiled;

/// The bytes of all copies of weights.
fn copies(executor: &Executor) -> Vec<(String, Vec<u8>)> {
    let buffers = (0..).map(BufferId).zip(&executor.plan().buffers);
    let copies = buffers.filter(|(_, b)| b.role == Role::Cast);
    copies.map(|(id, b)| (b.name.clone(), executor.memory().bytes(id).to_vec())).collect()
}

#[test]
fn an_update_leaves_the_copies_that_refresh_makes() {
    for precision in ["bf16", "fp16", "fp16 master bf16"] {
        let plan = compiled(&gpt(&format!("steps 9\nprecision {precision}"))).plan;
        let function = |name: &str| plan.function(name).unwrap();
        let mut executor = Executor::load(plan.clone(), &Options::threads(2)).unwrap();
        executor.call(function("init"), &mut Silent).unwrap();
        executor.refresh().unwrap();
        let first = copies(&executor);
        assert_eq!(first.len(), 5, "{precision}: four matrices of the block, and the embedding");
        for _ in 0..3 {
            executor.call(function("micro"), &mut Silent).unwrap();
            executor.call(function("update"), &mut Silent).unwrap();
        }
        let updated = copies(&executor);
        assert!(updated.iter().zip(&first).all(|(new, old)| new != old), "{precision}");
        executor.refresh().unwrap();
        assert!(copies(&executor) == updated, "{precision}");
    }
}

/// Trains to the end, or until a step is done.
fn train(folder: &Folder, plan: &Plan, name: &str, until: u64) -> Outcome {
    let (_, corpus) = data::scan(&plan.run.data, &folder.at(""), None).unwrap();
    let stop = Stop::default();
    let mut report = |event| {
        if let Event::Step(row) = event
            && row.step == until
        {
            stop.request();
        }
    };
    let options = Options::threads(2);
    train::train(plan.clone(), &corpus, &folder.at(name), &options, &stop, &mut report).unwrap()
}

#[test]
fn a_run_in_16_bits_goes_on_with_the_same_bits() {
    let folder = Folder::new("narrow");
    for precision in ["bf16", "fp16", "bf16 master bf16 reduce bf16"] {
        let plan = compiled(&dropout(&format!("steps 6\nprecision {precision}"))).plan;
        let [whole, parts] = ["whole", "parts"].map(|part| format!("{part}-{precision}"));
        for run in [&whole, &parts] {
            std::fs::create_dir(folder.at(run)).unwrap();
        }
        train(&folder, &plan, &whole, 99);
        let first = train(&folder, &plan, &parts, 3);
        assert_eq!(first, Outcome::Preempted { step: 3, saved: true });
        train(&folder, &plan, &parts, 99);
        assert_eq!(folder.rows(&whole), folder.rows(&parts));
        let [whole, parts] = [whole, parts].map(|run| folder.hash(&format!("{run}/step-6")));
        assert_eq!(whole, parts, "{precision}");
    }
}
