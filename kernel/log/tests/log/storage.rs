//! Files in memory against files on a disk: the same answers to the same operations.

use std::fmt::Debug;
use std::io;

use wasm_engine_log::storage::{Storage, disk::Disk, memory::Memory};

/// What an operation answers, as text that both can have.
fn answer<T: Debug>(result: io::Result<T>) -> String {
    match result {
        Ok(value) => format!("{value:?}"),
        Err(error) => format!("{:?}", error.kind()),
    }
}

fn content(storage: &dyn Storage, name: &str) -> io::Result<Vec<u8>> {
    let file = storage.open(name)?;
    let mut bytes = vec![0; file.bytes()? as usize + 9];
    let read = file.read_at(&mut bytes, 0)?;
    bytes.truncate(read);
    Ok(bytes)
}

fn answers(storage: &dyn Storage) -> Vec<String> {
    let is_there = |result: io::Result<_>| answer(result.map(drop));
    let locked = || answer(storage.lock().map(|lock| lock.is_some()));
    let mut all = vec![
        answer(storage.names()),
        locked(),
        is_there(storage.create("a")),
        answer(storage.create_dir()),
        answer(storage.create_dir()),
        answer(storage.names()),
        is_there(storage.open("a")),
        is_there(storage.open_append("a")),
        answer(storage.remove("a")),
    ];
    let mut file = storage.create("a").expect("a new name");
    all.extend([
        is_there(storage.create("a")),
        answer(file.append(b"hello")),
        answer(file.append(b"")),
        answer(file.append(b" world")),
        answer(file.bytes()),
        answer(content(storage, "a")),
    ]);
    let mut again = storage.open_append("a").expect("it is there");
    let mut buffer = [0; 4];
    all.extend([
        answer(again.truncate(7)),
        answer(again.append(b"!!")),
        answer(again.sync()),
        answer(again.read_at(&mut buffer, 6)),
        answer(again.read_at(&mut buffer[..2], 3)),
        answer(again.read_at(&mut [], 3)),
        answer(again.read_at(&mut buffer, 99)),
        answer(content(storage, "a")),
        answer(storage.sync_dir()),
        answer(storage.sync_parent().map_err(|(_, error)| error)),
    ]);
    let lock = storage.lock().expect("the directory is there");
    all.push(locked());
    drop(lock);
    all.extend([locked(), answer(storage.remove("a")), answer(storage.names())]);
    all
}

#[test]
fn memory_answers_as_the_disk_does() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let disk = answers(&Disk::new(dir.path().join("a/b")));
    assert_eq!(disk, answers(&Memory::new("run")));
    let expected = ["NotFound", "AlreadyExists", "11", "false", "true"];
    assert!(expected.iter().all(|text| disk.iter().any(|answer| answer == text)), "{disk:?}");
}
