//! The region's magic: a reader finds nothing, or header and directory complete.

use loom::thread;
use wasm_engine_shm::header::{AttachError, HeaderReader, HeaderWriter, Identity};
use wasm_engine_shm::layout::{RegionPlan, SectionKind};

use crate::check::{Marks, Model};
use crate::mem::{Class, LoomMem};

/// Ready or nothing.
pub const REGION_READY: Model =
    Model { name: "region_ready", bound: None, reach: &["not ready", "ready"], run: region_ready };

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
        let mut writer = HeaderWriter::claim(mem).expect("free");
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
