//! What the command line accepts.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{Arg, Args, CommandFactory, Parser, Subcommand, ValueEnum};

use crate::compile::BackEnd;

/// A small language and a compiler for training programs.
#[derive(Debug, Parser)]
#[command(name = "llmc", version, about, disable_help_subcommand = true)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// Reads the command line.
///
/// An option that a command does not have is one of the spec's: `--peak 1e-3` becomes `--arg
/// peak=1e-3`. What the names and values mean is known when the spec is read.
pub fn parse(words: impl IntoIterator<Item = OsString>) -> Cli {
    Cli::parse_from(with_args(words.into_iter().collect()))
}

/// The options of a command: their names, and whether each takes a value.
pub fn options_of(command: &str) -> Vec<(String, bool)> {
    let cli = Cli::command();
    cli.find_subcommand(command).map(options_in).unwrap_or_default()
}

fn options_in(command: &clap::Command) -> Vec<(String, bool)> {
    let long = |arg: &Arg| Some((arg.get_long()?.to_owned(), arg.get_action().takes_values()));
    let mut all: Vec<_> = command.get_arguments().filter_map(long).collect();
    all.extend(["help", "version"].map(|name| (name.to_owned(), false)));
    all
}

fn with_args(words: Vec<OsString>) -> Vec<OsString> {
    let cli = Cli::command();
    let mut command = &cli;
    for word in words.iter().skip(1) {
        let Some(inner) = command.find_subcommand(word) else { break };
        command = inner;
    }
    let options = options_in(command);
    if !options.iter().any(|(name, _)| name == "arg") {
        return words;
    }
    let mut out: Vec<OsString> = vec![];
    let mut rest = words.into_iter().peekable();
    while let Some(word) = rest.next() {
        let text = word.to_str().and_then(|w| w.strip_prefix("--")).unwrap_or_default();
        let (name, value) = match text.split_once('=') {
            Some((name, value)) => (name.to_owned(), Some(value.to_owned())),
            None => (text.to_owned(), None),
        };
        let known = options.iter().find(|(known, _)| *known == name);
        match known {
            None if !name.is_empty() => {
                let is_value =
                    |next: &OsString| next.to_str().is_some_and(|w| !w.starts_with("--"));
                let next = value.or_else(|| rest.next_if(is_value)?.into_string().ok());
                let pair = next.map_or(name.clone(), |value| format!("{name}={value}"));
                out.extend(["--arg".into(), pair.into()]);
            }
            Some((_, true)) if value.is_none() => {
                out.push(word);
                out.extend(rest.next());
            }
            Some(_) | None => out.push(word),
        }
    }
    out
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Check a spec: shapes, units, data, memory; nothing runs
    Check(Check),
    /// Lay specs out: spaces, columns, long lines; never a token or a comment
    Fmt(Fmt),
    /// Train the model of a spec, or go on with a run that was interrupted
    Train(Train),
    /// Compile a spec and print a stage of it
    Build(Build),
    /// Show what a run will take: parameters, FLOPs, bytes, schedule
    Plan(Plan),
    /// Run every kernel of a spec on random inputs, on everything that can run it, and compare
    Verify(Verify),
    /// Train for a few steps and show how fast, and where the time goes; writes nothing
    Bench(Bench),
    /// Show what this machine has, and what of it is used
    Doctor,
    /// Show what the model gets of the data of a spec
    Data(Data),
    /// Generate text from a run
    Generate(Generate),
    /// Talk with the model of a run, a line and a reply at a time
    Chat(Chat),
    /// Show what every setting of a spec came out as
    Show(Show),
    /// Show what a spec takes from the command line, or what a command does
    Help {
        /// A spec or a command; all commands without
        what: Option<String>,
    },
    /// Explain a diagnostic code: why, an example, its mended form
    Explain {
        /// The code, such as E0401
        code: String,
    },
    /// Print a declaration of the standard library
    Std {
        /// Its name, such as attention; all names without one
        name: Option<String>,
    },
}

/// A spec and how it is read.
#[derive(Debug, Args)]
pub struct Source {
    /// The spec
    pub spec: PathBuf,
    /// The job to run, of several; the last one of the spec by default
    pub job: Option<String>,
    /// A value for an argument of the spec, which `--NAME VALUE` is short for
    #[arg(long = "arg", value_name = "NAME[=VALUE]")]
    pub args: Vec<String>,
    /// The folder that `use` lines may not leave; that of the spec by default
    #[arg(long, value_name = "DIR")]
    pub root: Option<PathBuf>,
    /// Override a directive: train.lr=3e-4
    #[arg(long = "set", value_name = "PATH=VALUE")]
    pub sets: Vec<String>,
    /// How messages are printed
    #[arg(long, value_name = "FORMAT", default_value = "human")]
    pub error_format: ErrorFormat,
    /// Make a lint an error, or all warnings that nothing else names: W0512, warnings
    #[arg(long, value_name = "CODE")]
    pub deny: Vec<String>,
    /// Say nothing of a lint, or of any: W0512, warnings
    #[arg(long, value_name = "CODE")]
    pub allow: Vec<String>,
    /// Say a lint, though the spec allows it or --deny warnings is given
    #[arg(long, value_name = "CODE")]
    pub warn: Vec<String>,
}

