//! Whole runs of a tiny program.
