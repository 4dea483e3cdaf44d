//! A device for tests: buffers, and the body of an entry as text.

use exec::device::emulated::{self, Launch, Param, Program, Region, Report, Shadow};

/// Bytes from the start of one buffer to that of the next.
const SPACING: u64 = 1 << 16;
const MAX_BUFFERS: u64 = 4;

/// Memory with a buffer for each argument.
pub(crate) struct Device {
    pub(crate) arena: Vec<u8>,
    pub(crate) shadow: Shadow,
    regions: Vec<Region>,
}

impl Device {
    pub(crate) fn new() -> Self {
        let bytes = MAX_BUFFERS * SPACING;
        Self { arena: vec![0; bytes as usize], shadow: Shadow::new(bytes), regions: vec![] }
    }

    /// Adds a buffer with these words.
    pub(crate) fn words(mut self, words: &[u32]) -> Self {
        let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
        let start = self.empty(bytes.len() as u64);
        self.arena[start as usize..][..bytes.len()].copy_from_slice(&bytes);
        self.shadow.mark(start..start + bytes.len() as u64);
        self
    }

    /// Adds a buffer in which nothing was written.
    pub(crate) fn bytes(mut self, bytes: u64) -> Self {
        self.empty(bytes);
        self
    }

    fn empty(&mut self, bytes: u64) -> u64 {
        assert!(bytes <= SPACING, "buffers of tests are small");
        let start = self.regions.len() as u64 * SPACING;
        self.regions.push(Region { start, bytes });
        start
    }

    /// The words of a buffer.
    pub(crate) fn read(&self, buffer: usize) -> Vec<u32> {
        let Region { start, bytes } = self.regions[buffer];
        let bytes = &self.arena[start as usize..(start + bytes) as usize];
        bytes.chunks_exact(4).map(|b| u32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect()
    }

    /// Runs what is sound.
    pub(crate) fn passes(&mut self, grid: Grid, body: &str) {
        self.run(grid, body).unwrap_or_else(|report| panic!("{report}"));
    }

    /// Runs blocks of a body with the address of each buffer in `%rd0`, `%rd1`, ….
    pub(crate) fn run(&mut self, grid: Grid, body: &str) -> Result<(), Report> {
        let text = module(self.regions.len(), grid.threads, body);
        let program = Program::read(&text).unwrap_or_else(|error| panic!("{error}\n{text}"));
        let params: Vec<Param> =
            (0..self.regions.len()).map(|region| Param::Address { region, offset: 0 }).collect();
        let launch = Launch {
            entry: "kernel",
            params: &params,
            blocks: grid.blocks,
            shared_bytes: grid.shared_bytes,
        };
        emulated::run(&program, &launch, &self.regions, &mut self.arena, &mut self.shadow)
    }
}

/// Blocks, their threads, and their shared memory.
#[derive(Clone, Copy)]
pub(crate) struct Grid {
    pub(crate) blocks: u64,
    pub(crate) threads: u32,
    pub(crate) shared_bytes: u64,
}

impl Grid {
    pub(crate) fn of(blocks: u64, threads: u32) -> Self {
        Self { blocks, threads, shared_bytes: 1024 }
    }
}

/// The text of a module whose entry begins with its arguments in registers.
pub(crate) fn module(n_params: usize, threads: u32, body: &str) -> String {
    let params: Vec<String> = (0..n_params).map(|at| format!(".param .b64 kernel_{at}")).collect();
    let loads: String =
        (0..n_params).map(|at| format!("ld.param.b64 %rd{at}, [kernel_{at}];\n")).collect();
    format!(
        ".version 8.0\n.target sm_80\n.address_size 64\n\
         .extern .shared .align 128 .b8 block_memory[];\n\
         .visible .entry kernel({})\n.maxntid {threads}, 1, 1\n{{\n\
         .reg .pred %p<16>;\n.reg .b16 %h<16>;\n.reg .b32 %r<64>;\n.reg .b64 %rd<32>;\n\
         .reg .f32 %f<32>;\n.reg .f64 %fd<16>;\n{loads}{body}\nret;\n}}\n",
        params.join(", ")
    )
}
