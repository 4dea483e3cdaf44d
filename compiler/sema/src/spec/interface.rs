//! What the command line can say to a spec: its arguments and its jobs.

use super::Checker;
use super::file::{BlockNode, Blocks};
use super::input::Input;
use super::words::clipped;
use crate::library::Library;

/// What a spec offers to the command line.
#[derive(Debug, Clone, Default)]
pub struct Interface {
    /// Its arguments, then those of the files that it uses.
    pub args: Vec<ArgInfo>,
    /// Its training jobs, in order; the last one runs unless another is named.
    pub jobs: Vec<JobInfo>,
    /// How many blocks of data its own file has.
    pub n_datas: usize,
    /// The comment above its first line.
    pub doc: Option<String>,
}

/// An argument.
#[derive(Debug, Clone)]
pub struct ArgInfo {
    /// As the command line calls it: `peak`, `base.peak`.
    pub name: String,
    /// Its type.
    pub ty: &'static str,
    /// Its default as written; none where it is required.
    pub default: Option<String>,
    /// The values that it may have, as written.
    pub range: Option<String>,
    /// Its comment.
    pub doc: Option<String>,
}

/// A training job.
#[derive(Debug, Clone)]
pub struct JobInfo {
    /// Its name; none for a `train` alone.
    pub name: Option<String>,
    /// What it is like, as written.
    pub like: Option<String>,
    /// Its comment.
    pub doc: Option<String>,
}

/// Reads what a spec offers; what is wrong with it is the check's to say.
pub fn interface(input: &Input<'_>) -> Interface {
    let cx = Checker::new(input, None, Library::default());
    let blocks = cx.blocks.clone();
    let args = cx.units.iter().zip(blocks.iter()).flat_map(|(unit, blocks)| {
        let text = |expr: syntax::ast::ExprId| clipped(cx.map.text(unit.spec[expr].span));
        let info = move |arg: &super::options::ArgDecl| ArgInfo {
            name: format!("{}{}", unit.prefix, arg.name),
            ty: arg.ty,
            default: arg.default.map(text),
            range: arg.range.map(text),
            doc: arg.doc.clone(),
        };
        blocks.args.iter().map(info).collect::<Vec<_>>()
    });
    let args = args.collect();
    let first = input.spec.body.first().map(|&id| &input.spec[id]);
    // The comment of a file stands above its first line, where that is no argument or job.
    let of_file = first.filter(|stmt| !stands_for_itself(&blocks[0], stmt.span));
    let doc = of_file.and_then(|stmt| stmt.doc.clone());
    let (jobs, n_datas) = (blocks[0].trains.iter().map(job).collect(), blocks[0].datas.len());
    Interface { args, jobs, n_datas, doc }
}

fn stands_for_itself(blocks: &Blocks, span: diag::Span) -> bool {
    blocks.args.iter().any(|arg| arg.span == span) || blocks.trains.iter().any(|b| b.span == span)
}

fn job(block: &BlockNode) -> JobInfo {
    JobInfo {
        name: block.name.as_ref().map(|(name, _)| name.clone()),
        like: block.like.as_ref().map(|(path, _)| path.clone()),
        doc: block.doc.clone(),
    }
}
