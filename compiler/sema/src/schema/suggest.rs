//! What a misspelt or foreign word probably means.

/// The candidate nearest to a word, when it is near enough to be a slip or is its beginning.
pub fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let length = word.chars().count();
    let far = (length / 3).max(1);
    let near = candidates.into_iter().filter_map(|c| {
        let apart = length.abs_diff(c.chars().count());
        if c.len() > 3 && word.starts_with(c) {
            return Some((apart, c));
        }
        // What differs more in length alone is not compared: a name may have thousands of letters.
        let d = if apart > far { apart } else { distance(word, c) };
        (d <= far).then_some((d, c))
    });
    near.min_by_key(|&(d, _)| d).map(|(_, c)| c)
}

/// The directive that a word of another tool stands for.
pub fn foreign_word(word: &str) -> Option<&'static str> {
    let word = word.to_ascii_lowercase().replace('-', "_");
    FOREIGN.iter().find(|(theirs, _)| *theirs == word).map(|&(_, ours)| ours)
}

/// Words of other tools, with the line that says the same here.
const FOREIGN: &[(&str, &str)] = &[
    ("gradient_accumulation_steps", "accumulate"),
    ("grad_accum", "accumulate"),
    ("accumulation_steps", "accumulate"),
    ("accumulate_grad_batches", "accumulate"),
    ("max_grad_norm", "clip"),
    ("grad_clip", "clip"),
    ("gradient_clip_val", "clip"),
    ("grad_norm", "clip"),
    ("learning_rate", "lr"),
    ("batch_size", "batch"),
    ("train_batch_size", "batch"),
    ("micro_batch_size", "micro_batch"),
    ("micro", "micro_batch"),
    ("per_device_train_batch_size", "micro_batch"),
    ("device_batch_size", "micro_batch"),
    ("num_workers", "prefetch"),
    ("workers", "data_parallel"),
    ("world_size", "data_parallel"),
    ("epochs", "steps N epochs"),
    ("num_epochs", "steps N epochs"),
    ("num_train_epochs", "steps N epochs"),
    ("max_epochs", "steps N epochs"),
    ("max_iters", "steps"),
    ("max_steps", "steps"),
    ("iterations", "steps"),
    ("warmup_steps", "warmup"),
    ("warmup_iters", "warmup"),
    ("warmup_ratio", "warmup"),
    ("lr_scheduler", "schedule"),
    ("lr_scheduler_type", "schedule"),
    ("scheduler", "schedule"),
    ("seq_len", "context"),
    ("seq_length", "context"),
    ("sequence_length", "context"),
    ("block_size", "context"),
    ("max_length", "context"),
    ("context_length", "context"),
    ("wd", "weight_decay"),
    ("decay", "weight_decay"),
    ("optim", "optimizer"),
    ("dtype", "precision"),
    ("fp16", "precision fp16"),
    ("bf16", "precision bf16"),
    ("mixed_precision", "precision"),
    ("random_seed", "seed"),
    ("eval_interval", "eval every"),
    ("eval_steps", "eval every"),
    ("save_steps", "checkpoint every"),
    ("save_every", "checkpoint every"),
    ("out_dir", "checkpoint"),
    ("output_dir", "checkpoint"),
    ("dataset", "data"),
    ("criterion", "loss"),
    ("patience", "early_stop"),
];

/// Edits between two words: insert, delete, replace, or swap two neighbours.
fn distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let mut before: Vec<usize> = Vec::new();
    let mut above: Vec<usize> = (0..=b.len()).collect();
    for i in 1..=a.len() {
        let mut row = vec![i];
        for j in 1..=b.len() {
            let replaced = above[j - 1] + usize::from(a[i - 1] != b[j - 1]);
            let mut best = replaced.min(above[j] + 1).min(row[j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                best = best.min(before[j - 2] + 1);
            }
            row.push(best);
        }
        before = std::mem::replace(&mut above, row);
    }
    above[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_is_near_and_another_word_is_not() {
        assert_eq!(nearest("acumulate", ["accumulate", "clip"]), Some("accumulate"));
        assert_eq!(nearest("trian", ["train", "data"]), Some("train"));
        assert_eq!(nearest("zebra", ["train", "data"]), None);
    }

    #[test]
    fn words_of_other_tools_are_directives_here() {
        for (theirs, ours) in FOREIGN {
            let first = ours.split(' ').next().unwrap();
            let known = crate::schema::Home::Train.find(first).is_some()
                || crate::schema::Home::Data.find(first).is_some();
            assert!(known, "`{theirs}` means `{ours}`, which is no directive");
        }
    }
}
