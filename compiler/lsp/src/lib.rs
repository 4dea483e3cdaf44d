//! The language server; filled when editors are served.
