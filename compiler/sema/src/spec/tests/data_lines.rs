//! Sources, tokenizers and lines of a `data` block, and what its files hold.

use super::run;
use crate::program::{
    Column, Columns, Facts, Fields, Filter, Format, Limit, LossOn, Normal, Overlap, Pack, Program,
    Shuffle, Task, Tokenizer,
};
use crate::schema::{Home, Status};

const MODEL: &str = "model gpt(layers: 2, width: 4, heads: 2)\n";

/// Codes and messages of a `data` block with these lines.
pub(super) fn data(lines: &str) -> String {
    let text =
        format!("{MODEL}data text(\"a.txt\") {{\n{lines}\n}}\ntrain {{\nsteps 1k\nbatch 4\n}}\n");
    run(&text, &[], None).1
}

/// What is known of 1000 documents of 10 tokens.
fn facts() -> Facts {
    let of = |n: u64| vec![("train".to_owned(), n), ("val".to_owned(), n / 9)];
    Facts {
        vocab: Some(300),
        classes: Some(3),
        pad: Some(299),
        tokens: of(9000),
        documents: of(900),
        ..Facts::default()
    }
}

/// A run over a source with these lines.
fn over(model: &str, source: &str, lines: &str, facts: &Facts) -> (Option<Program>, String) {
    let text = format!(
        "model {model}\ndata {source} {{\n{lines}\n}}\ntrain {{\nsteps 100\nbatch 4\ncontext 8\nlr 1e-3\n}}\n"
    );
    run(&text, &[], Some(facts))
}

fn program(source: &str, lines: &str) -> Program {
    let (program, out) = over("gpt(layers: 1, width: 4, heads: 1)", source, lines, &facts());
    program.unwrap_or_else(|| panic!("{out}"))
}

#[test]
fn data_lines() {
    assert_eq!(data("tokenizer bytes\nsplit 80% train, 20% val\nshuffle none\npack documents"), "");
    assert_eq!(
        data("split 90% train, 20% val"),
        "3:1 E0703 splits add up to 110%\n  take 10% off one of them\n"
    );
    assert_eq!(
        data("split 100% val"),
        "3:1 E0703 there is no `train` split\n  call one of the shares `train`\n"
    );
    assert_eq!(
        data("batch 3"),
        "3:1 E0206 `batch` belongs to a `train` block\n  move it to `train`\n"
    );
}

#[test]
fn tokenizers_and_their_arguments() {
    let of = |text: &str| program("text(\"a\")", &format!("tokenizer {text}")).data.tokenizer;
    assert_eq!(of("bytes"), Tokenizer::Bytes);
    assert_eq!(of("chars"), Tokenizer::Chars);
    assert_eq!(of("words(5k)"), Tokenizer::Words(5000));
    assert_eq!(of("bpe(8k, train: true)"), Tokenizer::Bpe(8000));
    assert_eq!(of("wordpiece(vocab: 300)"), Tokenizer::Wordpiece(300));
    assert_eq!(of("gpt2"), Tokenizer::Gpt2);
    assert_eq!(of("\"t/{name}.json\""), Tokenizer::File("t/spec.json".to_owned()));
    let in_head = program("text(\"a\", tokenizer: bpe(1k))", "").data.tokenizer;
    assert_eq!(in_head, Tokenizer::Bpe(1000));
    assert_eq!(
        data("tokenizer bpe"),
        "3:11 E0305 `bpe` needs the number of its ids\n  write `bpe(8k)`\n"
    );
    assert_eq!(
        data("tokenizer bpe(100)"),
        "3:15 E0302 `bpe` must be within 257..16777216, found 100\n"
    );
    assert_eq!(
        data("tokenizer bytes(3)"),
        "3:11 E0305 `bytes` takes no arguments\n  write `bytes`\n"
    );
    assert_eq!(
        data("tokenizer bpe(8k, train: false)"),
        "3:26 E0302 `bpe` has no ids before it learns them\n  name a file that has one: `tokenizer \"tokenizer.json\"`\n"
    );
    assert_eq!(
        data("tokenizer bpe(8k, vocabulary: 2)"),
        "3:19 E0305 `bpe` has no argument `vocabulary`\n  did you mean `vocab`?\n"
    );
    assert_eq!(
        data("tokenizer bep(8k)"),
        "3:11 E0301 `tokenizer` does not take the name `bep`\n  did you mean `bpe`?\n"
    );
}

