//! The device: memory, code, and a stream whose work is done as late as may be.
//!
//! It is done when somebody waits for it, so what the host changes or reads too early is seen.

use std::collections::{BTreeMap, VecDeque};
use std::ffi::c_int;
use std::time::Instant;

use exec::device::emulated::{self, Param, Program, Region, Shadow};
use ptx_builder::Class;

/// Address of the device's only allocation.
pub(crate) const BASE: u64 = 1 << 40;

/// Shared memory of a block that did not ask for more.
const SHARED_UNASKED: c_int = 48 << 10;

/// An error by its number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Refused(pub(crate) c_int);

const INVALID_VALUE: Refused = Refused(1);
const ILLEGAL_ADDRESS: Refused = Refused(700);
const CAPTURING: Refused = Refused(900);

/// What a stream does.
#[derive(Debug)]
pub(crate) enum Work {
    /// Copies from the host.
    In { to: u64, from: usize, n: usize },
    /// Copies to the host.
    Out { to: usize, from: u64, n: usize },
    /// Sets bytes.
    Fill { to: u64, byte: u8, n: usize },
    /// Runs a function.
    Launch(Launch),
    /// Runs what was captured.
    Graph(usize),
    /// Is a place to wait for.
    Event(u64),
}

/// A function with its arguments.
#[derive(Debug, Clone)]
pub(crate) struct Launch {
    pub(crate) function: usize,
    pub(crate) args: Vec<u64>,
    pub(crate) blocks: u64,
    pub(crate) shared_bytes: u64,
}

/// An entry of loaded code.
#[derive(Debug)]
pub(crate) struct Function {
    module: usize,
    name: String,
    /// Whether each parameter is an address.
    pub(crate) addresses: Vec<bool>,
    pub(crate) threads: u32,
    pub(crate) most_shared: c_int,
}

/// A link under way: where its log is and how long, and what it has made.
type Link = ((usize, usize), Vec<u8>);

/// The state of the device.
#[derive(Debug)]
pub(crate) struct Device {
    memory: Vec<u8>,
    shadow: Shadow,
    work: VecDeque<Work>,
    programs: Vec<Program>,
    pub(crate) functions: Vec<Function>,
    pinned: BTreeMap<usize, Vec<u64>>,
    pub(crate) link: Option<Link>,
    capturing: Option<Vec<Launch>>,
    pub(crate) graphs: BTreeMap<usize, Vec<Launch>>,
    pub(crate) execs: BTreeMap<usize, Vec<Launch>>,
    n_graphs: usize,
    n_events: u64,
    /// When each event was reached.
    reached: BTreeMap<u64, Instant>,
    n_launches: i64,
    /// The launch that goes wrong.
    fault_at: Option<i64>,
    /// What all calls answer after it.
    pub(crate) lost: Option<Refused>,
}

impl Device {
    pub(crate) fn new(fault_at: Option<i64>) -> Device {
        Device {
            memory: vec![],
            shadow: Shadow::new(0),
            work: VecDeque::new(),
            programs: vec![],
            functions: vec![],
            pinned: BTreeMap::new(),
            link: None,
            capturing: None,
            graphs: BTreeMap::new(),
            execs: BTreeMap::new(),
            n_graphs: 0,
            n_events: 0,
            reached: BTreeMap::new(),
            n_launches: 0,
            fault_at,
            lost: None,
        }
    }

    /// Everything that was made must be given back with the context.
    pub(crate) fn assert_empty(&self) {
        if self.lost.is_none() {
            assert!(self.memory.is_empty(), "device memory was not freed");
            assert!(self.pinned.is_empty(), "host memory was not freed");
            assert!(self.execs.is_empty() && self.graphs.is_empty(), "graphs were not destroyed");
        }
    }

    /// Memory that holds anything but zeros.
    pub(crate) fn allocate(&mut self, bytes: usize) {
        assert!(self.memory.is_empty(), "one allocation is enough");
        self.memory = vec![0xa5; bytes];
        self.shadow = Shadow::new(bytes as u64);
    }

    pub(crate) fn free(&mut self, at: u64) {
        assert_eq!(at, BASE, "what was allocated is freed");
        self.memory = vec![];
    }

    pub(crate) fn pin(&mut self, bytes: usize) -> *mut u64 {
        let mut memory = vec![u64::MAX; bytes.div_ceil(8)];
        let at = memory.as_mut_ptr();
        self.pinned.insert(at as usize, memory);
        at
    }

    pub(crate) fn unpin(&mut self, at: usize) {
        assert!(self.pinned.remove(&at).is_some(), "what was allocated is freed");
    }

    pub(crate) fn event(&mut self) -> u64 {
        self.n_events += 1;
        self.n_events
    }

    pub(crate) fn elapsed_ms(&self, from: u64, until: u64) -> Result<f32, Refused> {
        let [from, until] = [from, until].map(|event| self.reached.get(&event));
        let (from, until) = from.zip(until).ok_or(INVALID_VALUE)?;
        Ok(until.duration_since(*from).as_secs_f32() * 1e3)
    }

