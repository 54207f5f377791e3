//! The process under measurement: started as Lambda starts one, read through `/proc`, ended.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// How long a process may take to end when told to. Valgrind writes its counts meanwhile.
const END: Duration = Duration::from_secs(20);

/// Lines of its log that an error shows.
const TAIL: usize = 15;

/// A started process, which is gone when this is dropped.
pub(crate) struct Process {
    child: Child,
    /// When it was started.
    pub(crate) started: Instant,
}

impl Process {
    /// Starts a command with nothing but these variables; its output goes to a file.
    pub(crate) fn start(
        command: &[String],
        env: &BTreeMap<String, String>,
        log: &Path,
    ) -> Result<Self, String> {
        let Some((program, arguments)) = command.split_first() else {
            return Err("a command must stand behind --; there is none".to_owned());
        };
        let output = File::create(log).and_then(|file| Ok((file.try_clone()?, file)));
        let (stdout, stderr) =
            output.map_err(|error| format!("{} is not writable: {error}", log.display()))?;
        let mut command = Command::new(program);
        command.args(arguments).env_clear().envs(env);
        command.stdin(Stdio::null()).stdout(stdout).stderr(stderr);
        let started = Instant::now();
        let child = command
            .spawn()
            .map_err(|error| format!("{program} does not start: {error}"))?;
        Ok(Self { child, started })
    }

    /// Says so when it has ended by itself.
    pub(crate) fn check_alive(&mut self) -> Result<(), String> {
        match self.child.try_wait() {
            Ok(None) => Ok(()),
            Ok(Some(status)) => Err(format!(
                "the process must serve until it is told to end; it ended with {status}"
            )),
            Err(error) => Err(format!(
                "the process cannot be asked for its state: {error}"
            )),
        }
    }

    /// Time on a CPU so far, in ns, of every thread.
    pub(crate) fn cpu_ns(&self) -> Result<BTreeMap<String, u64>, String> {
        let tasks = format!("/proc/{}/task", self.child.id());
        let unreadable = |error| format!("{tasks} does not read: {error}");
        let mut threads = BTreeMap::new();
        for task in fs::read_dir(&tasks).map_err(unreadable)? {
            let task = task.map_err(unreadable)?;
            let told = fs::read_to_string(task.path().join("schedstat")).map_err(unreadable)?;
            let ns = told.split(' ').next().and_then(|ns| ns.parse().ok());
            let ns = ns.ok_or_else(|| {
                format!("{tasks}/*/schedstat must begin with a number of ns; it is {told:?}")
            })?;
            threads.insert(task.file_name().to_string_lossy().into_owned(), ns);
        }
        Ok(threads)
    }

    /// The most memory it has had in RAM so far, in KiB.
    pub(crate) fn peak_kib(&self) -> Result<u64, String> {
        let path = format!("/proc/{}/status", self.child.id());
        let status =
            fs::read_to_string(&path).map_err(|error| format!("{path} does not read: {error}"))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let kib = line.and_then(|line| line.trim().strip_suffix("kB")?.trim().parse().ok());
        kib.ok_or_else(|| format!("{path} must have VmHWM in kB; it has {line:?}"))
    }

    /// Ends it by SIGTERM, as Lambda does; valgrind then writes down what it counted.
    pub(crate) fn end(&mut self) -> Result<(), String> {
        let told = Command::new("kill")
            .arg("-TERM")
            .arg(self.child.id().to_string())
            .status();
        told.map_err(|error| format!("kill does not start: {error}"))?;
        let begun = Instant::now();
        while begun.elapsed() < END {
            if let Ok(Some(_)) = self.child.try_wait() {
                return Ok(());
            }
            std::thread::sleep(Duration::from_millis(2));
        }
        Err(format!(
            "the process must end within {} s of SIGTERM; it goes on",
            END.as_secs()
        ))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Time on a CPU between two readings, in ns. A thread that ends takes its time with it.
pub(crate) fn cpu_between(
    from: &BTreeMap<String, u64>,
    until: &BTreeMap<String, u64>,
) -> Result<u64, String> {
    if let Some(gone) = from.keys().find(|thread| !until.contains_key(*thread)) {
        return Err(format!(
            "thread {gone} ended between two calls, and its time is lost; its program must keep it"
        ));
    }
    let sum = |threads: &BTreeMap<String, u64>| threads.values().sum::<u64>();
    Ok(sum(until).saturating_sub(sum(from)))
}

/// The end of a process's log.
pub(crate) fn tail(log: &Path) -> String {
    let text = fs::read_to_string(log).unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    lines
        .iter()
        .skip(lines.len().saturating_sub(TAIL))
        .copied()
        .collect::<Vec<_>>()
        .join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn threads(ns: &[(&str, u64)]) -> BTreeMap<String, u64> {
        ns.iter()
            .map(|(thread, ns)| ((*thread).to_owned(), *ns))
            .collect()
    }

    #[test]
    fn cpu_time_is_that_of_all_threads_new_ones_too() {
        let begun = threads(&[("1", 100), ("2", 50)]);
        assert_eq!(
            cpu_between(&begun, &threads(&[("1", 130), ("2", 50), ("3", 5)])),
            Ok(35)
        );
    }

    #[test]
    fn cpu_time_of_a_thread_that_ended_is_missed_and_not_made_up() {
        let lost = cpu_between(&threads(&[("1", 100), ("2", 50)]), &threads(&[("1", 130)]));
        assert!(lost.is_err_and(|error| error.contains("thread 2")));
    }

    #[test]
    fn a_process_of_this_machine_has_cpu_time_and_memory_and_ends_when_told() {
        let log = std::env::temp_dir().join(format!("bench-process-{}", std::process::id()));
        let command = ["sleep", "60"].map(str::to_owned);
        let env = BTreeMap::from([("PATH".to_owned(), std::env::var("PATH").unwrap())]);
        let mut process = Process::start(&command, &env, &log).unwrap();
        process.check_alive().unwrap();
        assert_eq!(process.cpu_ns().unwrap().len(), 1);
        // It has next to none until it is loaded.
        let loaded = (0..500).any(|_| {
            std::thread::sleep(Duration::from_millis(10));
            process.peak_kib().unwrap() > 100
        });
        assert!(loaded, "it must have had more than 100 KiB within 5 s");
        process.end().unwrap();
        assert!(process.check_alive().is_err());
        fs::remove_file(&log).unwrap();
    }
}