#[test]
fn sources_and_their_arguments() {
    let of = |source: &str| program(source, "").data.sources[0].format.clone();
    let text = |text: &str| text.to_owned();
    assert_eq!(of("jsonl(\"a\")"), Format::Jsonl(Fields::Text { text: text("text"), label: None }));
    assert_eq!(
        of("jsonl(\"a\", prompt: \"q\", completion: \"a\")"),
        Format::Jsonl(Fields::Pair { prompt: text("q"), completion: text("a") })
    );
    assert_eq!(of("jsonl(\"a\", messages: \"m\")"), Format::Jsonl(Fields::Messages(text("m"))));
    let columns = Columns::Text { text: Column::Number(2), label: None };
    assert_eq!(
        of("table(\"a.csv\", text: 2, header: false)"),
        Format::Table { columns, header: Some(false) }
    );
    assert_eq!(of("tokens(\"a.bin\", vocab: 300)"), Format::Tokens);
}

#[test]
fn sources_that_lack_something() {
    let says = |source: &str| over("gpt(layers: 1, width: 4, heads: 1)", source, "", &facts()).1;
    assert_eq!(
        says("table(\"a.csv\")"),
        "2:6 E0305 `table` needs the column of its text\n  write `text: \"name\"`, or `text: 1` for the first column\n"
    );
    assert_eq!(
        says("jsonl(\"a\", prompt: \"q\")"),
        "2:6 E0305 `jsonl` needs `completion`, too\n  add `completion: \"completion\"`\n"
    );
    assert_eq!(
        says("jsonl(\"a\", text: \"q\", messages: \"m\")"),
        "2:6 E0305 `jsonl` reads a text, a prompt with its completion, or messages\n  keep one of them\n"
    );
    assert_eq!(
        says("table(\"a\", text: body)"),
        "2:23 E0301 `text` of `table` takes the name of a column in quotes, or its number from 1, found the name `body`\n  write `\"body\"`\n"
    );
    assert_eq!(
        says("tokens(\"a.bin\")"),
        "2:6 E0305 `tokens` needs to know how many ids there are\n  add `tokenizer: gpt2`, or `vocab: 50257` for ids without text\n"
    );
    assert_eq!(
        says("tokens(\"a.bin\", tokenizer: bpe(8k))"),
        "2:22 E0706 `bpe(8000)` would be learned from text\n  name the tokenizer that made them: `gpt2` or a file\n"
    );
    assert_eq!(
        says("csv(\"a.csv\")"),
        "2:6 E0202 `csv` is no source of data\n  tables are read by `table(\"file\", text: \"column\")`\n"
    );
    assert_eq!(
        says("jsonl(\"a\", mesages: \"m\")"),
        "2:17 E0305 `jsonl` has no argument `mesages`\n  did you mean `messages`?\n"
    );
    assert_eq!(says("text()"), "2:6 E0305 `text` needs a file\n  write `text(\"input.txt\")`\n");
}

#[test]
fn lines_become_values() {
    let of = |lines: &str| program("jsonl(\"a\", messages: \"m\")", lines).data;
    assert_eq!(of("shuffle none").shuffle, Shuffle::None);
    assert_eq!(of("shuffle window 10k").shuffle, Shuffle::Window(10_000));
    assert_eq!(of("").shuffle, Shuffle::Full);
    assert_eq!(of("pack none").pack, Pack::Rows);
    assert_eq!(of("loss_on completion").loss_on, LossOn::Completion);
    assert_eq!(of("limit 5k tokens").clean.limit, Some(Limit::Tokens(5000)));
    assert_eq!(of("limit 5k").clean.limit, Some(Limit::Documents(5000)));
    assert!(of("dedup exact").clean.dedup && !of("dedup none").clean.dedup);
    assert_eq!(
        of("normalize nfkc lowercase whitespace").clean.normalize,
        [Normal::Nfkc, Normal::Lowercase, Normal::Whitespace]
    );
    let filters = of("filter min_chars 2 without \"x\"\nfilter contains \"y\"").clean.filters;
    let text = |text: &str| text.to_owned();
    assert_eq!(
        filters,
        [Filter::MinChars(2), Filter::Without(text("x")), Filter::Contains(text("y"))]
    );
    let masked = Task::Masked { share: 0.15, keep: 0.1, random: 0.0 };
    assert_eq!(of("mask 15% random 0%").task, masked);
}