    pub(crate) fn load(&mut self, text: &str) -> Option<usize> {
        let module = self.programs.len();
        self.programs.push(Program::read(text).ok()?);
        for entry in ptx_builder::parse(text).ok()?.entries {
            self.functions.push(Function {
                module,
                name: entry.name,
                addresses: entry.params.iter().map(|class| *class == Class::B64).collect(),
                threads: entry.threads,
                most_shared: SHARED_UNASKED,
            });
        }
        Some(module)
    }

    pub(crate) fn function(&self, module: usize, name: &str) -> Option<usize> {
        self.functions.iter().position(|f| f.module == module && f.name == name)
    }

    /// Puts work behind all that is there, or into the graph that is captured.
    pub(crate) fn put(&mut self, work: Work) -> Result<(), Refused> {
        match (&mut self.capturing, work) {
            (None, work) => self.work.push_back(work),
            (Some(graph), Work::Launch(launch)) => graph.push(launch),
            (Some(_), _) => return Err(CAPTURING),
        }
        Ok(())
    }

    pub(crate) fn capture(&mut self) -> Result<(), Refused> {
        assert!(self.capturing.is_none(), "a capture is under way");
        self.capturing = Some(vec![]);
        Ok(())
    }

    pub(crate) fn captured(&mut self) -> Result<usize, Refused> {
        let graph = self.capturing.take().ok_or(INVALID_VALUE)?;
        self.n_graphs += 1;
        self.graphs.insert(self.n_graphs, graph);
        Ok(self.n_graphs)
    }

    pub(crate) fn instantiate(&mut self, graph: usize) -> Option<usize> {
        let launches = self.graphs.get(&graph)?.clone();
        self.n_graphs += 1;
        self.execs.insert(self.n_graphs, launches);
        Some(self.n_graphs)
    }

    /// Does all work, or that up to an event if it is waited for.
    pub(crate) fn finish(&mut self, until: Option<u64>) -> Result<(), Refused> {
        if self.capturing.is_some() {
            return Err(CAPTURING);
        }
        let last = |work: &Work| matches!(work, Work::Event(event) if Some(*event) == until);
        let n = match until {
            None => self.work.len(),
            Some(_) => self.work.iter().rposition(last).map_or(0, |at| at + 1),
        };
        for work in self.work.drain(..n).collect::<Vec<_>>() {
            if let Err(refused) = self.make(&work) {
                self.lost = Some(refused);
                self.work.clear();
                return Err(refused);
            }
        }
        Ok(())
    }

    fn make(&mut self, work: &Work) -> Result<(), Refused> {
        match *work {
            Work::In { to, from, n } => {
                let to = self.place(to, n)?;
                // SAFETY: the caller of the copy promised so many bytes until the copy is done.
                let bytes = unsafe { std::slice::from_raw_parts(from as *const u8, n) };
                self.memory[to..to + n].copy_from_slice(bytes);
            }
            Work::Out { to, from, n } => {
                let from = self.place(from, n)?;
                // SAFETY: as above.
                let bytes = unsafe { std::slice::from_raw_parts_mut(to as *mut u8, n) };
                bytes.copy_from_slice(&self.memory[from..from + n]);
            }
            Work::Fill { to, byte, n } => {
                let to = self.place(to, n)?;
                self.memory[to..to + n].fill(byte);
                self.shadow.mark(to as u64..(to + n) as u64);
            }
            Work::Launch(ref launch) => self.launch(launch)?,
            Work::Graph(exec) => {
                let launches = self.execs.get(&exec).ok_or(INVALID_VALUE)?.clone();
                launches.iter().try_for_each(|launch| self.launch(launch))?;
            }
            Work::Event(event) => {
                self.reached.insert(event, Instant::now());
            }
        }
        Ok(())
    }

    /// Where `n` bytes of the allocation are.
    fn place(&self, at: u64, n: usize) -> Result<usize, Refused> {
        let at = at.checked_sub(BASE).ok_or(INVALID_VALUE)? as usize;
        if at + n <= self.memory.len() { Ok(at) } else { Err(INVALID_VALUE) }
    }

    fn launch(&mut self, launch: &Launch) -> Result<(), Refused> {
        self.n_launches += 1;
        if self.fault_at == Some(self.n_launches) {
            return Err(ILLEGAL_ADDRESS);
        }
        let function = &self.functions[launch.function];
        let param = |(&value, &is_address): (&u64, &bool)| match is_address {
            true => Param::Address { region: 0, offset: value.wrapping_sub(BASE) },
            false => Param::Number(value as u32),
        };
        let params: Vec<Param> = launch.args.iter().zip(&function.addresses).map(param).collect();
        let grid = emulated::Launch {
            entry: &function.name,
            params: &params,
            blocks: launch.blocks,
            shared_bytes: launch.shared_bytes,
        };
        let region = Region { start: 0, bytes: self.memory.len() as u64 };
        let program = &self.programs[function.module];
        emulated::run(program, &grid, &[region], &mut self.memory, &mut self.shadow)
            .map_err(|_| ILLEGAL_ADDRESS)
    }
}
