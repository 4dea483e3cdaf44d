//! llmc
