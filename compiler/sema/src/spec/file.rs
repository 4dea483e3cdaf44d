//! File level: which line is which block.

use std::collections::BTreeMap;

use diag::{Code, Diagnostic, Edit, Span};
use syntax::ast::{Block, ExprId, ExprKind, Node, Spec, Stmt, StmtId, StmtKind};

use super::Checker;
use super::allow::is_allow;
use super::options::{self, ArgDecl};
use super::units;
use super::words::{clipped, did_you_mean, dotted, not_built, spaced_call, word};
use crate::library::too_many;
use crate::schema::{BLOCKS, Home, SOURCES, Status, foreign};

/// Blocks and arguments of one file: each is looked at for every job, and knows all the others.
pub(super) const MAX_BLOCKS: usize = 256;

/// The blocks of a file that this version runs.
#[derive(Debug, Default, Clone)]
pub(super) struct Blocks {
    pub(super) args: Vec<ArgDecl>,
    pub(super) models: Vec<BlockNode>,
    pub(super) datas: Vec<BlockNode>,
    pub(super) trains: Vec<BlockNode>,
    /// Whether something at file level is wrong or not built, so that nothing is said of what may
    /// only be missing because of it.
    pub(super) incomplete: bool,
}

impl Blocks {
    /// How many there are.
    fn n_blocks(&self) -> usize {
        self.args.len() + self.models.len() + self.datas.len() + self.trains.len()
    }

    /// The names of all of them.
    pub(super) fn names(&self) -> Vec<String> {
        let all = self.models.iter().chain(&self.datas).chain(&self.trains);
        all.filter_map(|b| b.name.as_ref()).map(|(name, _)| name.clone()).collect()
    }
}

/// One block.
#[derive(Debug, Clone)]
pub(super) struct BlockNode {
    /// The file it stands in.
    pub(super) unit: usize,
    /// What it is like, and where that is said: `base.train`.
    pub(super) like: Option<(String, Span)>,
    /// Where its first weights come from: the name of a job, or the path of a run.
    pub(super) from: Option<ExprId>,
    /// The comment above it.
    pub(super) doc: Option<String>,
    /// The word that opens it.
    pub(super) word: Span,
    /// The whole statement.
    pub(super) span: Span,
    /// The name the spec gives it.
    pub(super) name: Option<(String, Span)>,
    /// The call of a `model` or `data`.
    pub(super) head: Option<ExprId>,
    /// The file where that call stands.
    pub(super) head_unit: usize,
    /// The lines in it.
    pub(super) stmts: Vec<StmtId>,
    /// Whether its lines stand behind it in a way that could not be read.
    pub(super) is_cut_off: bool,
}

/// What stands behind a block without braces.
struct Behind<'a> {
    /// Its lines, which stand further in.
    lines: &'a [StmtId],
    /// Whether braces follow in a way that could not be read.
    is_cut_off: bool,
}

/// Sorts the lines of the file and reports those that are no block.
pub(super) fn classify(cx: &mut Checker<'_>) -> Blocks {
    let mut blocks = Blocks::default();
    let spec = cx.spec;
    let mut rest = spec.body.as_slice();
    while let Some((&id, after)) = rest.split_first() {
        rest = after;
        let stmt = &spec[id];
        match &stmt.kind {
            // Files are put together before anything of them is read.
            StmtKind::Use { path, .. } => blocks.incomplete |= !units::is_read(cx, path.span),
            StmtKind::Decl(_) => {}
            StmtKind::For { .. } => cx.report(
                Diagnostic::new(Code::E0210, stmt.span, "`for` has no effect at file level")
                    .help("`for` repeats lines inside a `layer` or `fn`"),
            ),
            StmtKind::Node(node) if is_allow(spec, node) => {}
            StmtKind::Node(node) => {
                let lines = outside(cx, node, stmt, rest);
                rest = &rest[lines.len()..];
                let is_cut_off = node.block.is_none()
                    && rest.first().is_some_and(|&id| {
                        let is_error = matches!(spec[id].kind, StmtKind::Error);
                        is_error && cx.map.text(spec[id].span).starts_with('{')
                    });
                classify_node(cx, node, stmt, &Behind { lines, is_cut_off }, &mut blocks);
                if blocks.n_blocks() > MAX_BLOCKS {
                    blocks.incomplete = true;
                    let word = spec[node.groups[0][0]].span;
                    cx.report(too_many(word, MAX_BLOCKS, "blocks and arguments"));
                    break;
                }
            }
            StmtKind::Error => {
                blocks.incomplete = true;
                // They may be the lines of what could not be read.
                rest = &rest[n_further_in(cx, stmt.span, rest)..];
            }
        }
    }
    unique_names(cx, &blocks);
    blocks
}

