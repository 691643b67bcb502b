//! Benchmarks against the goals, each of which checks its result first.
