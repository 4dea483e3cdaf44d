//! The table of codes; each has a page `codes/E0203.md` that `llmc explain` prints.

/// Error or warning.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Level {
    /// The spec cannot run as it stands.
    Error,
    /// A lint.
    Warning,
}

macro_rules! codes {
    ($($code:ident $trigger:literal,)*) => {
        /// The code of a diagnostic; never reused for another meaning.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Code {
            $(#[doc = $trigger] $code,)*
        }

        impl Code {
            /// Every code, in order.
            pub const ALL: &'static [Code] = &[$(Code::$code,)*];

            /// As written: `E0203`.
            pub fn name(self) -> &'static str {
                match self { $(Code::$code => stringify!($code),)* }
            }

            /// What triggers it, in a few words.
            pub fn trigger(self) -> &'static str {
                match self { $(Code::$code => $trigger,)* }
            }

            /// The page that explains it.
            pub fn page(self) -> &'static str {
                match self { $(Code::$code => include_str!(concat!("../codes/", stringify!($code), ".md")),)* }
            }
        }
    };
}

codes! {
    E0001 "stray character",
    E0002 "string without its closing quote",
    E0003 "unknown or misplaced unit of a number",
    E0004 "bad interpolation or escape in a string",
    E0005 "limit of a text: size, line, name or encoding",
    E0101 "bracket that is never closed",
    E0102 "token that cannot stand there",
    E0103 "file ends inside a block",
    E0104 "space between a callee and its bracket",
    E0105 "`if` value without `else`",
    E0106 "expression or blocks nested too deep",
    E0201 "unknown block",
    E0202 "unknown name",
    E0203 "unknown directive",
    E0204 "`:` or `=` after a directive",
    E0205 "directive set twice",
    E0206 "directive of another block",
    E0207 "two directives on one line",
    E0208 "unknown option of a directive",
    E0209 "required directive missing",
    E0210 "statement without effect",
    E0211 "more than one candidate for a default",
    E0212 "cycle of files or blocks, or file out of reach",
    E0213 "part of the language that is not built yet",
    E0216 "`allow` of what is no lint, or without a reason",
    W0217 "`allow` that silences nothing",
    E0301 "value of the wrong kind",
    E0302 "value out of range",
    E0303 "missing or wrong unit",
    E0304 "argument outside its range",
    E0305 "wrong, missing or extra argument of a call",
    E0306 "size too large, or too much to elaborate",
    E0307 "fault while computing a static value",
    W0311 "decimal `k` where a power of two is usual",
    E0401 "argument of the wrong shape",
    E0402 "result of the wrong shape",
    E0403 "two sizes that cannot be shown equal",
    E0404 "shapes that do not line up",
    E0405 "size that does not divide",
    E0406 "ambiguous or unknown axis",
    E0407 "pattern with two unknown sizes",
    E0408 "pattern that reorders a split axis",
    E0409 "size that no argument fixes",
    E0410 "repeated layer that changes the shape",
    E0411 "operand of the wrong dtype",
    W0412 "weights without a name",
    W0413 "parameter that never reaches the result",
    E0414 "more than one rest axis in a shape",
    E0501 "batch that does not divide into micro-batches",
    E0502 "batch directives that contradict each other",
    E0503 "context longer than the model's positions",
    W0505 "batch not stated",
    W0506 "recurrent model without `clip`",
    W0511 "learning rate far from the usual range",
    W0512 "warmup that never ends",
    W0513 "directive that never fires",
    E0514 "metric that nothing measures",
    W0515 "patience shorter than the time between evaluations",
    W0516 "schedule that outlasts the run",
    W0517 "early stop that cannot fire",
    W0518 "schedule end that looks like a learning rate",
    E0601 "fp16 without loss scaling",
    W0602 "loss scaling without fp16",
    W0603 "large fp32 value made by mixing",
    W0604 "sum that can leave the range of fp16",
    W0605 "constant that is 0 in fp16",
    E0606 "sums that the hardware does not have",
    W0607 "16-bit weights that lose updates",
    W0608 "vocabulary that leaves rows of weights unaligned",
    E0701 "token ids beyond the embedding",
    E0702 "data file not found",
    E0703 "splits that do not add up",
    E0704 "too little data for one batch",
    W0705 "training data in an evaluation",
    E0706 "task that does not fit the data",
    W0707 "rows cut at the context",
    W0708 "many epochs over little data",
    E0709 "data that is not what the spec says",
    E0801 "start from something that has no weights",
    E0802 "jobs that start from each other",
    E0803 "weights that fit nothing of the model",
    E0806 "checkpoint of other weights",
    W0807 "run that goes on with other settings",
    E0815 "set that holds no weight",
    E0816 "weight that no rule updates",
    E0901 "no room at all",
    E0902 "choice that does not fit the memory",
    W0903 "run that takes longer than its budget",
    E0905 "run that cannot go on to the same bits",
    W0906 "recomputing without need",
    W0907 "attention that stores its scores",
}

