//! Numbers with their units.

use crate::value::Value;

/// What a unit touches: a number of Rust, or one that has a unit already.
fn with(number: impl Into<Value>, unit: &str) -> Value {
    let mut value = number.into();
    value.0.push(unit);
    value
}

macro_rules! units {
    ($($name:ident $unit:literal $doc:literal)*) => { $(
        #[doc = $doc]
        pub fn $name(number: impl Into<Value>) -> Value {
            with(number, $unit)
        }
    )* };
}

units! {
    k "k" "Thousands: `k(2)` is `2k`."
    m "M" "Millions: `m(1)` is `1M`."
    ki "Ki" "Times 1024: `ki(64)` is `64Ki`."
    mi "Mi" "Times 1024 twice: `mi(1)` is `1Mi`."
    gi "Gi" "Times 1024 three times: `gi(1)` is `1Gi`."
    percent "%" "Hundredths: `percent(10)` is `10%`."
    kb "KB" "Thousands of bytes: `kb(500)` is `500KB`."
    mb "MB" "Millions of bytes: `mb(500)` is `500MB`."
    gb "GB" "Billions of bytes: `gb(80)` is `80GB`."
    kib "KiB" "1024 bytes each: `kib(64)` is `64KiB`."
    mib "MiB" "2^20 bytes each: `mib(512)` is `512MiB`."
    gib "GiB" "2^30 bytes each: `gib(2)` is `2GiB`."
    seconds "s" "A time: `seconds(30)` is `30s`."
    minutes "min" "A time: `minutes(30)` is `30min`."
    hours "h" "A time: `hours(2)` is `2h`."
    days "day" "A time: `days(1)` is `1day`."
    steps " steps" "A stretch of the run: `steps(500)` is `500 steps`."
    epochs " epochs" "A stretch of the run: `epochs(3)` is `3 epochs`."
    tokens " tokens" "A stretch of the run, or a batch: `tokens(k(64))` is `64k tokens`."
    samples " samples" "A stretch of the run: `samples(m(1))` is `1M samples`."
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_touch_numbers_and_words_follow_them() {
        assert_eq!(k(2).text(), "2k");
        assert_eq!(percent(0.5).text(), "0.5%");
        assert_eq!(tokens(ki(64)).text(), "64Ki tokens");
        assert_eq!(epochs(3).text(), "3 epochs");
    }
}
