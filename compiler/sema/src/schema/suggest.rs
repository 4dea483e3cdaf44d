//! What a misspelt word probably means.

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
}
