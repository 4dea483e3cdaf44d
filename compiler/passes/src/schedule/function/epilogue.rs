//! What runs behind a product: its kernel over blocks of the result.

use ir::graph::Value;
use ir::schedule::{Arg, BufferId, Epilogue, EpilogueArg, Product};

use super::{Scheduler, fold_batch};
use crate::fuse::Map;
use crate::fuse::maps::split;
use crate::schedule::blocks::Grid;

/// Stands for the sums of a block while a body is built.
const SUMS: Arg = Arg { buffer: BufferId(u32::MAX), offset: 0 };

impl Scheduler<'_> {
    /// A product with what is behind it; none where nobody needs anything of both.
    pub(super) fn with_epilogue(
        &mut self,
        task: usize,
        result: Value,
        map: Option<&Map>,
        product: Product,
    ) -> Option<Product> {
        let members = self.tasks.task(task).members.iter().copied();
        let members: Vec<Value> = members.filter(|&v| !self.tasks.is_product(v)).collect();
        let outputs: Vec<Value> =
            members.iter().copied().filter(|&v| self.tasks.is_stored(v)).collect();
        let (Some(map), false) = (map, outputs.is_empty()) else {
            return product.c.is_some().then(|| fold_batch(product));
        };
        let held = self.places[result.index()].replace(product.c.unwrap_or(SUMS));
        let draft = self.draft(task, &map.shape, &members, &outputs);
        self.places[result.index()] = held;
        // Rows of all batches become rows of one product, if the space has them as axes.
        let folded = fold_batch(product.clone());
        let is_split = split(&map.shape, folded.m, folded.n).is_some();
        let mut product = if is_split { folded } else { product };
        let [rows, cols] =
            split(&map.shape, product.m, product.n).expect("the map was joined for its axes");
        let grid = Grid { rows, cols, reduces: map.reduces, n: product.n };
        let (kernel, args) = draft.into_blocks(&grid, SUMS, self.target);
        let arg = |arg: Arg| if arg == SUMS { EpilogueArg::Sums } else { EpilogueArg::Memory(arg) };
        let cols = kernel.cols;
        let kernel = self.kernels.intern(kernel);
        let args = args.into_iter().map(arg).collect();
        product.epilogue = Some(Epilogue { kernel, args, cols });
        Some(product)
    }
}
