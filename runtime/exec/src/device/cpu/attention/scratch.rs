//! What a thread holds for tiles of attention, and kernels that run on it.

use plan::{Attention, Scratch, TileArg};

use crate::device::cpu::Memory;
use crate::device::cpu::jit::Entry;
use crate::device::cpu::product::{Line, keep_room, room};

/// What a thread holds; [`Room::reserve`] makes it as large as the largest step.
pub(super) struct Room {
    /// By [`Scratch`], in the order of [`Scratch::ALL`].
    tile: [Vec<Line>; 6],
    origin: [i32; 4],
    /// Addresses of the operands of the kernel that runs.
    pointers: Vec<*mut u8>,
    /// Copies of operands.
    pub(super) q: Vec<Line>,
    pub(super) k: Vec<Line>,
    pub(super) v: Vec<Line>,
    pub(super) dout: Vec<Line>,
    /// Keys and values, transposed.
    pub(super) k_columns: Vec<Line>,
    pub(super) v_columns: Vec<Line>,
}

impl Room {
    pub(super) const fn new() -> Self {
        Self {
            tile: [const { vec![] }; 6],
            origin: [0; 4],
            pointers: vec![],
            q: vec![],
            k: vec![],
            v: vec![],
            dout: vec![],
            k_columns: vec![],
            v_columns: vec![],
        }
    }

    /// Makes room for the most that a step takes, on a machine with such vectors.
    pub(super) fn reserve(&mut self, a: &Attention, vector: usize) {
        for (lines, size) in self.tile.iter_mut().zip(sizes(a)) {
            keep_room(lines, size);
        }
        let [row_tile, key_tile, keys] = [a.row_tile, a.key_tile, a.keys].map(|x| x as usize);
        let (width, value_width) = (a.width as usize, a.value_width as usize);
        let whole = |n: usize| n.next_multiple_of(vector);
        keep_room(&mut self.q, row_tile * whole(width));
        keep_room(&mut self.k, key_tile * whole(width));
        keep_room(&mut self.v, keys * whole(value_width));
        keep_room(&mut self.dout, row_tile * whole(value_width));
        keep_room(&mut self.k_columns, keys.div_ceil(key_tile) * width * whole(key_tile));
        keep_room(&mut self.v_columns, value_width * whole(key_tile));
        self.pointers.reserve(a.pass.kernels().map(|k| k.args.len()).max().unwrap_or(0));
    }

    /// The memory of a tile, as large as the step needs.
    pub(super) fn tile(&mut self, a: &Attention) -> Tile {
        let mut sizes = sizes(a).into_iter();
        Tile(self.tile.each_mut().map(|lines| {
            let size = sizes.next().expect("as many sizes as kinds of scratch");
            room(lines, size)
        }))
    }

    /// Runs a kernel on the first rows of a tile.
    ///
    /// # Safety
    /// The plan was verified, `tile` is of this room, and no other thread works on the same tile.
    pub(super) unsafe fn run(
        &mut self,
        kernel: &Compiled<'_>,
        tile: Tile,
        origin: [u64; 4],
        rows: u64,
    ) {
        self.origin = origin.map(|x| x as i32);
        self.pointers.clear();
        let address = |place: &Place| match *place {
            Place::Scratch(scratch) => tile.of(scratch).cast(),
            Place::Origin => self.origin.as_mut_ptr().cast(),
            Place::Global { base, strides } => {
                let steps = origin.iter().zip(strides).map(|(&at, stride)| at as isize * stride);
                // SAFETY: the verifier knows that every tile begins inside the buffer.
                unsafe { base.offset(steps.sum()) }
            }
        };
        self.pointers.extend(kernel.places.iter().map(address));
        // SAFETY: the code was compiled from a verified plan for these operands.
        unsafe { (kernel.entry)(self.pointers.as_ptr(), 0, rows) }
    }
}

/// Elements of each scratch, in the order of [`Scratch::ALL`].
fn sizes(a: &Attention) -> [usize; 6] {
    let (rows, keys, width) = (a.row_tile, a.key_tile, a.value_width);
    let size = |scratch| match scratch {
        Scratch::Scores | Scratch::Grads => rows * keys,
        Scratch::Top | Scratch::Sum | Scratch::Factor => rows,
        Scratch::Acc => rows * width,
    };
    Scratch::ALL.map(|scratch| size(scratch) as usize)
}

/// The scratch of a tile, in the order of [`Scratch::ALL`].
#[derive(Clone, Copy)]
pub(super) struct Tile([*mut f32; 6]);

impl Tile {
    pub(super) fn of(self, scratch: Scratch) -> *mut f32 {
        let at = match scratch {
            Scratch::Scores => 0,
            Scratch::Grads => 1,
            Scratch::Top => 2,
            Scratch::Sum => 3,
            Scratch::Factor => 4,
            Scratch::Acc => 5,
        };
        self.0[at]
    }
}

/// A kernel of a tile and where its operands are.
#[derive(Clone, Copy)]
pub(super) struct Compiled<'p> {
    pub(super) entry: Entry,
    pub(super) places: &'p [Place],
}

/// An operand of a kernel of a tile.
#[derive(Debug, Clone, Copy)]
pub(in crate::device::cpu) enum Place {
    Scratch(Scratch),
    Origin,
    Global {
        base: *mut u8,
        /// In bytes: by sequence, head, row and key.
        strides: [isize; 4],
    },
}

// SAFETY: what is behind it belongs to the arena; units write different elements.
unsafe impl Send for Place {}
// SAFETY: as above.
unsafe impl Sync for Place {}

impl Place {
    pub(super) fn new(arg: &TileArg, memory: &mut Memory) -> Self {
        match arg {
            TileArg::Scratch(scratch) => Self::Scratch(*scratch),
            TileArg::Origin => Self::Origin,
            TileArg::Global { arg, strides } => {
                let bytes = memory.dtype(arg.buffer).bytes() as isize;
                let strides = strides.map(|stride| stride as isize * bytes);
                Self::Global { base: memory.pointer(*arg), strides }
            }
        }
    }
}
