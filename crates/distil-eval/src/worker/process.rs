//! A worker's process: started as the leader of a group of its own, heard through bounded queues, ended for good.

use std::{
    collections::VecDeque,
    io::{self, BufReader, Read, Write as _},
    process::{Child, ChildStderr, ChildStdout, ExitStatus, Stdio},
    sync::mpsc::{self, Receiver, RecvTimeoutError, Sender, SyncSender},
    thread,
    time::{Duration, Instant},
};

use super::{
    Ending, WorkerCommand,
    protocol::{Line, MAX_MESSAGE_BYTES, excerpt, read_line},
};

/// Lines that wait to be looked at; a worker that is faster is made to wait.
const QUEUE: usize = 64;
/// How often a pause looks up.
const TICK: Duration = Duration::from_millis(20);
/// The longest line of standard error that is kept, and how many are told.
const MAX_LOG_BYTES: usize = 4096;
const MAX_LOG_LINES: usize = 1000;
/// How many of the last lines are kept for an error.
const LAST_LOG_LINES: usize = 8;
const LAST_LOG_WAIT: Duration = Duration::from_millis(500);

/// What comes from a worker.
pub(super) enum Incoming {
    Line(Vec<u8>),
    TooLong,
    /// Standard output is closed.
    End,
    Log(String),
}

pub(super) struct Process {
    child: Child,
    incoming: Receiver<Incoming>,
    /// Dropping it closes the worker's standard input.
    stdin: Option<Sender<Vec<u8>>>,
    last_log: VecDeque<String>,
    /// How the process ended, once it was waited for.
    status: Option<ExitStatus>,
}

impl Process {
    pub(super) fn start(command: &WorkerCommand) -> io::Result<Self> {
        let mut command = command.to_command();
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        #[cfg(unix)]
        std::os::unix::process::CommandExt::process_group(&mut command, 0);
        let mut child = command.spawn()?;
        let missing = || io::Error::other("a pipe is missing");
        let (Some(mut stdin), Some(stdout), Some(stderr)) =
            (child.stdin.take(), child.stdout.take(), child.stderr.take())
        else {
            let _ = child.kill();
            let _ = child.wait();
            return Err(missing());
        };
        let (sender, incoming) = mpsc::sync_channel(QUEUE);
        let (to_stdin, lines) = mpsc::channel::<Vec<u8>>();
        let log = sender.clone();
        // None of these is waited for: a process that left the group could hold a pipe open for ever.
        thread::spawn(move || {
            for line in lines {
                if stdin.write_all(&line).and_then(|()| stdin.flush()).is_err() {
                    break; // it is told by its output's end
                }
            }
        });
        thread::spawn(move || read_messages(stdout, &sender));
        thread::spawn(move || read_log(stderr, &log));
        Ok(Self { child, incoming, stdin: Some(to_stdin), last_log: VecDeque::new(), status: None })
    }

    /// Writes to the worker's standard input, from another thread.
    pub(super) fn send(&self, line: Vec<u8>) {
        if let Some(stdin) = &self.stdin {
            let _ = stdin.send(line); // it is told by its output's end
        }
    }

    /// What came within a time.
    pub(super) fn receive(&mut self, wait: Duration) -> Option<Incoming> {
        match self.incoming.recv_timeout(wait) {
            Ok(Incoming::Log(line)) => {
                if self.last_log.len() == LAST_LOG_LINES {
                    self.last_log.pop_front();
                }
                self.last_log.push_back(line.clone());
                Some(Incoming::Log(line))
            }
            Ok(other) => Some(other),
            Err(RecvTimeoutError::Timeout) => None,
            Err(RecvTimeoutError::Disconnected) => Some(Incoming::End),
        }
    }

    /// The last lines of standard error of a process that has ended.
    pub(super) fn last_log(&mut self) -> String {
        // They may still be on their way; something else may hold the pipe open.
        let asked = Instant::now();
        while asked.elapsed() < LAST_LOG_WAIT && !matches!(self.receive(TICK), Some(Incoming::End)) {}
        self.last_log.iter().map(String::as_str).collect::<Vec<_>>().join(" | ")
    }

