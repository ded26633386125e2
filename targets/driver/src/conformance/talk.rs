//! A conversation with a driver, line by line, as it came.

use std::collections::VecDeque;
use std::io::{BufRead, BufReader, Read as _, Write as _};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::time::{Duration, Instant};

use serde_json::Value;

use super::{Fault, Stand};
use crate::host::Commands;
use crate::protocol::{Answer, Call, MAX_LINE, OLDEST, Request, Verdict, Write};
use crate::{Description, Part, Process, StartError};

/// Lines are shown to people: this much of one is enough.
const SHOWN: usize = 300;

/// A driver that is being judged.
pub(in crate::conformance) struct Talk<'a> {
    commands: &'a Commands,
    stand: &'a dyn Stand,
    patience: Duration,
    life: Life,
    next: u64,
    sent: String,
    came: Option<String>,
    /// An answer with the id null may come.
    null_allowed: bool,
    /// What the driver said of itself, once it has.
    pub(super) description: Option<Description>,
    /// How it described itself, if it did.
    pub(super) described: Option<Description>,
}

/// One life of the driver.
struct Life {
    process: Box<dyn Process>,
    _daemon: Option<Box<dyn Process>>,
    /// None once its standard input was ended.
    input: Option<Sender<Vec<u8>>>,
    output: Receiver<Vec<u8>>,
    /// Answers that came before they were asked for.
    early: VecDeque<(Answer, String)>,
}

impl Life {
    fn begin(commands: &Commands, stand: &dyn Stand) -> Result<Self, StartError> {
        let host = stand.host();
        let daemon = commands.daemon.as_ref();
        let daemon = daemon
            .map(|daemon| host.spawn(&daemon.launch(host)))
            .transpose()?;
        let part = if daemon.is_some() {
            Part::Beside
        } else {
            Part::Target
        };
        let (process, pipes) = host.spawn_piped(&commands.driver.launch(host), part)?;
        let (input, lines) = mpsc::channel::<Vec<u8>>();
        let (heard, output) = mpsc::channel();
        let (mut stdin, stdout) = (pipes.stdin, pipes.stdout);
        let thread = |name: &str| std::thread::Builder::new().name(name.into());
        thread("driver input").spawn(move || {
            for line in lines {
                if stdin.write_all(&line).is_err() {
                    return;
                }
            }
        })?;
        thread("driver output").spawn(move || {
            let mut stdout = BufReader::new(stdout);
            while let Some(line) = next_line(&mut stdout) {
                if heard.send(line).is_err() {
                    return;
                }
            }
        })?;
        Ok(Self {
            process,
            _daemon: daemon,
            input: Some(input),
            output,
            early: VecDeque::new(),
        })
    }
}

impl<'a> Talk<'a> {
    pub(super) fn new(
        commands: &'a Commands,
        stand: &'a dyn Stand,
        patience: Duration,
    ) -> Result<Self, StartError> {
        Ok(Self {
            commands,
            stand,
            patience,
            life: Life::begin(commands, stand)?,
            next: 0,
            sent: String::new(),
            came: None,
            null_allowed: false,
            description: None,
            described: None,
        })
    }

    /// The version that it is spoken to in.
    pub(super) fn protocol(&self) -> u64 {
        self.described
            .as_ref()
            .map_or(OLDEST, |known| known.protocol)
    }

    pub(super) fn begin_rule(&mut self) {
        self.sent.clear();
        self.came = None;
    }

    /// The last line that was sent, and the last that came.
    pub(super) fn last_lines(&self) -> (String, Option<String>) {
        (self.sent.clone(), self.came.clone())
    }

    /// Kills the driver.
    pub(super) fn end(&mut self) -> Result<(), StartError> {
        Ok(self.stand.kill()?)
    }

    /// Kills the driver and starts it again on the same directory. Where it has said hello before, it
    /// is asked again, and whatever it answers is left to the rules.
    pub(super) fn restart(&mut self) -> Result<(), StartError> {
        self.kill_and_start()?;
        if self.description.is_some() {
            let (sent, came) = self.last_lines();
            let call = Call::Hello {
                protocol: self.protocol(),
            };
            let id = self.send(None, call);
            drop(self.answer_to(id));
            (self.sent, self.came) = (sent, came);
        }
        Ok(())
    }