impl Code {
    /// Errors start with `E`, lints with `W`.
    pub fn level(self) -> Level {
        if self.name().starts_with('E') { Level::Error } else { Level::Warning }
    }

    /// The code of that name, as a user writes it.
    pub fn from_name(name: &str) -> Option<Code> {
        Self::ALL.iter().copied().find(|code| code.name().eq_ignore_ascii_case(name))
    }

    /// The specs on its page: one that triggers it, and the same mended.
    pub fn examples(self) -> (String, String) {
        let example = |heading: &str| {
            let (_, rest) = self.page().split_once(heading)?;
            let (_, rest) = rest.split_once("```lt\n")?;
            Some(rest.split_once("```")?.0.to_owned())
        };
        let both = example("\n## Fails\n").zip(example("\n## Passes\n"));
        both.expect("a page has two examples")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_have_the_form_that_explain_prints() {
        for &code in Code::ALL {
            let (name, page) = (code.name(), code.page());
            assert!(page.starts_with(&format!("# {name}: {}\n\n", code.trigger())), "{name}");
            let (failing, passing) = code.examples();
            assert_ne!(failing, passing, "{name}");
            assert_eq!(page.matches("```").count(), 4, "{name}");
            let text = page.split("\n## Fails").next().unwrap();
            let n_sentences = text.lines().skip(2).filter(|l| !l.is_empty()).count();
            assert!((1..=5).contains(&n_sentences), "{name}");
            assert!(text.lines().skip(2).all(|l| l.is_empty() || l.ends_with('.')), "{name}");
        }
    }

    /// The codes of the language that nothing says yet, and what has to be built first.
    const LATER: &[(&str, &str)] = &[
        ("E0804", "distill"),
        ("E0805", "distill"),
        ("E0810", "sweep"),
        ("E0811", "sweep"),
        ("W0812", "sweep"),
    ];

    /// Every code of the language's design.
    const DESIGN: &str = "\
        E0001 E0002 E0003 E0004 E0101 E0102 E0103 E0104 E0105 E0201 E0202 E0203 E0204 E0205 \
        E0206 E0207 E0208 E0209 E0210 E0211 E0212 E0301 E0302 E0303 E0304 E0305 W0311 E0401 \
        E0402 E0403 E0404 E0405 E0406 E0407 E0408 E0409 E0410 E0411 W0412 W0413 E0414 E0501 \
        E0502 E0503 W0505 W0506 W0511 W0512 W0513 E0514 W0515 W0516 W0517 E0601 W0602 W0603 \
        W0604 W0605 E0606 W0607 W0608 E0701 E0702 E0703 E0704 W0705 E0706 W0707 W0708 E0801 \
        E0802 E0803 E0804 E0805 E0806 W0807 E0810 E0811 W0812 E0815 E0816 E0901 E0902 W0903 \
        E0905 W0906 W0907";

    #[test]
    fn every_code_of_the_design_is_said_or_waits_for_something() {
        let mut n_said = 0;
        for name in DESIGN.split_whitespace() {
            let is_later = LATER.iter().any(|(later, _)| *later == name);
            let is_said = Code::from_name(name).is_some();
            assert!(is_later != is_said, "{name}: said {is_said}, later {is_later}");
            n_said += u32::from(is_said);
        }
        assert!(LATER.iter().all(|(later, _)| DESIGN.contains(later)), "what waits is designed");
        assert!(n_said >= 70, "{n_said} codes of the design");
    }

    #[test]
    fn codes_are_sorted_by_number_and_found_by_name() {
        let numbers: Vec<&str> = Code::ALL.iter().map(|c| &c.name()[1..]).collect();
        assert!(numbers.windows(2).all(|w| w[0] < w[1]));
        for &code in Code::ALL {
            assert_eq!(Code::from_name(&code.name().to_lowercase()), Some(code));
        }
    }
}