#[test]
fn lines_that_do_not_fit_the_source() {
    assert_eq!(
        data("loss_on completion"),
        "3:1 E0706 `loss_on completion` needs to know what a completion is\n  name the parts: `jsonl(\"..\", prompt: \"..\", completion: \"..\")`, or `messages: \"..\"`\n"
    );
    let labels = "name them: `table(\"..\", text: \"..\", label: \"..\")`";
    assert_eq!(data("classes 3"), format!("3:1 E0706 `classes` needs labels\n  {labels}\n"));
    assert_eq!(
        data("split 50% train, 50% val stratified"),
        format!("3:1 E0706 `stratified` needs labels\n  {labels}\n")
    );
    let documents = "`jsonl(..)` and `table(..)` have documents; or remove the line";
    assert_eq!(
        data("filter min_chars 9 max_chars 3"),
        format!(
            "3:1 E0302 no document has at least 9 and at most 3 characters\n3:1 E0706 `filter` looks at documents, and this source has none\n  {documents}\n"
        )
    );
    assert_eq!(
        data("pack none"),
        format!(
            "3:1 E0706 `pack none` makes a row of each document, and this source has none\n  {documents}\n"
        )
    );
    assert_eq!(
        data("limit 5k"),
        "3:1 E0706 `limit` counts documents, and this source has none\n  count tokens: `limit 5000 tokens`\n"
    );
    assert_eq!(data("dedup none\nlimit 5k tokens"), "");
    assert_eq!(
        data("mask 15% keep 60% random 50%"),
        "3:1 E0302 `keep` and `random` add up to 110% of the hidden tokens\n"
    );
    assert_eq!(data("pack bucket 8"), "3:6 E0213 `pack bucket` is not built yet\n");
    assert_eq!(
        data("augment synonym 10%"),
        "3:1 E0213 `augment` is not built yet\n  remove the line\n"
    );
    let (_, out) = over(
        "gpt(layers: 1, width: 4, heads: 1)",
        "tokens(\"a\", vocab: 9)",
        "dedup exact",
        &facts(),
    );
    assert_eq!(
        out,
        "3:1 E0706 `dedup` works on text, but the files hold ids\n  do it where the ids are made\n"
    );
}

#[test]
fn labels_are_the_targets_of_rows() {
    let table = "table(\"a.tsv\", text: 2, label: 1)";
    let (program, out) =
        over("labels(width: 4)", table, "split 50% train, 50% val stratified", &facts());
    assert_eq!(out, "");
    let program = program.unwrap();
    assert_eq!((program.classes, program.data.pack), (Some(3), Pack::Rows));
    assert!(program.data.stratified && program.train.samples.is_empty());
    let loss = program.trace_loss(2, 8).unwrap();
    assert_eq!(loss.instrs[loss.outputs[0].0 as usize].ty.shape, [2]);
    let says = |model: &str, lines: &str| over(model, table, lines, &facts()).1;
    assert_eq!(
        says("gpt(layers: 1, width: 4, heads: 1)", ""),
        "1:7 E0402 the model does not return one number for each label\n  return `[b, classes]`, as `classifier` does\n"
    );
    assert_eq!(
        says("labels(width: 4, classes: 4)", ""),
        "1:7 E0701 the data has 3 labels but the model returns 4 numbers\n  write `classes: data.classes`\n"
    );
    assert_eq!(
        says("labels(width: 4)", "mask 15%"),
        "3:1 E0706 `mask` hides tokens, but rows have labels to predict\n  remove the line, or the label\n"
    );
    assert_eq!(
        over("labels(width: 4, classes: 3)", "text(\"a\")", "", &facts()).1,
        "1:7 E0402 the model does not return one number for each id at each position\n  name the labels, or take a model that returns `[b, t, vocab]`\n"
    );
}