    /// Kills the driver and starts it again on the same directory, without a word.
    pub(super) fn kill_and_start(&mut self) -> Result<(), StartError> {
        self.end()?;
        self.life = Life::begin(self.commands, self.stand)?;
        Ok(())
    }

    /// Sends a request, and returns its id.
    pub(super) fn send(&mut self, client: Option<u32>, call: Call<'_>) -> u64 {
        self.next += 1;
        let request = Request {
            id: self.next,
            client,
            timeout_ms: u64::try_from(self.patience.as_millis()).unwrap_or(u64::MAX),
            call,
        };
        let line = serde_json::to_string(&request).unwrap_or_default();
        self.send_line(&line);
        self.next
    }

    /// Sends a line as it is.
    pub(super) fn send_line(&mut self, line: &str) {
        self.sent = shown(line);
        self.came = None;
        if let Some(input) = &self.life.input {
            // A driver that has ended reads nothing more, and what comes next finds that out.
            drop(input.send(format!("{line}\n").into_bytes()));
        }
    }

    /// The id for a request that is written by hand.
    pub(super) fn fresh_id(&mut self) -> u64 {
        self.next += 1;
        self.next
    }

    /// Takes the answer to a request, before which a complaint about a line that was no request
    /// may come: `fail` with id null.
    pub(super) fn answer_past_null(&mut self, id: u64) -> Result<(), Fault> {
        self.null_allowed = true;
        let answer = self.answer_to(id);
        self.null_allowed = false;
        answer.map(drop)
    }

