//! The protocol of saving and loading.
