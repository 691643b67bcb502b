//! Hostile programs of the same user against both backings: what each tries, what the system
//! returns, and the effect on the owner and its monitors. The test prints the table of
//! docs/GUARANTEES.md.
//!
//! Every attack is a process of its own against an owner of its own, both of an ordinary user where
//! the test can choose. The attacker keeps running, holding what it got, while its effect is
//! observed.
#![expect(clippy::disallowed_methods, reason = "effects are waited for")]

use core::ffi::c_void;
use std::fs::{File, OpenOptions};
use std::io::{self, BufRead};
use std::os::fd::AsFd;
use std::os::unix::fs::{FileExt, OpenOptionsExt, PermissionsExt};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use rustix::fs::{FallocateFlags, SealFlags};
use rustix::mm::{Advice, MapFlags, MprotectFlags, ProtFlags};
use wasm_engine_shm::locate;
use wasm_engine_shm::map::Map;
use wasm_engine_shm::read_map::ReadMap;
use wasm_engine_shm::region::RegionView;

use crate::live_region::{NAME, RegionReader};
use crate::parts::{CONT, Ends, answer, part_of, signal, wait_ready};

/// A user that owns nothing else here.
const ALICE: u32 = 65_534;
/// The header's schema: the word that forgers write.
const SCHEMA_AT: u64 = 5 * 8;
const FORGED: u64 = 0xBAD;
const SHORT: u64 = 4096;
/// Longer than a busy machine keeps a process from running.
const LONG: Duration = Duration::from_secs(30);

/// What an attacker knows: what every program of the user can learn.
struct Target {
    directory: PathBuf,
    pid: i32,
    path: PathBuf,
    len: usize,
}

impl Target {
    fn find(directory: &Path) -> Self {
        let (descriptor, map) = locate::open_in(directory, NAME).expect("running");
        Self {
            directory: directory.into(),
            pid: i32::try_from(descriptor.pid).expect("a pid"),
            path: descriptor.path(),
            len: map.len_bytes(),
        }
    }

    fn open(&self, writable: bool) -> io::Result<File> {
        OpenOptions::new().read(true).write(writable).open(&self.path)
    }

    fn map(&self, file: &File, prot: ProtFlags, flags: MapFlags) -> io::Result<*mut c_void> {
        // SAFETY: a new mapping at an address of the system's choice.
        Ok(unsafe { rustix::mm::mmap(core::ptr::null_mut(), self.len, prot, flags, file, 0) }?)
    }

    fn read_only_map(&self) -> io::Result<*mut c_void> {
        self.map(&self.open(false)?, ProtFlags::READ, MapFlags::SHARED)
    }

    /// Address of the header in the owner.
    fn address(&self) -> io::Result<u64> {
        let maps = std::fs::read_to_string(format!("/proc/{}/maps", self.pid))?;
        let line =
            maps.lines().find(|l| l.contains("rw-s") && (l.contains("memfd") || l.contains(NAME)));
        let start = line.and_then(|line| line.split('-').next());
        let start = start.and_then(|hex| u64::from_str_radix(hex, 16).ok());
        start.ok_or_else(|| io::Error::other("not mapped"))
    }
}

/// Writes the forged word through a mapping of ours.
fn forge(map: *mut c_void) {
    // SAFETY: the mapping is longer than a header.
    let word = unsafe { map.cast::<u64>().add(SCHEMA_AT as usize / 8) };
    // SAFETY: mapped writable; that others look at it is the purpose.
    unsafe { word.write_volatile(FORGED) };
}

fn map_writable(t: &Target) -> io::Result<()> {
    let map = t.map(&t.open(true)?, ProtFlags::READ | ProtFlags::WRITE, MapFlags::SHARED)?;
    forge(map);
    Ok(())
}

fn make_writable(t: &Target, file: &File) -> io::Result<()> {
    let map = t.map(file, ProtFlags::READ, MapFlags::SHARED)?;
    // SAFETY: the mapping is ours.
    unsafe { rustix::mm::mprotect(map, t.len, MprotectFlags::READ | MprotectFlags::WRITE) }?;
    forge(map);
    Ok(())
}

fn map_private(t: &Target) -> io::Result<()> {
    let map = t.map(&t.open(false)?, ProtFlags::READ | ProtFlags::WRITE, MapFlags::PRIVATE)?;
    forge(map);
    Ok(())
}

fn punch(t: &Target) -> io::Result<()> {
    let flags = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
    Ok(rustix::fs::fallocate(t.open(true)?, flags, 0, SHORT)?)
}

fn seal(t: &Target, seals: SealFlags) -> io::Result<()> {
    Ok(rustix::fs::fcntl_add_seals(t.open(true)?.as_fd(), seals)?)
}

