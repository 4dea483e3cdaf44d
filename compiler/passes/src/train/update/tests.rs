//! Every order of the stages but one is refused, with the stage named.

use std::collections::BTreeSet;

use diag::SourceMap;
use ir::graph::Module;
use ir::ops::stage::Stage;
use ir::verify::{Fault, verify};
use sema::{Clip, Facts, LossScale, Train};

use super::{ORDER, Rules, build_in};
use crate::origins::Origins;
use crate::train::{self, Training};

const SPEC: &str = "\
layer table(vocab: int = data.vocab)(ids: tok(vocab)[b, t]) -> [b, t, vocab] {
  param table: [vocab, vocab] = normal(0.5)
  param shift: [vocab] = zeros
  table[ids] + shift
}
model table()
data text(\"t.txt\", tokenizer: chars)
train {\nbatch 4\nmicro_batch 2\ncontext 4\nlr 0.5\nsteps 20\n}
";

/// Builds `update` in each of `orders`; what the verifier says of the step in each.
fn faults(edit: impl FnOnce(&mut Train), orders: &[Vec<usize>]) -> Vec<BTreeSet<String>> {
    let mut map = SourceMap::new();
    let file = map.add("model.lt", SPEC);
    let (spec, _) = syntax::parse(&map, file);
    let mut add = |s: &stdlib::Source| {
        let file = map.add(s.name, s.text);
        syntax::parse(&map, file).0
    };
    let std: Vec<_> = stdlib::SOURCES.iter().map(&mut add).collect();
    let std: Vec<_> = std.iter().collect();
    let facts = Facts { vocab: Some(2), ..Facts::default() };
    let (program, faults) =
        sema::check(&sema::Input::new("model", &spec, &std, &map), Some(&facts));
    let Some(mut program) = program else { panic!("{faults:?}") };
    edit(&mut program.train);
    let mut module = train::parts(&Training { program: &program, map: &map }).unwrap().module;
    let at = module.functions.iter().position(|f| f.name == "update").unwrap();
    let params = program.trace_model(2, 4).unwrap().params;
    let rules = Rules::trace(&program, &params).unwrap();
    let mut found = vec![];
    for order in orders {
        let stages: Vec<_> = order.iter().map(|&i| ORDER[i]).collect();
        let mut origins = Origins::new(&map);
        module.functions[at] = build_in(&stages, &program, &params, &rules, &mut origins).unwrap();
        found.push(step_faults(&module));
    }
    found
}

fn step_faults(module: &Module) -> BTreeSet<String> {
    let errors = verify(module).err().unwrap_or_default();
    let is_of_step = |fault: &Fault| matches!(fault, Fault::Step(_));
    assert!(errors.iter().all(|e| is_of_step(&e.fault)), "{errors:?}");
    errors.iter().map(|e| e.fault.to_string()).collect()
}

/// Every order of `rest` behind `first`.
fn orders(first: &[usize], rest: &[usize]) -> Vec<Vec<usize>> {
    if rest.is_empty() {
        return vec![first.to_vec()];
    }
    let behind = |&next: &usize| {
        let left: Vec<usize> = rest.iter().copied().filter(|&r| r != next).collect();
        orders(&[first, &[next]].concat(), &left)
    };
    rest.iter().flat_map(behind).collect()
}

#[test]
fn every_order_but_one_is_refused_by_name() {
    let dynamic = LossScale::Dynamic { start: 8.0, growth: 2, min: 1.0 };
    let all = orders(&[], &[0, 1, 2, 3, 4, 5]);
    assert_eq!(all.len(), 720);
    for (clip, scale) in [(Clip::L2(1.0), dynamic), (Clip::None, LossScale::None)] {
        let edit = |train: &mut Train| {
            (train.clip, train.loss_scale, train.ema) = (clip, scale, Some(0.5));
        };
        for (order, found) in all.iter().zip(faults(edit, &all)) {
            let Some(at) = (0..6).find(|&i| order[i] != i) else {
                assert_eq!(found, BTreeSet::new(), "the right order is accepted");
                continue;
            };
            let [early, missing] = [order[at], at].map(|i| Stage::ORDER[i].name());
            let wanted = format!("`{early}` before `{missing}`");
            assert!(found.contains(&wanted), "{order:?}: {wanted} is not in {found:?}");
        }
    }
}

#[test]
fn a_stage_that_is_left_out_or_done_twice_is_named() {
    const ALL: [usize; 6] = [0, 1, 2, 3, 4, 5];
    let without = |i: usize| ALL.into_iter().filter(|&k| k != i).collect::<Vec<usize>>();
    let twice = |i: usize| [&ALL[..=i], &[i], &ALL[i + 1..]].concat();
    // The later stages store what a function may store once.
    let plain = [0, 1, 2];
    let changed: Vec<Vec<usize>> = plain.into_iter().flat_map(|i| [without(i), twice(i)]).collect();
    let found = faults(|train| train.accumulate = 1, &changed);
    for (pair, i) in found.chunks(2).zip(plain) {
        let [own, next] = [i, i + 1].map(|k| Stage::ORDER[k].name());
        assert!(pair[0].contains(&format!("`{next}` before `{own}`")), "{:?}", pair[0]);
        assert!(pair[1].contains(&format!("`{own}` twice")), "{:?}", pair[1]);
    }
}
