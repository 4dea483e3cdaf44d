//! What is said of a program that does not fit, or computes again without need.

use diag::{Code, Diagnostic, Edit, Fix, Span};
use ir::schedule::Target;
use sema::{Recompute, Train};

use super::{Room, Search, Taken, Way, taken};
use crate::pipeline::{Graphs, Placed};
use crate::train::Training;
use crate::usage::{Kind, Tensor, Usage, count, size};

/// Tensors that a refusal lists.
const LISTED: usize = 5;

/// W0906: a stated `recompute` that computes nothing again, or where all of it could be kept.
pub(super) fn unneeded(
    training: &Training<'_>,
    target: &Target,
    graphs: &Graphs,
    placed: &Placed,
    limit: u64,
) -> Vec<Diagnostic> {
    let train = &training.program.train;
    let Some(span) = train.stated.recompute else { return vec![] };
    if matches!(train.recompute, Recompute::None | Recompute::Auto) {
        return vec![];
    }
    let stated = train.recompute.text();
    if placed.recomputed.is_none() {
        let wrong = format!("`recompute {stated}` computes nothing again");
        let wrong = Diagnostic::new(Code::W0906, span, wrong);
        return vec![match &train.recompute {
            Recompute::Only(_) => wrong
                .primary("no layer or block has all of its weights in this set")
                .help("name layers, or blocks such as `blocks[0..2]`"),
            Recompute::Auto | Recompute::None | Recompute::All | Recompute::Every(_) => {
                wrong.primary("the model has no `repeat`").help("remove the line")
            }
        }];
    }
    if limit == u64::MAX {
        return vec![];
    }
    let kept = graphs.place(&Recompute::None, target, &mut |_, _| {});
    if kept.memory.bytes > limit {
        return vec![];
    }
    let [with, without] = [placed, &kept].map(|placed| taken(placed, train.accumulate));
    let faster = percent(with.cost, without.cost);
    let wrong = format!("fits without `recompute {stated}`: {faster} % faster");
    let note = format!(
        "the arena is {} instead of {}; {} of memory are there for it",
        size(without.bytes),
        size(with.bytes),
        size(limit)
    );
    vec![Diagnostic::new(Code::W0906, span, wrong).note(note).help("remove the line")]
}

/// By how much `cost` is above `than`.
fn percent(cost: u64, than: u64) -> i64 {
    ((cost as f64 / than.max(1) as f64 - 1.0) * 100.0).round() as i64
}

/// Another way, by how much a step of it is slower.
struct Alternative {
    way: Way,
    taken: Taken,
    edits: Vec<(Span, String)>,
}

/// E0902 where another choice fits, E0901 where none does.
pub(super) fn refuse(
    search: &mut Search<'_>,
    way: &Way,
    room: Room,
    usage: &Usage,
) -> Result<Diagnostic, Vec<Diagnostic>> {
    let train = search.training.program.train.clone();
    let memory = room.bytes(&train).expect("what is refused has a bound");
    let here = search.taken(way)?;
    let all = alternatives(search, &train, way)?;
    if all.is_empty() {
        return no_room(search, &train, room);
    }
    let needs = size(here.bytes + room.beside_bytes);
    let wrong = format!("{} needs {needs}, `memory` is {}", said(&train, way), size(memory));
    let span = first_stated(&train).unwrap_or(train.stated.word);
    let mut wrong = Diagnostic::new(Code::E0902, span, wrong);
    if let Some(at) = train.stated.memory.filter(|at| *at != span) {
        wrong = wrong.label(at, "the bound");
    }
    for Alternative { way: other, taken, edits } in &all {
        let texts = changes(&train, way, other);
        let slower = percent(taken.cost, here.cost);
        let bytes = size(taken.bytes + room.beside_bytes);
        let pace = match slower {
            0 => "as fast".to_owned(),
            1.. => format!("{slower} % slower"),
            ..0 => format!("{} % faster", -slower),
        };
        let title = format!("use {}: {bytes}, {pace}", texts.join(" and "));
        let edits = edits.iter().map(|(span, text)| Edit { span: *span, text: text.clone() });
        wrong.help.push(title.clone());
        wrong.fixes.push(Fix { title, edits: edits.collect(), alters: false });
    }
    wrong.fixes.retain(|fix| !fix.edits.is_empty());
    Ok(wrong.note(kinds(usage, room)).note(tensors(usage)))
}

