//! Functions around one wide product whose rows are not apart in every task.

use ir::builder::Builder;
use ir::graph::{Module, Role, State, Value};
use ir::types::{Dtype, Type};

/// Rows; no other axis has that size, and chunks of 4 and 8 leave a rest.
const ROWS: u64 = 18;

/// The function `f` with its operands and its results.
struct Head {
    b: Builder,
    states: Vec<State>,
    x: Value,
    logits: Value,
}

impl Head {
    /// `x [18, 3]` by `w [3, 5]`, and the sums of the rows, for which rows are worth cutting.
    fn new() -> Self {
        let mut head = Self::of(|b, x| {
            let w = b.state("w", f32s(&[3, 5]));
            b.dot(x, w)
        });
        head.declare("w", f32s(&[3, 5]), Role::Param);
        head
    }

    fn of(product: impl FnOnce(&mut Builder, Value) -> Value) -> Self {
        let mut b = Builder::new("f");
        let x = b.state("x", f32s(&[ROWS, 3]));
        let logits = product(&mut b, x);
        let mut head = Self { b, states: vec![], x, logits };
        head.declare("x", f32s(&[ROWS, 3]), Role::Param);
        let sums = head.b.sum(logits, &[1]);
        head.output("sums", sums);
        head
    }

    fn declare(&mut self, name: &str, ty: Type, role: Role) {
        self.states.push(State { name: name.to_owned(), ty, role, within: None });
    }

    fn output(&mut self, name: &str, value: Value) {
        let ty = self.b.ty(value).clone();
        self.declare(name, ty, Role::Output);
        self.b.store(name, value);
    }

    /// The logits, each times the number of its row.
    fn numbered(&mut self) -> Value {
        let shape = self.b.shape(self.logits).to_vec();
        let rows = self.b.iota(0, &shape);
        let rows = self.b.cast(rows, Dtype::F32);
        self.b.mul(self.logits, rows)
    }

    fn finish(self) -> Module {
        Module {
            states: self.states,
            functions: vec![self.b.finish()],
            origins: vec![String::new()],
        }
    }
}

fn f32s(shape: &[u64]) -> Type {
    Type::new(Dtype::F32, shape)
}

/// Each row against all: one task reads the same buffer at its rows and as a whole.
pub(crate) fn rows_by_rows() -> Module {
    Head::of(|b, x| {
        let all = b.transpose(x);
        b.dot(x, all)
    })
    .finish()
}

/// Two products that read a square, one by its rows and one by its columns.
pub(crate) fn rows_and_columns() -> Module {
    let square = |b: &mut Builder| b.state("square", f32s(&[ROWS, ROWS]));
    let mut head = Head::of(|b, _| {
        let (square, w) = (square(b), b.state("w", f32s(&[ROWS, 40])));
        b.dot(square, w)
    });
    head.declare("square", f32s(&[ROWS, ROWS]), Role::Param);
    head.declare("w", f32s(&[ROWS, 40]), Role::Param);
    let square = square(&mut head.b);
    let some = head.b.slice(square, 0, 0, 7);
    let product = head.b.dot(some, head.logits);
    head.output("product", product);
    head.finish()
}

/// A product over the rows, and one that needs the whole of it for each row.
pub(crate) fn sum_read_by_row() -> Module {
    let mut head = Head::new();
    let columns = head.b.transpose(head.logits);
    let over_rows = head.b.dot(columns, head.x);
    head.output("over_rows", over_rows);
    let back = head.b.dot(head.logits, over_rows);
    head.output("back", back);
    head.finish()
}

/// The number of the row behind the product, in a reduction of rows, in one of columns, and in a
/// task that has one number for each row.
pub(crate) fn numbered_rows() -> [(&'static str, Module); 4] {
    [
        ("behind the product", behind_the_product()),
        ("along rows", along_rows()),
        ("down columns", down_columns()),
        ("one for each row", one_for_each_row()),
    ]
}

/// As the epilogue of the second product, whose columns come in blocks.
fn behind_the_product() -> Module {
    let mut head = Head::new();
    let back = head.b.state("back", f32s(&[5, 4]));
    head.declare("back", f32s(&[5, 4]), Role::Param);
    let bent = head.b.tanh(head.logits);
    head.logits = head.b.dot(bent, back);
    let own = head.numbered();
    head.output("numbered", own);
    head.finish()
}

fn along_rows() -> Module {
    let mut head = Head::new();
    let own = head.numbered();
    let sums = head.b.sum(own, &[1]);
    head.output("numbered", sums);
    head.finish()
}

fn down_columns() -> Module {
    let mut head = Head::new();
    let own = head.numbered();
    let sums = head.b.sum(own, &[0]);
    head.output("numbered", sums);
    head.finish()
}

fn one_for_each_row() -> Module {
    let mut head = Head::new();
    let back = head.b.state("back", f32s(&[5, 3]));
    head.declare("back", f32s(&[5, 3]), Role::Param);
    let bent = head.b.tanh(head.logits);
    let product = head.b.dot(bent, back);
    let first = head.b.slice(product, 1, 0, 1);
    let first = head.b.reshape(first, &[ROWS]);
    let numbers = head.b.iota(0, &[ROWS]);
    let numbers = head.b.cast(numbers, Dtype::F32);
    let weights = head.b.mul(first, numbers);
    let weights = head.b.reshape(weights, &[1, ROWS]);
    let means = head.b.dot(weights, head.logits);
    head.output("means", means);
    head.finish()
}