fn advise(t: &Target, advice: Advice) -> io::Result<()> {
    let map = t.read_only_map()?;
    // SAFETY: the mapping is ours and nothing refers to it.
    Ok(unsafe { rustix::mm::madvise(map, t.len, advice) }?)
}

fn lock_pages(t: &Target) -> io::Result<()> {
    let map = t.read_only_map()?;
    // SAFETY: the mapping is ours.
    Ok(unsafe { rustix::mm::mlock(map, t.len) }?)
}

fn write_memory(t: &Target) -> io::Result<()> {
    let memory = OpenOptions::new().write(true).open(format!("/proc/{}/mem", t.pid))?;
    memory.write_all_at(&FORGED.to_ne_bytes(), t.address()? + SCHEMA_AT)
}

fn write_process(t: &Target) -> io::Result<()> {
    let mut word = FORGED;
    let local = libc::iovec { iov_base: (&raw mut word).cast(), iov_len: 8 };
    let address = (t.address()? + SCHEMA_AT) as usize;
    let remote = libc::iovec { iov_base: address as *mut c_void, iov_len: 8 };
    // SAFETY: the local part is our word; the remote one is only an address of another process.
    match unsafe { libc::process_vm_writev(t.pid, &raw const local, 1, &raw const remote, 1, 0) } {
        8 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

fn trace(t: &Target) -> io::Result<()> {
    let none = core::ptr::null_mut::<c_void>();
    for task in std::fs::read_dir(format!("/proc/{}/task", t.pid))? {
        let name = task?.file_name();
        let thread: i32 = name.to_str().and_then(|n| n.parse().ok()).ok_or(io::ErrorKind::Other)?;
        // SAFETY: attaching touches no memory of ours.
        if unsafe { libc::ptrace(libc::PTRACE_ATTACH, thread, none, none) } != 0 {
            return Err(io::Error::last_os_error());
        }
    }
    Ok(())
}

fn send(pid: i32, number: i32) -> io::Result<()> {
    // SAFETY: a signal touches no memory of ours.
    match unsafe { libc::kill(pid, number) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

fn map_often(t: &Target) -> io::Result<()> {
    for _ in 0..1_000 {
        t.read_only_map()?;
    }
    Ok(())
}

fn lock_name(t: &Target) -> io::Result<()> {
    let lock = File::open(t.directory.join(format!("{NAME}.lock")))?;
    let locked = lock.try_lock_shared();
    // Leased for as long as the attacker lives.
    core::mem::forget(lock);
    locked.map_err(io::Error::from)
}

fn remove(t: &Target, ending: &str) -> io::Result<()> {
    std::fs::remove_file(t.directory.join(format!("{NAME}.{ending}")))
}

/// What is tried; returns the system's answer.
type Attack = fn(&Target) -> io::Result<()>;

/// What is tried, how it is called, and whether it goes for the process instead of the region:
/// these a user may do to all of its processes.
const ATTACKS: [(&str, bool, Attack); 25] = [
    ("map writable and store", false, map_writable),
    ("make a map of a read-only descriptor writable", false, |t| make_writable(t, &t.open(false)?)),
    ("make a map of a writable descriptor writable", false, |t| make_writable(t, &t.open(true)?)),
    ("map privately and store", false, map_private),
    ("write", false, |t| t.open(true)?.write_all_at(&FORGED.to_ne_bytes(), SCHEMA_AT)),
    ("truncate", false, |t| t.open(true)?.set_len(SHORT)),
    ("make longer", false, |t| t.open(true)?.set_len(t.len as u64 + SHORT)),
    ("open with O_TRUNC", false, |t| {
        let mut options = OpenOptions::new();
        options.write(true).custom_flags(libc::O_TRUNC).open(&t.path).map(drop)
    }),
    ("punch a hole", false, punch),
    ("seal against the owner's writes", false, |t| seal(t, SealFlags::WRITE)),
    ("seal against seals", false, |t| seal(t, SealFlags::SEAL)),
    ("madvise DONTNEED", false, |t| advise(t, Advice::LinuxDontNeed)),
    ("madvise REMOVE", false, |t| advise(t, Advice::LinuxRemove)),
    ("mlock", false, lock_pages),
    ("1,000 maps", false, map_often),
    ("read without pause", false, |_| Ok(())),
    ("stop in the middle of a read", false, |_| Ok(())),
    ("lock the name", false, lock_name),
    ("remove the lock file", false, |t| remove(t, "lock")),
    ("remove the descriptor", false, |t| remove(t, "region")),
    ("take away the right to open", false, |t| {
        std::fs::set_permissions(&t.path, PermissionsExt::from_mode(0o000))
    }),
    ("write to /proc/PID/mem", true, write_memory),
    ("process_vm_writev", true, write_process),
    ("ptrace attach", true, trace),
    ("SIGSTOP to the owner", true, |t| send(t.pid, libc::SIGSTOP)),
];

/// Tries an attack, prints the system's answer, and keeps running.
pub(crate) fn run(attack: &str, directory: &Path) {
    let (name, _, attack) = ATTACKS.iter().find(|(name, ..)| *name == attack).expect("a known one");
    let answer = match attack(&Target::find(directory)) {
        Ok(()) => "allowed".to_owned(),
        Err(error) => error_name(&error),
    };
    println!("\nanswer: {answer}");
    match *name {
        "read without pause" => {
            let reader = RegionReader::attach(directory);
            loop {
                reader.read_all();
            }
        }
        "stop in the middle of a read" => {
            let reader = RegionReader::attach(directory);
            let own = i32::try_from(std::process::id()).expect("a pid");
            std::thread::spawn(move || {
                std::thread::sleep(Duration::from_millis(1));
                send(own, libc::SIGSTOP).expect("its own right");
            });
            loop {
                reader.read_all();
            }
        }
        _ => loop {
            std::thread::park();
        },
    }
}

/// What a new reader finds.
pub(crate) fn attach(directory: &Path) -> String {
    let map = match locate::open_in(directory, NAME) {
        Ok((_, map)) => map,
        Err(error) => return variant(&error),
    };
    match RegionView::attach(map) {
        Ok(view) => format!("attached {:x}", view.header().identity.schema),
        Err(error) => variant(&error),
    }
}

fn error_name(error: &io::Error) -> String {
    let known = match error.raw_os_error() {
        Some(libc::EPERM) => "EPERM",
        Some(libc::EACCES) => "EACCES",
        Some(libc::EINVAL) => "EINVAL",
        Some(libc::EBUSY) => "EBUSY",
        Some(libc::ENOSYS) => "ENOSYS",
        Some(libc::ENOMEM) => "ENOMEM",
        Some(libc::EIO) => "EIO",
        _ if error.kind() == io::ErrorKind::WouldBlock => "EAGAIN",
        _ if error.kind() == io::ErrorKind::NotFound => "ENOENT",
        _ => return error.to_string(),
    };
    known.to_owned()
}

/// An owner with a reader that attached before the attack.
struct Victim {
    directory: tempfile::TempDir,
    program: PathBuf,
    owner: Ends,
    reader: RegionReader,
}

impl Victim {
    fn new(part: &str) -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let program = directory.path().join("program");
        // By a process of its own: what we hold open for writing could not be run.
        let own = std::env::current_exe().expect("this program");
        assert!(Command::new("cp").arg(own).arg(&program).status().expect("cp").success());
        for path in [&program, directory.path()] {
            std::fs::set_permissions(path, PermissionsExt::from_mode(0o755)).expect("ours");
        }
        let names = directory.path().join("names");
        std::fs::create_dir(&names).expect("ours");
        if rustix::process::geteuid().is_root() {
            std::os::unix::fs::chown(&names, Some(ALICE), Some(ALICE)).expect("root may");
        }
        let mut owner = Ends(command(&program, part, &names).spawn().expect("a process"));
        wait_ready(&mut owner.0);
        let reader = RegionReader::attach(&names);
        reader.read_page();
        Self { directory, program, owner, reader }
    }

    fn names(&self) -> PathBuf {
        self.directory.path().join("names")
    }

    /// Runs an attack; returns its answer and its effect while the attacker is there.
    fn suffer(&mut self, attack: &str, patience: Duration) -> (String, String) {
        let mut command = command(&self.program, attack, &self.names());
        let mut attacker = Ends(command.spawn().expect("a process"));
        let out = io::BufReader::new(attacker.0.stdout.take().expect("piped"));
        let printed = out
            .lines()
            .map_while(Result::ok)
            .find_map(|line| line.strip_prefix("answer: ").map(str::to_owned));
        let effect = self.effect(patience);
        (printed.unwrap_or_else(|| "the attacker ended".to_owned()), effect)
    }

    /// The visible effect so far, as text.
    fn effect(&mut self, patience: Duration) -> String {
        let mut seen = Vec::new();
        if !self.publishes(patience) {
            seen.push(match self.owner.0.try_wait().expect("a child") {
                Some(status) => format!("owner ends with signal {}", status.signal().unwrap_or(0)),
                None => "owner stands still".to_owned(),
            });
        }
        self.reader.read_all();
        if self.reader.view.check().is_err() {
            seen.push("readers: truncated".to_owned());
        }
        let attach = command(&self.program, "attach", &self.names()).spawn().expect("a process");
        match answer(attach, "answer: ").as_str() {
            "attached 2a" => {}
            other => seen.push(format!("new readers: {other}")),
        }
        if seen.is_empty() { "none".to_owned() } else { seen.join(", ") }
    }

    /// Whether the owner goes on publishing; it is given some time, unless it has ended.
    fn publishes(&mut self, patience: Duration) -> bool {
        let before = self.reader.view.status().heartbeat;
        let until = Instant::now() + patience;
        while Instant::now() < until && self.owner.0.try_wait().expect("a child").is_none() {
            if self.reader.view.status().heartbeat > before {
                return true;
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        false
    }
}

/// A part, played by an ordinary user if we can choose.
fn command(program: &Path, part: &str, names: &Path) -> Command {
    let mut command = part_of(program, part, names);
    if rustix::process::geteuid().is_root() {
        command.uid(ALICE).gid(ALICE);
    }
    command
}

/// Name of an error's case.
fn variant(error: &impl std::fmt::Debug) -> String {
    let text = format!("{error:?}");
    let words = text.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty());
    // `Map(Lost { .. })` is Lost.
    words.into_iter().find(|word| *word != "Map").unwrap_or_default().to_owned()
}

#[test]
fn hostile_programs_of_the_same_user() {
    let documented = include_str!("../../../docs/GUARANTEES.md");
    println!("| attack | sealed memory | plain file |\n|---|---|---|");
    for (attack, on_process, _) in ATTACKS {
        let mut cells = Vec::new();
        for part in ["writer", "file writer"] {
            let mut victim = Victim::new(part);
            let sealed = part == "writer";
            // Attacks that may stop the owner are not waited for.
            let patience = if on_process { Duration::from_millis(500) } else { LONG };
            let (answer, effect) = victim.suffer(attack, patience);
            cells.push(format!("{answer}; {effect}"));
            if !sealed {
                continue;
            }
            // Whatever was tried on sealed memory, the owner is as it was and goes on.
            let removed =
                attack == "remove the descriptor" || attack == "take away the right to open";
            assert!(on_process || removed || effect == "none", "{attack}: {answer}; {effect}");
            let _ = send(i32::try_from(victim.owner.0.id()).expect("a pid"), libc::SIGCONT);
            signal(&victim.owner.0, CONT);
            assert!(victim.publishes(LONG), "{attack}: {answer}");
            victim.reader.view.check().expect("sealed");
            victim.reader.read_page();
        }
        println!("| {attack} | {} | {} |", cells[0], cells[1]);
        assert!(documented.contains(&format!("| {attack} |")), "{attack} is not documented");
    }
}

#[test]
fn seals_and_rights_of_our_maps() {
    let owner = Map::memfd("sealed", 8192).expect("memory");
    let path = format!("/proc/self/fd/{}", owner.fd().expect("a file"));
    let seals = rustix::fs::fcntl_get_seals(File::open(&path).expect("opens")).expect("has seals");
    let all = SealFlags::SHRINK | SealFlags::GROW | SealFlags::FUTURE_WRITE | SealFlags::SEAL;
    assert!(seals.contains(all), "{seals:?}");
    let mode = std::fs::metadata(&path).expect("there").permissions().mode();
    // Linux 6.3 and later.
    assert!(!seals.contains(SealFlags::EXEC) || mode & 0o111 == 0, "{mode:o}");
    let reader = ReadMap::open(Path::new(&path)).expect("readable");
    let maps = std::fs::read_to_string("/proc/self/maps").expect("readable");
    let rights: Vec<_> = maps
        .lines()
        .filter(|line| line.contains("memfd:sealed"))
        .filter_map(|line| line.split(' ').nth(1))
        .collect();
    // One writable, the owner's, and one that is not.
    assert_eq!(rights.iter().filter(|right| **right == "rw-s").count(), 1, "{rights:?}");
    assert_eq!(rights.iter().filter(|right| **right == "r--s").count(), 1, "{rights:?}");
    drop((owner, reader));
    // A plain file is not mapped by its readers at all.
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("plain.region");
    let owner = Map::file(&path, 8192).expect("a file");
    let reader = ReadMap::open(&path).expect("readable");
    let maps = std::fs::read_to_string("/proc/self/maps").expect("readable");
    assert_eq!(maps.lines().filter(|line| line.contains("plain.region")).count(), 1);
    assert_eq!(reader.len_bytes(), 8192);
    let mode = std::fs::metadata(&path).expect("there").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    drop(owner);
    assert!(!path.exists());
}
