//! Reads the files that `use` lines name, and those that they name in turn.
//!
//! A path is relative to the file that it stands in and may not leave the root, which is the folder
//! of the spec unless the command names another. What cannot be read is E0212 at its place.

use std::collections::BTreeMap;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use diag::{Code, Diagnostic, SourceMap, Span};
use sema::Import;
use sema::schema::nearest;
use syntax::ast::{Spec, StmtKind, StrLit};

use super::missing;

/// Files behind one another at most.
const MAX_DEPTH: usize = 16;

/// Files of a spec at most.
const MAX_FILES: usize = 64;

/// Lines `use` of one file at most.
const MAX_USES: usize = 256;

/// Where the texts of used files come from.
#[derive(Debug, Clone, Default)]
pub enum Files {
    /// There are none: the spec is a text alone.
    #[default]
    None,
    /// This folder, and those below it.
    Below(PathBuf),
    /// Texts by their path from the folder of the spec.
    Texts(BTreeMap<String, String>),
}

/// What was read.
#[derive(Debug, Default)]
pub struct Used {
    /// For each `use` line, its file.
    pub imports: Vec<Import>,
    /// The texts by their path from the folder of the spec.
    pub texts: BTreeMap<String, String>,
    /// What is wrong, and what the parser says of the files.
    pub diagnostics: Vec<Diagnostic>,
}

/// Reads all files that a spec uses; `path` is that of the spec.
pub fn read(map: &mut SourceMap, files: &Files, path: &Path, spec: &Spec) -> Used {
    let used = Used::default();
    if matches!(files, Files::None) {
        return used;
    }
    let folder = path.parent().unwrap_or(Path::new("")).to_owned();
    let own = PathBuf::from(path.file_name().unwrap_or_default());
    let mut reader = Reader { map, files, folder, loaded: BTreeMap::new(), used };
    reader.walk(spec, &mut vec![(own, None)]);
    reader.used
}

/// Files on the way from the spec, as seen from its folder, each with the line that names it.
type Chain = Vec<(PathBuf, Option<Span>)>;

struct Reader<'a> {
    map: &'a mut SourceMap,
    files: &'a Files,
    /// The folder of the spec.
    folder: PathBuf,
    loaded: BTreeMap<PathBuf, Arc<Spec>>,
    used: Used,
}