    /// The answer to a request, whichever others come before it.
    pub(super) fn answer_to(&mut self, id: u64) -> Result<Answer, Fault> {
        let known = self
            .life
            .early
            .iter()
            .position(|(answer, _)| answer.id == Some(id));
        if let Some((answer, line)) = known.and_then(|at| self.life.early.remove(at)) {
            self.came = Some(line);
            return Ok(answer);
        }
        let deadline = Instant::now() + self.patience;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let line = match self.life.output.recv_timeout(left) {
                Ok(line) => line,
                Err(RecvTimeoutError::Timeout) => {
                    let why = format!("no answer within {:?}", self.patience);
                    return Err(self.wrong(why));
                }
                Err(RecvTimeoutError::Disconnected) => {
                    return Err(self.wrong("it closed its standard output"));
                }
            };
            let (answer, text) = self.read(&line)?;
            match answer.id {
                Some(one) if one == id => {
                    self.came = Some(text);
                    return Ok(answer);
                }
                Some(other) if other < id && other > 0 => self.life.early.push_back((answer, text)),
                None if self.null_allowed && answer.answer == Verdict::Fail => {}
                _ => {
                    self.came = Some(text);
                    return Err(self.wrong(format!("the id should be {id}")));
                }
            }
        }
    }

    fn read(&mut self, line: &[u8]) -> Result<(Answer, String), Fault> {
        let text = shown(String::from_utf8_lossy(line).trim_end());
        match Answer::parse(line) {
            Ok(answer) => Ok((answer, text)),
            Err(why) => {
                self.came = Some(text);
                Err(self.wrong(why))
            }
        }
    }

    /// What is wrong, with what the driver wrote to its standard error.
    fn wrong(&self, why: impl Into<String>) -> Fault {
        let said = self.life.process.output();
        let last = said.trim().lines().next_back().unwrap_or_default();
        let why = why.into();
        Fault::Wrong(match last {
            "" => why,
            last => format!("{why}; its standard error ends with: {}", shown(last)),
        })
    }

    /// Fails when lines came that nobody had asked for.
    pub(super) fn nothing_unasked(&mut self) -> Result<(), Fault> {
        while let Ok(line) = self.life.output.try_recv() {
            let (answer, text) = self.read(&line)?;
            self.life.early.push_back((answer, text));
        }
        match self.life.early.pop_front() {
            None => Ok(()),
            Some((answer, text)) => {
                self.came = Some(text);
                Err(self.wrong(format!("nobody waits for an answer {:?}", answer.id)))
            }
        }
    }

    /// Sends a request and takes its answer, which must be `ok`.
    pub(super) fn ok(&mut self, client: u32, call: Call<'_>) -> Result<Answer, Fault> {
        let id = self.send(Some(client), call);
        let answer = self.answer_to(id)?;
        match answer.answer {
            Verdict::Ok => Ok(answer),
            Verdict::Fail | Verdict::Info | Verdict::Gone => {
                Err(Fault::Wrong("the answer should be ok".into()))
            }
        }
    }

    /// Puts one value.
    pub(super) fn put(&mut self, client: u32, key: &str, value: &str) -> Result<(), Fault> {
        self.write(client, &[(key, Some(value))], false)
    }

    /// Writes values; none deletes.
    pub(super) fn write(
        &mut self,
        client: u32,
        writes: &[(&str, Option<&str>)],
        abort: bool,
    ) -> Result<(), Fault> {
        let writes = writes.iter().map(|(key, put)| Write {
            key: (*key).into(),
            put: put.map(Into::into),
            delete: put.is_none(),
        });
        let call = Call::Apply {
            txn: self.next + 1,
            abort,
            writes: writes.collect(),
        };
        self.ok(client, call).map(drop)
    }

    /// The field of an answer.
    fn field(&self, answer: &Answer, name: &str) -> Result<Value, Fault> {
        let field = answer.fields.get(name).cloned();
        field.ok_or_else(|| Fault::Wrong(format!("the answer has no field {name:?}")))
    }

    /// Fails unless a key has this value.
    pub(super) fn has(
        &mut self,
        client: u32,
        key: &str,
        wanted: Option<&str>,
    ) -> Result<(), Fault> {
        let answer = self.ok(client, Call::Get { key: key.into() })?;
        let value = self.field(&answer, "value")?;
        if value == Value::from(wanted) {
            return Ok(());
        }
        let wanted = wanted.map_or("null".into(), |text| shown(&format!("{text:?}")));
        Err(Fault::Wrong(format!("the value should be {wanted}")))
    }

    /// What `read_all` gives.
    pub(super) fn all(&mut self, client: u32) -> Result<serde_json::Map<String, Value>, Fault> {
        let answer = self.ok(client, Call::ReadAll)?;
        match self.field(&answer, "values")? {
            Value::Object(values) if values.values().all(Value::is_string) => Ok(values),
            _ => Err(Fault::Wrong("values should be an object of strings".into())),
        }
    }

    /// What `check` complains of.
    pub(super) fn complaint(&mut self) -> Result<Value, Fault> {
        let answer = self.ok(0, Call::Check { acked: None })?;
        self.field(&answer, "complaint")
    }

    /// Ends the driver's standard input and waits until it has ended.
    pub(super) fn end_input(&mut self) -> Result<(), Fault> {
        self.sent = "(end of file)".into();
        self.came = None;
        self.life.input = None;
        match self.life.process.wait(Instant::now() + self.patience) {
            Ok(Some(0)) => Ok(()),
            Ok(Some(code)) => Err(self.wrong(format!("it ended with exit code {code}"))),
            Ok(None) => Err(self.wrong(format!("it did not end within {:?}", self.patience))),
            Err(error) => Err(Fault::Own(error.into())),
        }
    }
}

/// The next line, with its end; none where there is no whole one.
fn next_line(stdout: &mut impl BufRead) -> Option<Vec<u8>> {
    let mut line = Vec::new();
    let read = stdout.by_ref().take(MAX_LINE).read_until(b'\n', &mut line);
    (read.is_ok() && line.last() == Some(&b'\n')).then_some(line)
}

fn shown(text: &str) -> String {
    match text.char_indices().nth(SHOWN) {
        None => text.to_owned(),
        Some((at, _)) => format!("{}... ({} bytes)", &text[..at], text.len()),
    }
}
