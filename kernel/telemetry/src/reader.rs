//! A running kernel's region: found by name, mapped read-only, checked, copied.
//!
//! ```text
//!  name -> descriptor -> map (PROT_READ) -> header, versions, sections -> poll, poll, ...
//!                                                    ^                       |
//!                                                    +-- another generation -+
//! ```
//! Everything read is a copy, checked after copying. Whatever a region holds, the worst outcome is
//! an error: offsets and sizes are checked once at attach, reads are bounded in number, and codes
//! without a word stay numbers.
//!
//! What this does not do: it never writes, never waits for the kernel and never blocks it. A file,
//! as opposed to sealed memory, can be cut short by whoever may write it; it is not mapped but
//! read, and a poll during which that happens is an error like a poll after it.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use bytemuck::{Pod, Zeroable};
use wasm_engine_abi::SCHEMA;
use wasm_engine_abi::limits::AGENTS_MAX;
use wasm_engine_abi::page::{
    AgentRow, KernelPage, LaneRow, ModelRow, NAMES_BYTES_MAX, NONE_U64, RingRow, TraceEvent,
    agent_state, run_state, section,
};
use wasm_engine_shm::broadcast::BroadcastReader;
use wasm_engine_shm::header::{OwnerState, OwnerStatus, Pulse, STALE_AFTER_NS};
use wasm_engine_shm::layout::{Section, SectionKind};
use wasm_engine_shm::locate::{self, LocateError, OwnerProcess};
use wasm_engine_shm::mem::ReadMem;
use wasm_engine_shm::page::{PageError, PageReader};
use wasm_engine_shm::read_map::ReadMap;
use wasm_engine_shm::region::RegionView;
use wasm_engine_shm::rows::{RowError, RowsReader};

use crate::error::MonitorError;
use crate::names::Names;
use crate::snapshot::{Liveness, Owner, Snapshot, SnapshotSource};
use crate::trace::Follower;

/// Names of the kernels that run, sorted.
///
/// # Errors
/// [`MonitorError::Locate`] if the directory cannot be read.
pub fn live_in(directory: &Path) -> Result<Vec<String>, MonitorError> {
    let found = match locate::list_in(directory) {
        Ok(found) => found,
        // Nobody has started a kernel yet.
        Err(LocateError::Io { source, .. }) if source.kind() == std::io::ErrorKind::NotFound => {
            return Ok(Vec::new());
        }
        Err(source) => {
            return Err(MonitorError::Locate { name: directory.display().to_string(), source });
        }
    };
    // One whose process cannot be seen from here may well run; opening it says more.
    let may_live = |f: &locate::Found| {
        let descriptor = f.descriptor.as_ref().ok();
        let owner = descriptor.and_then(|d| locate::owner_in(directory, &f.name, d).ok());
        owner.is_some_and(|owner| !owner.is_gone())
    };
    let live = found.into_iter().filter(may_live);
    Ok(live.map(|f| f.name).collect())
}

/// A region that is attached.
#[derive(Debug)]
struct Attached {
    view: RegionView,
    kernel: PageReader<ReadMem>,
    names: Names,
    agents: Option<RowsReader<ReadMem>>,
    lanes: Option<RowsReader<ReadMem>>,
    models: Option<RowsReader<ReadMem>>,
    rings: Option<RowsReader<ReadMem>>,
}

/// A running kernel, by name.
#[derive(Debug)]
pub struct Live {
    name: String,
    directory: Option<PathBuf>,
    attached: Attached,
    /// Classifies the owner, on a clock that began at `began`.
    pulse: Pulse,
    began: Instant,
}

impl Live {
    /// The kernel of this name; without a name the only one that runs.
    ///
    /// # Errors
    /// [`MonitorError`].
    pub fn open(directory: &Path, name: Option<&str>) -> Result<Self, MonitorError> {
        let name = choose(directory, name)?;
        let attached = attach_in(directory, &name)?;
        Ok(Self::new(name, Some(directory.into()), attached))
    }

    /// A region that is mapped already; it is not looked for again when its owner ends.
    ///
    /// # Errors
    /// [`MonitorError`].
    pub fn from_map(name: &str, map: ReadMap) -> Result<Self, MonitorError> {
        Ok(Self::new(name.to_owned(), None, Attached::new(name, map)?))
    }

    fn new(name: String, directory: Option<PathBuf>, attached: Attached) -> Self {
        let pulse = Pulse::new(attached.view.status(), 0);
        Self { name, directory, attached, pulse, began: Instant::now() }
    }

    /// Time since the region was attached, in ns.
    fn now_ns(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }

