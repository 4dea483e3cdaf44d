//! Stretches of launches as graphs of the driver: one call of the host for each.
//!
//! The first time a stretch is launched one by one, so that whatever goes wrong is said with its
//! place, and so that what runs once costs no graph; the second time it is captured. A driver that
//! refuses a graph gets launches from then on. CUDA Driver API, section 6.30.

use std::ptr;
use std::rc::Rc;

use cudarc::driver::sys::{CUgraphExec, CUstreamCaptureMode};

use super::api::Failed;
use super::context::{Context, Stream};

/// What is known of each stretch.
#[derive(Debug)]
pub(super) struct Graphs {
    stretches: Vec<State>,
    is_refused: bool,
}

#[derive(Debug)]
enum State {
    New,
    Launched,
    Captured(Graph),
}

/// How a stretch is to be made.
#[derive(Debug)]
pub(super) enum Way<'g> {
    /// One launch after the other.
    Launches,
    /// The same, captured.
    Capture,
    /// As this graph.
    Graph(&'g Graph),
}

impl Graphs {
    /// Of so many stretches.
    pub(super) fn new(n: usize) -> Graphs {
        let stretches = (0..n).map(|_| State::New).collect();
        Graphs { stretches, is_refused: false }
    }

    /// How a stretch is made this time.
    pub(super) fn way(&mut self, id: usize) -> Way<'_> {
        match &mut self.stretches[id] {
            State::Captured(graph) => Way::Graph(graph),
            State::Launched if !self.is_refused => Way::Capture,
            state @ (State::New | State::Launched) => {
                *state = State::Launched;
                Way::Launches
            }
        }
    }

    pub(super) fn keep(&mut self, id: usize, graph: Graph) {
        self.stretches[id] = State::Captured(graph);
    }

    /// From now on no stretch is captured.
    pub(super) fn refuse(&mut self) {
        self.is_refused = true;
    }
}

/// Captured work.
#[derive(Debug)]
pub(super) struct Graph {
    context: Rc<Context>,
    handle: CUgraphExec,
}

impl Graph {
    /// What `launch` puts into the stream, which does not run.
    pub(super) fn capture(
        stream: &Stream,
        launch: impl FnOnce() -> Result<(), Failed>,
    ) -> Result<Graph, Failed> {
        let context = stream.context();
        let api = context.api();
        context.bind()?;
        let mode = CUstreamCaptureMode::CU_STREAM_CAPTURE_MODE_THREAD_LOCAL;
        // SAFETY: the stream lives.
        unsafe { api.capture_begin(stream.handle(), mode) }?;
        let launched = launch();
        let (mut graph, mut handle) = (ptr::null_mut(), ptr::null_mut());
        // SAFETY: as above; the driver writes to a place of ours. A capture that has failed has to
        // be ended too.
        let ended = unsafe { api.capture_end(stream.handle(), &raw mut graph) };
        // SAFETY: the graph is what was captured; the driver writes to a place of ours.
        let made = launched
            .and(ended)
            .and_then(|()| unsafe { api.graph_instantiate(&raw mut handle, graph, 0) });
        if !graph.is_null() {
            // SAFETY: what was made of it does not need it, and nobody else has it.
            let _ = unsafe { api.graph_destroy(graph) };
        }
        made.map(|()| Graph { context: context.clone(), handle })
    }

    /// Runs it behind all work of the stream.
    pub(super) fn launch(&self, stream: &Stream) -> Result<(), Failed> {
        self.context.bind()?;
        // SAFETY: both live, in one context.
        unsafe { self.context.api().graph_launch(self.handle, stream.handle()) }
    }
}

impl Drop for Graph {
    fn drop(&mut self) {
        if self.context.bind().is_ok() {
            // SAFETY: nobody has the handle any more. What failed here failed before.
            let _ = unsafe { self.context.api().graph_exec_destroy(self.handle) };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stretch_is_captured_the_second_time_unless_that_is_refused() {
        let mut graphs = Graphs::new(2);
        assert!(matches!(graphs.way(0), Way::Launches));
        assert!(matches!(graphs.way(0), Way::Capture));
        assert!(matches!(graphs.way(1), Way::Launches));
        graphs.refuse();
        assert!(matches!(graphs.way(0), Way::Launches));
        assert!(matches!(graphs.way(1), Way::Launches));
    }
}
