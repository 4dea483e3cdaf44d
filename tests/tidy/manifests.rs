//! Who may use whom: crates of ours, and crates of others with the reason for each.

use std::collections::BTreeMap;

use crate::source::File;

/// What a crate of ours may use, beside its own tests.
const USES: &[(&str, &[&str])] = &[
    ("diag", &[]),
    ("syntax", &["diag"]),
    ("ir", &[]),
    ("sema", &["syntax", "ir", "diag"]),
    ("passes", &["sema", "ir", "diag", "plan"]),
    ("codegen", &["ir", "plan", "ptx-builder"]),
    ("ptx-builder", &[]),
    ("build", &["syntax", "diag"]),
    ("macros", &["sema", "syntax", "diag", "stdlib"]),
    ("lsp", &["sema", "syntax", "diag", "stdlib"]),
    ("plan", &[]),
    ("data", &["plan"]),
    ("exec", &["data", "plan", "ptx-builder"]),
    ("stdlib", &[]),
    ("fake-driver", &["exec", "ptx-builder"]),
    (
        "llmc",
        &[
            "build",
            "codegen",
            "data",
            "diag",
            "exec",
            "ir",
            "lsp",
            "macros",
            "passes",
            "plan",
            "ptx-builder",
            "sema",
            "stdlib",
            "syntax",
        ],
    ),
];

/// What the tests of a crate may use beyond that: the layer below that proves them.
const TESTS_USE: &[(&str, &[&str])] = &[
    ("codegen", &["exec"]),
    ("passes", &["syntax", "stdlib", "codegen", "exec", "ptx-builder"]),
    ("sema", &["stdlib"]),
    ("exec", &["ir", "codegen"]),
    ("stdlib", &["diag", "syntax", "sema", "ir", "passes"]),
    ("llmc", &["fake-driver"]),
];

/// A crate of others, the only crates of ours that may use it, and what it is worth.
const OWNERS: &[(&str, &[&str], &str)] = &[
    ("logos", &["syntax"], "the lexer's automaton, from patterns"),
    ("lalrpop", &["syntax"], "the parser, from a grammar that is checked for conflicts"),
    ("lalrpop-util", &["syntax"], "what the generated parser calls"),
    ("codespan-reporting", &["diag"], "source lines under diagnostics, several files in one"),
    ("indexmap", &["passes"], "maps that keep their order, so that output is deterministic"),
    ("serde", &["data", "exec"], "manifests and vocabularies as types"),
    (
        "serde_json",
        &["data", "diag", "exec", "llmc"],
        "JSON with correct escapes and exact numbers",
    ),
    ("sha2", &["plan", "data", "exec", "llmc"], "content hashes"),
    ("cranelift-codegen", &["codegen", "exec"], "CLIF: build, verify, print, to machine code"),
    ("cranelift-frontend", &["codegen"], "CLIF with variables instead of block arguments"),
    ("cranelift-jit", &["exec"], "machine code into executable memory"),
    ("cranelift-module", &["exec"], "symbols between compiled functions"),
    ("cranelift-native", &["exec"], "what this processor can do"),
    ("cranelift-reader", &["exec"], "CLIF text out of a plan"),
    ("cudarc", &["exec"], "NVIDIA's driver, found at run time: no toolkit to build, none to run"),
    ("unicode-width", &["llmc"], "columns that line up under characters of double width"),
    ("glob", &["data", "llmc"], "patterns of data files"),
    ("memmap2", &["data", "exec"], "data files without a copy, and memory that the system clears"),
    ("csv", &["data"], "rows of tables with quotes"),
    ("strsim", &["data"], "the column that was probably meant"),
    ("flate2", &["data"], "texts packed with gzip, without C"),
    ("parquet", &["data"], "tables by columns"),
    ("regex-syntax", &["data"], "which characters Unicode calls letters"),
    ("ruzstd", &["data"], "texts packed with zstd, without C"),
    ("tiktoken-rs", &["data"], "the tokens of GPT-2"),
    ("tokenizers", &["data"], "files of tokenizers, read as their format is defined"),
    ("unicode-normalization", &["data"], "composed forms of characters"),
    ("signal-hook", &["exec"], "Ctrl-C and SIGTERM as a flag, without unsafe code here"),
    ("clap", &["llmc"], "the command line with its help"),
];

/// Crates of others that only tests use.
const TEST_OWNERS: &[(&str, &[&str], &str)] = &[
    ("insta", &["diag", "syntax", "sema", "ir", "passes", "llmc"], "snapshots with a review"),
    ("libtest-mimic", &["llmc"], "one named test for each case file"),
    ("stats_alloc", &["llmc"], "counts allocations, without unsafe code here"),
];

/// Kinds of dependency that a section of a manifest holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Normal,
    Test,
}

/// A dependency as a manifest states it.
#[derive(Debug, PartialEq, Eq)]
struct Dependency {
    user: String,
    name: String,
    kind: Kind,
}