/// The choices of the spec in a row.
fn said(train: &Train, way: &Way) -> String {
    let mut words = vec![];
    if !train.may_choose_micro_batch() {
        words.extend(micro_batch(train, way.micro_batch));
    }
    if train.stated.recompute.is_some() {
        words.push(format!("`recompute {}`", way.recompute.text()));
    }
    words.join(" with ")
}

/// Where the spec chooses.
fn first_stated(train: &Train) -> Option<Span> {
    let stated = &train.stated;
    stated.micro_batch.or(stated.accumulate).or(stated.recompute)
}

/// Ways that fit once a choice of the spec is given up, the fastest first.
fn alternatives(
    search: &mut Search<'_>,
    train: &Train,
    way: &Way,
) -> Result<Vec<Alternative>, Vec<Diagnostic>> {
    let has_micro = !train.may_choose_micro_batch();
    let has_policy = train.stated.recompute.is_some();
    let mut found: Vec<Alternative> = vec![];
    for (micro, policy) in [(true, false), (false, true), (true, true)] {
        if micro && !has_micro || policy && !has_policy {
            continue;
        }
        let free =
            super::Free { micro_batch: micro || !has_micro, recompute: policy || !has_policy };
        let Some(other) = search.cheapest(way, free)? else { continue };
        if found.iter().all(|a| a.way != other) {
            let taken = search.taken(&other)?;
            found.push(Alternative { edits: edits(train, way, &other), way: other, taken });
        }
    }
    found.sort_by_key(|a| a.taken.cost);
    Ok(found)
}

/// A micro-batch by the lines that the spec has for it.
fn micro_batch(train: &Train, micro_batch: u64) -> Vec<String> {
    let stated = &train.stated;
    let mut lines = vec![];
    if stated.micro_batch.is_some() || stated.accumulate.is_none() {
        lines.push(format!("`micro_batch {micro_batch}`"));
    }
    if stated.accumulate.is_some() {
        lines.push(format!("`accumulate {}`", train.batch / micro_batch));
    }
    lines
}

/// What is different between two ways, as it would be written.
fn changes(train: &Train, from: &Way, to: &Way) -> Vec<String> {
    let mut texts = vec![];
    if from.micro_batch != to.micro_batch {
        texts.extend(micro_batch(train, to.micro_batch));
    }
    if from.recompute != to.recompute {
        texts.push(format!("`recompute {}`", to.recompute.text()));
    }
    texts
}

/// What the lines that choose would have to say.
fn edits(train: &Train, from: &Way, to: &Way) -> Vec<(Span, String)> {
    let stated = &train.stated;
    let mut edits = vec![];
    if from.micro_batch != to.micro_batch {
        let micro = stated.micro_batch.map(|at| (at, format!("micro_batch {}", to.micro_batch)));
        let times = train.batch / to.micro_batch;
        let accumulate = stated.accumulate.map(|at| (at, format!("accumulate {times}")));
        edits.extend(micro.into_iter().chain(accumulate));
    }
    if from.recompute != to.recompute {
        let text = format!("recompute {}", to.recompute.text());
        // Without a line the choice follows from the others.
        edits.extend(stated.recompute.map(|at| (at, text)));
    }
    edits
}

/// E0901: even the smallest way is too large.
pub(super) fn no_room(
    search: &mut Search<'_>,
    train: &Train,
    room: Room,
) -> Result<Diagnostic, Vec<Diagnostic>> {
    let memory = room.bytes(train).expect("what is refused has a bound");
    let least = Way { micro_batch: 1, recompute: Recompute::All };
    let placed = search.placed(&least)?;
    let usage = Usage::of(&placed.schedule, &placed.memory);
    let needs = placed.memory.bytes + room.beside_bytes;
    let wrong = format!(
        "needs {} at `micro_batch 1` with `recompute all`, `memory` is {}",
        size(needs),
        size(memory)
    );
    let span = train.stated.memory.unwrap_or(train.stated.word);
    let mut wrong =
        Diagnostic::new(Code::E0901, span, wrong).note(kinds(&usage, room)).note(tensors(&usage));
    for help in helps(search, train, room, &usage, memory, needs)? {
        wrong = wrong.help(help);
    }
    Ok(wrong)
}