impl Source {
    /// The values of the spec's arguments, by name.
    pub fn options(&self) -> Vec<(String, Option<String>)> {
        let pair = |text: &String| match text.split_once('=') {
            Some((name, value)) => (name.to_owned(), Some(value.to_owned())),
            None => (text.clone(), None),
        };
        self.args.iter().map(pair).collect()
    }
}

/// How messages are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ErrorFormat {
    /// With the source around it
    Human,
    /// One line each
    Short,
    /// One JSON object a line
    Json,
    /// One SARIF 2.1.0 log, for code scanning
    Sarif,
    /// Commands that GitHub's workflows show beside the lines
    Github,
}

/// `llmc check`
#[derive(Debug, Args)]
pub struct Check {
    /// The spec.
    #[command(flatten)]
    pub source: Source,
    /// Make the edits that are certain, then check
    #[arg(long)]
    pub fix: bool,
}

/// `llmc data`
#[derive(Debug, Args)]
pub struct Data {
    /// What to do.
    #[command(subcommand)]
    pub command: DataCommand,
}

/// What `llmc data` does.
#[derive(Debug, Subcommand)]
pub enum DataCommand {
    /// Rows as training reads them, with targets, documents and labels, and how many there are
    Show(DataShow),
}

/// `llmc data show`
#[derive(Debug, Args)]
pub struct DataShow {
    /// The spec.
    #[command(flatten)]
    pub source: Source,
    /// The split
    #[arg(long, value_name = "NAME", default_value = "train")]
    pub split: String,
    /// How many rows
    #[arg(long, value_name = "N", default_value_t = 3)]
    pub n: u64,
    /// JSON: one object with the counts, and one for each row
    #[arg(long)]
    pub json: bool,
}

/// `llmc fmt`
#[derive(Debug, Args)]
pub struct Fmt {
    /// The specs; `-` reads the standard input and writes the standard output
    #[arg(required = true)]
    pub specs: Vec<PathBuf>,
    /// Change nothing; fail if a file is not laid out
    #[arg(long)]
    pub check: bool,
}

/// `llmc train`
#[derive(Debug, Args)]
pub struct Train {
    /// The spec.
    #[command(flatten)]
    pub source: Source,
    /// The machine.
    #[command(flatten)]
    pub machine: Machine,
    /// The run's folder; runs/NAME under the working directory by default
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
    /// Go on with a run although its spec changed since: lr, data, steps …
    #[arg(long)]
    pub resume: bool,
}

/// Where and with how much it runs.
#[derive(Debug, Args)]
pub struct Machine {
    /// Threads; never changes a result. All cores by default
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    pub threads: Option<usize>,
    /// The device; that of the spec's line `device` by default, and cpu without one
    #[arg(long, value_name = "DEVICE")]
    pub device: Option<Device>,
}

/// A device.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Device {
    /// The CPU
    Cpu,
    /// The first NVIDIA GPU of this machine
    Cuda,
    /// A GPU's code, run by an emulator on the CPU: slow, and a check of every access
    Emulated,
}

impl Device {
    /// As on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Cpu => "cpu",
            Self::Cuda => "cuda",
            Self::Emulated => "emulated",
        }
    }
}

impl From<sema::Device> for Device {
    fn from(device: sema::Device) -> Self {
        match device {
            sema::Device::Cpu => Self::Cpu,
            sema::Device::Cuda => Self::Cuda,
            sema::Device::Emulated => Self::Emulated,
        }
    }
}

/// A generation of devices.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Target {
    /// Any CPU
    Cpu,
    /// A100
    #[value(name = "sm_80")]
    Sm80,
    /// GeForce 30, A40
    #[value(name = "sm_86")]
    Sm86,
    /// GeForce 40, L4, L40
    #[value(name = "sm_89")]
    Sm89,
    /// H100, H200
    #[value(name = "sm_90")]
    Sm90,
    /// GeForce 50
    #[value(name = "sm_120")]
    Sm120,
}

impl Target {
    /// What plans for it are made of.
    pub fn back_end(self) -> BackEnd {
        match self {
            Self::Cpu => BackEnd::Cpu,
            Self::Sm80 => BackEnd::Gpu(ptx_builder::Target::Sm80),
            Self::Sm86 => BackEnd::Gpu(ptx_builder::Target::Sm86),
            Self::Sm89 => BackEnd::Gpu(ptx_builder::Target::Sm89),
            Self::Sm90 => BackEnd::Gpu(ptx_builder::Target::Sm90),
            Self::Sm120 => BackEnd::Gpu(ptx_builder::Target::Sm120),
        }
    }
}

