//! Files put together by `use`: each has its own names.
//!
//! `use "base.lt" as base` makes everything of the file available as `base.x`; without `as` its
//! layers, functions and rules become names of the file that uses it, and nothing else does.

use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;
use std::sync::Arc;

use diag::{Code, Diagnostic, FileId, Span};
use syntax::ast::{Expr, ExprKind, Ident, Spec, StmtKind, StrPart};

use super::Checker;
use super::file::{BlockNode, Blocks};
use super::input::Input;
use super::options::{Arg, Known};
use super::words::{did_you_mean, dotted};
use crate::library::{Declarations, Provenance, Used};
use crate::schema::Home;
use crate::value::{StaticArg, StaticEnv};

/// Blocks that one is like, one through another, at most: no text makes the check long.
const MAX_LIKES: usize = 16;

/// A file, and what is known of its names.
#[derive(Debug)]
pub(super) struct Unit<'a> {
    pub(super) spec: &'a Arc<Spec>,
    /// How the first file calls it: `base.`, and nothing for the first file itself.
    pub(super) prefix: String,
    /// Its folder, as seen from that of the first file.
    folder: String,
    /// Names of `use` lines whose file was not read: nothing is said about their members.
    pub(super) missing: Vec<String>,
    pub(super) args: Vec<Arg>,
    uses: Vec<(Option<Ident>, usize)>,
    env: StaticEnv,
}

/// All files, the spec first; a file that is used twice is there once.
pub(super) fn load<'a>(input: &Input<'a>) -> Vec<Unit<'a>> {
    let imports = input.imports.iter().filter_map(|i| Some((i.spec.as_ref()?, &i.folder)));
    let first = (input.spec, &String::new());
    let mut units: Vec<Unit<'a>> = vec![];
    for (spec, folder) in [first].into_iter().chain(imports) {
        if units.iter().all(|unit| unit.spec.file != spec.file) {
            let (prefix, missing, args, uses) = (String::new(), vec![], vec![], vec![]);
            let (folder, env) = (folder.clone(), StaticEnv::new());
            units.push(Unit { spec, prefix, folder, missing, args, uses, env });
        }
    }
    for index in 0..units.len() {
        let spec = units[index].spec;
        for &id in &spec.body {
            let StmtKind::Use { path, name } = &spec[id].kind else { continue };
            let import = input.imports.iter().find(|i| i.at == path.span);
            let file = import.and_then(|i| i.spec.as_ref()).map(|spec| spec.file);
            match units.iter().position(|unit| Some(unit.spec.file) == file) {
                Some(used) => units[index].uses.push((name.clone(), used)),
                None => units[index].missing.extend(name.iter().map(|n| n.text.clone())),
            }
        }
    }
    name_from_first(&mut units);
    units
}

