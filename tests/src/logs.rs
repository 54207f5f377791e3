//! Everything the functions log, at the most talkative level they have: of the whole process, or
//! thread by thread.

use std::cell::RefCell;
use std::io::{self, Write};
use std::sync::{Arc, Mutex, Once, OnceLock};

use tracing_subscriber::fmt::MakeWriter;

#[derive(Clone, Default)]
struct Memory(Arc<Mutex<Vec<u8>>>);

impl Write for Memory {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        OfThread.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl MakeWriter<'_> for Memory {
    type Writer = Self;

    fn make_writer(&self) -> Self {
        self.clone()
    }
}

static MEMORY: OnceLock<Memory> = OnceLock::new();

pub(crate) fn start() {
    MEMORY.get_or_init(|| {
        let memory = Memory::default();
        shared::lambda::telemetry::start_with("tests", tracing::Level::TRACE, memory.clone());
        memory
    });
}

/// Everything that this thread has logged: this test alone, if its runtime has no other thread.
pub fn logged() -> String {
    thread_log()
}

/// Where the log ends now, in bytes.
pub(crate) fn end() -> usize {
    MEMORY
        .get()
        .map_or(0, |memory| memory.0.lock().unwrap().len())
}

/// Everything logged from there on, by all tests of the process.
pub(crate) fn logged_from(begin: usize) -> String {
    // What a call under way holds back is logged, too.
    drop(shared::lambda::telemetry::hold_lines());
    let text =
        |memory: &Memory| String::from_utf8_lossy(&memory.0.lock().unwrap()[begin..]).into_owned();
    MEMORY.get().map(text).unwrap_or_default()
}

thread_local! {
    static OF_THREAD: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

#[derive(Clone, Copy)]
struct OfThread;

impl Write for OfThread {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        OF_THREAD.with_borrow_mut(|log| log.extend_from_slice(bytes));
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Keeps what each thread logs apart from here on, and forgets what this one has logged. For
/// processes without a [`World`](crate::World).
pub fn forget_thread_log() {
    static START: Once = Once::new();
    START.call_once(|| {
        shared::lambda::telemetry::start_with("tests", tracing::Level::TRACE, || OfThread)
    });
    OF_THREAD.with_borrow_mut(Vec::clear);
}

/// Everything this thread has logged since [`forget_thread_log`].
pub fn thread_log() -> String {
    OF_THREAD.with_borrow(|log| String::from_utf8_lossy(log).into_owned())
}