    /// The trace ring of this run, from what it still holds; `None` if the kernel has none.
    ///
    /// # Errors
    /// [`MonitorError::Section`] if it is not what its schema says.
    pub fn follow(&self) -> Result<Option<Follower>, MonitorError> {
        let view = &self.attached.view;
        let (kind, id) = (SectionKind::BROADCAST, section::TRACE);
        let Some((entry, memory)) = view.find(kind, id) else { return Ok(None) };
        let damaged = |problem: String| damaged(&self.name, "trace", problem);
        let [slots, bytes] = entry.params.map(|n| usize::try_from(n).unwrap_or(usize::MAX));
        check_layout(&self.name, "trace", entry)?;
        if bytes != size_of::<TraceEvent>() {
            return Err(damaged("has events of another length than its schema says".to_owned()));
        }
        let reader = BroadcastReader::new(memory, slots, bytes);
        reader
            .map(|r| Some(Follower::new(r, !self.has_ended())))
            .map_err(|e| damaged(format!("cannot be opened: {e}")))
    }

    /// Whether nothing more will come from this run: its owner said so, or is gone.
    #[must_use]
    pub fn has_ended(&self) -> bool {
        let view = &self.attached.view;
        view.status().state == OwnerState::Stopped || !view.owner_exists()
    }

    /// Checks that nothing was cut off since: what was read before is then worth nothing.
    ///
    /// # Errors
    /// [`MonitorError::Section`] if the region is a file that is shorter now.
    pub fn check_whole(&self) -> Result<(), MonitorError> {
        self.attached.check_whole(&self.name)
    }

    /// What the numbers of this run point to.
    #[must_use]
    pub fn names(&self) -> &Names {
        &self.attached.names
    }

    /// Waits until the owner shows a sign of life, at most [`STALE_AFTER_NS`], so that a single
    /// poll can tell a kernel that runs from one that hangs. Returns at once if the kernel waits,
    /// by its own status.
    pub fn settle(&mut self) {
        let first = self.attached.view.status();
        while self.pulse.idle_ns(self.now_ns()) <= STALE_AFTER_NS {
            let status = self.attached.view.status();
            if status.state != OwnerState::Running
                || status != first
                || !self.attached.view.owner_exists()
            {
                return;
            }
            std::thread::park_timeout(Duration::from_millis(5));
        }
    }

    /// Takes another region of the same name if there is one.
    fn reattach(&mut self) {
        let generation = self.attached.view.header().identity.generation;
        let Some(directory) = self.directory.as_deref() else { return };
        // Any failure means that there is nothing newer to show yet.
        if let Ok(attached) = attach_in(directory, &self.name)
            && attached.view.header().identity.generation != generation
        {
            let directory = Some(directory.to_path_buf());
            *self = Self::new(std::mem::take(&mut self.name), directory, attached);
        }
    }

    /// Classifies the owner; also the time for which it has shown no sign of life, in ns.
    fn classify(&mut self, status: OwnerStatus, kernel: &KernelPage) -> (Liveness, u64) {
        let now_ns = self.now_ns();
        let owner = self.attached.view.owner();
        let mut seen = self.pulse.classify(status, owner, now_ns);
        // Whatever it says it waits for, a process that a signal holds does nothing.
        let pid = self.attached.view.header().identity.pid;
        if seen == Liveness::Live && owner == OwnerProcess::Alive && is_held(pid) {
            seen = Liveness::Stale;
        }
        // A kernel writes that it has finished to its page before its status.
        let ended = matches!(kernel.run_state, run_state::FINISHED | run_state::FAILED);
        let liveness = if ended { Liveness::Finished } else { seen };
        (liveness, self.pulse.idle_ns(now_ns))
    }
}

/// Whether a signal (`SIGSTOP`, Ctrl-Z) or a debugger holds the process, as far as the system says.
fn is_held(pid: u32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    // The command's name is in parentheses and may hold anything; the state is behind it.
    stat.rsplit_once(") ").is_some_and(|(_, fields)| fields.starts_with(['T', 't']))
}

/// What an owner's state is called.
fn activity(state: OwnerState) -> &'static str {
    match state {
        OwnerState::Starting => "starting",
        OwnerState::Running => "running",
        OwnerState::Idle => "idle",
        OwnerState::WaitingForModel => "waiting for a model",
        OwnerState::WaitingForLog => "waiting for the log",
        OwnerState::WaitingForSource => "waiting for a source",
        OwnerState::HostOwned => "driven by its host",
        OwnerState::Stopped => "stopped",
        _ => "unknown",
    }
}

