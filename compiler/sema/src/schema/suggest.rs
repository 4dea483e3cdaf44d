//! What a misspelt word probably means.

/// The candidate nearest to a word, when it is near enough to be a slip or is its beginning.
pub fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    // A capital is the smallest slip: `adamW` is `adamw`.
    let word = word.to_lowercase();
    let letters: Vec<char> = word.chars().collect();
    let far = (letters.len() / 3).max(1);
    let own = letters_of(&word);
    let mut table = Table::default();
    let near = candidates.into_iter().filter_map(|c| {
        let apart = letters.len().abs_diff(c.chars().count());
        if c.len() > 3 && word.starts_with(c) {
            return Some(((apart, apart), c));
        }
        // What differs more in length alone is not compared: a name may have thousands of letters.
        // An edit changes a letter into another at most.
        let differ = (letters_of(c) ^ own).count_ones() as usize;
        if apart > far || differ > 2 * far {
            return None;
        }
        let d = table.distance(&letters, c, far);
        (d <= far).then_some(((d, apart), c))
    });
    // Of two that are as near, the one of the same length: a letter is replaced more often.
    near.min_by_key(|&(d, _)| d).map(|(_, c)| c)
}

/// The letters of a word as a set, capitals as their small ones: some share a place in it.
fn letters_of(word: &str) -> u64 {
    word.chars().flat_map(char::to_lowercase).fold(0, |set, c| set | 1 << (u32::from(c) & 63))
}

/// Rows of the table of distances; kept, since a spec may have thousands of misspelt words.
#[derive(Debug, Default)]
struct Table {
    other: Vec<char>,
    before: Vec<usize>,
    above: Vec<usize>,
    row: Vec<usize>,
}

impl Table {
    /// Edits between two words: insert, delete, replace, or swap two neighbours; more than `far`
    /// where it is more.
    fn distance(&mut self, a: &[char], b: &str, far: usize) -> usize {
        let Self { other, before, above, row } = self;
        other.clear();
        other.extend(b.chars().flat_map(char::to_lowercase));
        let b = &**other;
        above.clear();
        above.extend(0..=b.len());
        for i in 1..=a.len() {
            row.clear();
            row.push(i);
            for j in 1..=b.len() {
                let replaced = above[j - 1] + usize::from(a[i - 1] != b[j - 1]);
                let mut best = replaced.min(above[j] + 1).min(row[j - 1] + 1);
                if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                    best = best.min(before[j - 2] + 1);
                }
                row.push(best);
            }
            // A swap comes from two rows above, all else from one.
            if above.iter().chain(&*row).all(|d| *d > far) {
                return far + 1;
            }
            std::mem::swap(before, above);
            std::mem::swap(above, row);
        }
        above[b.len()]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_is_near_and_another_word_is_not() {
        assert_eq!(nearest("acumulate", ["accumulate", "clip"]), Some("accumulate"));
        assert_eq!(nearest("trian", ["train", "data"]), Some("train"));
        assert_eq!(nearest("zebra", ["train", "data"]), None);
        assert_eq!(nearest("adamW", ["adam", "adamw"]), Some("adamw"));
        assert_eq!(nearest("adamv", ["adam", "adamw"]), Some("adamw"));
        assert_eq!(nearest("élan", ["Élan", "plan"]), Some("Élan"));
    }
}
