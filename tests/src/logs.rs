//! Everything the functions log in this process, at the most talkative level they have.

use std::io::{self, Write};
use std::sync::{Arc, Mutex, OnceLock};

use tracing_subscriber::fmt::MakeWriter;

#[derive(Clone, Default)]
struct Memory(Arc<Mutex<Vec<u8>>>);

impl Write for Memory {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
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
        shared::telemetry::start_with("tests", tracing::Level::TRACE, memory.clone());
        memory
    });
}

/// Everything logged so far, by all tests of the process.
#[must_use]
pub fn logged() -> String {
    MEMORY.get().map(|memory| String::from_utf8_lossy(&memory.0.lock().unwrap()).into_owned()).unwrap_or_default()
}