/// `llmc build`
#[derive(Debug, Args)]
pub struct Build {
    /// The spec.
    #[command(flatten)]
    pub source: Source,
    /// Print this stage
    #[arg(long, value_name = "STAGE")]
    pub emit: Option<Stage>,
    /// The device to compile for
    #[arg(long, value_name = "TARGET")]
    pub target: Option<Target>,
    /// Print the time of each step
    #[arg(long)]
    pub time: bool,
}

/// A stage of the compiler.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Stage {
    /// The syntax tree as text
    Ast,
    /// The checked program
    Program,
    /// The graphs after all graph passes
    Graph,
    /// The scheduled kernels
    Kernels,
    /// The generated code of a CPU
    Clif,
    /// The generated code of a GPU
    Ptx,
    /// The plan: buffers, steps, code
    Plan,
}

/// `llmc plan`
#[derive(Debug, Args)]
pub struct Plan {
    /// The spec.
    #[command(flatten)]
    pub source: Source,
    /// Also list every parameter
    #[arg(long)]
    pub params: bool,
    /// Also show what a step would take on these GPUs if only bytes and operations took time:
    /// sm_80,sm_90
    #[arg(long = "target", value_name = "TARGETS", value_delimiter = ',')]
    pub targets: Vec<Target>,
    /// Draw the memory over the time of a step into this file
    #[arg(long, value_name = "FILE")]
    pub svg: Option<PathBuf>,
}

/// `llmc show`
#[derive(Debug, Args)]
pub struct Show {
    /// The spec.
    #[command(flatten)]
    pub source: Source,
    /// Say of each setting where it comes from
    #[arg(long)]
    pub origin: bool,
    /// Print one JSON object instead of a table
    #[arg(long)]
    pub json: bool,
}

/// `llmc verify`
#[derive(Debug, Args)]
pub struct Verify {
    /// The spec.
    #[command(flatten)]
    pub source: Source,
    /// Of the inputs
    #[arg(long, value_name = "N", default_value_t = 0, allow_negative_numbers = true)]
    pub seed: u64,
}

/// `llmc bench`
#[derive(Debug, Args)]
pub struct Bench {
    /// The spec.
    #[command(flatten)]
    pub source: Source,
    /// The machine.
    #[command(flatten)]
    pub machine: Machine,
    /// Steps whose median counts
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u64).range(1..), allow_negative_numbers = true)]
    pub steps: u64,
    /// Steps between the first and those that count
    #[arg(long, value_name = "N", default_value_t = 3, allow_negative_numbers = true)]
    pub warm_up: u64,
    /// Print one JSON object instead of tables
    #[arg(long)]
    pub json: bool,
}

/// `llmc generate`
#[derive(Debug, Args)]
pub struct Generate {
    /// The run's folder
    pub run: PathBuf,
    /// The text to go on from
    #[arg(default_value = "")]
    pub prompt: String,
    /// How it goes on.
    #[command(flatten)]
    pub text: Text,
    /// Texts, one after the other; number i of seed s is the first of seed s + i
    #[arg(long, short = 'n', value_name = "N", default_value_t = 1, allow_negative_numbers = true)]
    pub samples: u64,
    /// Print one JSON object for each text
    #[arg(long)]
    pub json: bool,
    /// The machine.
    #[command(flatten)]
    pub machine: Machine,
}

/// `llmc chat`
#[derive(Debug, Args)]
pub struct Chat {
    /// The run's folder
    pub run: PathBuf,
    /// How a reply goes on.
    #[command(flatten)]
    pub text: Text,
    /// The line that ends the program
    #[arg(long, value_name = "WORD", default_value = "exit")]
    pub exit: String,
    /// The machine.
    #[command(flatten)]
    pub machine: Machine,
}

/// How text is generated.
#[derive(Debug, Args)]
pub struct Text {
    /// Tokens to generate, at most
    #[arg(long, value_name = "N", default_value_t = 200, allow_negative_numbers = true)]
    pub length: u64,
    /// Below 1 bolder about likely tokens; 0 takes the likeliest
    #[arg(long, value_name = "X", default_value_t = 0.8, allow_negative_numbers = true)]
    pub temperature: f64,
    /// Only the N likeliest tokens
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    pub top_k: Option<u64>,
    /// Only the likeliest tokens, as few as have this probability together
    #[arg(long, value_name = "P", default_value_t = 1.0, allow_negative_numbers = true)]
    pub top_p: f64,
    /// Above 1 makes tokens of the text so far less likely
    #[arg(long, value_name = "X", default_value_t = 1.0, allow_negative_numbers = true)]
    pub repetition_penalty: f64,
    /// End before this text; may be given more than once
    #[arg(long = "stop", value_name = "TEXT")]
    pub stops: Vec<String>,
    /// Of the choices
    #[arg(long, value_name = "N", default_value_t = 0, allow_negative_numbers = true)]
    pub seed: u64,
}