/// The lines behind a block without braces that stand further in, as Python has them, and start
/// like lines of that block.
fn outside<'a>(cx: &Checker<'_>, node: &Node, stmt: &Stmt, rest: &'a [StmtId]) -> &'a [StmtId] {
    let spec = cx.spec;
    let opened = word(spec, node.groups[0][0]);
    let home = [Home::Train, Home::Data].into_iter().find(|home| opened == Some(home.word()));
    let Some(home) = home.filter(|_| node.block.is_none()) else { return &[] };
    let lines = &rest[..n_further_in(cx, stmt.span, rest)];
    // What is a block of its own may stand at any column.
    let is_line = |&id: &StmtId| match &spec[id].kind {
        StmtKind::Node(node) => {
            let is_block = |name: &str| {
                home.find(name).is_none() && BLOCKS.iter().any(|block| block.word == name)
            };
            node.block.is_none() && !word(spec, node.groups[0][0]).is_some_and(is_block)
        }
        StmtKind::Error => true,
        StmtKind::Use { .. } | StmtKind::Decl(_) | StmtKind::For { .. } => false,
    };
    let starts_well = lines.first().is_some_and(|&id| match &spec[id].kind {
        StmtKind::Node(node) => word(spec, node.groups[0][0]).is_some_and(|name| {
            home.find(name).is_some() && !BLOCKS.iter().any(|b| b.word == name)
        }),
        StmtKind::Use { .. } | StmtKind::Decl(_) | StmtKind::For { .. } | StmtKind::Error => false,
    });
    let n = lines.iter().take_while(|id| is_line(id)).count();
    if starts_well { &lines[..n] } else { &[] }
}

/// How many of the statements behind a line start in lines that stand further in.
pub(super) fn n_further_in(cx: &Checker<'_>, of: Span, rest: &[StmtId]) -> usize {
    let text = &cx.map.file(of.file).text;
    let line = |span: Span| text[..span.start as usize].rfind('\n').map_or(0, |at| at + 1);
    let indent = |at: usize| text[at..].len() - text[at..].trim_start_matches([' ', '\t']).len();
    let own = line(of);
    if !text[own..of.start as usize].trim().is_empty() {
        return 0;
    }
    let is_in = |&&id: &&StmtId| {
        let at = line(cx.spec[id].span);
        at > of.end as usize && indent(at) > indent(own)
    };
    rest.iter().take_while(is_in).count()
}

/// E0206: what stands behind a block should stand in it.
fn without_braces(cx: &Checker<'_>, block_word: &str, stmt: &Stmt, lines: &[StmtId]) -> Diagnostic {
    let (first, last) = (cx.spec[lines[0]].span, cx.spec[lines[lines.len() - 1]].span);
    let text = &cx.map.file(stmt.span.file).text[last.end as usize..];
    let rest = text.lines().next().unwrap_or_default().trim_end();
    let is_comment = rest.trim_start().starts_with('#');
    let end = last.end + if is_comment { rest.len() as u32 } else { 0 };
    let end = Span { start: end, end, ..last };
    let close = if is_comment || rest.is_empty() { "\n}" } else { " }" };
    let open = Edit { span: stmt.span.after(), text: " {".to_owned() };
    let wrong = format!("these lines stand behind `{block_word}`, not in it");
    let help = "a block stands in braces: `{`, its lines, and `}`";
    Diagnostic::new(Code::E0206, first, wrong)
        .primary("not inside any block")
        .label(stmt.span, "this block has no braces")
        .fix_all(help, vec![open, Edit { span: end, text: close.to_owned() }])
}

