//! Twins of the examples of data: one for each format.

use build::{Block, Call, Spec, call, k, percent, several, string};

fn model(name: &str, width: u32) -> Call {
    call(name).with("layers", 2).with("width", width).with("heads", 4)
}

/// What these examples train with.
fn train(t: Block, batch: u32, context: u32, lr: f64, steps: u32) -> Block {
    t.set("batch", batch).set("context", context).set("lr", lr).set("steps", steps)
}

fn usual(spec: Spec) -> Spec {
    spec.train(|t| train(t, 16, 64, 2e-3, 300))
}

fn gpt() -> Spec {
    Spec::new().model(model("gpt", 128))
}

fn file(source: &str, path: &str) -> Call {
    call(source).arg(string(path))
}

pub(crate) fn authors() -> Spec {
    let table = file("table", "data/authors.tsv").with("text", 2).with("label", 1);
    Spec::new()
        .model(model("classifier", 96))
        .data_with(table.with("header", false), |d| {
            d.set("split", several(["90% train", "10% val stratified"]))
        })
        .train(|t| train(t, 16, 320, 1e-3, 300))
}

pub(crate) fn chat() -> Spec {
    let turns = file("jsonl", "data/chat.jsonl").with("messages", string("turns"));
    gpt()
        .data_with(turns, |d| d.set("loss_on", "completion"))
        .train(|t| train(t, 16, 128, 2e-3, 300))
}

pub(crate) fn classics_bpe() -> Spec {
    let text = file("text", "data/classics_zh.txt").with("tokenizer", call("bpe").arg(k(8)));
    gpt().data(text).train(|t| train(t, 16, 64, 2e-3, 200))
}

pub(crate) fn classics_chars() -> Spec {
    usual(gpt().data(file("text", "data/classics_zh.txt").with("tokenizer", "chars")))
}

pub(crate) fn compressed() -> Spec {
    usual(gpt().data(file("text", "data/guwen.txt.zst")))
}

pub(crate) fn hidden() -> Spec {
    let text = file("text", "data/shakespeare.txt").with("tokenizer", "chars");
    Spec::new()
        .model(model("encoder", 128))
        .data_with(text, |d| d.set("mask", percent(15)))
        .train(|t| train(t, 16, 64, 2e-3, 500))
}

pub(crate) fn mixture() -> Spec {
    let shares = several([("plays", percent(70)), ("talks", percent(30))]);
    let spec = Spec::new()
        .data_named("plays", file("text", "data/shakespeare.txt"))
        .data_named("talks", file("jsonl", "data/chat.jsonl").with("messages", string("turns")))
        .data_with("both", |d| d.set("mix", shares))
        .model(model("gpt", 128));
    usual(spec)
}

pub(crate) fn poems() -> Spec {
    let table = file("table", "data/poems.parquet").with("text", string("text"));
    gpt()
        .data_with(table, |d| {
            d.set("tokenizer", call("bpe").arg(k(1))).set("filter", ("min_chars", 20))
        })
        .train(|t| train(t, 8, 64, 2e-3, 200))
}

pub(crate) fn tokens() -> Spec {
    usual(gpt().data(file("tokens", "data/play.bin").with("vocab", 66)))
}
