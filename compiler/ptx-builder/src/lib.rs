//! The CUDA PTX instruction set as types; filled when the CUDA back end is built.