impl Reader<'_> {
    fn walk(&mut self, spec: &Spec, chain: &mut Chain) {
        let paths = spec.body.iter().filter_map(|&id| match &spec[id].kind {
            StmtKind::Use { path, .. } => Some(path),
            StmtKind::Decl(_) | StmtKind::For { .. } | StmtKind::Node(_) | StmtKind::Error => None,
        });
        for (n, path) in paths.enumerate() {
            if n == MAX_USES {
                let wrong = format!("the file has more than {MAX_USES} lines `use`");
                let wrong = Diagnostic::new(Code::E0005, path.span, wrong).primary("one too many");
                self.used.diagnostics.push(wrong.help("remove those that repeat another"));
                break;
            }
            let read = self.file(path, chain);
            let folder = read.as_ref().ok().and_then(|(key, _)| key.parent());
            let folder = folder.map_or(String::new(), slashed);
            let read = read.map(|(_, spec)| spec);
            let spec = match read {
                Ok(spec) => Some(spec),
                Err(wrong) => {
                    self.used.diagnostics.push(*wrong);
                    None
                }
            };
            self.used.imports.push(Import { at: path.span, folder, spec });
        }
    }

    /// The file of one line, and all that it uses.
    fn file(
        &mut self,
        path: &StrLit,
        chain: &mut Chain,
    ) -> Result<(PathBuf, Arc<Spec>), Box<Diagnostic>> {
        let at = path.span;
        let wrong = |message: String| Box::new(Diagnostic::new(Code::E0212, at, message));
        let Some(text) = path.plain() else {
            return Err(Box::new(
                wrong("the path of `use` takes no names".to_owned())
                    .help("files are the same wherever the spec is read"),
            ));
        };
        if text.is_empty() || Path::new(&text).is_absolute() {
            let message = format!("`use` takes a path from its own file, found \"{text}\"");
            return Err(Box::new(wrong(message).help("write it like `use \"base.lt\" as base`")));
        }
        let own = chain.last().expect("the spec is first").0.clone();
        let key = normal(&own.parent().unwrap_or(Path::new("")).join(&text));
        if let Some(first) = chain.iter().position(|(path, _)| *path == key) {
            return Err(Box::new(cycle(*wrong(String::new()), &chain[first..], &key)));
        }
        if chain.len() > MAX_DEPTH {
            let message = format!("files use one another more than {MAX_DEPTH} deep");
            return Err(wrong(message));
        }
        if let Some(spec) = self.loaded.get(&key) {
            return Ok((key, spec.clone()));
        }
        if self.loaded.len() >= MAX_FILES {
            return Err(wrong(format!("a spec uses at most {MAX_FILES} files")));
        }
        let content = self.content(&key).map_err(|why| match why {
            Unread::Other(why) => wrong(why),
            Unread::Missing => {
                let wrong = *wrong(format!("there is no file `{}`", self.shown(&key).display()));
                Box::new(match self.near(&own, &text) {
                    Some(near) => {
                        wrong.fix(format!("did you mean `{near}`?"), at, format!("{near:?}"))
                    }
                    None => wrong.help("correct the path, which starts at the folder of this file"),
                })
            }
        })?;
        let shown = self.shown(&key);
        let file = self.map.add(shown.to_string_lossy(), content.clone());
        let (spec, faults) = syntax::parse(self.map, file);
        self.used.diagnostics.extend(faults);
        self.used.texts.insert(slashed(&key), content);
        chain.push((key.clone(), Some(at)));
        self.walk(&spec, chain);
        chain.pop();
        self.loaded.insert(key.clone(), spec.clone());
        Ok((key, spec))
    }

    /// A file as messages call it.
    fn shown(&self, key: &Path) -> PathBuf {
        self.folder.join(key)
    }

    /// The file that was probably meant by `text` in `own`; nothing is learnt of files outside.
    fn near(&self, own: &Path, text: &str) -> Option<String> {
        let from = own.parent().unwrap_or(Path::new(""));
        match self.files {
            Files::None => None,
            Files::Texts(texts) => {
                let names = texts.keys().map(String::as_str);
                nearest(text, names).filter(|_| from == Path::new("")).map(str::to_owned)
            }
            Files::Below(root) => {
                let from = self.folder_of_spec().join(from);
                let folder = from.join(Path::new(text).parent()?).canonicalize().ok()?;
                let is_inside = folder.starts_with(root.canonicalize().ok()?);
                is_inside.then(|| missing::near(text, &from)).flatten()
            }
        }
    }

    /// The text of a file, or why there is none.
    fn content(&self, key: &Path) -> Result<String, Unread> {
        let root = match self.files {
            Files::None => return Err(Unread::Other("there are no files to use here".to_owned())),
            Files::Texts(texts) => return texts.get(&slashed(key)).cloned().ok_or(Unread::Missing),
            Files::Below(root) => root,
        };
        let path = self.shown(key);
        let shown = path.display();
        let outside = || {
            let root = root.display();
            let why =
                format!("`{shown}` is outside of `{root}`, which `use` may not leave; see --root");
            Unread::Other(why)
        };
        let unread = |path: &Path, error: &std::io::Error| {
            let why = missing::reason(error);
            Unread::Other(format!("`{}` cannot be read: {why}", path.display()))
        };
        let real_root = root.canonicalize().map_err(|e| unread(root, &e))?;
        // Told from the path alone, so that nothing is learnt of files outside.
        let folder = self.folder_of_spec().canonicalize().map_err(|e| unread(&path, &e))?;
        if !normal(&folder.join(key)).starts_with(&real_root) {
            return Err(outside());
        }
        let real =
            path.canonicalize().map_err(|e| match e.kind() == std::io::ErrorKind::NotFound {
                true => Unread::Missing,
                false => unread(&path, &e),
            })?;
        // A link may lead elsewhere.
        if !real.starts_with(&real_root) {
            return Err(outside());
        }
        crate::spec::read(&path).map_err(|failure| Unread::Other(failure.to_string()))
    }

    fn folder_of_spec(&self) -> &Path {
        if self.folder.as_os_str().is_empty() { Path::new(".") } else { &self.folder }
    }
}

/// Why there is no text of a file.
enum Unread {
    Missing,
    Other(String),
}

/// E0212: `a.lt` uses itself through `b.lt`, with each line on the way.
fn cycle(mut wrong: Diagnostic, chain: &[(PathBuf, Option<Span>)], key: &Path) -> Diagnostic {
    let first = key.display();
    let between: Vec<String> =
        chain[1..].iter().map(|(path, _)| format!("`{}`", path.display())).collect();
    wrong.message = match between.as_slice() {
        [] => format!("`{first}` uses itself"),
        between => format!("`{first}` uses itself through {}", between.join(", ")),
    };
    let mut wrong = wrong.primary(format!("back to `{first}`"));
    for pair in chain.windows(2) {
        if let Some(at) = pair[1].1 {
            let (from, to) = (pair[0].0.display(), pair[1].0.display());
            wrong = wrong.label(at, format!("`{from}` uses `{to}`"));
        }
    }
    wrong.help("move what both need into a file of its own")
}

/// A path without `.` and with every `..` that has a folder before it taken back.
fn normal(path: &Path) -> PathBuf {
    let mut out = PathBuf::new();
    for part in path.components() {
        match part {
            Component::CurDir => {}
            Component::ParentDir if out.file_name().is_some() => {
                out.pop();
            }
            Component::ParentDir
            | Component::Normal(_)
            | Component::RootDir
            | Component::Prefix(_) => out.push(part),
        }
    }
    out
}

/// A path with `/` on every system.
fn slashed(path: &Path) -> String {
    let parts: Vec<_> = path.components().map(|c| c.as_os_str().to_string_lossy()).collect();
    parts.join("/")
}