/// A name means one block.
fn unique_names(cx: &mut Checker<'_>, blocks: &Blocks) {
    let mut unnamed = blocks.trains.iter().filter(|block| block.name.is_none());
    if let (Some(first), Some(second)) = (unnamed.next(), unnamed.next()) {
        cx.report(
            Diagnostic::new(Code::E0205, second.word, "a second `train` without a name")
                .label(first.word, "the first")
                .help("give each a name, `train quick { .. }`, or remove one"),
        );
    }
    let all = blocks.models.iter().chain(&blocks.datas).chain(&blocks.trains);
    let named = all.filter_map(|b| b.name.as_ref()).map(|(name, at)| (name.as_str(), *at));
    let args = blocks.args.iter().map(|arg| (arg.name.as_str(), arg.at));
    let mut seen: BTreeMap<&str, Span> = BTreeMap::new();
    for (name, at) in args.chain(named) {
        if let Some(first) = seen.insert(name, at) {
            cx.report(
                Diagnostic::new(Code::E0205, at, format!("`{name}` is declared twice"))
                    .label(first, "declared here too")
                    .help("give one of them another name"),
            );
        }
    }
}

fn classify_node(
    cx: &mut Checker<'_>,
    node: &Node,
    stmt: &Stmt,
    behind: &Behind<'_>,
    blocks: &mut Blocks,
) {
    let spec = cx.spec;
    let first = node.groups[0][0];
    if let Some(spaced) = spaced_call(spec, cx.map, &node.groups[0][1..]) {
        blocks.incomplete = true;
        return cx.report(spaced);
    }
    let at = spec[first].span;
    let ExprKind::Name(name) = &spec[first].kind else {
        blocks.incomplete = true;
        let text = clipped(cx.map.text(at));
        let wrong = Diagnostic::new(Code::E0210, at, "this value is not used");
        let wrong = wrong.primary("the file level holds blocks and declarations");
        let is_call = matches!(spec[first].kind, ExprKind::Call { .. });
        return cx.report(if is_call {
            wrong.help(format!("write `model {text}`"))
        } else {
            wrong
        });
    };
    match BLOCKS.iter().find(|b| b.word == name) {
        None => {
            blocks.incomplete = true;
            let mut wrong = import(cx, node).unwrap_or_else(|| unknown_block(name, at));
            if node.ty.is_some() {
                // A key of YAML that is near the word of a block is another thing.
                wrong.fixes.clear();
            }
            cx.report(wrong);
        }
        Some(block) if block.status == Status::NotYet => {
            blocks.incomplete = true;
            cx.report(not_built(name, at).help("remove the block"));
            // Its name is defined, only not its value.
            if let Some(declared) = node.groups[0].get(1).and_then(|&e| word(spec, e)) {
                cx.env.set_unknown(declared);
            }
        }
        Some(block) if block.word == "arg" => {
            let declared = options::declare(cx, node, stmt.span, stmt.doc.as_ref());
            blocks.args.extend(declared);
        }
        Some(block) => {
            let mut read = read_block(cx, node, stmt, block.word);
            read.is_cut_off = behind.is_cut_off;
            if !behind.lines.is_empty() {
                read.stmts = behind.lines.to_vec();
                cx.report(without_braces(cx, block.word, stmt, behind.lines));
            }
            match block.home {
                None => blocks.models.push(read),
                Some(Home::Data) => blocks.datas.push(read),
                Some(Home::Train) => blocks.trains.push(read),
            }
        }
    }
}

/// `import base`, as other languages name the files they use.
fn import(cx: &Checker<'_>, node: &Node) -> Option<Diagnostic> {
    let spec = cx.spec;
    let [first, path, ..] = node.groups[0][..] else { return None };
    let theirs =
        word(spec, first).filter(|name| ["import", "include", "from", "require"].contains(name))?;
    let at = spec[first].span;
    let wrong = Diagnostic::new(Code::E0201, at, format!("`{theirs}` is called `use` here"));
    let is_all = node.groups.len() == 1
        && node.groups[0].len() == 2
        && node.ty.or(node.value).is_none()
        && node.block.is_none();
    Some(match (&spec[path].kind, word(spec, path)) {
        (ExprKind::Str(_), _) if is_all => wrong.fix("write `use`", at, "use"),
        (_, Some(name)) => wrong.help(format!("write `use \"{name}.lt\" as {name}`")),
        (_, None) => wrong.help("write `use \"base.lt\" as base`"),
    })
}

