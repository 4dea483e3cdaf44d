//! Sizes of the blocks of a product on tensor cores, and which one is taken.

use ptx_builder::Target;

/// K of one instruction.
pub(in crate::ptx) const STEP: u32 = 16;
/// K of a stage.
pub(super) const DEPTH: u32 = 32;

/// The part of the result that a block of threads has in registers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Tile {
    pub(super) rows: u32,
    pub(super) cols: u32,
    /// Warps along the rows and along the columns.
    pub(super) warps: [u32; 2],
    /// Work done in a time by a device full of such blocks, the best at 100: larger parts of a warp
    /// read shared memory less often. To be set anew from measurements.
    efficiency: u64,
}

const fn tile(rows: u32, cols: u32, warps: [u32; 2], efficiency: u64) -> Tile {
    Tile { rows, cols, warps, efficiency }
}

/// All sizes.
pub(super) const TILES: [Tile; 9] = [
    tile(128, 256, [2, 4], 100),
    tile(256, 128, [4, 2], 100),
    tile(128, 128, [2, 4], 88),
    tile(128, 64, [4, 2], 70),
    tile(64, 128, [2, 4], 70),
    tile(64, 64, [2, 2], 60),
    tile(32, 128, [1, 4], 48),
    tile(32, 64, [1, 4], 36),
    tile(16, 64, [1, 4], 22),
];

/// Multiprocessors of the largest device in common use.
fn multiprocessors(target: Target) -> u64 {
    match target {
        Target::Sm80 => 108,
        Target::Sm86 => 84,
        Target::Sm89 => 128,
        Target::Sm90 => 132,
        Target::Sm120 => 170,
    }
}

impl Tile {
    /// Threads of a block.
    pub(super) fn threads(self) -> u32 {
        32 * self.warps[0] * self.warps[1]
    }

    /// Rows and columns of a warp.
    pub(super) fn warp(self) -> [u32; 2] {
        [self.rows / self.warps[0], self.cols / self.warps[1]]
    }

    /// Bytes of both operands of a stage.
    pub(super) fn stage_bytes(self) -> u32 {
        (self.rows + self.cols) * DEPTH * 2
    }

    /// Stages under way: as many as leave room for a second block, if any do.
    pub(super) fn stages(self, target: Target) -> u32 {
        let is_roomy = 2 * 4 * u64::from(self.stage_bytes()) <= target.shared_bytes();
        if is_roomy { 4 } else { 3 }
    }
}

/// Registers of a multiprocessor.
const REGISTERS: u32 = 1 << 16;

/// What a product asks for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Need {
    pub(super) batch: u64,
    pub(super) m: u64,
    pub(super) n: u64,
    pub(super) k: u64,
    pub(super) behind: Behind,
}

/// What an epilogue asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Behind {
    /// There is none.
    Nothing,
    /// A map over blocks of so many columns, which may be cut.
    Map(u64),
    /// Reductions over so many columns.
    Rows(u64),
}

impl Need {
    /// Bytes of shared memory of a block: stages, and the sums for an epilogue.
    pub(super) fn shared_bytes(self, tile: Tile, target: Target) -> u64 {
        let stages = u64::from(tile.stages(target) * tile.stage_bytes());
        let sums = u64::from(tile.rows) * self.width(tile) * 4;
        match self.behind {
            Behind::Nothing => stages,
            // The stages are done when the only sums come.
            Behind::Map(_) | Behind::Rows(_) if self.parts(tile) == 1 => stages.max(sums),
            Behind::Map(_) | Behind::Rows(_) => stages + sums,
        }
    }

    /// Blocks that a multiprocessor is to hold, by its registers and its shared memory.
    pub(super) fn resident(self, tile: Tile, target: Target) -> u32 {
        let [rows, cols] = tile.warp();
        // The sums, and about as much again for fragments and addresses, within what the assembler
        // can give.
        let registers = (rows * cols / 16).clamp(128, 256);
        let by_registers = REGISTERS / (registers * tile.threads());
        let by_memory = target.shared_bytes() / self.shared_bytes(tile, target).max(1);
        by_registers.min(u32::try_from(by_memory).unwrap_or(u32::MAX)).max(1)
    }

    /// Tiles that a block computes one after another.
    pub(super) fn parts(self, tile: Tile) -> u64 {
        self.width(tile).div_ceil(tile.cols.into())
    }

    /// Columns of the result that a block computes.
    pub(super) fn width(self, tile: Tile) -> u64 {
        let tile_cols = u64::from(tile.cols);
        match self.behind {
            Behind::Nothing => tile_cols,
            Behind::Map(cols) if cols.is_multiple_of(tile_cols) => tile_cols,
            Behind::Map(cols) | Behind::Rows(cols) => cols,
        }
    }

    /// Blocks of the grid along the rows and along the columns.
    pub(super) fn grid(self, tile: Tile) -> [u64; 2] {
        [self.m.div_ceil(tile.rows.into()), self.n.div_ceil(self.width(tile))]
    }

    /// A measure of the time: rounds of blocks over the device, work of each.
    fn cost(self, tile: Tile, target: Target) -> u128 {
        let [rows, cols] = self.grid(tile);
        let rounds = (self.batch * rows * cols).div_ceil(multiprocessors(target));
        let area = u64::from(tile.rows * tile.cols) * self.parts(tile);
        // Filling the stages and writing the sums cost about as much as some more k.
        let depth = self.k + 4 * u64::from(DEPTH);
        u128::from(rounds) * u128::from(area * depth * 100 / tile.efficiency)
    }
}

/// The tile of the least cost among those that fit the device's shared memory.
pub(super) fn choose(need: Need, target: Target) -> Tile {
    let fits = |tile: &Tile| need.shared_bytes(*tile, target) <= target.shared_bytes();
    let best = TILES.into_iter().filter(fits).min_by_key(|tile| need.cost(*tile, target));
    best.expect("a block of an epilogue has few enough columns for the least tile")
}