/// Gives every file the name that the first one has for it.
fn name_from_first(units: &mut [Unit<'_>]) {
    // The nearest comes first: what the first file names itself has that name.
    let mut open = VecDeque::from([0]);
    let mut seen = vec![false; units.len()];
    seen[0] = true;
    while let Some(index) = open.pop_front() {
        for (name, used) in units[index].uses.clone() {
            if std::mem::replace(&mut seen[used], true) {
                continue;
            }
            let prefix = units[index].prefix.clone();
            units[used].prefix = match name {
                Some(name) => format!("{prefix}{}.", name.text),
                None => prefix,
            };
            open.push_back(used);
        }
    }
}

/// Every file after those that it uses.
pub(super) fn in_order(units: &[Unit<'_>]) -> Vec<usize> {
    let mut order = vec![];
    let mut seen = vec![false; units.len()];
    // A file is pushed twice: to visit what it uses, then for itself.
    let mut open = vec![(0, false)];
    while let Some((index, is_done)) = open.pop() {
        if is_done {
            order.push(index);
        } else if !std::mem::replace(&mut seen[index], true) {
            open.push((index, true));
            open.extend(units[index].uses.iter().map(|&(_, used)| (used, false)));
        }
    }
    order
}

/// The sources of a library: the standard ones, then the spec, then the files it uses.
pub(super) fn sources<'a>(input: &Input<'a>, units: &[Unit<'a>]) -> Vec<Declarations<'a>> {
    let std =
        input.std.iter().map(|&spec| Declarations { spec, by: Provenance::Std, uses: vec![] });
    let side = |index: usize| match u32::try_from(index) {
        Ok(0) | Err(_) => Provenance::User,
        Ok(n) => Provenance::Used(n),
    };
    let users = units.iter().enumerate().map(|(index, unit)| {
        let used = |(name, used): &(Option<Ident>, usize)| Used {
            name: name.as_ref().map(|n| n.text.clone()),
            by: side(*used),
        };
        let uses = unit.uses.iter().map(used).collect();
        Declarations { spec: unit.spec, by: side(index), uses }
    });
    std.chain(users).collect()
}

/// Whether the file of a `use` line was read; what has no file at all is reported.
pub(super) fn is_read(cx: &mut Checker<'_>, path: Span) -> bool {
    match cx.input.imports.iter().find(|i| i.at == path) {
        Some(import) => import.spec.is_some(),
        // Of more lines than a file may have the others are not read.
        None if !cx.input.imports.is_empty() => false,
        None => {
            let wrong = Diagnostic::new(Code::E0212, path, "there are no files to use here");
            cx.report(wrong.help("check the spec as a file, with `llmc check`"));
            false
        }
    }
}

impl<'a> Checker<'a> {
    /// Reads something with the names of another file.
    pub(super) fn within<T>(&mut self, unit: usize, f: impl FnOnce(&mut Self) -> T) -> T {
        let outer = self.unit;
        self.enter(unit);
        let result = f(self);
        self.enter(outer);
        result
    }

    fn enter(&mut self, unit: usize) {
        if unit == self.unit {
            return;
        }
        self.units[self.unit].env = std::mem::take(&mut self.env);
        self.unit = unit;
        let entered = &mut self.units[unit];
        self.spec = entered.spec;
        self.env = std::mem::take(&mut entered.env);
        self.imported.clone_from(&entered.missing);
    }

    /// A path that stands in a file, as seen from the folder of the first one.
    pub(super) fn placed(&self, path: String, file: FileId) -> String {
        let folder = &self.units[self.unit_of(file)].folder;
        if folder.is_empty() || path.starts_with('/') { path } else { format!("{folder}/{path}") }
    }

    /// The file that a tree was read from; what the command line says belongs to the first.
    pub(super) fn unit_of(&self, file: FileId) -> usize {
        self.units.iter().position(|unit| unit.spec.file == file).unwrap_or(0)
    }

    /// The tree of a file; none of the library's and of the command line's.
    pub(super) fn spec_of(&self, file: FileId) -> Option<&'a Arc<Spec>> {
        self.units.iter().map(|unit| unit.spec).find(|spec| spec.file == file)
    }

    /// The names that expressions of a file may use.
    pub(super) fn env_of(&self, file: FileId) -> &StaticEnv {
        let unit = self.unit_of(file);
        if unit == self.unit { &self.env } else { &self.units[unit].env }
    }

    /// What an argument is, as a file names it.
    pub(super) fn known(&self, file: FileId, name: &str) -> Option<&Known> {
        let (unit, name) = self.target(self.unit_of(file), name)?;
        self.units[unit].args.iter().find(|arg| arg.name == name).map(|arg| &arg.known)
    }

    /// The value of an argument as text: none where a file has no such argument, none inside where
    /// it has no value.
    pub(super) fn arg_text(&self, file: FileId, name: &str) -> Option<Option<String>> {
        let (unit, name) = self.target(self.unit_of(file), name)?;
        let arg = self.units[unit].args.iter().find(|arg| arg.name == name)?;
        let env = self.env_of(self.units[unit].spec.file);
        Some(match (&arg.known, env.get(name)) {
            (Known::Missing, _) | (_, Some(StaticArg::Unknown)) => None,
            (_, Some(StaticArg::Str(text))) => Some(text.clone()),
            (_, Some(_) | None) => Some(arg.text.clone()),
        })
    }

    /// The arguments that an expression names itself: as the command line calls them, where their
    /// values stand, and whether that is the command line.
    pub(super) fn args_in(&self, spec: &Spec, expr: &Expr) -> Vec<(String, Span, bool)> {
        let names: Vec<String> = match &expr.kind {
            ExprKind::Name(name) => vec![name.clone()],
            ExprKind::Field { base, name } => {
                let base = dotted(spec, *base);
                base.map(|base| format!("{base}.{}", name.text)).into_iter().collect()
            }
            ExprKind::Str(text) => text
                .parts
                .iter()
                .filter_map(|part| match part {
                    StrPart::Name { path, .. } => Some(path.join(".")),
                    StrPart::Text(_) => None,
                })
                .collect(),
            ExprKind::Number(_)
            | ExprKind::Bool(_)
            | ExprKind::None
            | ExprKind::Tuple(_)
            | ExprKind::List(_)
            | ExprKind::If { .. }
            | ExprKind::Call { .. }
            | ExprKind::Index { .. }
            | ExprKind::Unary { .. }
            | ExprKind::Binary { .. } => vec![],
        };
        let found = names.iter().filter_map(|path| {
            let (unit, name) = self.target_in(spec, path)?;
            let unit = &self.units[unit];
            let arg = unit.args.iter().find(|arg| arg.name == name)?;
            Some((format!("{}{name}", unit.prefix), arg.at, arg.is_given))
        });
        found.collect()
    }

    /// The arguments of a file, by name.
    pub(super) fn arg_names(&self, file: FileId) -> impl Iterator<Item = &str> {
        self.units[self.unit_of(file)].args.iter().map(|arg| arg.name.as_str())
    }

    /// The file and the last word that `base.train` means in a file.
    pub(super) fn target<'n>(&self, unit: usize, path: &'n str) -> Option<(usize, &'n str)> {
        let (mut unit, mut rest) = (unit, path);
        while let Some((first, after)) = rest.split_once('.') {
            let named = |(name, _): &&(Option<Ident>, usize)| {
                name.as_ref().is_some_and(|n| n.text == first)
            };
            unit = self.units.get(unit)?.uses.iter().find(named)?.1;
            rest = after;
        }
        Some((unit, rest))
    }

    /// The same of a name in a tree.
    pub(super) fn target_in<'n>(&self, spec: &Spec, path: &'n str) -> Option<(usize, &'n str)> {
        self.target(self.unit_of(spec.file), path)
    }

    /// Takes over what is known of the names of used files.
    pub(super) fn absorb(&mut self) {
        for (name, used) in self.units[self.unit].uses.clone() {
            let Some(name) = name else { continue };
            let theirs = &self.units[used].env;
            let names: Vec<(String, StaticArg)> = theirs
                .names()
                .filter_map(|n| Some((format!("{}.{n}", name.text), theirs.get(n)?.clone())))
                .collect();
            for (name, value) in names {
                self.env.set(name, value);
            }
        }
    }

    /// Every argument, as the command line calls it.
    pub(super) fn arg_paths(&self, blocks: &[Blocks]) -> Vec<String> {
        let all = self.units.iter().zip(blocks);
        let paths = |(unit, blocks): (&Unit<'a>, &Blocks)| {
            let prefix = unit.prefix.clone();
            blocks.args.iter().map(|arg| format!("{prefix}{}", arg.name)).collect::<Vec<_>>()
        };
        all.flat_map(paths).collect()
    }

    /// E0205 for an argument that the command line calls as one of another file: a value would go
    /// to both.
    pub(super) fn one_file_each(&mut self, blocks: &[Blocks]) {
        let mut seen: BTreeMap<String, Span> = BTreeMap::new();
        for (unit, blocks) in blocks.iter().enumerate() {
            for arg in &blocks.args {
                let called = format!("{}{}", self.units[unit].prefix, arg.name);
                let first = *seen.entry(called.clone()).or_insert(arg.at);
                if first.file != arg.at.file {
                    let wrong = format!("two files have an argument `{called}`");
                    let wrong = Diagnostic::new(Code::E0205, arg.at, wrong);
                    let help = "give one another name, or its file one: `use .. as base`";
                    self.report(wrong.label(first, "the other one").help(help));
                }
            }
        }
    }

    /// The block that another one is like; none where there is no such, which is reported.
    pub(super) fn like(&mut self, block: &BlockNode, home: Home) -> Option<BlockNode> {
        let (path, at) = block.like.as_ref()?;
        let all = self.blocks.clone();
        let wrong = format!("there is no {} `{path}` to be like", home.word());
        let wrong = Diagnostic::new(Code::E0202, *at, wrong);
        let Some((unit, name)) = self.target(block.unit, path) else {
            self.report(wrong.help("the name before the dot is that of a `use` line"));
            return None;
        };
        let found = match home {
            Home::Train => &all[unit].trains,
            Home::Data => &all[unit].datas,
        };
        let is_named = |b: &&BlockNode| b.name.as_ref().is_some_and(|(n, _)| n == name);
        // The word alone is the block without a name, or the only one.
        let is_meant =
            |b: &&BlockNode| name == home.word() && (b.name.is_none() || found.len() == 1);
        let source = found.iter().find(is_named).or_else(|| found.iter().find(is_meant));
        if source.is_none() && !all[unit].incomplete {
            let names: Vec<&str> =
                found.iter().filter_map(|b| b.name.as_ref()).map(|(n, _)| n.as_str()).collect();
            self.report(did_you_mean(wrong, name, *at, &names));
        }
        source.cloned()
    }

    /// Gives data that are like others the source of those, where they have none.
    pub(super) fn copy_heads(&mut self) {
        let mut blocks = (*self.blocks).clone();
        for data in blocks.iter_mut().flat_map(|b| &mut b.datas) {
            if data.head.is_some() || data.like.is_none() {
                continue;
            }
            // What is wrong with it is said where its lines are read.
            let n_said = self.diagnostics.len();
            let (sources, _) = self.likes(data, Home::Data);
            self.diagnostics.truncate(n_said);
            if let Some(source) = sources.iter().find(|b| b.head.is_some()) {
                (data.head, data.head_unit) = (source.head, source.unit);
            }
        }
        self.blocks = Rc::new(blocks);
    }

    /// What a block is like, and what that is like, from the nearest on; and whether that is all.
    ///
    /// A cycle, and a block that is not there, are reported.
    pub(super) fn likes(&mut self, block: &BlockNode, home: Home) -> (Vec<BlockNode>, bool) {
        let mut found = vec![block.clone()];
        loop {
            let last = found[found.len() - 1].clone();
            if last.like.is_none() {
                return (found.split_off(1), true);
            }
            let Some(next) = self.like(&last, home) else {
                return (found.split_off(1), false);
            };
            if let Some(first) = found.iter().position(|b| b.word == next.word) {
                self.cycle(&found[first..]);
                return (found.split_off(1), false);
            }
            if found.len() > MAX_LIKES {
                if let Some((_, at)) = &last.like {
                    let wrong = format!("blocks are like one another more than {MAX_LIKES} deep");
                    let wrong = Diagnostic::new(Code::E0212, *at, wrong);
                    self.report(wrong.help("make some of them like the first"));
                }
                return (found.split_off(1), false);
            }
            found.push(next);
        }
    }

    /// E0212, at the same block whichever of them is read.
    fn cycle(&mut self, round: &[BlockNode]) {
        let place = |b: &&BlockNode| (b.word.file, b.word.start);
        let Some(last) = round.iter().max_by_key(place) else { return };
        let Some((path, at)) = &last.like else { return };
        let wrong = match round.len() {
            1 => format!("`{}` is like itself", last.called()),
            _ => format!("`{}` is like itself through `{path}`", last.called()),
        };
        let mut wrong = Diagnostic::new(Code::E0212, *at, wrong);
        for other in round.iter().filter(|b| b.word != last.word) {
            wrong = wrong.label(other.word, format!("`{}`", other.called()));
        }
        self.report(wrong.help("remove one `like`"));
    }
}