fn unknown_block(name: &str, at: Span) -> Diagnostic {
    for home in [Home::Train, Home::Data] {
        if home.find(name).is_some() {
            let block = home.word();
            return Diagnostic::new(
                Code::E0206,
                at,
                format!("`{name}` belongs to a `{block}` block"),
            )
            .primary("not inside any block")
            .help(format!("move it between the braces of `{block} {{ .. }}`"));
        }
    }
    if let Some(means) = foreign(name) {
        let ours = means.directive();
        let homes = [Home::Train, Home::Data];
        let home =
            homes.into_iter().find(|home| ours.is_some_and(|ours| home.find(ours).is_some()));
        let block = home.unwrap_or(Home::Train).word();
        let wrong = format!("unknown block `{name}`: a setting belongs to a `{block}` block");
        let there = format!("move it between the braces of `{block} {{ .. }}`");
        let help = match ours.filter(|ours| *ours != name) {
            Some(ours) => format!("{there}, where it is called `{ours}`"),
            None => there,
        };
        return Diagnostic::new(Code::E0201, at, wrong).primary("not inside any block").help(help);
    }
    let wrong = Diagnostic::new(Code::E0201, at, format!("unknown block `{name}`"))
        .primary("not a block, `layer`, `fn` or `rule`");
    let words: Vec<_> = BLOCKS.iter().map(|b| b.word).chain(["layer", "fn", "rule"]).collect();
    did_you_mean(wrong, name, at, &words)
}

/// `word [name] [= call] [{ .. }]`, and for `model` and `data` also `word call`.
fn read_block(cx: &mut Checker<'_>, node: &Node, stmt: &Stmt, block_word: &str) -> BlockNode {
    let spec = cx.spec;
    let words = &node.groups[0];
    let at = spec[words[0]].span;
    let takes_call = block_word != "train";
    let stmts = node.block.as_ref().map_or_else(Vec::new, |b: &Block| b.stmts.clone());
    let (unit, span, doc) = (cx.unit, stmt.span, stmt.doc.clone());
    let (name, like) = (None, None);
    let head = node.value.or(node.ty);
    let mut read = BlockNode {
        unit,
        like,
        from: None,
        doc,
        word: at,
        span,
        name,
        head,
        head_unit: unit,
        stmts,
        is_cut_off: false,
    };
    let mut rest = &words[1..];
    if let [first, more @ ..] = rest {
        let is_link =
            more.is_empty() || word(spec, *first).is_none_or(|w| w != "from" && w != "like");
        let is_named = !takes_call || head.is_some() || is_like(spec, more);
        if let (Some(name), true) = (word(spec, *first), is_link && is_named) {
            read.name = Some((name.to_owned(), spec[*first].span));
            rest = more;
        } else if let (Some(name), Some((&call, more))) =
            (named_without_sign(cx, node, takes_call, words), more.split_first())
        {
            read.name = Some((name, spec[*first].span));
            read.head = Some(call);
            rest = more;
        } else if let (Some(name), true) = (word(spec, *first), is_mixture(cx, node, block_word)) {
            read.name = Some((name.to_owned(), spec[*first].span));
            rest = more;
        } else if takes_call && head.is_none() && !is_like(spec, rest) {
            read.head = Some(*first);
            rest = more;
        }
    }
    if let Some(wrong) = sign(cx, node, block_word, read.name.is_some()) {
        cx.report(wrong);
    }
    if !takes_call {
        read.head = None;
    }
    links(cx, block_word, rest, &mut read);
    if let Some(&extra) = node.groups.get(1).and_then(|g| g.first()) {
        cx.report(unexpected(cx, block_word, spec[extra].span));
    }
    if block_word == "model"
        && let Some(block) = &node.block
    {
        cx.report(
            Diagnostic::new(Code::E0210, block.span, "`model` takes no block")
                .help("a model's settings are the arguments of its call"),
        );
    }
    read
}