/// What each change would save, the smallest that is enough first.
fn helps(
    search: &mut Search<'_>,
    train: &Train,
    room: Room,
    usage: &Usage,
    memory: u64,
    needs: u64,
) -> Result<Vec<String>, Vec<Diagnostic>> {
    let mut helps: Vec<String> = chosen(train).into_iter().collect();
    if room.default_bytes.is_some_and(|most| most >= needs) {
        helps.push(format!("`memory {}` would be enough", whole_mib(needs)));
    }
    let kept = usage.kept();
    let fits = |saved: u64| if needs - saved <= memory { ", and fits" } else { "" };
    if train.context > 1 {
        let context = train.context / 2;
        let saved = needs.saturating_sub(search.bytes_at(context)? + room.beside_bytes);
        helps.push(format!("`context {context}` saves {}{}", size(saved), fits(saved)));
    }
    // `sgd` has a moment of its own, and averaged weights stay.
    let with_sgd = usage.bytes(Kind::Weights) * (1 + u64::from(train.ema.is_some()));
    let saved = usage.bytes(Kind::RuleState).saturating_sub(with_sgd);
    if saved > 0 {
        helps.push(format!("`optimizer sgd` saves {}{}", size(saved), fits(saved)));
    }
    let room_for_weights = memory.saturating_sub(needs - kept);
    let n = search.graphs(1)?.weights();
    let fitting = (n as f64 * room_for_weights as f64 / kept.max(1) as f64) as u64;
    if kept > room_for_weights && fitting > 0 {
        let share = 100.0 * fitting as f64 / n.max(1) as f64;
        let [fitting, n_all] = [fitting, n].map(count);
        helps.push(format!(
            "a model of {fitting} weights fits, {share:.2} % of its {n_all}: each takes {} bytes",
            kept / n.max(1)
        ));
    }
    Ok(helps)
}

/// The lines that keep a program from being as small as E0901 takes it to be.
fn chosen(train: &Train) -> Option<String> {
    let stated = &train.stated;
    let mut lines = vec![];
    if stated.micro_batch.or(stated.accumulate).is_some() && train.micro_batch > 1 {
        lines.extend(micro_batch(train, train.micro_batch));
    }
    if stated.recompute.is_some() && train.recompute != Recompute::All {
        lines.push(format!("`recompute {}`", train.recompute.text()));
    }
    let forbids = if lines.len() == 1 { "which forbids" } else { "which forbid" };
    let lines = lines.join(" and ");
    (!lines.is_empty()).then(|| format!("first remove {lines}, {forbids} a plan this small"))
}

/// `1536MiB`, upwards.
fn whole_mib(bytes: u64) -> String {
    format!("{}MiB", bytes.div_ceil(1 << 20))
}

/// Bytes by kind.
fn kinds(usage: &Usage, room: Room) -> String {
    let mut text = String::from("where the arena is fullest it holds");
    for (kind, bytes) in &usage.kinds {
        text += &format!("\n{:>11}  {}", size(*bytes), kind.name());
    }
    if room.beside_bytes > 0 {
        let beside = size(room.beside_bytes);
        text += &format!("\nand beside the arena the process takes {beside}");
    }
    text
}

/// The largest tensors.
fn tensors(usage: &Usage) -> String {
    let mut text = String::from("its largest tensors are");
    let same = |a: &Tensor, b: &Tensor| a.name == b.name && a.shape == b.shape;
    for alike in usage.tensors.chunk_by(same).take(LISTED) {
        let Tensor { name, shape, bytes, .. } = &alike[0];
        let shape: Vec<String> = shape.iter().map(u64::to_string).collect();
        text += &format!("\n{:>11}  {name} [{}]", size(*bytes), shape.join(", "));
        if alike.len() > 1 {
            text += &format!(", {} of them", alike.len());
        }
    }
    text
}
