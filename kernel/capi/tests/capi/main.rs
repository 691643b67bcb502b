//! The C library from C and Python: what the README shows, wrong use of each call, and the tables
//! of the Python module.
#![cfg(target_os = "linux")]

mod programs;
mod python_tables;
