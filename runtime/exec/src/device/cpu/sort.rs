//! The stable counting sort of a sorted scatter.

/// Positions of ids sorted by id, then position; ids outside `0 .. starts.len() - 1` are left out.
///
/// What is left of `order` is zeroed, so equal inputs give equal memory.
pub(super) fn counting(ids: &[i32], order: &mut [i32], starts: &mut [i32]) {
    let rows = starts.len() - 1;
    let row = |id: i32| usize::try_from(id).ok().filter(|&r| r < rows);
    starts.fill(0);
    for r in ids.iter().filter_map(|&id| row(id)) {
        starts[r] += 1;
    }
    let mut end = 0;
    for start in starts.iter_mut() {
        end += *start;
        *start = end;
    }
    order[end as usize..].fill(0);
    // From the back: `starts` holds ends and counts down to the starts, so no second array.
    for (position, &id) in ids.iter().enumerate().rev() {
        if let Some(r) = row(id) {
            starts[r] -= 1;
            order[starts[r] as usize] = position as i32;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::counting;

    #[test]
    fn is_stable_and_leaves_out_others() {
        let (mut order, mut starts) = ([9; 7], [9; 5]);
        counting(&[2, -1, 0, 2, 4, 0, 3], &mut order, &mut starts);
        assert_eq!(order, [2, 5, 0, 3, 6, 0, 0]);
        assert_eq!(starts, [0, 2, 2, 4, 5]);
    }

    #[test]
    fn takes_nothing() {
        let mut starts = [7; 3];
        counting(&[], &mut [], &mut starts);
        assert_eq!(starts, [0, 0, 0]);
    }
}
