//! A trace as text, one instruction a line: what `build --emit program` shows.

use std::fmt::Write;

use crate::trace::{Binary, Elem, Id, Init, Instr, Prim, Reduce, Trace, Type, Unary};

impl Trace {
    /// The whole trace as text; the same trace gives the same text.
    pub fn print(&self) -> String {
        let mut out = String::new();
        for param in &self.params {
            let ty = Type { elem: Elem::Real, shape: param.shape.clone() };
            let init = init(param.init);
            line(&mut out, &format!("param {}: {} = {init}", param.path, type_text(&ty)));
        }
        for state in &self.states {
            let (ty, init) = (type_text(&state.ty), init(state.init));
            let next = value(state.next);
            line(&mut out, &format!("state {}: {ty} = {init} -> {next}", state.name));
        }
        let mut scope = "";
        for (i, instr) in self.instrs.iter().enumerate() {
            if instr.scope != scope {
                scope = &instr.scope;
                line(&mut out, &format!("# {}", if scope.is_empty() { "top" } else { scope }));
            }
            line(&mut out, &format!("%{i}: {}", self.instr(instr)));
        }
        let outputs: Vec<String> = self.outputs.iter().map(|&id| value(id)).collect();
        line(&mut out, &format!("return {}", outputs.join(", ")));
        out
    }

    fn instr(&self, instr: &Instr) -> String {
        let args: Vec<String> = instr.args.iter().map(|&id| value(id)).collect();
        let prim = match &instr.prim {
            Prim::Input(i) => format!("input {}", self.inputs[*i].name),
            Prim::Param(i) => format!("param {}", self.params[*i].path),
            Prim::State(i) => format!("state {}", self.states[*i].name),
            Prim::Const(x) => format!("const {x}"),
            Prim::Unary(f) => unary(*f).into(),
            Prim::Binary(f) => binary(*f).into(),
            Prim::PowInt(n) => format!("pow_int {n}"),
            Prim::Select => "select".into(),
            Prim::Cast => "cast".into(),
            Prim::Broadcast => "broadcast".into(),
            Prim::Reshape => "reshape".into(),
            Prim::Permute(perm) => format!("permute {perm:?}"),
            Prim::Slice { axis, start, len } => format!("slice {axis} {start}+{len}"),
            Prim::Concat { axis } => format!("concat {axis}"),
            Prim::Reduce { kind, axes } => format!("{} {axes:?}", reduce(*kind)),
            Prim::Softmax { axis } => format!("softmax {axis}"),
            Prim::Dot => "dot".into(),
            Prim::Gather => "gather".into(),
            Prim::Pick => "pick".into(),
            Prim::Iota { axis } => format!("iota {axis}"),
            Prim::Dropout(p) => format!("dropout {p}"),
        };
        let ty = type_text(&instr.ty);
        if args.is_empty() {
            format!("{ty} = {prim}")
        } else {
            format!("{ty} = {prim}({})", args.join(", "))
        }
    }
}

fn line(out: &mut String, text: &str) {
    writeln!(out, "{text}").expect("writing to a string");
}

fn value(id: Id) -> String {
    format!("%{}", id.0)
}

fn type_text(ty: &Type) -> String {
    let elem = match ty.elem {
        Elem::Real => "real".to_string(),
        Elem::Fp32 => "fp32".into(),
        Elem::Scalar => "scalar".into(),
        Elem::Int => "int".into(),
        Elem::Bool => "bool".into(),
        Elem::Ids(n) => format!("tok({n})"),
    };
    format!("{elem}{:?}", ty.shape)
}

fn init(init: Init) -> String {
    match init {
        Init::Zeros => "zeros".into(),
        Init::Ones => "ones".into(),
        Init::Constant(x) => format!("{x}"),
        Init::Normal(std) => format!("normal({std})"),
        Init::Uniform(x) => format!("uniform({x})"),
    }
}

fn unary(f: Unary) -> &'static str {
    match f {
        Unary::Neg => "neg",
        Unary::Abs => "abs",
        Unary::Exp => "exp",
        Unary::Log => "log",
        Unary::Tanh => "tanh",
        Unary::Erf => "erf",
        Unary::Sigmoid => "sigmoid",
        Unary::Sqrt => "sqrt",
        Unary::Rsqrt => "rsqrt",
        Unary::Cos => "cos",
        Unary::Sin => "sin",
        Unary::Floor => "floor",
        Unary::Not => "not",
    }
}

fn binary(f: Binary) -> &'static str {
    match f {
        Binary::Add => "add",
        Binary::Sub => "sub",
        Binary::Mul => "mul",
        Binary::Div => "div",
        Binary::Pow => "pow",
        Binary::Min => "min",
        Binary::Max => "max",
        Binary::Lt => "lt",
        Binary::Le => "le",
        Binary::Gt => "gt",
        Binary::Ge => "ge",
        Binary::Eq => "eq",
        Binary::Ne => "ne",
        Binary::And => "and",
        Binary::Or => "or",
    }
}

fn reduce(kind: Reduce) -> &'static str {
    match kind {
        Reduce::Sum => "sum",
        Reduce::Mean => "mean",
        Reduce::Max => "max",
        Reduce::LogSumExp => "logsumexp",
    }
}