impl SnapshotSource for Live {
    fn poll(&mut self) -> Result<Snapshot, MonitorError> {
        if self.has_ended() {
            self.reattach();
        }
        let status = self.attached.view.status();
        let a = &self.attached;
        let name = &self.name;
        a.check_whole(name)?;
        let kernel = a.kernel(name)?;
        let agents = table::<AgentRow>(name, "agents", a.agents.as_ref())?;
        let lanes = table::<LaneRow>(name, "lanes", a.lanes.as_ref())?;
        let models = table::<ModelRow>(name, "models", a.models.as_ref())?;
        let rings = table::<RingRow>(name, "rings", a.rings.as_ref())?;
        // What was read of a file that was cut meanwhile is nothing.
        a.check_whole(name)?;
        let identity = &a.view.header().identity;
        let owner = Owner {
            pid: identity.pid,
            generation: identity.generation,
            started_unix_ns: identity.started_unix_ns,
        };
        let names = a.names.clone();
        let (liveness, idle_ns) = self.classify(status, &kernel);
        Ok(Snapshot {
            names,
            owner,
            liveness,
            activity: activity(status.state),
            idle_ns,
            kernel,
            agents_one_version: agents.one_version,
            agents: (0..)
                .zip(agents.rows)
                .filter(|(_, row)| row.state != agent_state::EMPTY)
                .collect(),
            lanes: lanes.rows,
            models: models.rows,
            rings: rings.rows,
        })
    }
}

/// This name, or that of the only kernel that runs.
pub(crate) fn choose(directory: &Path, name: Option<&str>) -> Result<String, MonitorError> {
    if let Some(name) = name {
        return Ok(name.to_owned());
    }
    let mut live = live_in(directory)?;
    match live.len() {
        0 => Err(MonitorError::NoneLive { directory: directory.into() }),
        1 => Ok(live.remove(0)),
        _ => Err(MonitorError::Several { live }),
    }
}

fn attach_in(directory: &Path, name: &str) -> Result<Attached, MonitorError> {
    Attached::new(name, open_in(directory, name)?)
}

/// The mapped region of this name, not yet looked at.
pub(crate) fn open_in(directory: &Path, name: &str) -> Result<ReadMap, MonitorError> {
    let not_found = || -> Result<MonitorError, MonitorError> {
        let live = live_in(directory)?;
        Ok(MonitorError::NotFound { name: name.into(), directory: directory.into(), live })
    };
    match locate::open_in(directory, name) {
        Ok((_, map)) => Ok(map),
        Err(LocateError::NotFound { .. } | LocateError::Dead { .. }) => Err(not_found()?),
        Err(source) => Err(MonitorError::Locate { name: name.into(), source }),
    }
}

impl Attached {
    /// Checks everything that can be checked once.
    fn new(name: &str, map: ReadMap) -> Result<Self, MonitorError> {
        let failed = |source| MonitorError::attach(name, source);
        let view = RegionView::attach(map).map_err(failed)?;
        view.expect_schema(SCHEMA).map_err(failed)?;
        let kernel_words = size_of::<KernelPage>() / 8;
        let kernel = page(name, &view, section::KERNEL, "kernel page", 1..=kernel_words)?;
        if kernel.words_max() != kernel_words {
            return Err(damaged(name, "kernel page", "has another length than its schema says"));
        }
        let names_words = NAMES_BYTES_MAX as usize / 8;
        let names = page(name, &view, section::NAMES, "names", 1..=names_words)?;
        let names = read_names(name, &names)?;
        Ok(Self {
            agents: rows::<AgentRow>(name, &view, section::AGENTS, "agents")?,
            lanes: rows::<LaneRow>(name, &view, section::LANES, "lanes")?,
            models: rows::<ModelRow>(name, &view, section::MODELS, "models")?,
            rings: rows::<RingRow>(name, &view, section::RINGS, "rings")?,
            view,
            kernel,
            names,
        })
    }

    /// A file may have been cut short since; sealed memory cannot.
    fn check_whole(&self, name: &str) -> Result<(), MonitorError> {
        self.view.check().map_err(|_| damaged(name, "file", "was cut short"))
    }

    /// The newest page; before the first one a page that says so.
    fn kernel(&self, name: &str) -> Result<KernelPage, MonitorError> {
        let section = "kernel page";
        let mut page = KernelPage::zeroed();
        let words = bytemuck::cast_slice_mut(std::slice::from_mut(&mut page));
        let whole = words.len();
        match self.kernel.read(words) {
            Ok(read) if read.words == whole => Ok(page),
            Err(PageError::NotYet) => Ok(KernelPage {
                tick: NONE_U64,
                ticks_end: NONE_U64,
                durable_tick: NONE_U64,
                ..KernelPage::zeroed()
            }),
            Err(PageError::Busy) => Err(MonitorError::Busy { name: name.into(), section }),
            Ok(_) | Err(_) => Err(damaged(name, section, "is not as long as it must be")),
        }
    }
}