    /// Whether the process has ended, though it is not waited for yet.
    pub(super) fn has_ended(&mut self) -> bool {
        self.status.is_some() || has_ended(&mut self.child)
    }

    /// Ends it: closes its standard input, waits a little for it to end by itself, and kills what is left of its group.
    pub(super) fn end(&mut self, grace: Duration) -> Option<Ending> {
        if self.status.is_none() {
            self.stdin = None;
            let asked = Instant::now();
            while !has_ended(&mut self.child) && asked.elapsed() < grace {
                // Whoever waits for room in the queue has to be able to go on.
                let _ = self.receive(TICK);
            }
            // Before it is waited for: until then nobody else can get the group's number.
            kill_group(&mut self.child);
            self.status = self.child.wait().ok();
        }
        self.status.map(ending)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Time for `ssh` to tell the other host that nobody listens any more.
        self.end(Duration::from_secs(1));
    }
}

#[cfg(unix)]
fn has_ended(child: &mut Child) -> bool {
    use rustix::process::{Pid, WaitId, WaitIdOptions, waitid};
    let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
    // An error means that there is no such process any more.
    !matches!(waitid(WaitId::Pid(Pid::from_child(child)), options), Ok(None))
}

#[cfg(not(unix))]
fn has_ended(child: &mut Child) -> bool {
    !matches!(child.try_wait(), Ok(None))
}

fn kill_group(child: &mut Child) {
    #[cfg(unix)]
    {
        use rustix::process::{Pid, Signal, kill_process_group};
        let _ = kill_process_group(Pid::from_child(child), Signal::KILL);
    }
    let _ = child.kill();
}

/// How a process ended; a shell tells the signal that ended a command as 128 and its number.
pub(super) fn ending(status: ExitStatus) -> Ending {
    #[cfg(unix)]
    if let Some(signal) = std::os::unix::process::ExitStatusExt::signal(&status) {
        return Ending::Signal(signal);
    }
    match status.code().unwrap_or(-1) {
        code @ 129..=192 => Ending::Signal(code - 128),
        code => Ending::Code(code),
    }
}

fn read_messages(stdout: ChildStdout, sender: &SyncSender<Incoming>) {
    let mut stdout = BufReader::with_capacity(1 << 16, stdout);
    loop {
        let incoming = match read_line(&mut stdout, MAX_MESSAGE_BYTES) {
            Ok(Line::Whole(line)) => Incoming::Line(line),
            Ok(Line::TooLong) => Incoming::TooLong,
            Ok(Line::End) | Err(_) => Incoming::End,
        };
        let is_last = !matches!(incoming, Incoming::Line(_));
        if sender.send(incoming).is_err() || is_last {
            return;
        }
    }
}

/// Tells the first lines of standard error, and reads the rest away so that nobody waits for it.
fn read_log(mut stderr: ChildStderr, sender: &SyncSender<Incoming>) {
    let mut buffer = [0; 4096];
    let mut line = Vec::new();
    let mut told = 0;
    loop {
        let count = match stderr.read(&mut buffer) {
            Ok(0) | Err(_) => 0,
            Ok(count) => count,
        };
        for byte in &buffer[..count] {
            match byte {
                b'\n' => {
                    if told < MAX_LOG_LINES && !line.is_empty() {
                        told += 1;
                        // Never in the way of the worker itself: a full queue loses what it logs.
                        let _ = sender.try_send(Incoming::Log(excerpt(&String::from_utf8_lossy(&line))));
                    }
                    line.clear();
                }
                byte if line.len() < MAX_LOG_BYTES => line.push(*byte),
                _ => {}
            }
        }
        if count == 0 {
            if told < MAX_LOG_LINES && !line.is_empty() {
                let _ = sender.try_send(Incoming::Log(excerpt(&String::from_utf8_lossy(&line))));
            }
            return;
        }
    }
}
