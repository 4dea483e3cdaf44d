//! A training program in a Rust program: built, checked, watched and read.
#![allow(clippy::print_stdout, reason = "an example shows what it does")]

use std::ops::ControlFlow::{Break, Continue};

use llmc::Spec;
use llmc::build::{self, call, percent, string};

/// Small enough to learn something in seconds.
fn model() -> build::Call {
    call("gpt").with("layers", 2).with("width", 64).with("heads", 4)
}

/// The text comes with this repository.
fn text() -> build::Call {
    call("text").arg(string("examples/data/shakespeare.txt"))
}

fn main() -> Result<(), llmc::Error> {
    // A directive that does not exist: the message points at the line below.
    let wrong = build::Spec::new().model(model()).data(text()).train(|t| {
        t.set("batch", 16)
            .set("acumulate", 8) // here
            .set("steps", 10)
    });
    print!("{}", Spec::built("wrong", &wrong).check()?.report());

    // The same language in place, checked while this file is compiled.
    let plain = llmc::spec! {
        model gpt(layers: 2, width: 64, heads: 4)
        data  text("examples/data/shakespeare.txt")
        train {
          batch   16
          context 32
          lr      3e-3
          steps   400
        }
    };
    let plain = plain.check()?.compile()?;
    println!("in place: {} weights", plain.parameters().len());

    let spec = build::Spec::new().model(model()).data(text()).train(|t| {
        t.set("batch", 16)
            .set("context", 32)
            .set("lr", 3e-3)
            .set("warmup", percent(5))
            .set("eval", ("every", 50, "batches", 10))
            .set("steps", 400)
    });
    let compiled = Spec::built("embed", &spec).check()?.compile()?;
    let taken = compiled.footprint();
    println!(
        "{} bytes in the arena, {} FLOPs a token",
        taken.arena_bytes,
        compiled.flops_a_token()
    );
    for setting in
        compiled.settings().iter().filter(|s| ["batch", "clip"].contains(&s.name.as_str()))
    {
        println!("{} = {} ({})", setting.name, setting.value, setting.origin);
    }

    // Enough is learnt once the validation loss is below 2.5 nats a byte.
    let mut run = compiled
        .training()
        .on_eval(|step, loss| {
            println!("step {step}: validation loss {loss:.2}");
            if loss < 2.5 { Break(()) } else { Continue(()) }
        })
        .start()?;
    println!("stopped at step {} of 400, saved in {}", run.step(), run.folder().display());

    let metrics = run.metrics()?;
    let loss = |at: usize| metrics.get(at).and_then(|row| row.loss).unwrap_or(f64::NAN);
    println!("loss {:.2} -> {:.2}", loss(0), loss(metrics.len() - 1));
    let table = run.weights("tok_emb.weight")?;
    println!("tok_emb.weight is {:?}, its first number {:.4}", table.shape, table.values[0]);
    println!("ROMEO:{}", run.generate("ROMEO:", 80, 0)?);
    Ok(())
}
