//! The region's magic: a reader finds nothing, or header and directory complete. The owner's state:
//! who sees that it stopped sees all that it published.

use loom::thread;
use wasm_engine_shm::broadcast::{self, BroadcastReader, BroadcastWriter, Next};
use wasm_engine_shm::header::{AttachError, HeaderReader, HeaderWriter, Identity, OwnerState};
use wasm_engine_shm::layout::{RegionPlan, SectionKind};

use crate::check::{LoomModel, Marks};
use crate::class::Class;
use crate::mem::LoomMem;

/// Ready or nothing.
pub const REGION_READY: LoomModel = LoomModel {
    name: "region_ready",
    bound: None,
    reach: &["not ready", "ready"],
    run: region_ready,
};

/// An owner's last words.
pub const OWNER_STOPPED: LoomModel = LoomModel {
    name: "owner_stopped",
    bound: None,
    reach: &["not yet", "stopped"],
    run: owner_stopped,
};

fn owner_stopped(marks: &Marks) {
    let plan = RegionPlan::new();
    let status = |word| if (16..20).contains(&word) { Class::Atomic } else { Class::Unused };
    let header = LoomMem::new(plan.total_bytes() as usize, status);
    let trace = LoomMem::atomic(broadcast::layout(2, 8).expect("valid"));
    let mut owner = HeaderWriter::new(header.clone()).expect("free");
    let mut writer = BroadcastWriter::new(trace.clone(), 2, 8).expect("free");
    let status = HeaderReader::open(header).expect("long enough");
    let mut reader = BroadcastReader::new(trace, 2, 8).expect("free");
    let marks = marks.clone();
    let owning = thread::spawn(move || {
        writer.send(&[7; 8]);
        owner.set_state(OwnerState::Stopped, 1);
    });
    let watching = thread::spawn(move || {
        if status.status().state != OwnerState::Stopped {
            return marks.hit("not yet");
        }
        assert_eq!(reader.sent(), 1, "the last event is not counted");
        let mut event = [0; 8];
        assert_eq!(reader.next(&mut event), Next::Message { number: 0, len: 8 });
        assert_eq!(event, [7; 8]);
        marks.hit("stopped");
    });
    owning.join().expect("the owner ended");
    watching.join().expect("the monitor ended");
}

fn region_ready(marks: &Marks) {
    let mut plan = RegionPlan::new();
    plan.add_with(SectionKind::PAGE, 1, 128, 2, [3, 4]).expect("fits");
    let len = plan.total_bytes();
    let identity =
        Identity { schema: 5, generation: 6, pid: 7, pid_namespace: 8, ..Identity::default() };
    let used = |word: usize| word < 16 || word == 24 || (32..40).contains(&word);
    let class = move |word| if used(word) { Class::Atomic } else { Class::Unused };
    let mem = LoomMem::new(len as usize, class);
    let reader = HeaderReader::open(mem.clone()).expect("long enough");
    let marks = marks.clone();
    let formatting = thread::spawn(move || {
        let mut writer = HeaderWriter::new(mem).expect("free");
        writer.write(&plan, len, &identity);
        writer.publish_ready();
    });
    let attaching = thread::spawn(move || match reader.read(len) {
        Ok(header) => {
            assert_eq!(header.identity, identity);
            assert_eq!((header.sections.len(), header.sections[0].params), (1, [3, 4]));
            marks.hit("ready");
        }
        Err(AttachError::NotReady) => marks.hit("not ready"),
        Err(error) => panic!("{error}"),
    });
    formatting.join().expect("the owner ended");
    attaching.join().expect("the reader ended");
}