/// Every dependency of every package; what a build script uses counts as used.
fn dependencies(files: &[File]) -> Vec<Dependency> {
    let mut found = vec![];
    for file in files.iter().filter(|f| f.name() == "Cargo.toml") {
        let mut user = String::new();
        let mut section = String::new();
        for line in file.text.lines().map(str::trim) {
            if let Some(header) = line.strip_prefix('[') {
                section = header.trim_end_matches(']').to_owned();
                continue;
            }
            let Some((key, value)) = line.split_once('=').filter(|_| !line.starts_with('#')) else {
                continue;
            };
            let name = key.trim().split('.').next().unwrap_or_default().to_owned();
            if section == "package" && name == "name" {
                user = value.trim().trim_matches('"').to_owned();
            }
            let last = section.rsplit('.').next().unwrap_or_default();
            let kind = match last {
                "dependencies" | "build-dependencies" => Kind::Normal,
                "dev-dependencies" => Kind::Test,
                _ => continue,
            };
            if !section.starts_with("workspace") {
                found.push(Dependency { user: user.clone(), name, kind });
            }
        }
    }
    found
}

fn is_ours(name: &str) -> bool {
    USES.iter().any(|(ours, _)| *ours == name)
}

fn row<'a>(table: &[(&str, &'a [&'a str])], user: &str) -> &'a [&'a str] {
    table.iter().find(|(name, _)| *name == user).map_or(&[], |(_, used)| used)
}

pub(crate) fn crates_use_only_what_the_table_allows(files: &[File]) -> Vec<String> {
    let ours = dependencies(files).into_iter().filter(|d| is_ours(&d.name));
    let broken = ours.filter(|d| {
        let tests_may = d.kind == Kind::Test && row(TESTS_USE, &d.user).contains(&d.name.as_str());
        !row(USES, &d.user).contains(&d.name.as_str()) && !tests_may
    });
    broken.map(|d| format!("`{}` may not use `{}`", d.user, d.name)).collect()
}

pub(crate) fn dependencies_have_an_owner_and_a_reason(files: &[File]) -> Vec<String> {
    let mut broken = vec![];
    let mut users: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for d in dependencies(files).into_iter().filter(|d| !is_ours(&d.name)) {
        let tables = match d.kind {
            Kind::Normal => vec![OWNERS],
            Kind::Test => vec![OWNERS, TEST_OWNERS],
        };
        let row = tables.into_iter().flatten().find(|(name, _, _)| *name == d.name);
        match row {
            None => broken.push(format!("`{}` of `{}` has no row in the table", d.name, d.user)),
            Some((_, owners, _)) if !owners.contains(&d.user.as_str()) => {
                broken.push(format!("`{}` belongs to {owners:?}, not to `{}`", d.name, d.user));
            }
            Some(_) => users.entry(d.name).or_default().push(d.user),
        }
    }
    for (name, _, reason) in OWNERS.iter().chain(TEST_OWNERS) {
        if !users.contains_key(*name) {
            broken.push(format!("`{name}` has a row and no user"));
        }
        if reason.is_empty() {
            broken.push(format!("`{name}` has no reason"));
        }
    }
    broken
}

pub(crate) fn take_the_lints_of_the_workspace(files: &[File]) -> Vec<String> {
    let manifests = files.iter().filter(|f| f.name() == "Cargo.toml");
    let broken = manifests.filter(|f| !f.text.contains("\n[lints]\nworkspace = true"));
    broken.map(|f| format!("{}: no `[lints] workspace = true`", f.path)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn manifest(name: &str, rest: &str) -> Vec<File> {
        let text = format!("[package]\nname = \"{name}\"\n\n{rest}\n");
        vec![File::new(format!("compiler/{name}/Cargo.toml"), text)]
    }

    #[test]
    fn a_crate_that_reaches_up_is_named() {
        let files = manifest("syntax", "[dependencies]\nsema.workspace = true");
        let broken = crates_use_only_what_the_table_allows(&files);
        assert_eq!(broken, ["`syntax` may not use `sema`"]);
    }

    #[test]
    fn tests_may_use_more_than_the_crate() {
        let files = manifest("codegen", "[dev-dependencies]\nexec.workspace = true");
        assert!(crates_use_only_what_the_table_allows(&files).is_empty());
        let files = manifest("codegen", "[dependencies]\nexec.workspace = true");
        assert_eq!(crates_use_only_what_the_table_allows(&files).len(), 1);
    }

    #[test]
    fn a_dependency_without_a_row_is_named() {
        let files = manifest("ir", "[target.'cfg(unix)'.dependencies]\nleft-pad = \"1\"");
        let broken = dependencies_have_an_owner_and_a_reason(&files);
        assert!(broken.contains(&"`left-pad` of `ir` has no row in the table".to_owned()));
    }

    #[test]
    fn a_dependency_of_another_crate_is_named() {
        let files = manifest("sema", "[dependencies]\nlogos = { version = \"0.16\" }");
        let broken = dependencies_have_an_owner_and_a_reason(&files);
        assert!(broken.contains(&"`logos` belongs to [\"syntax\"], not to `sema`".to_owned()));
    }

    #[test]
    fn a_manifest_with_its_own_lints_is_named() {
        assert_eq!(take_the_lints_of_the_workspace(&manifest("ir", "[lints]\n")).len(), 1);
    }
}