fn damaged(name: &str, section: &'static str, problem: impl Into<String>) -> MonitorError {
    MonitorError::Section { name: name.into(), section, problem: problem.into() }
}

/// Version of the inner layout of every section that is read here.
const LAYOUT: u32 = 1;

/// Checks the version of a section's inner layout.
pub(crate) fn check_layout(
    name: &str,
    section: &'static str,
    entry: &Section,
) -> Result<(), MonitorError> {
    if entry.version == LAYOUT {
        return Ok(());
    }
    let (name, found) = (name.to_owned(), entry.version);
    Err(MonitorError::Layout { name, section, found, known: LAYOUT })
}

/// Opens a page whose length in words lies in a range.
fn page(
    name: &str,
    view: &RegionView,
    id: u32,
    what: &'static str,
    words: std::ops::RangeInclusive<usize>,
) -> Result<PageReader<ReadMem>, MonitorError> {
    let found = view.find(SectionKind::PAGE, id);
    let (entry, mem) = found.ok_or_else(|| damaged(name, what, "is missing"))?;
    let have = usize::try_from(entry.params[0]).ok().filter(|n| words.contains(n));
    let have = have.ok_or_else(|| damaged(name, what, "has an impossible length"))?;
    PageReader::new(mem, have).map_err(|e| damaged(name, what, format!("cannot be opened: {e}")))
}

/// Opens a table if the region has it.
fn rows<T>(
    name: &str,
    view: &RegionView,
    id: u32,
    what: &'static str,
) -> Result<Option<RowsReader<ReadMem>>, MonitorError> {
    let Some((entry, mem)) = view.find(SectionKind::ROWS, id) else { return Ok(None) };
    let [count, words] = entry.params.map(|n| usize::try_from(n).unwrap_or(usize::MAX));
    if words != size_of::<T>() / 8 {
        return Err(damaged(name, what, "have rows of another length than their schema says"));
    }
    // Bounds what a poll allocates; the length of the memory is checked when it is opened.
    if count > AGENTS_MAX as usize {
        return Err(damaged(name, what, format!("have {count} rows, {AGENTS_MAX} is the limit")));
    }
    RowsReader::new(mem, count, words)
        .map(Some)
        .map_err(|e| damaged(name, what, format!("cannot be opened: {e}")))
}

fn read_names(name: &str, page: &PageReader<ReadMem>) -> Result<Names, MonitorError> {
    let mut words = vec![0u64; page.words_max()];
    let read = match page.read(&mut words) {
        Ok(read) => read,
        // A kernel without names is shown with numbers.
        Err(PageError::NotYet) => return Ok(Names { name: name.into(), ..Names::default() }),
        Err(PageError::Busy) => {
            return Err(MonitorError::Busy { name: name.into(), section: "names" });
        }
        Err(error) => return Err(damaged(name, "names", error.to_string())),
    };
    let text: &[u8] = bytemuck::cast_slice(words.get(..read.words).unwrap_or(&words));
    let end = text.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
    let mut names = Names::parse(&text[..end])
        .map_err(|e| damaged(name, "names", format!("are not the JSON text expected: {e}")))?;
    if names.name.is_empty() {
        names.name = name.into();
    }
    Ok(names)
}

/// A table as of one poll.
struct TableRead<T> {
    rows: Vec<T>,
    /// Whether all rows are of the same cut.
    one_version: bool,
}

/// Copies a table: the newest cut, and rows that were replaced while copying from a later one.
fn table<T: Pod>(
    name: &str,
    section: &'static str,
    reader: Option<&RowsReader<ReadMem>>,
) -> Result<TableRead<T>, MonitorError> {
    let Some(reader) = reader else {
        return Ok(TableRead { rows: Vec::new(), one_version: true });
    };
    let mut rows = vec![T::zeroed(); reader.rows()];
    let mut one_version = true;
    let cut = reader.version();
    for (at, row) in rows.iter_mut().enumerate() {
        let words = bytemuck::cast_slice_mut(std::slice::from_mut(row));
        let result = match reader.read(cut, at, words) {
            Err(RowError::Lapped) => {
                one_version = false;
                reader.read_newest(at, words).map(|(_, written)| written)
            }
            result => result,
        };
        match result {
            Ok(Some(_)) => {}
            // Never written; what the buffer holds after a failed attempt is nothing.
            Ok(None) => *row = T::zeroed(),
            Err(_) => return Err(MonitorError::Busy { name: name.into(), section }),
        }
    }
    Ok(TableRead { rows, one_version })
}