#[test]
fn hidden_tokens_and_their_loss_go_together() {
    let with = |data: &str, train: &str| {
        let text = format!(
            "{MODEL}data text(\"a\") {{\n{data}\n}}\ntrain {{\nsteps 10\nbatch 4\ncontext 8\nlr 1e-3\n{train}\n}}\n"
        );
        run(&text, &[], Some(&facts()))
    };
    let (program, out) = with("mask 15%", "");
    assert_eq!(out, "");
    assert_eq!(program.unwrap().train.loss.name, "mlm");
    assert_eq!(
        with("", "loss mlm").1,
        "10:6 E0706 `mlm` needs `mask` in the data block\n  add `mask 15%` to the data\n"
    );
    assert_eq!(
        with("mask 15%", "sample \"a\"").1,
        "10:1 E0706 `sample` needs a model of the next token\n  remove the line\n"
    );
}

#[test]
fn mixtures_add_up_and_share_what_they_have() {
    let blocks =
        "data a = text(\"a\", tokenizer: chars)\ndata b = jsonl(\"b\", tokenizer: chars)\n";
    let of = |blocks: &str, lines: &str| {
        let text = format!(
            "{MODEL}{blocks}data both {{\n{lines}\n}}\ntrain {{\nsteps 100\nbatch 4\ncontext 8\nlr 1e-3\n}}\n"
        );
        run(&text, &[], Some(&facts()))
    };
    let (program, out) = of(blocks, "mix a 70%, b 30%");
    assert_eq!(out, "");
    let data = program.unwrap().data;
    let shares: Vec<_> = data.sources.iter().map(|s| (s.name.as_deref(), s.share)).collect();
    assert_eq!(shares, [(Some("a"), 0.7), (Some("b"), 0.3)]);
    assert_eq!(data.tokenizer, Tokenizer::Chars);
    assert_eq!(
        of(blocks, "mix a 70%, b 20%").1,
        "5:1 E0703 the parts add up to 90%\n  add 10% to one of them\n"
    );
    assert_eq!(
        of(blocks, "mix a 70%, bb 30%").1,
        "5:12 E0202 there is no data `bb`\n  did you mean `b`?\n"
    );
    assert_eq!(
        of(blocks, "mix a 50%, a 50%").1,
        "5:12 E0703 `a` is in the mixture twice\n  add up its shares\n"
    );
    assert_eq!(
        of("data a = text(\"a\") { shuffle none }\ndata b = text(\"b\")\n", "mix a 70%, b 30%").1,
        "2:22 E0206 `shuffle` of a part has no effect in a mixture\n  move the line to the mixture, where it holds for all parts\n"
    );
    let two = "data a = text(\"a\", tokenizer: chars)\ndata b = text(\"b\")\n";
    assert_eq!(
        of(two, "mix a 70%, b 30%").1,
        "5:12 E0706 the parts of a mixture share one tokenizer\n  write `tokenizer chars` in the mixture\n"
    );
    assert!(of(two, "mix a 70%, b 30%\ntokenizer bytes").0.is_some());
    assert_eq!(
        of(blocks, "mix a 0%, b 100%").1,
        "5:5 E0302 `a` has no share of the mixture\n  leave it out, or give it a part\n"
    );
    let ids = "data a = text(\"a\")\ndata b = tokens(\"b.bin\", tokenizer: gpt2)\n";
    assert_eq!(
        of(ids, "mix a 70%, b 30%\ntokenizer chars").1,
        "6:1 E0706 `chars` would be learned from text\n  name the tokenizer that made them: `gpt2` or a file\n"
    );
    assert_eq!(
        over("gpt(layers: 1, width: 4, heads: 1)", "x text(\"a\")", "", &facts()).1,
        "2:7 E0204 `x` needs a `=` before what it names\n  write `=` between them\n"
    );
    assert_eq!(
        of("", "shuffle none").1,
        "2:1 E0209 `data` needs a source\n  write `data text(\"input.txt\")`, or `mix a 70%, b 30%` in its block\n"
    );
}