/// E0204: a `:` behind the word or the name of a block, or a `=` behind `train`.
fn sign(cx: &Checker<'_>, node: &Node, block_word: &str, is_named: bool) -> Option<Diagnostic> {
    let spec = cx.spec;
    let of = |e: ExprId| spec[e].span;
    let refuse = |sign: &str, at: Span| {
        Diagnostic::new(Code::E0204, at, format!("`{block_word}` takes no `{sign}`"))
    };
    if block_word == "train" {
        let (sign, value) = node.ty.map(|e| (":", e)).or(node.value.map(|e| ("=", e)))?;
        return Some(refuse(sign, of(value)).help("write `train name { .. }`"));
    }
    let ty = node.ty?;
    if node.value.is_some() {
        return Some(refuse(":", of(ty)).help(format!("write `{block_word} name = ..`")));
    }
    let words = of(node.groups[0][0]).to(of(*node.groups[0].last()?));
    let gap = Span { start: words.end, end: of(ty).start, ..words };
    let sign = if is_named { " = " } else { " " };
    let (text, value) = (clipped(cx.map.text(words)), clipped(cx.map.text(of(ty))));
    Some(refuse(":", gap).fix(format!("write `{text}{sign}{value}`"), gap, sign))
}

/// `like other` and `from other`, each once.
fn links(cx: &mut Checker<'_>, block_word: &str, mut rest: &[ExprId], read: &mut BlockNode) {
    let spec = cx.spec;
    while let [link, more @ ..] = rest {
        let at = spec[*link].span;
        let of = more.first();
        match (word(spec, *link), of.and_then(|&e| dotted(spec, e)), of) {
            (Some("like"), Some(source), Some(&e))
                if block_word != "model" && read.like.is_none() =>
            {
                read.like = Some((source, spec[e].span));
            }
            (Some("like"), None, _) if block_word != "model" => {
                let wrong = format!("`{block_word} .. like` needs the name of a `{block_word}`");
                return cx.report(Diagnostic::new(Code::E0301, at, wrong));
            }
            (Some("from"), _, Some(&e)) if block_word == "train" && read.from.is_none() => {
                read.from = Some(e);
            }
            (Some("from"), _, None) if block_word == "train" => {
                let wrong =
                    Diagnostic::new(Code::E0801, at, "`train .. from` needs a job or a run");
                return cx.report(wrong.help("write `from pretrain`, or `from \"runs/pretrain\"`"));
            }
            _ => return cx.report(unexpected(cx, block_word, at)),
        }
        rest = &more[1..];
    }
}

/// `data web text("a.txt")`, which lacks its `=`: the name, and what is wrong is reported.
fn named_without_sign(
    cx: &mut Checker<'_>,
    node: &Node,
    takes_call: bool,
    words: &[ExprId],
) -> Option<String> {
    let spec = cx.spec;
    let [_, first, call, ..] = *words else { return None };
    let is_call = matches!(spec[call].kind, ExprKind::Call { .. });
    let name = word(spec, first).filter(|_| takes_call && is_call && node.value.is_none())?;
    let (before, after) = (spec[first].span, spec[call].span);
    let gap = Span { start: before.end, end: after.start, ..before };
    let wrong = format!("`{name}` needs a `=` before what it names");
    cx.report(Diagnostic::new(Code::E0204, gap, wrong).fix("write `=` between them", gap, " = "));
    Some(name.to_owned())
}

/// `data both { .. }`: a block of data with a name and no source, unless it is the name of one.
fn is_mixture(cx: &Checker<'_>, node: &Node, block_word: &str) -> bool {
    let is_source =
        |&e: &ExprId| word(cx.spec, e).is_some_and(|w| SOURCES.iter().any(|s| s.name == w));
    block_word == "data"
        && node.value.is_none()
        && node.block.is_some()
        && !node.groups[0].get(1).is_some_and(is_source)
}

/// Whether these words say what a block is like.
fn is_like(spec: &Spec, words: &[ExprId]) -> bool {
    matches!(words, [like, _, ..] if word(spec, *like) == Some("like"))
}

fn unexpected(cx: &Checker<'_>, block_word: &str, span: Span) -> Diagnostic {
    let text = clipped(cx.map.text(span));
    Diagnostic::new(Code::E0301, span, format!("`{block_word}` does not take `{text}`"))
        .primary("one value too many")
}

/// A spec that describes a model or data but no job cannot run.
pub(super) fn require_blocks(cx: &mut Checker<'_>, blocks: &Blocks) {
    let present = blocks.models.iter().chain(&blocks.datas).next();
    if let (Some(present), true, false) = (present, blocks.trains.is_empty(), blocks.incomplete) {
        cx.report(
            Diagnostic::new(Code::E0209, present.word, "the spec has no `train` block")
                .primary("nothing uses this yet")
                .help("add `train { steps 1k }`"),
        );
    }
}
