//! How much work a function is for the compiler, before it is compiled.
//!
//! Why: what a few bytes can ask of a compiler has no bound in WebAssembly itself. A block with a
//! thousand values, a call with as many, loops inside one another over many locals: each is a few
//! bytes and takes as long as thousands of bytes of ordinary code. So what is known to be out of
//! proportion is counted here, in units of which a byte of ordinary code is one, and bounded for
//! each function and for the module (`bounds.rs`).
//!
//! ```text
//!  effort = 150 + bytes + locals / 4  a function and its body
//!         + 4 * values              of each block, loop, branch, return and target of a table of
//!                                   branches, and, beyond 8, of each call and the function itself
//!         + live / 4                of each block, loop, if and branch
//!         + changed * (1 + changed / 12)    of each end reached in several ways, and of each loop
//!         + 6                       of each call, growth, fill and copy
//!         + 40 + 4 * operands       of each loop: there fuel is checked
//!         + around * live / 2       of each loop inside others
//!         + before * (8 + live, at most 72) / 128    of each loop behind others
//!
//!  live    locals and operands on the stack: values that the compiler may have to keep
//!  changed locals that are set in it, in the divisor at most 256
//!  around  loops around this one;  before  loops of the function up to this one
//! ```
//!
//! The factors were measured on x86-64 with one shape for each (`figures` in
//! `kernel/guest/tests/guest/bombs.rs`): a unit is some 3 to 6 µs.
//!
//! Not covered: this is a bound on the shapes that are known, not a proof about the compiler.

use wasmparser::{BlockType, FuncType, Operator};

const FUNCTION: u64 = 150;
const VALUE: u64 = 4;
/// Values of a call or a function that are ordinary.
const VALUES_FREE: u64 = 8;
const LIVE_DIVISOR: u64 = 4;
const CHANGED_DIVISOR: u64 = 12;
const CHANGED_MAX: u64 = 256;
const CALL: u64 = 6;
const LOOP: u64 = 40;
const AROUND_DIVISOR: u64 = 2;
const BEFORE: u64 = 8;
const BEFORE_LIVE_MAX: u64 = 64;
const BEFORE_DIVISOR: u64 = 128;

/// A block that is open.
#[derive(Debug, Default)]
struct OpenBlock {
    /// Values of a branch to it.
    values: u64,
    is_loop: bool,
    /// Whether it is an `if` whose `else` has not come.
    can_skip: bool,
    /// Branches to it, those of one table once.
    ways: u64,
    /// The table of branches that was counted last.
    table: u64,
    /// Sets of locals before it.
    sets_before: u64,
    /// Locals that were set in it.
    changed: u64,
}

/// The effort of one function, operator by operator.
#[derive(Debug)]
pub(crate) struct CompileEffort<'a> {
    types: &'a [FuncType],
    locals: u64,
    /// The open blocks, the function's first.
    open: Vec<OpenBlock>,
    /// For each local, how many sets of locals there were when it was set last.
    set_at: Vec<u64>,
    sets: u64,
    tables: u64,
    /// How many of them are loops, and how many loops there were.
    around: u64,
    before: u64,
    total: u64,
}

/// The values of a function or a block.
fn values_of(ty: &FuncType) -> u64 {
    (ty.params().len() + ty.results().len()) as u64
}

impl<'a> CompileEffort<'a> {
    /// Begins a function of this type with so many parameters and locals, and bytes of body.
    pub(crate) fn begin(
        types: &'a [FuncType],
        ty: Option<&FuncType>,
        locals: u64,
        bytes: usize,
    ) -> Self {
        let values = ty.map_or(0, values_of);
        let results = ty.map_or(0, |ty| ty.results().len() as u64);
        let signature = VALUE * values.saturating_sub(VALUES_FREE);
        let total = FUNCTION + bytes as u64 + locals / LIVE_DIVISOR + signature;
        let open = vec![OpenBlock { values: results, ..OpenBlock::default() }];
        // Lossless: the number of locals is limited.
        let set_at = vec![0; locals as usize];
        Self { types, locals, open, set_at, sets: 0, tables: 0, around: 0, before: 0, total }
    }