#[test]
fn what_the_files_hold_is_held_against_the_run() {
    let says = |source: &str, steps: &str, facts: Facts| {
        let text = format!(
            "{MODEL}data {source}\ntrain {{\nsteps {steps}\nbatch 4\ncontext 8\nlr 1e-3\n}}\n"
        );
        run(&text, &[], Some(&facts)).1
    };
    let text = "text(\"a\")";
    assert_eq!(
        says(text, "20k", facts()),
        "2:1 W0708 71 epochs over 9000 tokens: expect over-fitting\n  use `steps 2810`, which are ten epochs, or more text; dropout helps, too\n"
    );
    let overlaps =
        vec![Overlap { between: ["train".to_owned(), "val".to_owned()], documents: 2, file: None }];
    assert_eq!(
        says(text, "100", Facts { overlaps: overlaps.clone(), ..facts() }),
        "2:1 W0705 2 documents are in `train` and in `val`\n  take the second ones out of the files\n"
    );
    let documents = "jsonl(\"a\", text: \"t\")";
    assert_eq!(
        says(documents, "100", Facts { overlaps, ..facts() }),
        "2:1 W0705 2 documents are in `train` and in `val`\n  add `dedup exact`, which keeps the first of equal documents\n"
    );
    let rows = "jsonl(\"a\") { pack none }";
    let lengths = [vec![5; 62], vec![10; 28], vec![40; 10]].concat();
    assert_eq!(
        says(rows, "100", Facts { lengths, ..facts() }),
        "2:1 W0707 38% of rows are longer than context 8\n  use `context 9`, which holds nine of ten\n"
    );
    let help = |lengths: Vec<u64>| says(rows, "100", Facts { lengths, ..facts() });
    let few_cut = help([vec![5; 950], vec![30; 50]].concat());
    assert!(few_cut.contains("`context 29`, which holds 99 of 100"), "{few_cut}");
    let hardly_cut = help([vec![5; 990], vec![30; 10]].concat());
    assert!(hardly_cut.contains("`context 29`, which holds all of them"), "{hardly_cut}");
    let few = vec![("train".to_owned(), 3), ("val".to_owned(), 1)];
    assert_eq!(
        says(rows, "10", Facts { documents: few, ..facts() }),
        "2:1 E0704 `train` has 3 sequences, fewer than one batch of 4\n  use more documents or a smaller `batch`\n"
    );
}

#[test]
fn every_example_of_a_data_line_checks() {
    let example = |name: &str| {
        let found = Home::Data.directives().iter().find(|d| d.name == name).unwrap();
        found.example
    };
    // These need more than a file of text, or the facts of one.
    let rows = ["pack", "dedup", "filter"];
    let special = ["mix", "mask", "loss_on", "classes", "limit", "allow"];
    for d in Home::Data.directives().iter().filter(|d| d.status == Status::Built) {
        if !special.contains(&d.name) && !rows.contains(&d.name) {
            assert!(!d.example.is_empty(), "`{}` has an example", d.name);
            assert_eq!(data(d.example), "", "{}", d.name);
        }
    }
    let gpt = "gpt(layers: 1, width: 4, heads: 1)";
    for name in rows {
        assert_eq!(over(gpt, "jsonl(\"a\")", example(name), &facts()).1, "", "{name}");
    }
    let chat = "jsonl(\"a\", prompt: \"q\", completion: \"a\")";
    for (source, name) in [("text(\"a\")", "limit"), ("text(\"a\")", "mask"), (chat, "loss_on")] {
        assert_eq!(over(gpt, source, example(name), &facts()).1, "", "{name}");
    }
    let labels = "table(\"a.csv\", text: 1, label: 2)";
    let said = over(gpt, labels, example("classes"), &facts()).1;
    // The line is right; only the model here is one of tokens.
    assert!(said.starts_with("1:7 E0402") && said.matches(" E0").count() == 1, "{said}");
    let text = format!(
        "{MODEL}data web = text(\"a\")\ndata books = text(\"b\")\ndata both {{\n{}\n}}\n\
         train {{\nsteps 10\nbatch 4\ncontext 8\nlr 1e-3\n}}\n",
        example("mix")
    );
    assert_eq!(run(&text, &[], Some(&facts())).1, "");
}
