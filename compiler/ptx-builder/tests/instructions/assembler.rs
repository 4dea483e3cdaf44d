//! `ptxas`, where there is one; `LLMC_REQUIRE_PTXAS=1` asks for it.
#![allow(clippy::print_stderr, reason = "a skipped test says so")]

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

/// An assembler.
pub(crate) struct Assembler(PathBuf);

/// What is said of an entry whose registers are all there.
const NO_SPILLS: &str = "0 bytes stack frame, 0 bytes spill stores, 0 bytes spill loads";

/// Texts that were given to it.
static TEXTS: AtomicU32 = AtomicU32::new(0);

/// That of `LLMC_PTXAS`, of `tools/ptxas.sh`, or of the path.
pub(crate) fn find() -> Option<Assembler> {
    // Tests of crates, and of the whole.
    let own = ["../../target", "target"]
        .map(|at| Path::new(env!("CARGO_MANIFEST_DIR")).join(at).join("ptxas/ptxas"));
    let named = std::env::var_os("LLMC_PTXAS").map(PathBuf::from);
    let all = named.into_iter().chain(own).chain([PathBuf::from("ptxas")]);
    let works = |path: &PathBuf| Command::new(path).arg("--version").output().is_ok();
    let found = all.into_iter().find(works);
    if found.is_none() {
        let is_required = std::env::var_os("LLMC_REQUIRE_PTXAS").is_some_and(|v| v == "1");
        assert!(!is_required, "no ptxas; tools/ptxas.sh installs one");
        eprintln!("skipped: no ptxas; tools/ptxas.sh installs one");
    }
    found.map(Assembler)
}

impl Assembler {
    /// Assembles a text; gives what is said of its registers, or what is wrong. It is wrong that
    /// one of them lies in memory.
    pub(crate) fn assemble(&self, text: &str, target: &str) -> Result<String, String> {
        let number = TEXTS.fetch_add(1, Ordering::Relaxed);
        let name = format!("llmc-ptxas-{}-{number}", std::process::id());
        let folder = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&folder).map_err(|e| e.to_string())?;
        let file = folder.join(format!("{target}.ptx"));
        std::fs::write(&file, text).map_err(|e| e.to_string())?;
        let mut command = Command::new(&self.0);
        command
            .arg("-v")
            .arg(format!("-arch={target}"))
            .arg("-o")
            .arg(file.with_extension("cubin"));
        let output = command.arg(&file).output().map_err(|e| e.to_string())?;
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        if !output.status.success() {
            return Err(format!("{said}\n{}", file.display()));
        }
        let lines: Vec<&str> = said.lines().map(str::trim).collect();
        let is_spilled = |line: &str| line.contains(" bytes spill ") && line != NO_SPILLS;
        match lines.iter().position(|line| is_spilled(line)) {
            Some(at) => Err(format!("{}: {}\n{}", lines[at - 1], lines[at], file.display())),
            None => {
                let _ = std::fs::remove_dir_all(&folder);
                Ok(said)
            }
        }
    }
}