    /// The next operator, with so many operands on the stack before it, and whether it can be
    /// reached; `called` is the type of the function that it calls.
    pub(crate) fn add(
        &mut self,
        operator: &Operator<'_>,
        operands: u32,
        reachable: bool,
        called: Option<&FuncType>,
    ) {
        let operands = u64::from(operands);
        let live = self.locals + operands;
        let more = match operator {
            Operator::Block { blockty } => {
                self.enter(*blockty, false) * VALUE + live / LIVE_DIVISOR
            }
            Operator::If { blockty } => {
                let values = self.enter(*blockty, false);
                if let Some(open) = self.open.last_mut() {
                    open.can_skip = true;
                }
                values * VALUE + live / LIVE_DIVISOR
            }
            Operator::Else => {
                if let Some(open) = self.open.last_mut() {
                    open.can_skip = false;
                    open.ways += u64::from(reachable);
                }
                0
            }
            Operator::LocalSet { local_index } | Operator::LocalTee { local_index } => {
                self.set(*local_index);
                0
            }
            Operator::Loop { blockty } => {
                let inside = self.around * live / AROUND_DIVISOR;
                let behind = self.before * (BEFORE + live.min(BEFORE_LIVE_MAX)) / BEFORE_DIVISOR;
                let values = self.enter(*blockty, true) + operands;
                LOOP + values * VALUE + live / LIVE_DIVISOR + inside + behind
            }
            Operator::End => self.end(reachable),
            Operator::Br { relative_depth } => self.branch(*relative_depth) * VALUE,
            Operator::BrIf { relative_depth } => {
                self.branch(*relative_depth) * VALUE + live / LIVE_DIVISOR
            }
            Operator::BrTable { targets } => {
                self.tables += 1;
                let (default, count) = (targets.default(), u64::from(targets.len()) + 1);
                for target in targets.targets().flatten().chain([default]) {
                    self.branch_of_table(target);
                }
                // All targets of a table take the same number of values.
                count * self.open_at(default).map_or(0, |open| open.values) * VALUE
            }
            Operator::Return => self.open.first().map_or(0, |open| open.values) * VALUE,
            Operator::Call { .. } | Operator::CallIndirect { .. } => {
                let values = called.map_or(0, values_of).saturating_sub(VALUES_FREE);
                CALL + values * VALUE
            }
            Operator::MemoryGrow { .. }
            | Operator::MemoryFill { .. }
            | Operator::MemoryCopy { .. }
            | Operator::RefFunc { .. } => CALL,
            _ => 0,
        };
        self.total = self.total.saturating_add(more);
    }

    /// The whole effort.
    pub(crate) fn total(&self) -> u64 {
        self.total
    }

    /// Opens a block; gives its parameters and results.
    fn enter(&mut self, ty: BlockType, is_loop: bool) -> u64 {
        let (params, results) = match ty {
            BlockType::Empty => (0, 0),
            BlockType::Type(_) => (0, 1),
            BlockType::FuncType(index) => self
                .types
                .get(index as usize)
                .map_or((0, 0), |ty| (ty.params().len() as u64, ty.results().len() as u64)),
        };
        self.open.push(OpenBlock {
            values: if is_loop { params } else { results },
            is_loop,
            sets_before: self.sets,
            ..OpenBlock::default()
        });
        self.around += u64::from(is_loop);
        self.before += u64::from(is_loop);
        params + results
    }

    /// Closes a block; gives what the locals cost that differ by the way to it.
    fn end(&mut self, reachable: bool) -> u64 {
        let open = self.open.pop().unwrap_or_default();
        self.around -= u64::from(open.is_loop);
        let ways = open.ways + u64::from(open.can_skip) + u64::from(reachable || open.is_loop);
        // The locals of a function end with it.
        if ways < 2 || self.open.is_empty() {
            return 0;
        }
        open.changed * (1 + open.changed.min(CHANGED_MAX) / CHANGED_DIVISOR)
    }

    /// Sets a local: it changes in all open blocks in which it had not.
    fn set(&mut self, local: u32) {
        let Some(set_at) = self.set_at.get_mut(local as usize) else { return };
        let last = *set_at;
        self.sets += 1;
        *set_at = self.sets;
        for open in self.open.iter_mut().rev() {
            if last > open.sets_before {
                break;
            }
            open.changed += 1;
        }
    }

    fn open_at(&mut self, depth: u32) -> Option<&mut OpenBlock> {
        let at = self.open.len().checked_sub(1 + depth as usize)?;
        self.open.get_mut(at)
    }

    /// Counts a branch; gives its values.
    fn branch(&mut self, depth: u32) -> u64 {
        self.open_at(depth).map_or(0, |open| {
            open.ways += 1;
            open.values
        })
    }

    /// Counts a branch of the table at hand, but once for all that lead to the same block.
    fn branch_of_table(&mut self, depth: u32) {
        let table = self.tables;
        if let Some(open) = self.open_at(depth)
            && open.table != table
        {
            open.table = table;
            open.ways += 1;
        }
    }
}
